/* get_election.c - GET /api/elections/{id}: one election, and whether the caller has voted in it */
#include "elections.h"

const struct pg_statement sql_get_member_election = {
    .name = "get_member_election",
    .sql = "select code, election from elections.get_member_election("
           "$1::uuid, $2::uuid, $3::bytea, $4::bool, $5::bool)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

void get_election(const struct request *req, struct response *res)
{
    struct caller caller = caller_of(req);
    unsigned char slot[SLOT_BYTES];
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!election_id_of(req, res, &id))
        return;
    caller_slot(req, id, slot);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(id),
                                      PG_BYTES(str_n(slot, sizeof slot)), caller_is_member(&caller),
                                      caller_is_admin(&caller)};

    if (!pg_call(service_pool(req->state), &sql_get_member_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }

    struct str code = pg_get(&row, 0, 0);

    if (str_eq_text(code, "not_eligible")) {
        caller_refuse(res, &caller);
    } else if (!str_eq_text(code, "ok")) {
        refuse_with(res, refusals, code);
    } else {
        respond_text(res, 200, "application/json; charset=utf-8",
                     arena_printf(req->arena, "{\"election\":%.*s}", STR_ARG(pg_get(&row, 0, 1))));
        respond_header(res, "Cache-Control", "private, no-cache");
    }
}
