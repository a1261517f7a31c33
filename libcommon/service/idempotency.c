/*
 * idempotency.c - same key and same request, same answer
 *
 * The database keeps (hash of caller and key, fingerprint of the request, sealed reply). The reply
 * is sealed under a key derived from the client's own idempotency key, so the table alone shows
 * neither who asked nor what was answered. Source: DESIGN §4; V-E11, V-O12.
 */
#include "service/idempotency.h"
#include "base/clock.h"
#include "base/encode.h"
#include "service/state.h"

#define STORED_REPLY_MAX_BYTES 65536

void idempotency_hashes(const struct request *req, struct idempotency_hashes *ret)
{
    struct str secret = str_from(req->state->idempotency.key);
    const struct http_request *http = req->http;
    const struct str key[] = {STR("key"), req->org_id, identity_key(&req->identity),
                              req->idempotency_key};
    const struct str seal[] = {STR("seal"), identity_key(&req->identity), req->idempotency_key};
    const struct str print[] = {STR("fingerprint"),
                                req->idempotency_key,
                                identity_key(&req->identity),
                                str_from(http_method_name(http->method)),
                                http->path,
                                http->query,
                                http->body};

    hmac_sha256_fields(secret, key, ARRAY_LEN(key), ret->key);
    hmac_sha256_fields(secret, seal, ARRAY_LEN(seal), ret->seal_key);
    hmac_sha256_fields(secret, print, ARRAY_LEN(print), ret->fingerprint);
}

bool idempotency_replay(const struct request *req, struct response *res,
                        const struct idempotency_hashes *hashes, struct str box)
{
    struct str plain, status_text;
    int64_t status;

    if (!seal_open(req->arena, hashes->seal_key, box, &plain) ||
        !str_split(&plain, '\n', &status_text) || !str_parse_i64(status_text, 200, 499, &status))
        return false;
    respond_text(res, (int)status, "application/json; charset=utf-8", plain);
    respond_header(res, "Idempotent-Replayed", "true");
    return true;
}

/* A reply is stored as "<status>\n<body>". */
struct str idempotency_seal(const struct request *req, const struct idempotency_hashes *hashes,
                            int status, struct str body)
{
    return seal(req->arena, hashes->seal_key,
                arena_printf(req->arena, "%d\n%.*s", status, STR_ARG(body)));
}

void idempotency_refuse_mismatch(struct response *res)
{
    respond_error(res, ERR_UNPROCESSABLE, "This idempotency key was used for another request.");
}

static bool applies(const struct request *req)
{
    return req->route->idempotency == IDEMPOTENCY_STORED && !str_is_empty(req->idempotency_key);
}

static void refuse_running(struct response *res)
{
    respond_retry_after(res, 1);
    respond_error(res, ERR_CONFLICT, "The same request is still being worked on.");
}

enum idempotency_outcome idempotency_begin(const struct request *req, struct response *res)
{
    const struct pg_statement *statement = req->state->claim_statement;
    struct idempotency_hashes h;
    struct pg_result result = {0};
    struct error e = {0};
    char claim[UUID_TEXT_SIZE];

    if (!applies(req))
        return IDEMPOTENCY_GO;
    idempotency_hashes(req, &h);
    uuid_v4(claim);

    struct str lease_ms =
        arena_printf(req->arena, "%lld", (long long)clock_left_ms(req->deadline_ms) + 1000);
    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_BYTES(str_n(h.key, sizeof h.key)),
                                      PG_BYTES(str_n(h.fingerprint, sizeof h.fingerprint)),
                                      PG_TEXT(lease_ms), pg_param_text(claim)};

    if (!pg_call_again(req->state->pool, statement, params, ARRAY_LEN(params), req->arena,
                       req->deadline_ms, &result, &e)) {
        respond_failure(res, &e);
        return IDEMPOTENCY_ANSWERED;
    }

    struct str code = pg_get(&result, 0, 0);

    if (str_eq_text(code, "fresh"))
        return IDEMPOTENCY_GO;
    if (str_eq_text(code, "mismatch"))
        idempotency_refuse_mismatch(res);
    else if (str_eq_text(code, "running"))
        refuse_running(res);
    else if (!idempotency_replay(req, res, &h, pg_get_bytes(&result, 0, 1, req->arena)))
        respond_error(res, ERR_INTERNAL, "An unexpected error occurred.");
    return IDEMPOTENCY_ANSWERED;
}

/* What a client may rely on for ever: successes and refusals that will not change. The rest, and
 * whatever says when to try again, frees the key for another try. */
static bool is_final(const struct response *res)
{
    int status = res->http->status;

    return status < 500 && status != 401 && status != 429 &&
           str_is_empty(http_response_header_get(res->http, "Retry-After")) &&
           res->http->body.len <= STORED_REPLY_MAX_BYTES;
}

/* Both statements do no more the second time than the first, so one that failed is tried again,
 * however it failed: a reply that was sent but is not kept would be another one on replay. That is
 * more than pg_call_again(), whose callers can still say that they failed. */
static bool write_record(const struct request *req, const struct pg_statement *statement,
                         const struct pg_param *params, size_t count, struct error *e)
{
    /* The reply is decided; what is left of the budget may be nothing, so this has a second of its
     * own. */
    int64_t deadline_ms = clock_mono_ms() + 1000;
    bool written = false;

    for (int attempt = 0; attempt < 2 && !written; attempt++) {
        struct pg_result result = {0};

        written = pg_call(req->state->pool, statement, params, count, req->arena, deadline_ms,
                          &result, e);
    }
    return written;
}

void idempotency_end(const struct request *req, struct response *res)
{
    struct idempotency_hashes h;
    struct error e = {0};
    bool written;

    if (!applies(req))
        return;
    idempotency_hashes(req, &h);
    if (is_final(res)) {
        struct str box = idempotency_seal(req, &h, res->http->status, buf_str(&res->http->body));
        struct str ttl = arena_printf(req->arena, "%lld", (long long)req->state->idempotency.ttl_s);
        const struct pg_param params[] = {
            PG_TEXT(req->org_id), PG_BYTES(str_n(h.key, sizeof h.key)),
            PG_BYTES(str_n(h.fingerprint, sizeof h.fingerprint)), PG_BYTES(box), PG_TEXT(ttl)};

        written = write_record(req, req->state->store_statement, params, ARRAY_LEN(params), &e);
    } else {
        const struct pg_param params[] = {PG_TEXT(req->org_id),
                                          PG_BYTES(str_n(h.key, sizeof h.key))};

        written = write_record(req, req->state->release_statement, params, ARRAY_LEN(params), &e);
    }
    if (!written)
        log_warning("idempotency record not written",
                    LOG_TEXT("correlation_id", req->correlation_id),
                    LOG_TEXT("reason", str_from(e.detail)));
}
