/*
 * issue_token.c - hands an operator the key to the register; contract members.md §3.12, M-F03
 *
 * An ID token lives an hour longer than the role it names, so the account and users/{uid} are read
 * now, not from a cache. The audit entry is written before the key leaves: without it there is
 * none.
 */
#include "cloud/live_account.h"
#include "get_django_token.h"
#include "ops/log.h"

#define AUDIT_COLLECTION "django_token_audit"

static bool is_operator_role(struct str role)
{
    return str_eq_text(role, "admin") || str_eq_text(role, "superuser");
}

static bool token_says_operator(const struct identity *id)
{
    return identity_has_role(id, "admin") || identity_has_role(id, "superuser");
}

static bool deny(const struct request *req, struct response *res, const char *reason)
{
    const struct token_service *service = req->own;

    respond_error(res, ERR_FORBIDDEN, "Only administrators may do this.");
    res->log_reason = reason;
    metric_add(service->denied, 1);
    log_warning("register key refused", LOG_PSEUDONYM("caller", req->identity.uid),
                LOG_TEXT("reason", str_from(reason)),
                LOG_TEXT("correlation_id", req->correlation_id));
    return false;
}

static bool fail(const struct request *req, struct response *res, const struct error *e)
{
    respond_error(res, ERR_INTERNAL, "The key could not be issued. Please try again in a moment.");
    res->log_reason = arena_text(req->arena, str_from(e->detail));
    return false;
}

static bool account_is_live(const struct request *req, struct response *res)
{
    struct error e = {0};
    bool is_open;

    if (!live_account_is_open(service_identity_toolkit(req->state), req->identity.uid,
                              req->identity.auth_time_s, req->arena, req->deadline_ms, &is_open,
                              NULL, &e))
        return fail(req, res, &e);
    if (is_open)
        return true;
    respond_error(res, ERR_UNAUTHENTICATED, "Invalid or expired authentication token");
    res->log_reason = "the account is gone, disabled or signed out";
    return false;
}

static bool record_says_operator(const struct request *req, struct response *res)
{
    struct error e = {0};
    bool is_operator;

    if (!live_account_is_operator(service_firestore(req->state), req->identity.uid, req->arena,
                                  req->deadline_ms, &is_operator, &e))
        return fail(req, res, &e);
    return is_operator || deny(req, res, "the account record names no such role");
}

static bool get_issue(const struct request *req, struct response *res, struct issue *ret)
{
    const struct token_service *service = req->own;
    struct error e = {0};

    *ret = (struct issue){str_from(service->settings->django_token), STR("")};
    if (ret->token.len == 0) {
        error_set(&e, ERR_INTERNAL, "DJANGO_API_TOKEN is not set");
        return fail(req, res, &e);
    }
    return !service->django || ticket_fetch(service, req->arena, req->deadline_ms, ret, &e) ||
           fail(req, res, &e);
}

static bool write_audit(const struct request *req, struct response *res, const struct issue *issue)
{
    cJSON *fields = fs_fields(req->arena), *roles;
    struct error e = {0};
    char id[21];

    firestore_auto_id(id);
    fs_add_text(fields, "action", "issue");
    fs_add_str(fields, "adminId", req->identity.uid);
    fs_add_text(fields, "kind", issue->expires_at.len > 0 ? "ticket" : "token");
    if (issue->expires_at.len > 0)
        fs_add_str(fields, "expiresAt", issue->expires_at);
    else
        fs_add_null(fields, "expiresAt");
    roles = fs_add_array(fields, "roles");
    for (size_t i = 0; i < req->identity.role_count; i++) {
        if (is_operator_role(req->identity.roles[i]))
            fs_push_str(roles, req->identity.roles[i]);
    }
    fs_add_str(fields, "correlationId", req->correlation_id);

    /* A set without a precondition: a repeat after a lost answer writes the same entry. */
    const struct fs_write write = {
        .kind = FS_SET,
        .path = arena_printf(req->arena, AUDIT_COLLECTION "/%s", id),
        .fields = fields,
        .server_times = {"timestamp"},
    };

    return firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                            req->deadline_ms, NULL, &e) ||
           fail(req, res, &e);
}

static void answer(const struct request *req, struct response *res, const struct issue *issue)
{
    const struct token_service *service = req->own;
    cJSON *body = json_object(req->arena);

    json_add_str(body, "token", issue->token);
    if (issue->expires_at.len > 0)
        json_add_str(body, "expiresAt", issue->expires_at);
    else
        json_add_null(body, "expiresAt");
    json_add_text(body, "message", "Keep this key in memory only.");
    respond_json(res, 200, body);
    metric_add(service->issued, 1);
    log_write(LOG_NOTICE, "register key issued",
              LOG_FIELDS(LOG_PSEUDONYM("caller", req->identity.uid),
                         LOG_BOOL("ticket", issue->expires_at.len > 0),
                         LOG_TEXT("correlation_id", req->correlation_id)));
}

void issue_token(const struct request *req, struct response *res)
{
    struct issue issue;

    if (!token_says_operator(&req->identity)) {
        (void)deny(req, res, "the ID token names no such role");
        return;
    }
    if (account_is_live(req, res) && record_says_operator(req, res) &&
        get_issue(req, res, &issue) && write_audit(req, res, &issue))
        answer(req, res, &issue);
}
