#include "net/http_client.h"

#include "base/clock.h"
#include "base/trace.h"
#include "net/backoff.h"
#include "net/breaker.h"
#include "net/http_attempt.h"

#include <errno.h>

#define PARALLEL_MAX      64
#define BACKOFF_BASE_MS   50
#define BACKOFF_CAP_MS    1000
#define RETRY_AFTER_MAX_S 86400
#define EXTRA_HEADERS_MAX 8
#define TRANSFER_MAX_MS   600000

struct http_client {
    struct http_client *self; /* reaches the lock from const views */
    struct http_client_config config;
    struct breaker breaker;
    pthread_mutex_t lock;
    pthread_cond_t handle_free;
    void *free_handles[PARALLEL_MAX]; /* a stack: the warm connections on top */
    unsigned free_count;
    unsigned in_use;
    struct http_client_stats stats;
};

static void lock(struct http_client *c)
{
    must(pthread_mutex_lock(&c->lock) == 0);
}

static void unlock(struct http_client *c)
{
    must(pthread_mutex_unlock(&c->lock) == 0);
}

/* ---- Life ---- */

struct http_client *http_client_new(const struct http_client_config *config)
{
    must(config->parallel_max >= 1 && config->parallel_max <= PARALLEL_MAX);
    must(config->connect_timeout_ms > 0);
    struct http_client *c = calloc(1, sizeof(*c));
    must(c != NULL);
    c->self = c;
    c->config = *config;
    breaker_init(&c->breaker, config->breaker_failures, config->breaker_open_ms);
    must(pthread_mutex_init(&c->lock, NULL) == 0);
    clock_cond_init(&c->handle_free);
    return c;
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    lock(c);
    must(c->in_use == 0);
    unlock(c);
    for (unsigned i = 0; i < c->free_count; i++)
        http_attempt_handle_free(c->free_handles[i]);
    must(pthread_cond_destroy(&c->handle_free) == 0);
    must(pthread_mutex_destroy(&c->lock) == 0);
    breaker_done(&c->breaker);
    free(c);
}

/* ---- Handles ---- */

/* NULL when none became free by the deadline. */
static void *take_handle(struct http_client *c, int64_t deadline_ms)
{
    void *handle = NULL;
    lock(c);
    while (c->in_use == c->config.parallel_max &&
           clock_cond_wait_until(&c->handle_free, &c->lock, deadline_ms))
        continue;
    bool mine = c->in_use < c->config.parallel_max;
    if (mine) {
        c->in_use++;
        if (c->free_count > 0)
            handle = c->free_handles[--c->free_count];
    }
    unlock(c);
    return mine && handle == NULL ? http_attempt_handle_new() : handle;
}

static void give_handle(struct http_client *c, void *handle)
{
    lock(c);
    c->in_use--;
    c->free_handles[c->free_count++] = handle;
    must(pthread_cond_signal(&c->handle_free) == 0);
    unlock(c);
}

/* ---- One attempt ---- */

static struct http_verdict not_begun(enum error_code code, const char *what)
{
    return (struct http_verdict){.code = code, .what = what};
}

/* A handle and the breaker's leave; NULL with the reason in *ret_why. */
static void *begin_attempt(struct http_client *c, const struct http_call *call,
                           struct http_verdict *ret_why)
{
    bool refused = breaker_state_now(&c->breaker, clock_mono_ms()) == BREAKER_OPEN;
    void *handle = NULL;
    if (!refused) {
        handle = take_handle(c, call->deadline_ms);
        if (handle != NULL && clock_left_ms(call->deadline_ms) <= 0) {
            give_handle(c, handle);
            handle = NULL;
        }
        if (handle == NULL) {
            *ret_why = not_begun(ERR_GATEWAY_TIMEOUT, "deadline passed before the call began");
            return NULL;
        }
        refused = !breaker_allow(&c->breaker, clock_mono_ms());
    }
    if (!refused)
        return handle;
    if (handle != NULL)
        give_handle(c, handle);
    lock(c);
    c->stats.refused_by_breaker++;
    unlock(c);
    *ret_why = not_begun(ERR_UNAVAILABLE, "circuit breaker is open");
    return NULL;
}

