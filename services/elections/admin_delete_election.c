/*
 * admin_delete_election.c - DELETE /api/admin/elections/{id}: an election is gone for good
 *
 * Votes are evidence (V-E6): an election that has any is removed only when it is closed and two
 * superusers ask for it within a day. The first gets 400 and is told so. The audit trail outlives
 * it, with both names, the count and the seal (V-F3).
 */
#include "elections.h"

const struct pg_statement sql_delete_election = {
    .name = "delete_election",
    .long_running = true,
    .sql = "select code, election->>'id', election->>'title', election->>'status' from "
           "elections.delete_election($1::uuid, $2::text, $3::text, $4::uuid)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"wrong_status", ERR_BAD_REQUEST, "An election that is open cannot be deleted.",
     "WRONG_STATUS"},
    {"paused", ERR_BAD_REQUEST, "This election has votes. Close it first, or hide it.",
     "HAS_VOTES"},
    {"has_ballots", ERR_BAD_REQUEST,
     "This election has votes. It is deleted only when a second superuser deletes it too, within "
     "24 hours. To take it off the members' list, hide it.",
     "SECOND_CONFIRMATION_REQUIRED"},
    {NULL, ERR_NONE, NULL, NULL},
};

void admin_delete_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_SUPERADMIN, "delete_election") ||
        !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), &sql_delete_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }

    struct str code = pg_get(&row, 0, 0);

    if (str_eq_text(code, "has_ballots") && str_eq_text(pg_get(&row, 0, 3), "paused"))
        code = STR("paused");
    if (!str_eq_text(code, "deleted")) {
        refuse_with(res, refusals, code);
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "success", true);
    json_add_text(body, "message", "The election has been deleted.");
    json_add_str(body, "election_id", pg_get(&row, 0, 1));
    json_add_str(body, "title", pg_get(&row, 0, 2));
    respond_json(res, 200, body);
}
