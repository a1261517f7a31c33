#include "cloud/google_api.h"

#include "base/clock.h"
#include "net/backoff.h"

#include <errno.h>

#define BACKOFF_BASE_MS       50
#define BACKOFF_CAP_MS        1000
#define REPEATABLE_ATTEMPT_MS 10000 /* a hanging attempt must leave room for another */
#define RETRY_AFTER_MAX_S     3600
/* The answer and small things: URL, token, header lines. */
#define SCRATCH_MAX_BYTES ((size_t)GOOGLE_ANSWER_MAX_BYTES * 2 + (1U << 20))

/* ---- google.rpc.Code ---- */

static const struct {
    const char *name;
    enum error_code error;
    enum rpc_fate fate;
} rpc_rows[RPC_COUNT] = {
#define X(name, number, code, fate) [number] = {#name, code, fate},
    RPC_TABLE(X)
#undef X
};

enum rpc_fate rpc_fate(enum rpc_code code)
{
    return rpc_rows[code].fate;
}

enum error_code rpc_error(enum rpc_code code)
{
    return rpc_rows[code].error;
}

const char *rpc_name(enum rpc_code code)
{
    return rpc_rows[code].name;
}

enum rpc_code rpc_code_of_name(struct str name)
{
    for (unsigned i = 0; i < RPC_COUNT; i++) {
        if (str_eq_text(name, rpc_rows[i].name))
            return (enum rpc_code)i;
    }
    return RPC_UNKNOWN;
}

enum rpc_code rpc_code_of_number(int64_t number)
{
    return number >= 0 && number < RPC_COUNT ? (enum rpc_code)number : RPC_UNKNOWN;
}

enum rpc_code rpc_code_of_http_status(int status)
{
    switch (status) {
    case 401:
        return RPC_UNAUTHENTICATED;
    case 403:
        return RPC_PERMISSION_DENIED;
    case 429:
        return RPC_RESOURCE_EXHAUSTED;
    case 500:
        return RPC_INTERNAL;
    case 502:
    case 503:
        return RPC_UNAVAILABLE;
    case 504:
        return RPC_DEADLINE_EXCEEDED;
    default:
        /* A 404 or 409 that is not Google's own says nothing about a document. */
        return RPC_UNKNOWN;
    }
}

enum rpc_code rpc_code_of_error(enum error_code code)
{
    if (code == ERR_UNAVAILABLE)
        return RPC_UNAVAILABLE;
    return code == ERR_GATEWAY_TIMEOUT ? RPC_DEADLINE_EXCEEDED : RPC_UNKNOWN;
}

bool google_may_repeat(enum rpc_code code, bool sent, bool repeatable, bool in_transaction)
{
    switch (rpc_fate(code)) {
    case RPC_NOT_CARRIED_OUT:
        return !(in_transaction && code == RPC_ABORTED);
    case RPC_NOBODY_KNOWS:
        return code != RPC_UNKNOWN && code != RPC_CANCELLED && (repeatable || !sent);
    case RPC_CARRIED_OUT:
    case RPC_REFUSED:
    default:
        return false;
    }
}

/* ---- Reading an answer ---- */

const cJSON *google_error_in(const cJSON *answer)
{
    const cJSON *element = NULL;
    if (!cJSON_IsArray(answer))
        return json_get(answer, "error");
    cJSON_ArrayForEach(element, answer)
    {
        const cJSON *error = json_get(element, "error");
        if (error)
            return error;
    }
    return NULL;
}

