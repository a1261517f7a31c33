/* my_status.c - GET /api/my-status: has the member a token, and has it voted? The vote is
 * elections' knowledge, so it is asked (V-C10). */
#include "events.h"

#include "elections_client.h"

const struct pg_statement sql_issue_status = {
    .name = "issue_status",
    .sql = "select issued, issued_at, expires_at, expired from events.issue_status($1::uuid, "
           "$2::uuid, $3::bytea)",
};

static void answer(const struct request *req, struct response *res, const struct pg_result *row,
                   const struct elections_answer *slot)
{
    cJSON *body = json_object(req->arena);
    struct str voted_at = {NULL, 0};
    bool voted = false;

    (void)json_bool(slot->body, "voted", &voted);
    (void)json_str(slot->body, "voted_at", &voted_at);
    json_add_bool(body, "token_issued", pg_get_bool(row, 0, 0));
    if (pg_get_bool(row, 0, 0)) {
        json_add_str_or_null(body, "token_issued_at", pg_get(row, 0, 1));
        json_add_str_or_null(body, "expires_at", pg_get(row, 0, 2));
        json_add_bool(body, "expired", pg_get_bool(row, 0, 3));
    }
    json_add_bool(body, "voted", voted);
    if (pg_get_bool(row, 0, 0) || voted)
        json_add_str_or_null(body, "voted_at", voted_at);
    respond_json(res, 200, body);
}

static void answer_nothing(const struct request *req, struct response *res)
{
    cJSON *body = json_object(req->arena);

    json_add_bool(body, "token_issued", false);
    json_add_bool(body, "voted", false);
    respond_json(res, 200, body);
}

void my_status(const struct request *req, struct response *res)
{
    struct current_election election;
    struct elections_answer slot_answer;
    unsigned char slot[SHA256_BYTES];
    struct pg_result row = {0};
    struct error e = {0};

    if (!member_is_proven(req, res))
        return;
    if (!current_election_find(req, res, &election)) {
        /* Nothing is published: then the member has no token and no vote, which is an answer. */
        if (res->error == ERR_NOT_FOUND)
            answer_nothing(req, res);
        return;
    }
    member_slot(req, events_settings(req)->voter_key, election.id, slot);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(election.id),
                                      PG_BYTES(str_n(slot, sizeof slot))};

    if (!pg_call(service_pool(req->state), &sql_issue_status, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e) ||
        !elections_slot_status(req, election.id, slot, &slot_answer, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (slot_answer.status != 200) {
        error_set(&e, ERR_UNAVAILABLE, "elections answered %d", slot_answer.status);
        respond_failure(res, &e);
        return;
    }
    answer(req, res, &row, &slot_answer);
}
