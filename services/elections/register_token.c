/*
 * register_token.c - POST /api/s2s/register-token: events hands over the hash of a token it is
 * about to show
 *
 * The token belongs to a slot, the keyed hash of election and member that events computes; who that
 * is stays unknown here. One token per slot is live: a newer issue replaces an older unused one,
 * and a slot that has voted gets none. `issue_no` keeps a registration that was long on its way
 * from replacing a later one.
 */
#include "elections.h"

#include "base/clock.h"
#include "base/encode.h"

const struct pg_statement sql_register_token = {
    .name = "register_token",
    .sql =
        "select code, election_id, expires_at from elections.register_token("
        "$1::uuid, $2::text, $3::text, $4::uuid, $5::bytea, $6::bigint, $7::timestamptz, $8::text)",
};

static const struct refusal refusals[] = {
    {"duplicate", ERR_CONFLICT, "This token hash is already registered.", "ALREADY_REGISTERED"},
    {"voted", ERR_CONFLICT, "This slot has already voted.", "ALREADY_VOTED"},
    {"stale", ERR_CONFLICT, "A newer token was registered for this slot.", "STALE_ISSUE"},
    {"no_election", ERR_NOT_FOUND, "No election is published.", "NO_ELECTION"},
    {"not_published", ERR_FORBIDDEN, "The election is not open for voting.", "NOT_OPEN"},
    {"not_started", ERR_FORBIDDEN, "Voting has not started yet.", "NOT_STARTED"},
    {"ended", ERR_FORBIDDEN, "Voting has ended.", "ENDED"},
    {"wrong_kind", ERR_FORBIDDEN,
     "The election does not offer yes and no, so it takes no voting tokens.", "WRONG_KIND"},
    {NULL, ERR_NONE, NULL, NULL},
};

struct registration {
    struct str token_hash, election_id, expires_at;
    bool has_slot;
    unsigned char slot[SLOT_BYTES];
    int64_t issue_no;
};

/* An optional string: absent and null are the same; another type is refused. */
static bool optional_str(const cJSON *body, const char *name, struct str *ret)
{
    const cJSON *item = json_get(body, name);

    return !item || cJSON_IsNull(item) || json_str(body, name, ret);
}

/* NULL when all is well, else what to tell the caller. */
static const char *read_registration(const cJSON *body, struct registration *r)
{
    struct str slot = {NULL, 0};
    int64_t when_ms;
    const cJSON *issue = json_get(body, "issue_no");

    if (!json_str(body, "token_hash", &r->token_hash))
        return "The field token_hash is required and must be a string.";
    if (r->token_hash.len != 64 || !str_is_lower_hex(r->token_hash))
        return "The field token_hash must be 64 lower-case hexadecimal digits.";
    if (!optional_str(body, "election_id", &r->election_id) ||
        (r->election_id.ptr && !uuid_is_valid(r->election_id)))
        return "The field election_id must be a UUID.";
    if (!optional_str(body, "slot", &slot) || (slot.ptr && !hex_decode(slot, r->slot, SLOT_BYTES)))
        return "The field slot must be 64 hexadecimal digits.";
    if (!optional_str(body, "expires_at", &r->expires_at) ||
        (r->expires_at.ptr && !clock_parse_rfc3339(r->expires_at, &when_ms)))
        return "The field expires_at must be an RFC 3339 time.";
    if (issue && (!json_i64(body, "issue_no", &r->issue_no) || r->issue_no < 0))
        return "The field issue_no must be a whole number.";
    r->has_slot = slot.ptr != NULL;
    return NULL;
}

void register_token(const struct request *req, struct response *res)
{
    struct registration r = {0};
    struct pg_result row = {0};
    struct error e = {0};
    const char *fault = read_registration(req->body, &r);

    if (fault) {
        respond_error(res, ERR_BAD_REQUEST, fault);
        return;
    }

    const struct pg_param params[] = {
        PG_TEXT(req->org_id),
        PG_TEXT(req->identity.key_id),
        PG_TEXT(r.token_hash),
        PG_TEXT(r.election_id),
        r.has_slot ? PG_BYTES(str_n(r.slot, SLOT_BYTES)) : PG_NULL,
        PG_TEXT(arena_printf(req->arena, "%lld", (long long)r.issue_no)),
        PG_TEXT(r.expires_at),
        PG_TEXT(req->correlation_id),
    };

    if (!pg_call(service_pool(req->state), &sql_register_token, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "registered")) {
        refuse_with(res, refusals, pg_get(&row, 0, 0));
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "success", true);
    json_add_str(body, "token_hash", r.token_hash);
    json_add_str(body, "election_id", pg_get(&row, 0, 1));
    json_add_str_or_null(body, "expires_at", pg_get(&row, 0, 2));
    json_add_text(body, "message", "The token is registered.");
    respond_json(res, 201, body);
}
