/*
 * http_client.h - calls to other services: bounded, kept alive, retried only when that is safe
 *
 * Blocking, for worker threads; libcurl underneath. Every call has a deadline that covers
 * connecting, all attempts and reading; the answer has a byte cap. Redirects are not followed,
 * proxies from the environment are ignored, TLS peer and host are verified, plain http is allowed
 * only where config.allow_http says so (loopback, the metadata server, local peers). Up to
 * `parallel_max` calls run at once; one more waits within its deadline.
 *
 * Retries: only when call.repeatable (the receiver applies it once however often it arrives: GET,
 * an idempotency key, a precondition). Then on connection errors, time-outs of an attempt, 429,
 * 502, 503, 504: exponential back-off with full jitter (base 50 ms, cap 1 s), at least Retry-After,
 * always inside the deadline; a wait that does not fit ends the call with what came last. libcurl
 * re-sends a POST by itself when a kept-alive connection dies; calls that are not repeatable use a
 * fresh connection.
 *
 * Breaker: one per client. After `breaker_failures` failures in a row it opens for breaker_open_ms:
 * calls fail at once with ERR_UNAVAILABLE; then one probe decides. 5xx and transport errors are
 * failures; any other status is success.
 */
#ifndef LIBCOMMON_NET_HTTP_CLIENT_H
#define LIBCOMMON_NET_HTTP_CLIENT_H

#include "base/error.h"
#include "net/http.h"

struct http_client_config {
    const char *name; /* of the upstream, for metrics: "elections", "django"; static */
    bool allow_http;
    unsigned parallel_max;      /* 1..64 */
    int64_t connect_timeout_ms; /* 2000 is usual */
    unsigned breaker_failures;  /* 0: no breaker */
    int64_t breaker_open_ms;
};

struct http_client;

struct http_client *http_client_new(const struct http_client_config *config);
void http_client_free(struct http_client *c);

struct http_call {
    enum http_method method;
    struct str url;
    const struct http_header *headers; /* borrowed; no Content-Length, no Host */
    size_t header_count;
    struct str body;            /* sent with POST, PUT, PATCH */
    int64_t deadline_ms;        /* clock_mono_ms() */
    int64_t attempt_timeout_ms; /* 0: whatever is left of the deadline */
    size_t answer_max_bytes;    /* 0: HTTP_ANSWER_MAX_BYTES */
    unsigned attempts_max;      /* 0 or 1: one attempt */
    bool repeatable;
    /* Called before each attempt, for headers that must be new each time (nonce, timestamp). May be
     * NULL. Adds to extra (room for 8), sets *count. */
    void (*before_attempt)(void *context, struct http_header *extra, size_t *count,
                           struct arena *a);
    void *before_attempt_context;
};

struct http_answer {
    int status;
    struct http_header
        headers[HTTP_HEADERS_MAX]; /* of the final answer; surplus ones are dropped */
    size_t header_count;
    struct str body;
    unsigned attempts;
};

/*
 * True when an answer of any status arrived; its parts live in the arena. False: ERR_UNAVAILABLE
 * (refused, breaker open, cut short), ERR_GATEWAY_TIMEOUT (deadline), ERR_BAD_GATEWAY (over the
 * cap, not HTTP, TLS failure). Details never hold text of the upstream. `sent` (may be NULL) is set
 * to false only when it is certain that no byte of the request left.
 */
bool http_client_call(struct http_client *c, const struct http_call *call, struct arena *a,
                      struct http_answer *ret, bool *sent, struct error *e) MUST_CHECK;

struct str http_answer_header(const struct http_answer *answer, const char *name);

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct http_client_stats {
    uint64_t calls, attempts, failures, retries, refused_by_breaker;
    unsigned in_flight;
    enum breaker_state breaker;
};
const char *http_client_name(const struct http_client *c);
void http_client_get_stats(const struct http_client *c, struct http_client_stats *ret);

#endif
