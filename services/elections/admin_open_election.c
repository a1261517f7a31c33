/* admin_open_election.c - POST /api/admin/elections/{id}/open: a draft becomes public, its question
 * and options are frozen */
#include "elections.h"

const struct pg_statement sql_open_election = {
    .name = "open_election",
    .sql = "select code, election from elections.open_election("
           "$1::uuid, $2::text, $3::text, $4::uuid, $5::timestamptz, $6::timestamptz)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"wrong_status", ERR_BAD_REQUEST, "Only a draft can be opened.", "WRONG_STATUS"},
    {"hidden", ERR_BAD_REQUEST, "The election is hidden. Unhide it before opening it.", "HIDDEN"},
    {"bad_schedule", ERR_BAD_REQUEST,
     "The end of voting must lie in the future and after its start.", "BAD_SCHEDULE"},
    {NULL, ERR_NONE, NULL, NULL},
};

/* The first of two names that is given; absent and null keep what is stored. False: of a wrong
 * type, and `*ret_name` says which. */
static bool read_time(const struct request *req, const char *const names[2], struct str *ret,
                      const char **ret_name)
{
    for (size_t i = 0; i < 2; i++) {
        const cJSON *item = json_get(req->body, names[i]);

        if (!item || cJSON_IsNull(item))
            continue;
        *ret_name = names[i];
        return json_str(req->body, names[i], ret);
    }
    return true;
}

static void refuse_time(const struct request *req, struct response *res, struct str id,
                        const char *name, const char *reason)
{
    refuse_field(res, str_from(name), str_from(reason));
    operator_audit_refusal(req, "open_election", id, "bad_time");
}

void admin_open_election(const struct request *req, struct response *res)
{
    static const char *const start_names[] = {"voting_starts_at", "scheduled_start"};
    static const char *const end_names[] = {"voting_ends_at", "scheduled_end"};
    struct str id, start = {NULL, 0}, end = {NULL, 0};
    const char *start_name = NULL, *end_name = NULL;
    struct pg_result row = {0};
    struct error e = {0};

    if (!operator_may(req, res, OPERATOR_MANAGER, "open_election") ||
        !election_id_of(req, res, &id))
        return;
    if (!read_time(req, start_names, &start, &start_name)) {
        refuse_time(req, res, id, start_name, "type");
        return;
    }
    if (!read_time(req, end_names, &end, &end_name)) {
        refuse_time(req, res, id, end_name, "type");
        return;
    }

    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id),
                                      PG_TEXT(id),
                                      PG_TEXT(start),
                                      PG_TEXT(end)};

    if (!pg_call(service_pool(req->state), &sql_open_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        /* Class 22: a text that is no time. With both given, the database does not say which. */
        if (e.code == ERR_BAD_REQUEST)
            refuse_time(req, res, id, start_name ? start_name : end_name, "value");
        else
            respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "opened"))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else
        respond_election(req, res, 200, pg_get(&row, 0, 1), "The election is open.");
}
