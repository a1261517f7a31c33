/*
 * request_token.c - POST /api/request-token: a member gets one voting token for one election
 *
 * Three steps, so that a token that was shown is always one that votes (V-C2, V-C5):
 *   1. claim   our database notes that an issue for this slot is under way, under a number higher
 * than any before;
 *   2. register  elections stores the token's hash for the slot and drops an older unused one;
 *   3. confirm   our database notes that the token was handed out.
 * A crash or a silent elections after 1 or 2 leaves an unconfirmed issue: it counts for nothing,
 * and the member may ask again at once. The next registration has a higher number and replaces
 * whatever the lost one left behind. Neither the token nor its hash is stored here.
 */
#include "events.h"

#include "elections_client.h"
#include "service/settings.h"

#define TOKEN_BYTES 32

const struct pg_statement sql_claim_issue = {
    .name = "claim_issue",
    .sql = "select code, issue_no, issued_at, expires_at from events.claim_issue("
           "$1::uuid, $2::uuid, $3::bytea, $4::bool, $5::int, $6::uuid)",
};
const struct pg_statement sql_confirm_issue = {
    .name = "confirm_issue",
    .sql = "select * from events.confirm_issue($1::uuid, $2::uuid, $3::bytea, $4::bigint, "
           "$5::timestamptz)",
};
const struct pg_statement sql_release_issue = {
    .name = "release_issue",
    .sql = "select * from events.release_issue($1::uuid, $2::uuid, $3::bytea, $4::bigint)",
};

struct issue {
    struct current_election election;
    unsigned char slot[SHA256_BYTES];
    struct str issue_no;
    char token[2 * TOKEN_BYTES + 1];
};

static bool window_is_open(struct response *res, const struct current_election *election)
{
    const char *why = NULL;

    if (str_eq_text(election->phase, "scheduled"))
        why = "Voting has not started yet.";
    else if (str_eq_text(election->phase, "paused"))
        why = "Voting is paused.";
    else if (!str_eq_text(election->phase, "active"))
        why = "Voting has ended.";
    else if (!election->takes_tokens)
        why = "This election is not voted on with voting tokens.";
    if (why)
        respond_error(res, ERR_FORBIDDEN, why);
    return why == NULL;
}

static bool read_replace(const struct request *req, struct response *res, bool *ret_replace)
{
    const cJSON *item = json_get(req->body, "replace");

    *ret_replace = cJSON_IsTrue(item);
    if (!item || cJSON_IsNull(item) || cJSON_IsBool(item))
        return true;
    respond_error(res, ERR_BAD_REQUEST, "The field replace must be true or false.");
    return false;
}

static void refuse_voted(struct response *res)
{
    cJSON *extra = json_object(res->request->arena);

    json_add_text(extra, "code", "ALREADY_VOTED");
    respond_error_extra(res, ERR_CONFLICT, "You have already voted in this election.", extra);
}

/* 409 for a live token says what the member can do, and when (V-C9): nothing once it is spent. */
static void refuse_live(const struct request *req, struct response *res, const struct issue *issue,
                        struct str expires_at)
{
    cJSON *extra = json_object(req->arena);
    struct elections_answer slot;
    struct error e = {0};
    bool voted = false;

    if (elections_slot_status(req, issue->election.id, issue->slot, &slot, &e) &&
        json_bool(slot.body, "voted", &voted) && voted) {
        refuse_voted(res);
        return;
    }
    json_add_text(extra, "code", "TOKEN_LIVE");
    json_add_str_or_null(extra, "expires_at", expires_at);
    json_add_text(extra, "hint",
                  "Use the token you were given. If it is lost, ask again with {\"replace\": "
                  "true}: the lost one then "
                  "stops working.");
    respond_error_extra(res, ERR_CONFLICT, "You already have a voting token for this election.",
                        extra);
}

/* It ends soon, so this is no final answer: Retry-After keeps it from being stored as one. */
static void refuse_running(struct response *res)
{
    respond_retry_after(res, 1);
    respond_error(res, ERR_CONFLICT,
                  "Another request of yours for a voting token is still running.");
}

static bool claim(const struct request *req, struct response *res, struct issue *issue,
                  bool replace)
{
    char name[UUID_TEXT_SIZE];

    uuid_v4(name);
    /* Longer than this request can live, so two of one member never run side by side. */
    struct str lease_ms =
        arena_printf(req->arena, "%lld",
                     (long long)service_server_settings(req->state)->request_budget_ms + 500);
    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      PG_TEXT(issue->election.id),
                                      PG_BYTES(str_n(issue->slot, sizeof issue->slot)),
                                      PG_TEXT(replace ? STR("true") : STR("false")),
                                      PG_TEXT(lease_ms),
                                      pg_param_text(name)};
    struct pg_result row = {0};
    struct error e = {0};

    if (!pg_call_again(service_pool(req->state), &sql_claim_issue, params, ARRAY_LEN(params),
                       req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return false;
    }

    struct str code = pg_get(&row, 0, 0);

    issue->issue_no = pg_get(&row, 0, 1);
    if (str_eq_text(code, "live"))
        refuse_live(req, res, issue, pg_get(&row, 0, 3));
    else if (str_eq_text(code, "running"))
        refuse_running(res);
    return str_eq_text(code, "claimed");
}

