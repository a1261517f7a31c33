/*
 * cast_member_vote.c - POST /api/elections/{id}/vote: a signed-in member votes
 *
 * The same guarantees as cast_token_vote.c, through the same tables: the voter is the slot that
 * events would give this member, so nobody votes once with a token and once signed in. The slot is
 * all that is stored of the voter, and never beside a ballot.
 */
#include "elections.h"

/* More selections than any election offers; the database refuses them by their number alone. */
#define SELECTIONS_MAX       1000
#define OFFENDING_SHOWN_MAX  5
#define OFFENDING_CHARACTERS 60

const struct pg_statement sql_cast_member_vote = {
    .name = "cast_member_vote",
    .sql = "select code, reply, offending from elections.cast_member_vote("
           "$1::uuid, $2::uuid, $3::bytea, $4::bool, $5::bool, $6::text[], $7::uuid[], $8::int, "
           "$9::bytea, $10::bytea, $11::bytea)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"not_started", ERR_FORBIDDEN, "Voting has not started yet.", "NOT_STARTED"},
    {"ended", ERR_FORBIDDEN, "Voting has ended.", "ENDED"},
    {"closed", ERR_FORBIDDEN, "Voting has ended: the election is closed.", "ENDED"},
    {"paused", ERR_FORBIDDEN, "Voting is paused.", "PAUSED"},
    {"empty", ERR_BAD_REQUEST, "The field answer_ids must be an array of one or more strings.",
     NULL},
    {"wrong_count", ERR_BAD_REQUEST, "This election takes exactly one answer.", NULL},
    {"too_many", ERR_BAD_REQUEST, "These are more answers than this election allows.", NULL},
    {"used", ERR_CONFLICT, "You have already voted in this election.", "ALREADY_VOTED"},
    {NULL, ERR_NONE, NULL, NULL},
};

/* Quoted whatever it is: then only these two characters mean anything. */
static void add_array_element(struct buf *out, struct str text)
{
    buf_add_text(out, out->len > 1 ? ",\"" : "\"");
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, text.ptr[i]);
    }
    buf_add_char(out, '"');
}

static bool are_strings(const cJSON *array)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item))
            return false;
    }
    return cJSON_IsArray(array);
}

/* What is no array of strings selects nothing: the window is judged before the selection (contract
 * §2.2). */
static void write_selections(const cJSON *ids, struct buf *selections)
{
    const cJSON *item;

    buf_add_char(selections, '{');
    if (are_strings(ids)) {
        cJSON_ArrayForEach(item, ids) add_array_element(selections, json_str_value(item));
    }
    buf_add_char(selections, '}');
}

/* One new ballot id for each selection, as an array literal and as JSON. */
static void write_ballots(const cJSON *ids, struct buf *array, struct buf *json)
{
    int count = are_strings(ids) ? cJSON_GetArraySize(ids) : 0;
    const char *separator = "";

    buf_add_char(array, '{');
    for (int i = 0; i < count && i < SELECTIONS_MAX; i++) {
        char id[UUID_TEXT_SIZE];

        uuid_v4(id);
        buf_printf(array, "%s%s", separator, id);
        buf_printf(json, "%s\"%s\"", separator, id);
        separator = ",";
    }
    buf_add_char(array, '}');
}

static size_t bytes_of_characters(struct str text, int characters)
{
    struct str rest = text;
    uint32_t c;

    while (characters-- > 0 && rest.len > 0) {
        size_t n = str_utf8_next(rest, &c);

        if (n == 0)
            break;
        rest = str_skip(rest, n);
    }
    return text.len - rest.len;
}

/* Names the values that were not accepted, as many and as much of each as a person would read. */
static void refuse_offending(const struct request *req, struct response *res, const char *what,
                             struct str offending)
{
    struct error e = {0};
    const cJSON *values = json_parse(req->arena, offending, &e), *value;
    struct buf message;
    int shown = 0;

