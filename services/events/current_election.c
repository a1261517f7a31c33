/* current_election.c - which election a member's call is about; see events.h */
#include "events.h"

const struct pg_statement sql_current_election = {
    .name = "current_election",
    .sql = "select code, id, title, description, question_text, status, phase, voting_starts_at, "
           "voting_ends_at,"
           " token_election from events.current_election($1::uuid, $2::uuid)",
};

static bool none(struct response *res)
{
    respond_error(res, ERR_NOT_FOUND, "No election is published at the moment.");
    return false;
}

bool current_election_find(const struct request *req, struct response *res,
                           struct current_election *ret)
{
    struct str named = {NULL, 0};
    struct pg_result row = {0};
    struct error e = {0};

    if (request_query(req, "election_id", &named) && !uuid_is_valid(named))
        return none(res);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(named)};

    if (!pg_call(service_pool(req->state), &sql_current_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok"))
        return none(res);
    *ret = (struct current_election){
        .id = pg_get(&row, 0, 1),
        .title = pg_get(&row, 0, 2),
        .description = pg_get(&row, 0, 3),
        .question = pg_get(&row, 0, 4),
        .status = pg_get(&row, 0, 5),
        .phase = pg_get(&row, 0, 6),
        .starts_at = pg_get(&row, 0, 7),
        .ends_at = pg_get(&row, 0, 8),
        .takes_tokens = pg_get_bool(&row, 0, 9),
    };
    return true;
}
