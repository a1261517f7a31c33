/*
 * vote_status.c - GET /api/vote-status: what became of a vote that was answered 202
 *
 * The receipt comes where a token comes, in Authorization: a query would stand in the platform's
 * request log. It proves itself, so only receipts we gave reach the database.
 */
#include "vote_queue.h"

const struct pg_statement sql_queued_vote_status = {
    .name = "queued_vote_status",
    .sql = "select code from elections.queued_vote_status($1::uuid, $2::bytea)",
};

#define POLL_AFTER_S 5

static void say(const struct request *req, struct response *res, const char *status,
                const char *message, const char *code)
{
    cJSON *body = json_object(req->arena);

    json_add_text(body, "status", status);
    json_add_bool(body, "recorded", strcmp(status, "recorded") == 0);
    json_add_text(body, "message", message);
    if (code)
        json_add_text(body, "code", code);
    respond_json(res, 200, body);
}

static void say_refused(const struct request *req, struct response *res, struct str code)
{
    const struct refusal *row = cast_token_vote_refusals;

    while (row->code && !str_eq_text(code, row->code))
        row++;
    if (row->code)
        say(req, res, "refused", row->message, row->wire_code);
    else /* mismatch, the one that has no row there */
        say(req, res, "refused", "This idempotency key was used for another vote.", NULL);
}

void vote_status(const struct request *req, struct response *res)
{
    const struct elections *elections = req->own;
    unsigned char hash[SHA256_BYTES];
    struct pg_result row = {0};
    struct error e = {0};
    int64_t made_s;
    struct str code;

    if (!elections->queue ||
        !receipt_read(&elections->queue->keys, req->identity.voting_token, &made_s, hash)) {
        respond_error(res, ERR_NOT_FOUND, "This receipt is not known.");
        return;
    }

    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      PG_BYTES(str_n((const char *)hash, sizeof hash))};

    if (!pg_call(service_pool(req->state), &sql_queued_vote_status, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_retry_after(res, POLL_AFTER_S);
        respond_failure(res, &e);
        return;
    }
    code = pg_get(&row, 0, 0);
    if (str_eq_text(code, "accepted")) {
        say(req, res, "recorded", "Your vote has been recorded.", NULL);
    } else if (code.len > 0) {
        say_refused(req, res, code);
    } else if (clock_unix_ms() / 1000 - made_s > RECEIPT_LIFE_S) {
        say(req, res, "expired", "This receipt is too old to say what became of the vote.", NULL);
    } else {
        say(req, res, "queued", "Your vote waits to be recorded.", NULL);
        respond_header(res, "Retry-After", arena_printf(req->arena, "%d", POLL_AFTER_S).ptr);
    }
}
