/*
 * cast_token_vote.c - POST /api/vote: a voting token is spent on one answer
 *
 * Why a vote can neither be lost nor counted twice: the SQL function marks the slot as having voted
 * and stores the ballot in one transaction, so both happen or neither. The slot is a primary key,
 * so a second attempt of any kind is refused by the database itself. 201 is sent only after the
 * commit. When the commit's answer is lost on its way, the retry finds the slot taken: with an
 * idempotency key it gets the very same 201, without one a 409 that says the vote is in.
 *
 * Nothing here joins a person with a choice: the token's owner is unknown to this service, and
 * neither the token, its hash nor the answer reaches a log line.
 */
#include "elections.h"

#include "base/encode.h"

const struct pg_statement sql_cast_token_vote = {
    .name = "cast_token_vote",
    .sql = "select code, reply from elections.cast_token_vote("
           "$1::uuid, $2::text, $3::text, $4::uuid, $5::int, $6::bytea, $7::bytea, $8::bytea)",
};

const struct refusal cast_token_vote_refusals[] = {
    {"unknown", ERR_NOT_FOUND, "This voting token is not known.", NULL},
    {"used", ERR_CONFLICT, "This voting token has already voted.", "ALREADY_VOTED"},
    {"expired", ERR_FORBIDDEN, "This voting token has expired. Ask for a new one.",
     "TOKEN_EXPIRED"},
    {"not_started", ERR_FORBIDDEN, "Voting has not started yet.", "NOT_STARTED"},
    {"ended", ERR_FORBIDDEN, "Voting has ended.", "ENDED"},
    {"closed", ERR_FORBIDDEN, "Voting has ended.", "ENDED"},
    {"paused", ERR_FORBIDDEN, "Voting is paused.", "PAUSED"},
    {"bad_answer", ERR_BAD_REQUEST, "This election does not offer that answer.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

static bool read_answer(const struct request *req, struct str *ret_answer)
{
    return json_str(req->body, "answer", ret_answer) &&
           (str_eq_text(*ret_answer, "yes") || str_eq_text(*ret_answer, "no") ||
            str_eq_text(*ret_answer, "abstain"));
}

static struct str success_body(const struct request *req, const char *ballot_id)
{
    return arena_printf(
        req->arena,
        "{\"success\":true,\"ballot_id\":\"%s\",\"message\":\"Your vote has been recorded.\"}",
        ballot_id);
}

void cast_token_vote(const struct request *req, struct response *res)
{
    char token_hash[SHA256_HEX_SIZE], ballot_id[UUID_TEXT_SIZE];
    struct idempotency_hashes idem;
    struct pg_param params[] = {
        PG_TEXT(req->org_id), PG_NULL, PG_NULL, PG_NULL, PG_NULL, PG_NULL, PG_NULL, PG_NULL};
    struct pg_result result = {0};
    struct str answer, body;
    struct error e = {0};

    if (!read_answer(req, &answer)) {
        respond_error(res, ERR_BAD_REQUEST,
                      "The field answer must be \"yes\", \"no\" or \"abstain\".");
        return;
    }
    sha256_hex(req->identity.voting_token, token_hash);
    uuid_v4(ballot_id);
    body = success_body(req, ballot_id);
    params[1] = PG_TEXT(str_from(token_hash));
    params[2] = PG_TEXT(answer);
    params[3] = PG_TEXT(str_from(ballot_id));
    params[4] = PG_TEXT(waited_ms(req));
    if (!str_is_empty(req->idempotency_key)) {
        idempotency_hashes(req, &idem);
        params[5] = PG_BYTES(str_n(idem.key, sizeof idem.key));
        params[6] = PG_BYTES(str_n(idem.fingerprint, sizeof idem.fingerprint));
        params[7] = PG_BYTES(idempotency_seal(req, &idem, 201, body));
    }
    if (vote_queue_diverts(req) ||
        !pg_call(service_pool(req->state), &sql_cast_token_vote, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &result, &e)) {
        if (!vote_queue_take(req, res, params, &result, &e))
            respond_failure(res, &e);
        return;
    }

    struct str code = pg_get(&result, 0, 0);

    if (str_eq_text(code, "accepted"))
        respond_text(res, 201, "application/json; charset=utf-8", body);
    else if (str_eq_text(code, "mismatch"))
        idempotency_refuse_mismatch(res);
    else if (!str_eq_text(code, "replayed"))
        refuse_with(res, cast_token_vote_refusals, code);
    else if (!idempotency_replay(req, res, &idem, pg_get_bytes(&result, 0, 1, req->arena)))
        respond_error(res, ERR_INTERNAL, "An unexpected error occurred.");
}