static int64_t attempt_timeout_ms(const struct http_call *call)
{
    int64_t timeout_ms = clock_left_ms(call->deadline_ms);
    if (call->attempt_timeout_ms > 0 && call->attempt_timeout_ms < timeout_ms)
        timeout_ms = call->attempt_timeout_ms;
    if (timeout_ms > TRANSFER_MAX_MS)
        timeout_ms = TRANSFER_MAX_MS;
    return timeout_ms < 1 ? 1 : timeout_ms; /* libcurl takes 0 for "no limit" */
}

static struct http_verdict attempt(struct http_client *c, void *handle,
                                   const struct http_call *call, struct arena *a, bool is_retry,
                                   struct http_reply *reply)
{
    struct http_header extra[EXTRA_HEADERS_MAX];
    size_t extra_count = 0;
    if (call->before_attempt != NULL)
        call->before_attempt(call->before_attempt_context, extra, &extra_count, a);
    must(extra_count <= EXTRA_HEADERS_MAX);

    struct http_verdict v = http_attempt_run(handle, &c->config, call, extra, extra_count,
                                             attempt_timeout_ms(call), a, reply);
    breaker_report(&c->breaker, !v.upstream_failed, clock_mono_ms());
    lock(c);
    c->stats.attempts++;
    c->stats.retries += is_retry ? 1 : 0;
    c->stats.failures += v.upstream_failed ? 1 : 0;
    unlock(c);
    give_handle(c, handle);
    return v;
}

/* ---- Trying again ---- */

/* RFC 9110 §10.2.3: seconds or a date. 0 when absent or unreadable. */
static int64_t retry_after_ms(const struct http_reply *reply)
{
    struct str rest = buf_str(&reply->head);
    struct http_header h;
    while (http_reply_next_header(&rest, &h)) {
        int64_t seconds = 0;
        if (!str_eq_ci(h.name, STR("Retry-After")))
            continue;
        if (str_is_digits(h.value))
            return str_parse_i64(h.value, 0, RETRY_AFTER_MAX_S, &seconds)
                       ? seconds * 1000
                       : (int64_t)RETRY_AFTER_MAX_S * 1000;
        if (clock_parse_http_date(h.value, &seconds))
            return seconds * 1000 - clock_unix_ms();
    }
    return 0;
}

