/* token_status.c - GET /api/token-status: is this voting token registered, and is it spent? */
#include "elections.h"

#include "base/encode.h"

const struct pg_statement sql_token_status = {
    .name = "token_status",
    .sql = "select known, used, registered_at, expires_at, title, question"
           " from elections.token_status($1::uuid, $2::text)",
};

void token_status(const struct request *req, struct response *res)
{
    char token_hash[SHA256_HEX_SIZE];
    struct pg_result row = {0};
    struct error e = {0};

    sha256_hex(req->identity.voting_token, token_hash);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(str_from(token_hash))};

    if (!pg_call(service_pool(req->state), &sql_token_status, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!pg_get_bool(&row, 0, 0)) {
        respond_error(res, ERR_NOT_FOUND, "This voting token is not known.");
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "valid", true);
    json_add_bool(body, "used", pg_get_bool(&row, 0, 1));
    json_add_str_or_null(body, "registered_at", pg_get(&row, 0, 2));
    json_add_str_or_null(body, "expires_at", pg_get(&row, 0, 3));
    json_add_str_or_null(body, "election_title", pg_get(&row, 0, 4));
    json_add_str_or_null(body, "election_question", pg_get(&row, 0, 5));
    respond_json(res, 200, body);
}
