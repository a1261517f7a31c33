/* admin_results.c - GET /api/admin/elections/{id}/results: the count with what operators need to
 * check it, and like everybody's not before the end (V-A5) */
#include "elections.h"

const struct pg_statement sql_admin_results = {
    .name = "admin_results",
    .long_running = true, /* the first to ask after the end closes and counts */
    .sql = "select code, election, totals, total_voters, total_selections, winner, tie, counts, "
           "sealed from elections.results($1::uuid, $2::uuid)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"not_closed", ERR_BAD_REQUEST, "Results are available once voting has ended.", "NOT_CLOSED"},
    {NULL, ERR_NONE, NULL, NULL},
};

static const struct results_shape shape = {.text_name = "answer_text", .for_operators = true};

void admin_results(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_MANAGER, NULL) || !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), &sql_admin_results, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok"))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else
        results_respond(req, res, &row, &shape);
}
