/* admin.c - see admin.h */
#include "admin.h"

const struct pg_statement sql_audit_append = {
    .name = "audit_append",
    .sql = "select seq from events.audit_append($1::uuid, $2::text, false, $3::text, $4::text, "
           "$5::uuid, $6::jsonb)",
};

static bool claims(const struct identity *id, enum operator_level level)
{
    return identity_has_role(id, "superuser") ||
           (level == OPERATOR_MANAGER && identity_has_role(id, "admin"));
}

static const struct refusal refusals[] = {
    {"insufficient", ERR_FORBIDDEN, "You do not have the role this needs.", NULL},
    {"superadmin", ERR_FORBIDDEN, "You do not have the role this needs.", NULL},
    {"unverified", ERR_FORBIDDEN, "Your role has changed. Please sign in again.",
     "ROLE_VERIFICATION_FAILED"},
    {NULL, ERR_NONE, NULL, NULL},
};
static const struct operator_rules rules = {
    .audit_append = &sql_audit_append, .claims = claims, .refusals = refusals};

bool operator_is_allowed(const struct request *req, struct response *res, enum operator_level level,
                         const char *action)
{
    return member_is_proven(req, res) && operator_check(req, res, &rules, level, action);
}

void operator_audit_refusal(const struct request *req, const char *action, struct str election_id,
                            const char *code)
{
    operator_leave_refusal(req, &rules, action, election_id, code);
}

bool admin_election_id(const struct request *req, struct response *res, struct str *ret_id)
{
    *ret_id = req->params[0];
    if (uuid_is_valid(*ret_id))
        return true;
    respond_error(res, ERR_NOT_FOUND, "There is no such election.");
    return false;
}

bool admin_call(const struct request *req, struct response *res,
                const struct pg_statement *statement, struct str election_id, struct str more,
                struct pg_result *ret_row)
{
    struct pg_param params[5] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                 PG_TEXT(req->correlation_id)};
    size_t count = 3;
    struct error e = {0};

    if (!str_is_empty(election_id))
        params[count++] = PG_TEXT(election_id);
    if (!str_is_empty(more))
        params[count++] = PG_TEXT(more);
    if (pg_call(service_pool(req->state), statement, params, count, req->arena, req->deadline_ms,
                ret_row, &e))
        return true;
    respond_failure(res, &e);
    return false;
}

void respond_column(struct response *res, int status, const struct pg_result *row, int column)
{
    respond_text(res, status, "application/json; charset=utf-8", pg_get(row, 0, column));
}

const cJSON *admin_column(const struct request *req, const struct pg_result *row, int column)
{
    struct error e = {0};
    const cJSON *value = json_parse(req->arena, pg_get(row, 0, column), &e);

    must(value != NULL);
    return value;
}

struct str admin_fields(const struct request *req, const char *const *names)
{
    cJSON *fields = json_object(req->arena);
    struct buf text;
    struct str copy;

    for (; *names; names++) {
        const cJSON *value = json_get(req->body, *names);

        if (value)
            json_add_item(fields, *names, cJSON_Duplicate(value, true));
    }
    /* Numbers may come as 1E9 and leave as 1000000000. */
    buf_init(&text, 8 * HTTP_BODY_MAX_BYTES);
    must(json_write(&text, fields));
    copy = arena_dup(req->arena, buf_str(&text));
    buf_done(&text);
    return copy;
}
