/*
 * admin_create_election.c - POST /api/admin/elections: a new draft
 *
 * The portal repeats this call when the network fails, without an idempotency key: the same content
 * by the same operator within seconds is the same election (V-E11).
 */
#include "elections.h"

const struct pg_statement sql_create_election = {
    .name = "create_election",
    .sql = "select code, election, field, reason from elections.create_election("
           "$1::uuid, $2::text, $3::text, $4::jsonb)",
};

void admin_create_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};

    if (!operator_may(req, res, OPERATOR_MANAGER, "create_election"))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id), PG_TEXT(body_text(req))};

    if (!pg_call(service_pool(req->state), &sql_create_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e))
        respond_failure(res, &e);
    else if (str_eq_text(pg_get(&row, 0, 0), "invalid"))
        refuse_field(res, pg_get(&row, 0, 2), pg_get(&row, 0, 3));
    else
        respond_election(req, res, 201, pg_get(&row, 0, 1), "The election has been created.");
}