/* The issue counts for nothing from here on; that it could not be noted only means the lease has to
 * run out. */
static void release(const struct request *req, const struct issue *issue)
{
    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(issue->election.id),
                                      PG_BYTES(str_n(issue->slot, sizeof issue->slot)),
                                      PG_TEXT(issue->issue_no)};
    struct pg_result row = {0};
    struct error e = {0};

    if (!pg_call(service_pool(req->state), &sql_release_issue, params, ARRAY_LEN(params),
                 req->arena, clock_mono_ms() + 500, &row, &e))
        return;
}

/* Elections said no: say why in the words of the case, not of the message (V-C8). */
static void refuse_registration(struct response *res, const struct elections_answer *answer)
{
    if (str_eq_text(answer->wire_code, "ALREADY_VOTED")) {
        refuse_voted(res);
    } else if (answer->status == 403) {
        respond_error(res, ERR_FORBIDDEN, "The election is not open for voting.");
    } else if (answer->status == 404) {
        respond_error(res, ERR_NOT_FOUND, "No election is published at the moment.");
    } else {
        respond_error(res, ERR_UNAVAILABLE,
                      "Your voting token could not be registered. Please ask again.");
    }
    res->log_reason = "elections refused the registration";
}

static bool register_with_elections(const struct request *req, struct response *res,
                                    const struct issue *issue, struct str *ret_expires_at)
{
    char token_hash[SHA256_HEX_SIZE];
    struct elections_answer answer;
    struct error e = {0};

    sha256_hex(str_from(issue->token), token_hash);
    if (!elections_register_token(req, issue->election.id, issue->slot, issue->issue_no, token_hash,
                                  &answer, &e)) {
        release(req, issue);
        respond_error(res, ERR_UNAVAILABLE,
                      "Your voting token could not be registered. Please ask again.");
        res->log_reason = arena_text(req->arena, str_from(e.detail));
        return false;
    }
    if (answer.status != 201 || !json_str(answer.body, "expires_at", ret_expires_at)) {
        release(req, issue);
        refuse_registration(res, &answer);
        return false;
    }
    return true;
}

static bool confirm(const struct request *req, struct response *res, const struct issue *issue,
                    struct str expires_at)
{
    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(issue->election.id),
                                      PG_BYTES(str_n(issue->slot, sizeof issue->slot)),
                                      PG_TEXT(issue->issue_no), PG_TEXT(expires_at)};
    struct pg_result row = {0};
    struct error e = {0};

    if (!pg_call_again(service_pool(req->state), &sql_confirm_issue, params, ARRAY_LEN(params),
                       req->arena, req->deadline_ms, &row, &e)) {
        release(req, issue);
        respond_failure(res, &e);
        return false;
    }
    if (!pg_get_bool(&row, 0, 0)) {
        /* A later issue overtook this one; its token is the live one. */
        respond_error(res, ERR_CONFLICT, "Another request of yours for a voting token was faster.");
        return false;
    }
    return true;
}

void request_token(const struct request *req, struct response *res)
{
    struct issue issue = {0};
    struct str expires_at = {NULL, 0};
    unsigned char secret[TOKEN_BYTES];
    bool replace;

    if (!member_is_proven(req, res) || !read_replace(req, res, &replace) ||
        !current_election_find(req, res, &issue.election) || !window_is_open(res, &issue.election))
        return;
    member_slot(req, events_settings(req)->voter_key, issue.election.id, issue.slot);
    if (!claim(req, res, &issue, replace))
        return;
    random_bytes(secret, sizeof secret);
    hex_encode(secret, sizeof secret, issue.token);
    if (!register_with_elections(req, res, &issue, &expires_at) ||
        !confirm(req, res, &issue, expires_at))
        return;

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "success", true);
    json_add_text(body, "token", issue.token);
    json_add_str(body, "expires_at", expires_at);
    json_add_str(body, "election_id", issue.election.id);
    json_add_text(body, "message", "Your voting token is ready.");
    json_add_text(body, "note",
                  "Keep this token to yourself. It is shown only once and votes only once.");
    respond_json(res, 200, body);
}
