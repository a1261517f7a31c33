/* member_results.c - GET /api/elections/{id}/results: the count, once nobody can vote any more */
#include "elections.h"

const struct pg_statement sql_member_results = {
    .name = "member_results",
    .long_running = true, /* the first to ask after the end closes and counts */
    .sql = "select code, election, totals, total_voters, total_selections, winner, tie, counts, "
           "sealed from elections.member_results($1::uuid, $2::uuid, $3::bool, $4::bool)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"not_closed", ERR_FORBIDDEN, "Results are available once voting has ended.", "NOT_CLOSED"},
    {NULL, ERR_NONE, NULL, NULL},
};

static const struct results_shape shape = {.text_name = "text"};

void member_results(const struct request *req, struct response *res)
{
    struct caller caller = caller_of(req);
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(id), caller_is_member(&caller),
                                      caller_is_admin(&caller)};

    if (!pg_call(service_pool(req->state), &sql_member_results, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }

    struct str code = pg_get(&row, 0, 0);

    if (str_eq_text(code, "not_eligible"))
        caller_refuse(res, &caller);
    else if (!str_eq_text(code, "ok"))
        refuse_with(res, refusals, code);
    else
        results_respond(req, res, &row, &shape);
}
