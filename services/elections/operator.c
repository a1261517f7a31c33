/* operator.c - who may administer elections; contract §1.3, V-D18, V-G6 */
#include "elections.h"

#include "ops/log.h"

const struct pg_statement sql_audit_append = {
    .name = "audit_append",
    .sql = "select seq from elections.audit_append($1::uuid, $2::text, false, $3::text, $4::text, "
           "$5::uuid, $6::jsonb)",
};

/* What the token claims. The old single `role`, when there is one, is the only one that counts. */
static bool claims(const struct identity *id, enum operator_level level)
{
    if (id->legacy_role.len > 0)
        return str_eq_text(id->legacy_role, "superadmin") ||
               (level == OPERATOR_MANAGER && str_eq_text(id->legacy_role, "election-manager"));
    return identity_has_role(id, "superuser") ||
           (level == OPERATOR_MANAGER && identity_has_role(id, "admin"));
}

void operator_audit_refusal(const struct request *req, const char *action, struct str election_id,
                            const char *code)
{
    struct str details = arena_printf(req->arena, "{\"code\":\"%s\"}", code);
    const struct pg_param params[] = {PG_TEXT(req->org_id),       pg_param_text(action),
                                      PG_TEXT(req->identity.uid), PG_TEXT(req->correlation_id),
                                      PG_TEXT(election_id),       PG_TEXT(details)};
    struct pg_result row = {0};
    struct error e = {0};

    /* The refusal stands either way; that the trail misses it must not go unnoticed. */
    if (!pg_call(service_pool(req->state), &sql_audit_append, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e))
        log_error("refused action is not in the audit trail", LOG_TEXT("action", str_from(action)),
                  LOG_TEXT("correlation_id", req->correlation_id),
                  LOG_TEXT("reason", str_from(e.detail)));
}

static const struct refusal refusals[] = {
    {"insufficient", ERR_FORBIDDEN, "You do not have permission to do this.",
     "INSUFFICIENT_PERMISSIONS"},
    {"superadmin", ERR_FORBIDDEN, "Only a superuser can do this.", "SUPERADMIN_REQUIRED"},
    {"unverified", ERR_FORBIDDEN, "Your role could not be confirmed. Please sign in again.",
     "ROLE_VERIFICATION_FAILED"},
    {NULL, ERR_NONE, NULL, NULL},
};

static struct str valid_id_of(const struct request *req)
{
    return uuid_is_valid(req->params[0]) ? req->params[0] : (struct str){NULL, 0};
}

bool operator_may(const struct request *req, struct response *res, enum operator_level level,
                  const char *action)
{
    const char *why = NULL;

    if (!claims(&req->identity, level)) {
        why = level == OPERATOR_SUPERADMIN ? "superadmin" : "insufficient";
        /* Strangers leave a log line only: the trail must not grow at anybody's wish. */
        if (!claims(&req->identity, OPERATOR_MANAGER))
            action = NULL;
    } else {
        switch (account_confirms_role(req, level == OPERATOR_SUPERADMIN ? "superuser" : "admin")) {
        case MEMBERSHIP_PROVEN:
            return true;
        case MEMBERSHIP_UNKNOWN:
            respond_error(res, ERR_UNAVAILABLE,
                          "Your role cannot be checked right now. Please try again in a moment.");
            res->log_reason = "role unknown";
            return false;
        case MEMBERSHIP_NOT_PROVEN:
            why = "unverified";
        }
    }
    refuse_with(res, refusals, str_from(why));
    if (action)
        operator_audit_refusal(req, action, valid_id_of(req), why);
    return false;
}
