/*
 * http_server.h - evhttp on one loop thread, handlers on worker threads
 *
 * The loop thread owns every libevent object. It checks heads strictly, answers what needs no work
 * (answer_inline), admits the rest into a bounded queue, and sends finished replies. A worker calls
 * handle() and may block within the request's budget.
 *
 * Promises: each admitted request is answered exactly once. Queue full, or a request older than
 * request_budget_ms before it starts: refused at once. A malformed head is answered 400/413/431 by
 * refuse() and the connection closed. A request not complete within read_timeout_ms of its first
 * byte: 408 and closed. At connections_max the connection idle longest is closed, when that is
 * 2 s or more; else the listener pauses. It never spins, also when descriptors run out (EMFILE).
 * Errors libevent answers by itself (HTML body) cannot happen on anything head_check refuses first.
 * A client that takes nothing of its reply for read_timeout_ms is dropped; one that has closed its
 * sending half still gets the reply. Every reply has Date and, but for 204 and 304, Content-Length;
 * replies with status 503 get Retry-After: 1 unless refuse() set another. Handlers set neither
 * Content-Length nor Connection nor Date. A reply body over HTTP_ANSWER_MAX_BYTES becomes a 500.
 * Source: DESIGN §2, libevent 2.1.12.
 *
 * Process-wide: SIGPIPE is ignored, libevent's log is silenced and its fatal errors end in must().
 */
#ifndef LIBCOMMON_NET_HTTP_SERVER_H
#define LIBCOMMON_NET_HTTP_SERVER_H

#include "base/error.h"
#include "net/http.h"

struct http_server_config {
    const char *listen_address; /* numeric IPv4 or IPv6: "0.0.0.0", "127.0.0.1" */
    uint16_t port;              /* 0: any free one, see http_server_port() */
    unsigned workers;           /* 1..64 threads */
    unsigned queue_max;         /* requests waiting for a worker */
    unsigned connections_max;
    size_t body_max_bytes;
    int64_t read_timeout_ms;   /* first byte to complete request */
    int64_t idle_timeout_ms;   /* keep-alive without a request */
    int64_t request_budget_ms; /* from complete head to reply; older before it starts: 503 */
    int64_t drain_ms;          /* http_server_run() gives running requests this long after stop */
};

enum http_refusal {
    HTTP_REFUSED_HEAD,       /* malformed, too large or too slow; req is NULL; connection closes */
    HTTP_REFUSED_QUEUE_FULL, /* 503 */
    HTTP_REFUSED_TOO_OLD,    /* 503 */
    HTTP_REFUSED_DRAINING,   /* 503, connection closes; req is NULL when only partly read */
};

struct http_handler {
    void *context;
    /* Loop thread; must not block. True when it has answered into res. Used for /health. May be
     * NULL. */
    bool (*answer_inline)(void *context, const struct http_request *req, struct http_response *res);
    /* Worker thread. Fills res. worker is 0..workers-1. */
    void (*handle)(void *context, const struct http_request *req, struct http_response *res,
                   unsigned worker);
    /*
     * Loop thread; must not block. Fills res with the service's error shape. req may be NULL
     * (see above), res->arena never is; `code` says which error, reason is a static text for the
     * log. Called for every refusal, so it is also where they are logged and counted.
     */
    void (*refuse)(void *context, enum http_refusal why, enum error_code code, const char *reason,
                   const struct http_request *req, struct http_response *res);
};

struct http_server;

/* Copies config and handler. Listens at once (so a taken port fails here) but accepts nothing
 * before run. ERR_UNAVAILABLE with the reason. */
struct http_server *http_server_new(const struct http_server_config *config,
                                    const struct http_handler *handler, struct error *e);
uint16_t http_server_port(const struct http_server *s);

/* Runs the loop on the calling thread until http_server_stop(); then drains: the port is closed,
 * what is queued or running is answered, idle connections are closed, requests that arrive
 * meanwhile get a 503 and HTTP_REFUSED_DRAINING. True when every running request was answered
 * within drain_ms. Once only. */
bool http_server_run(struct http_server *s);

/* From any thread and from signal handlers (it writes one byte to a pipe). */
void http_server_stop(struct http_server *s);

/* Calls fn(arg) on the loop thread every interval_ms, while running. At most 8. fn must not block.
 * Before run only. */
void http_server_every(struct http_server *s, int64_t interval_ms, void (*fn)(void *arg),
                       void *arg);

/* Waits for handlers that still run; what they answer is lost. NULL is fine. Not while run() runs.
 */
void http_server_free(struct http_server *s);

/* Read at any time, any thread. */
struct http_server_stats {
    unsigned connections; /* open now */
    uint64_t connections_total;
    unsigned queue_depth;     /* waiting for a worker now */
    unsigned queue_depth_max; /* highest seen */
    unsigned workers_busy;
    uint64_t refused_heads, refused_queue_full, refused_too_old;
    uint64_t accept_pauses; /* times the listener paused for lack of connections or descriptors */
};
void http_server_get_stats(const struct http_server *s, struct http_server_stats *ret);

#endif