/* "USER_NOT_FOUND : There is …" names the error; free text is never taken over. */
static void read_reason(const cJSON *error, char out[GOOGLE_REASON_SIZE])
{
    struct str message = STR("");
    struct str word;
    out[0] = '\0';
    (void)json_str(error, "message", &message);
    if (str_split(&message, ' ', &word) && word.len < GOOGLE_REASON_SIZE &&
        str_only(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"))
        (void)str_copy(word, out, GOOGLE_REASON_SIZE);
}

static enum rpc_code code_of_google_error(const cJSON *error, int http_status)
{
    struct str name;
    int64_t number = 0;
    if (json_str(error, "status", &name) && rpc_code_of_name(name) != RPC_OK)
        return rpc_code_of_name(name);
    /* Identity Toolkit leaves `status` out at times; `code` is an HTTP status. */
    if (!json_i64(error, "code", &number) || number < 400 || number > 599)
        number = http_status;
    if (number == 400)
        return RPC_INVALID_ARGUMENT;
    return number == 404 ? RPC_NOT_FOUND : rpc_code_of_http_status((int)number);
}

/* Same length, so that it can be done in place. */
static struct str without_nul(struct arena *scratch, struct str body)
{
    static const char nul[] = "\\u0000";
    if (!str_contains(body, str_from(nul)))
        return body;
    char *copy = arena_alloc(scratch, body.len + 1);
    memcpy(copy, body.ptr, body.len);
    for (size_t i = 0; i + 6 <= body.len; i++) {
        if (copy[i] != '\\')
            continue;
        if (memcmp(copy + i, nul, 6) == 0)
            memcpy(copy + i + 2, "fffd", 4);
        i++; /* what is escaped starts no escape */
    }
    return str_n(copy, body.len);
}

/* ---- One attempt ---- */

struct attempt {
    bool ok;
    bool final; /* not to be repeated whatever the code says */
    bool sent;
    int64_t wait_ms; /* what the answer asks for */
    struct error error;
};

static int64_t retry_after_ms(const struct http_answer *answer)
{
    int64_t seconds = 0;
    struct str value = http_answer_header(answer, "Retry-After");
    return str_parse_i64(value, 0, RETRY_AFTER_MAX_S, &seconds) ? seconds * 1000 : 0;
}

static void judge(const struct google_call *call, const struct http_answer *answer,
                  struct arena *scratch, struct arena *a, struct google_answer *ret,
                  struct attempt *t)
{
    bool good_status = answer->status >= 200 && answer->status <= 299;
    struct str body = without_nul(scratch, answer->body);
    const cJSON *json = json_parse(good_status ? a : scratch, body, NULL);
    const cJSON *error = google_error_in(json);
    t->wait_ms = retry_after_ms(answer);
    t->ok = good_status && json && !error;
    if (t->ok) {
        ret->json = json;
        ret->code = RPC_OK;
        return;
    }
    if (error) {
        ret->code = code_of_google_error(error, answer->status);
        read_reason(error, ret->reason);
    } else {
        /* A good status over what is no JSON: cut or garbled on the way. */
        ret->code = good_status ? RPC_INTERNAL : rpc_code_of_http_status(answer->status);
    }
    enum error_code code = good_status && !error ? ERR_BAD_GATEWAY : rpc_error(ret->code);
    error_set(&t->error, code, "%s: status %d, %s", call->what, answer->status,
              error ? rpc_name(ret->code) : "no JSON of Google's");
}

static struct attempt try_once(const struct google_api *api, const struct google_call *call,
                               struct arena *scratch, struct arena *a, struct google_answer *ret)
{
    struct attempt t = {.error = {.code = ERR_NONE}};
    struct str token;
    ret->reason[0] = '\0';
    if (!access_token_get(api->tokens, scratch, call->deadline_ms, &token, &t.error)) {
        ret->code = rpc_code_of_error(t.error.code);
        t.final = true; /* the token's source has its own ways of trying again */
        return t;
    }
    const struct http_header headers[] = {
        {STR("Authorization"), arena_printf(scratch, "Bearer %.*s", STR_ARG(token))},
        {STR("Content-Type"), STR("application/json")},
    };
    const struct http_call http = {
        .method = HTTP_POST,
        .url = call->url,
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .body = call->body,
        .deadline_ms = call->deadline_ms,
        .attempt_timeout_ms = call->repeatable ? REPEATABLE_ATTEMPT_MS : 0,
        .answer_max_bytes = GOOGLE_ANSWER_MAX_BYTES,
        .repeatable = call->repeatable, /* the connection may be an old one */
    };
    struct http_answer *answer = ARENA_NEW(scratch, struct http_answer);
    if (http_client_call(api->client, &http, scratch, answer, &t.sent, &t.error)) {
        judge(call, answer, scratch, a, ret, &t);
        return t;
    }
    ret->code = rpc_code_of_error(t.error.code);
    return t;
}

/* ---- Until it is done ---- */

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        continue;
}

static bool breaker_is_open(const struct google_api *api)
{
    struct http_client_stats stats;
    http_client_get_stats(api->client, &stats);
    return stats.breaker == BREAKER_OPEN;
}

static bool wait_for_next(const struct google_api *api, const struct google_call *call,
                          const struct google_answer *ret, const struct attempt *t)
{
    if (t->final || ret->attempts >= GOOGLE_ATTEMPTS_MAX || breaker_is_open(api) ||
        !google_may_repeat(ret->code, t->sent, call->repeatable, call->in_transaction))
        return false;
    int64_t wait_ms = backoff_full_jitter_ms(ret->attempts - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    if (t->wait_ms > wait_ms)
        wait_ms = t->wait_ms;
    if (wait_ms >= clock_left_ms(call->deadline_ms))
        return false;
    sleep_ms(wait_ms);
    return true;
}

bool google_call(const struct google_api *api, const struct google_call *call, struct arena *a,
                 struct google_answer *ret, struct error *e)
{
    struct arena *scratch = arena_new(SCRATCH_MAX_BYTES);
    struct attempt t;
    *ret = (struct google_answer){.json = NULL};
    do {
        arena_reset(scratch);
        t = try_once(api, call, scratch, a, ret);
        ret->attempts++;
        if (!t.ok && t.sent && rpc_fate(ret->code) == RPC_NOBODY_KNOWS)
            ret->unsure = true;
    } while (!t.ok && wait_for_next(api, call, ret, &t));
    arena_free(scratch);
    return t.ok || error_set(e, t.error.code, "%s", t.error.detail);
}

char *google_base_url(const char *service, const char *emulator_host, bool in_path)
{
    struct buf b;
    bool emulator = emulator_host && emulator_host[0] != '\0';
    buf_init(&b, 1024);
    buf_add_text(&b, emulator ? "http://" : "https://");
    buf_add_text(&b, emulator ? emulator_host : service);
    buf_add_char(&b, '/');
    if (emulator && in_path)
        buf_printf(&b, "%s/", service);
    must(!b.overflow);
    return buf_take(&b, NULL);
}
