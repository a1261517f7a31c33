/*
 * reset_election.c - POST /api/admin/reset-election: for rehearsals, off unless the deployment
 * decides otherwise (contract §3.4, V-A3, V-E7, V-I6)
 *
 * "mine" drops the caller's own unused token of the election; it never frees a used one. "all"
 * empties one election, the current one or the one named.
 */
#include "admin.h"
#include "service/settings.h"

const struct pg_statement sql_reset_election = {
    .name = "reset_election",
    .sql = "select code, election_id, retry_after_s, before, after from events.reset_election("
           "$1::uuid, $2::text, $3::text, $4::text, $5::uuid, $6::bytea, $7::int)",
};

static const struct refusal refusals[] = {
    {"disabled", ERR_FORBIDDEN, "Resetting is switched off for this organisation.", NULL},
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"wrong_status", ERR_BAD_REQUEST, "This election cannot be reset.", NULL},
    {"voted", ERR_CONFLICT, "You have already voted; a used token is never freed.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

static bool uid_is_listed(const char *list, struct str uid)
{
    struct str rest = str_from(list), part;

    while (str_split(&rest, ',', &part)) {
        if (uid.len > 0 && str_eq(str_trim(part), uid))
            return true;
    }
    return false;
}

static bool is_production(const struct request *req)
{
    return str_eq_text(STR("production"), service_server_settings(req->state)->environment);
}

/* NULL when this caller may do this; else what to say. */
static const char *forbidden(const struct request *req, bool all)
{
    const struct events_settings *settings = events_settings(req);

    if (!settings->reset_enabled || !uid_is_listed(settings->reset_uids, req->identity.uid))
        return "Resetting is not enabled for you.";
    if (all && is_production(req) && !settings->reset_in_production)
        return "Resetting is not enabled in production.";
    return NULL;
}

static void answer(const struct request *req, struct response *res, struct str scope,
                   const struct pg_result *row)
{
    cJSON *body = json_object(req->arena), *actions, *action;

    json_add_bool(body, "success", true);
    json_add_text(body, "message", "Reset done.");
    json_add_str(body, "scope", scope);
    json_add_str(body, "performed_by", req->identity.uid);
    json_add_item(body, "before", cJSON_Duplicate(admin_column(req, row, 3), true));
    json_add_item(body, "after", cJSON_Duplicate(admin_column(req, row, 4), true));
    actions = json_add_array(body, "actions");
    action = json_add_object(actions, NULL);
    json_add_str(action, "action", pg_get(row, 0, 0));
    respond_json(res, 200, body);
}

static void refuse_too_soon(const struct request *req, struct response *res, int64_t seconds)
{
    cJSON *extra = json_object(req->arena);

    json_add_i64(extra, "retryAfter", seconds);
    respond_retry_after(res, (unsigned)seconds);
    respond_error_extra(res, ERR_TOO_SOON, "The last reset was a moment ago.", extra);
}

/* Slots are made of ids as the database writes them. */
static struct str lower_case(const struct request *req, struct str id)
{
    char *copy = arena_alloc(req->arena, id.len + 1);

    for (size_t i = 0; i < id.len; i++)
        copy[i] = (char)tolower((unsigned char)id.ptr[i]);
    return str_n(copy, id.len);
}

static bool read_scope(const struct request *req, struct response *res, struct str *ret_scope,
                       struct str *ret_election)
{
    const cJSON *scope = json_get(req->body, "scope"),
                *election = json_get(req->body, "election_id");

    *ret_scope = scope ? json_str_value(scope) : STR("all");
    *ret_election = (struct str){NULL, 0};
    if (!str_eq_text(*ret_scope, "all") && !str_eq_text(*ret_scope, "mine")) {
        respond_error(res, ERR_BAD_REQUEST, "The field scope must be \"mine\" or \"all\".");
        return false;
    }
    if (election && !cJSON_IsNull(election)) {
        *ret_election = json_str_value(election);
        if (!uuid_is_valid(*ret_election)) {
            respond_error(res, ERR_NOT_FOUND, "There is no such election.");
            return false;
        }
        *ret_election = lower_case(req, *ret_election);
    }
    return true;
}

static bool call_reset(const struct request *req, struct response *res, struct str scope,
                       struct str election_id, struct pg_result *ret_row)
{
    const struct events_settings *settings = events_settings(req);
    unsigned char slot[SHA256_BYTES];
    struct error e = {0};

    member_slot(req, settings->voter_key, election_id, slot);

    const struct pg_param params[] = {
        PG_TEXT(req->org_id),
        PG_TEXT(req->identity.uid),
        PG_TEXT(req->correlation_id),
        PG_TEXT(scope),
        PG_TEXT(election_id),
        PG_BYTES(str_n(slot, sizeof slot)),
        PG_TEXT(arena_printf(req->arena, "%lld", (long long)settings->reset_interval_s)),
    };

    if (pg_call(service_pool(req->state), &sql_reset_election, params, ARRAY_LEN(params),
                req->arena, req->deadline_ms, ret_row, &e))
        return true;
    respond_failure(res, &e);
    return false;
}

void reset_election(const struct request *req, struct response *res)
{
    struct str scope, named;
    struct current_election election;
    struct pg_result row = {0};
    const char *why;

    if (!operator_is_allowed(req, res, OPERATOR_SUPERADMIN, "reset_election") ||
        !read_scope(req, res, &scope, &named))
        return;

    bool all = str_eq_text(scope, "all");

    why = forbidden(req, all);
    if (why) {
        operator_audit_refusal(req, "reset_election", named, "forbidden");
        respond_error(res, ERR_FORBIDDEN, why);
        return;
    }
    if (all && !str_eq_text(json_str_value(json_get(req->body, "confirm")), "RESET ALL")) {
        respond_error(res, ERR_BAD_REQUEST, "Confirm with {\"confirm\": \"RESET ALL\"}.");
        return;
    }
    if (named.ptr)
        election.id = named;
    else if (!current_election_find(req, res, &election))
        return;
    if (!call_reset(req, res, scope, election.id, &row))
        return;

    struct str code = pg_get(&row, 0, 0);

    if (str_eq_text(code, "reset"))
        answer(req, res, scope, &row);
    else if (str_eq_text(code, "too_soon"))
        refuse_too_soon(req, res, pg_get_i64(&row, 0, 2));
    else
        refuse_with(res, refusals, code);
}
