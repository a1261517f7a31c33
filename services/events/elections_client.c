/* elections_client.c - see elections_client.h */
#include "elections_client.h"

#include "auth/s2s.h"
#include "base/clock.h"

#define ATTEMPTS_MAX 3

struct http_client *elections_client_new(bool allow_http)
{
    const struct http_client_config config = {
        .name = "elections",
        .allow_http = allow_http,
        .parallel_max = 16,
        .connect_timeout_ms = 1000,
        .breaker_failures = 10,
        .breaker_open_ms = 1000,
    };

    return http_client_new(&config);
}

struct signing {
    const struct request *req;
    struct str method, path, body;
};

/* Timestamp and nonce must be new for each attempt: the first may have been seen. */
static void sign_attempt(void *context, struct http_header *extra, size_t *count, struct arena *a)
{
    const struct signing *s = context;
    const struct events *events = s->req->own;
    const struct s2s_key key = {
        .id = str_from(events->settings->s2s_key_id),
        .secret = str_from(events->settings->s2s_key),
    };

    s2s_sign(&key, s->method, s->path, s->body, clock_unix_ms() / 1000, a, extra);
    *count = 4;
}

/* Reads the answer's body as an object; elections never answers anything else. */
static bool read_answer(const struct request *req, const struct http_answer *answer,
                        struct elections_answer *ret, struct error *e)
{
    ret->status = answer->status;
    ret->body = json_parse(req->arena, answer->body, e);
    if (!cJSON_IsObject(ret->body))
        return error_set(e, ERR_BAD_GATEWAY, "elections answered %d without a JSON object",
                         answer->status);
    (void)json_str(ret->body, "code", &ret->wire_code);
    if (answer->status >= 500 || answer->status == 429 || answer->status == 401)
        return error_set(e, ERR_UNAVAILABLE, "elections answered %d", answer->status);
    return true;
}

static bool ask(const struct request *req, enum http_method method, struct str path,
                struct str body, struct str idempotency_key, struct elections_answer *ret,
                struct error *e)
{
    const struct events *events = req->own;
    struct signing signing = {req, str_from(http_method_name(method)), path, body};
    struct http_header headers[3] = {{STR("X-Correlation-ID"), req->correlation_id}};
    size_t count = 1;
    struct http_answer answer = {0};

    if (body.len > 0)
        headers[count++] = (struct http_header){STR("Content-Type"), STR("application/json")};
    if (idempotency_key.len > 0)
        headers[count++] = (struct http_header){STR("X-Idempotency-Key"), idempotency_key};

    const struct http_call call = {
        .method = method,
        .url = arena_printf(req->arena, "%s%.*s", events->settings->elections_url, STR_ARG(path)),
        .headers = headers,
        .header_count = count,
        .body = body,
        .deadline_ms = req->deadline_ms - 250, /* time to answer the member ourselves */
        .attempt_timeout_ms = events->settings->elections_timeout_ms,
        .answer_max_bytes = 65536,
        .attempts_max = ATTEMPTS_MAX,
        .repeatable = true,
        .before_attempt = sign_attempt,
        .before_attempt_context = &signing,
    };

    *ret = (struct elections_answer){0};
    return http_client_call(events->elections, &call, req->arena, &answer, NULL, e) &&
           read_answer(req, &answer, ret, e);
}

static struct str slot_text(const struct request *req, const unsigned char slot[SHA256_BYTES])
{
    char *hex = arena_alloc(req->arena, SHA256_HEX_SIZE);

    hex_encode(slot, SHA256_BYTES, hex);
    return str_from(hex);
}

bool elections_register_token(const struct request *req, struct str election_id,
                              const unsigned char slot[SHA256_BYTES], struct str issue_no,
                              const char *token_hash, struct elections_answer *ret, struct error *e)
{
    struct str body = arena_printf(
        req->arena,
        "{\"token_hash\":\"%s\",\"election_id\":\"%.*s\",\"slot\":\"%.*s\",\"issue_no\":%.*s}",
        token_hash, STR_ARG(election_id), STR_ARG(slot_text(req, slot)), STR_ARG(issue_no));

    /* The hash is new for each issue, so it names this registration and no other. */
    return ask(req, HTTP_POST, STR("/api/s2s/register-token"), body, str_from(token_hash), ret, e);
}

bool elections_slot_status(const struct request *req, struct str election_id,
                           const unsigned char slot[SHA256_BYTES], struct elections_answer *ret,
                           struct error *e)
{
    struct str path = arena_printf(req->arena, "/api/s2s/slot-status?election_id=%.*s&slot=%.*s",
                                   STR_ARG(election_id), STR_ARG(slot_text(req, slot)));

    return ask(req, HTTP_GET, path, STR(""), STR(""), ret, e);
}

bool elections_results(const struct request *req, struct str election_id,
                       struct elections_answer *ret, struct error *e)
{
    struct str path =
        arena_printf(req->arena, "/api/s2s/results?election_id=%.*s", STR_ARG(election_id));

    return ask(req, HTTP_GET, path, STR(""), STR(""), ret, e);
}
