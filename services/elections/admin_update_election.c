/* admin_update_election.c - PATCH /api/admin/elections/{id}: some fields of an election (V-E4,
 * V-E8) */
#include "elections.h"

const struct pg_statement sql_update_election = {
    .name = "update_election",
    .sql = "select code, election, field, reason from elections.update_election("
           "$1::uuid, $2::text, $3::text, $4::uuid, $5::jsonb)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"not_draft", ERR_BAD_REQUEST,
     "Question, answers and the rules of voting cannot change once the election has been opened.",
     "NOT_DRAFT"},
    {"bad_schedule", ERR_BAD_REQUEST,
     "The schedule can change only while voting has not ended, and only to an end in the future.",
     "BAD_SCHEDULE"},
    {NULL, ERR_NONE, NULL, NULL},
};

void admin_update_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_MANAGER, "update_election") ||
        !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id), PG_TEXT(id),
                                      PG_TEXT(body_text(req))};

    if (!pg_call(service_pool(req->state), &sql_update_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e))
        respond_failure(res, &e);
    else if (str_eq_text(pg_get(&row, 0, 0), "invalid"))
        refuse_field(res, pg_get(&row, 0, 2), pg_get(&row, 0, 3));
    else if (!str_eq_text(pg_get(&row, 0, 0), "updated"))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else
        respond_election(req, res, 200, pg_get(&row, 0, 1), NULL);
}
