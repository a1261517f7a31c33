/* admin_get_election.c - GET /api/admin/elections/{id}: one election with its turnout (how many,
 * never what) */
#include "elections.h"

const struct pg_statement sql_get_election = {
    .name = "get_election",
    .sql = "select code, election from elections.get_election($1::uuid, $2::uuid)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

void admin_get_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_MANAGER, NULL) || !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), &sql_get_election, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok"))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else
        respond_text(res, 200, "application/json; charset=utf-8",
                     arena_printf(req->arena, "{\"election\":%.*s}", STR_ARG(pg_get(&row, 0, 1))));
}