    buf_init(&message, 8192);
    buf_add_text(&message, what);
    cJSON_ArrayForEach(value, values)
    {
        struct str text = json_str_value(value);

        if (shown++ == OFFENDING_SHOWN_MAX)
            break;
        text = str_take(text, bytes_of_characters(text, OFFENDING_CHARACTERS));
        buf_printf(&message, "%s %.*s", shown > 1 ? "," : "", STR_ARG(text));
    }
    respond_error(res, ERR_BAD_REQUEST, arena_text(req->arena, buf_str(&message)));
    buf_done(&message);
}

static void answer(const struct request *req, struct response *res, const struct caller *caller,
                   const struct idempotency_hashes *idem, const struct pg_result *row,
                   struct str body)
{
    struct str code = pg_get(row, 0, 0);

    if (str_eq_text(code, "accepted"))
        respond_text(res, 201, "application/json; charset=utf-8", body);
    else if (str_eq_text(code, "not_eligible"))
        caller_refuse(res, caller);
    else if (str_eq_text(code, "mismatch"))
        idempotency_refuse_mismatch(res);
    else if (str_eq_text(code, "bad_answer"))
        refuse_offending(req, res, "This election does not offer:", pg_get(row, 0, 2));
    else if (str_eq_text(code, "duplicate_answer"))
        refuse_offending(req, res, "An answer may be given once only:", pg_get(row, 0, 2));
    else if (!str_eq_text(code, "replayed"))
        refuse_with(res, refusals, code);
    else if (!idempotency_replay(req, res, idem, pg_get_bytes(row, 0, 1, req->arena)))
        respond_error(res, ERR_INTERNAL, "An unexpected error occurred.");
}

void cast_member_vote(const struct request *req, struct response *res)
{
    struct caller caller = caller_of(req);
    const cJSON *answer_ids = json_get(req->body, "answer_ids");
    struct idempotency_hashes idem = {0};
    unsigned char slot[SLOT_BYTES];
    struct buf selections, ballots, ballots_json;
    struct pg_result row = {0};
    struct error e = {0};
    struct str id, body;

    if (!election_id_of(req, res, &id))
        return;
    caller_slot(req, id, slot);
    /* Quotes and escapes at most double what the body held. */
    buf_init(&selections, 4 * HTTP_BODY_MAX_BYTES);
    buf_init(&ballots, UUID_TEXT_SIZE * SELECTIONS_MAX + 16);
    buf_init(&ballots_json, (UUID_TEXT_SIZE + 2) * SELECTIONS_MAX + 16);
    write_selections(answer_ids, &selections);
    write_ballots(answer_ids, &ballots, &ballots_json);
    must(!selections.overflow && !ballots.overflow && !ballots_json.overflow);
    body = arena_printf(req->arena,
                        "{\"success\":true,\"ballot_ids\":[%.*s],\"message\":\"Your vote has been "
                        "recorded.\"}",
                        STR_ARG(buf_str(&ballots_json)));

    struct pg_param params[] = {PG_TEXT(req->org_id),
                                PG_TEXT(id),
                                PG_BYTES(str_n(slot, sizeof slot)),
                                caller_is_member(&caller),
                                caller_is_admin(&caller),
                                PG_TEXT(buf_str(&selections)),
                                PG_TEXT(buf_str(&ballots)),
                                PG_TEXT(waited_ms(req)),
                                PG_NULL,
                                PG_NULL,
                                PG_NULL};

    if (!str_is_empty(req->idempotency_key)) {
        idempotency_hashes(req, &idem);
        params[8] = PG_BYTES(str_n(idem.key, sizeof idem.key));
        params[9] = PG_BYTES(str_n(idem.fingerprint, sizeof idem.fingerprint));
        params[10] = PG_BYTES(idempotency_seal(req, &idem, 201, body));
    }
    if (pg_call(service_pool(req->state), &sql_cast_member_vote, params, ARRAY_LEN(params),
                req->arena, req->deadline_ms, &row, &e))
        answer(req, res, &caller, &idem, &row, body);
    else
        respond_failure(res, &e);
    buf_done(&selections);
    buf_done(&ballots);
    buf_done(&ballots_json);
}