static bool may_repeat(const struct http_call *call, const struct http_verdict *v,
                       unsigned attempts, const struct http_reply *reply, int64_t *ret_wait_ms)
{
    if (!call->repeatable || !v->worth_repeating || attempts >= call->attempts_max)
        return false;
    int64_t wait_ms = backoff_full_jitter_ms(attempts - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    int64_t asked_ms = v->code == ERR_NONE ? retry_after_ms(reply) : 0;
    *ret_wait_ms = asked_ms > wait_ms ? asked_ms : wait_ms;
    return *ret_wait_ms < clock_left_ms(call->deadline_ms);
}

static void sleep_ms(int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static struct http_verdict attempt_until_done(struct http_client *c, const struct http_call *call,
                                              struct arena *a, struct http_reply *reply,
                                              unsigned *ret_attempts, bool *ret_sent)
{
    struct http_verdict last = not_begun(ERR_INTERNAL, "");
    for (unsigned attempts = 0;;) {
        struct http_verdict why;
        void *handle = begin_attempt(c, call, &why);
        if (handle == NULL)
            return attempts == 0 ? why : last;

        last = attempt(c, handle, call, a, attempts > 0, reply);
        *ret_attempts = ++attempts;
        *ret_sent = *ret_sent || last.sent;
        /* The handle is free while we sleep: one upstream that is slow to recover does not keep
         * the others from trying. */
        int64_t wait_ms = 0;
        if (!may_repeat(call, &last, attempts, reply, &wait_ms))
            return last;
        sleep_ms(wait_ms);
    }
}

/* ---- Calls ---- */

static void answer_fill(struct http_answer *answer, const struct http_reply *reply, struct arena *a)
{
    answer->status = reply->status;
    answer->body = arena_dup(a, buf_str(&reply->body));
    struct str rest = arena_dup(a, buf_str(&reply->head));
    struct http_header h;
    while (answer->header_count < HTTP_HEADERS_MAX && http_reply_next_header(&rest, &h))
        answer->headers[answer->header_count++] = h;
}

/* The call with the headers of the trace this thread works for; a span only when it is sampled. */
static struct http_call call_in_trace(const struct http_call *call, const struct trace *trace,
                                      unsigned char span_id[SPAN_ID_BYTES], struct arena *a)
{
    struct http_call traced = *call;
    size_t count = call->header_count;
    struct http_header *headers = arena_alloc_array(a, count + 2, sizeof(*headers));
    char *traceparent = arena_alloc(a, TRACEPARENT_SIZE);
    char *cloud = arena_alloc(a, CLOUD_TRACE_SIZE);

    if (trace->ring != NULL)
        span_new_id(span_id);
    else
        memcpy(span_id, trace->span_id, SPAN_ID_BYTES);
    trace_headers(trace, span_id, traceparent, cloud);
    for (size_t i = 0; i < count; i++)
        headers[i] = call->headers[i];
    headers[count] = (struct http_header){STR("traceparent"), str_from(traceparent)};
    headers[count + 1] = (struct http_header){STR("X-Cloud-Trace-Context"), str_from(cloud)};
    traced.headers = headers;
    traced.header_count = count + 2;
    return traced;
}

static void record_span(const struct trace *trace, const struct http_client *c,
                        const struct http_call *call, const struct http_answer *answer,
                        enum error_code code, int64_t began_us,
                        const unsigned char span_id[SPAN_ID_BYTES])
{
    struct span span = {.kind = SPAN_UPSTREAM,
                        .name = c->config.name,
                        .method = http_method_name(call->method),
                        .status = answer->status,
                        .attempts = answer->attempts,
                        .error = code,
                        .began_us = began_us,
                        .ended_us = clock_mono_us()};
    memcpy(span.span_id, span_id, SPAN_ID_BYTES);
    memcpy(span.parent_id, trace->span_id, SPAN_ID_BYTES);
    span_record(trace, &span);
}

bool http_client_call(struct http_client *c, const struct http_call *call, struct arena *a,
                      struct http_answer *ret, bool *sent, struct error *e)
{
    const struct trace *trace = trace_current();
    unsigned char span_id[SPAN_ID_BYTES] = {0};
    struct http_call traced;
    int64_t span_us = span_begin();
    if (trace != NULL) {
        traced = call_in_trace(call, trace, span_id, a);
        call = &traced;
    }
    lock(c);
    c->stats.calls++;
    unlock(c);

    struct http_reply reply;
    http_reply_init(&reply);
    ret->status = 0;
    ret->header_count = 0;
    ret->body = (struct str){NULL, 0};
    ret->attempts = 0;
    bool any_sent = false;
    struct http_verdict v = attempt_until_done(c, call, a, &reply, &ret->attempts, &any_sent);
    if (v.code == ERR_NONE)
        answer_fill(ret, &reply, a);
    http_reply_done(&reply);
    if (trace != NULL && span_us != 0)
        record_span(trace, c, call, ret, v.code, span_us, span_id);
    if (sent != NULL)
        *sent = any_sent;
    if (v.code == ERR_NONE)
        return true;
    return error_set(e, v.code, "%s: %s", c->config.name, v.what);
}

struct str http_answer_header(const struct http_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        if (str_eq_ci(answer->headers[i].name, str_from(name)))
            return answer->headers[i].value;
    }
    return (struct str){NULL, 0};
}

const char *http_client_name(const struct http_client *c)
{
    return c->config.name;
}

void http_client_get_stats(const struct http_client *client, struct http_client_stats *ret)
{
    struct http_client *c = client->self;
    lock(c);
    *ret = c->stats;
    ret->in_flight = c->in_use;
    unlock(c);
    ret->breaker = breaker_state_now(&c->breaker, clock_mono_ms());
}
