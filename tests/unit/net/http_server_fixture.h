/*
 * http_server_fixture.h - a server on a thread, and a client that speaks raw bytes
 *
 * The handler answers /echo, waits in /gate until the test opens it, and makes odd replies
 * elsewhere. Sockets give up after 20 s, so that a broken server fails a test instead of hanging
 * it.
 */
#ifndef TESTS_UNIT_NET_HTTP_SERVER_FIXTURE_H
#define TESTS_UNIT_NET_HTTP_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http_server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define BODY_MAX  20000
#define BIG_BYTES 300000
#define HOST      "Host: a\r\n"
#define GET_ECHO  "GET /echo HTTP/1.1\r\n" HOST "\r\n"

struct fixture {
    struct http_server *server;
    pthread_t thread;
    bool drained;
    atomic_int entered; /* handlers that reached the gate */
    atomic_int handled, ticks, refused_head, refused_draining;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

static inline struct http_server_config fixture_config(void)
{
    return (struct http_server_config){
        .listen_address = "127.0.0.1",
        .workers = 2,
        .queue_max = 16,
        .connections_max = 64,
        .body_max_bytes = BODY_MAX,
        .read_timeout_ms = 20000,
        .idle_timeout_ms = 20000,
        .request_budget_ms = 20000,
        .drain_ms = 20000,
    };
}

static inline void gate_wait(struct fixture *f)
{
    atomic_fetch_add(&f->entered, 1);
    pthread_mutex_lock(&f->lock);
    while (!f->open)
        pthread_cond_wait(&f->opened, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static inline void gate_set(struct fixture *f, bool open)
{
    pthread_mutex_lock(&f->lock);
    f->open = open;
    pthread_cond_broadcast(&f->opened);
    pthread_mutex_unlock(&f->lock);
}

static inline void reply_json(struct http_response *res, int status)
{
    res->status = status;
    http_response_header(res, "Content-Type", STR("application/json"));
}

static inline void fill(struct buf *b, size_t count)
{
    while (count-- > 0)
        buf_add_char(b, 'x');
}

static inline void echo(const struct http_request *req, struct http_response *res)
{
    reply_json(res, 200);
    buf_printf(
        &res->body, "{\"method\":\"%s\",\"path\":\"%.*s\",\"query\":\"%.*s\",\"headers\":%zu",
        http_method_name(req->method), STR_ARG(req->path), STR_ARG(req->query), req->header_count);
    buf_printf(&res->body, ",\"length\":%zu,\"x\":\"%.*s\",\"peer\":\"%s\",\"body\":\"%.*s\"}",
               req->body.len, STR_ARG(http_header_get(req, "x")), req->peer,
               req->body.len < 100 ? (int)req->body.len : 0, req->body.len ? req->body.ptr : "");
}

static inline void fixture_handle(void *context, const struct http_request *req,
                                  struct http_response *res, unsigned worker)
{
    struct fixture *f = context;
    must(worker < 64);
    atomic_fetch_add(&f->handled, 1);
    if (str_eq_text(req->path, "/gate")) {
        gate_wait(f);
        echo(req, res);
    } else if (str_eq_text(req->path, "/big")) {
        reply_json(res, 200);
        fill(&res->body, BIG_BYTES);
    } else if (str_eq_text(req->path, "/overflow")) {
        reply_json(res, 200);
        fill(&res->body, HTTP_ANSWER_MAX_BYTES + 1);
    } else if (str_eq_text(req->path, "/empty")) {
        res->status = 204;
    } else if (str_eq_text(req->path, "/close")) {
        reply_json(res, 200);
        res->close = true;
    } else if (str_eq_text(req->path, "/stop")) {
        http_server_stop(f->server);
        reply_json(res, 200);
    } else {
        echo(req, res);
    }
}

static inline bool fixture_inline(void *context, const struct http_request *req,
                                  struct http_response *res)
{
    (void)context;
    if (!str_eq_text(req->path, "/health"))
        return false;
    reply_json(res, 200);
    buf_add_text(&res->body, "{\"ok\":true}");
    return true;
}

static inline void fixture_refuse(void *context, enum http_refusal why, enum error_code code,
                                  const char *reason, const struct http_request *req,
                                  struct http_response *res)
{
    struct fixture *f = context;
    if (why == HTTP_REFUSED_HEAD)
        atomic_fetch_add(&f->refused_head, 1);
    if (why == HTTP_REFUSED_DRAINING)
        atomic_fetch_add(&f->refused_draining, 1);
    reply_json(res, error_http_status(code));
    buf_printf(&res->body, "{\"error\":\"%s\",\"reason\":\"%s\",\"has_request\":%d}",
               error_text(code), reason, req != NULL);
}

static inline void fixture_tick(void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->ticks, 1);
}

static inline void *fixture_main(void *arg)
{
    struct fixture *f = arg;
    f->drained = http_server_run(f->server);
    return NULL;
}

static inline struct fixture *fixture_start(const struct http_server_config *config)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error e = {0};
    assert_non_null(f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->opened, NULL);
    struct http_handler handler = {f, fixture_inline, fixture_handle, fixture_refuse};
    f->server = http_server_new(config, &handler, &e);
    if (!f->server)
        fail_msg("server: %s", e.detail);
    http_server_every(f->server, 10, fixture_tick, f);
    assert_int_equal(pthread_create(&f->thread, NULL, fixture_main, f), 0);
    return f;
}

static inline bool fixture_join(struct fixture *f)
{
    pthread_join(f->thread, NULL);
    return f->drained;
}

static inline void fixture_free(struct fixture *f)
{
    http_server_free(f->server);
    pthread_cond_destroy(&f->opened);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static inline void fixture_end(struct fixture *f)
{
    gate_set(f, true);
    http_server_stop(f->server);
    assert_true(fixture_join(f));
    fixture_free(f);
}

static inline struct http_server_stats stats_of(const struct fixture *f)
{
    struct http_server_stats stats;
    http_server_get_stats(f->server, &stats);
    return stats;
}

static inline void nap_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Waits, at most 20 s, for something another thread brings about. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int tries_ = 20000;                                                                        \
        while (!(condition) && --tries_ > 0)                                                       \
            nap_ms(1);                                                                             \
        if (!(condition))                                                                          \
            fail_msg("never came true: %s", #condition);                                           \
    } while (0)

struct client {
    int fd;
    size_t len;
    char buffer[BIG_BYTES + 20000];
};

static inline int client_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 20};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    return fd;
}

static inline int client_connect(int fd, const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(http_server_port(f->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(fd, (struct sockaddr *)(void *)&to, sizeof(to));
}

static inline struct client *client_new(const struct fixture *f)
{
    struct client *c = malloc(sizeof(*c));
    assert_non_null(c);
    c->len = 0;
    c->fd = client_socket();
    assert_int_equal(client_connect(c->fd, f), 0);
    return c;
}

static inline void client_free(struct client *c)
{
    close(c->fd);
    free(c);
}

/* The kernel sends RST instead of FIN. */
static inline void client_reset(struct client *c)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    client_free(c);
}

static inline void client_send(struct client *c, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the server has closed already: what it said is still to be read */
        assert_true(n > 0);
        bytes = str_skip(bytes, (size_t)n);
    }
}

#define SEND(client, literal) client_send((client), STR(literal))

/* False at the end of the stream. */
static inline bool client_more(struct client *c)
{
    assert_true(c->len < sizeof(c->buffer) - 1);
    ssize_t n = recv(c->fd, c->buffer + c->len, sizeof(c->buffer) - 1 - c->len, 0);
    if (n < 0 && errno != ECONNRESET)
        fail_msg("recv: %s", strerror(errno));
    if (n <= 0)
        return false;
    c->len += (size_t)n;
    return true;
}

struct reply {
    int status;
    char head[2048];
    size_t body_len; /* by Content-Length */
    char body[512];  /* its beginning */
};

static inline struct str reply_header(const struct reply *r, const char *name)
{
    struct str rest = str_from(r->head);
    struct str line;
    while (str_split(&rest, '\n', &line)) {
        size_t colon = str_find_char(line, ':');
        if (colon < line.len && str_eq_ci(str_take(line, colon), str_from(name)))
            return str_trim(str_skip(line, colon + 1));
    }
    return (struct str){NULL, 0};
}

static inline size_t client_head(struct client *c, struct reply *r)
{
    const char *end;
    while (!(end = memmem(c->buffer, c->len, "\r\n\r\n", 4)))
        if (!client_more(c))
            fail_msg("connection closed after %zu bytes of a reply", c->len);
    size_t head_len = (size_t)(end - c->buffer) + 4;
    int64_t status = 0;
    memset(r, 0, sizeof(*r));
    assert_true(str_copy(str_n(c->buffer, head_len), r->head, sizeof(r->head)));
    assert_true(str_starts_with(str_from(r->head), STR("HTTP/1.")));
    assert_true(str_parse_i64(str_n(r->head + 9, 3), 100, 599, &status));
    r->status = (int)status;
    return head_len;
}

static inline void client_take(struct client *c, size_t n)
{
    memmove(c->buffer, c->buffer + n, c->len - n);
    c->len -= n;
}

static inline struct reply client_reply_to(struct client *c, bool is_head)
{
    struct reply r;
    size_t head_len = client_head(c, &r);
    int64_t body_len = 0;
    struct str length = reply_header(&r, "Content-Length");
    if (length.ptr)
        assert_true(str_parse_i64(length, 0, BIG_BYTES, &body_len));
    r.body_len = (size_t)body_len;
    size_t total = head_len + (is_head ? 0 : r.body_len);
    while (c->len < total)
        if (!client_more(c))
            fail_msg("connection closed inside a body");
    if (!is_head)
        str_copy(str_n(c->buffer + head_len, r.body_len), r.body, sizeof(r.body));
    client_take(c, total);
    return r;
}

static inline struct reply client_reply(struct client *c)
{
    return client_reply_to(c, false);
}

static inline void assert_body_has(const struct reply *r, const char *text)
{
    if (!strstr(r->body, text))
        fail_msg("no %s in %s", text, r->body);
}

static inline void client_expect_closed(struct client *c)
{
    assert_int_equal(c->len, 0);
    if (client_more(c))
        fail_msg("more instead of the end: %.*s", (int)c->len, c->buffer);
}

/* An error reply of ours, in JSON, after which the connection is closed. `what` is the request. */
static inline void client_expect_refusal(struct client *c, int status, const char *what)
{
    bool is_head = str_starts_with(str_from(what), STR("HEAD "));
    struct reply r = client_reply_to(c, is_head);
    if (r.status != status)
        fail_msg("%d instead of %d (%s) for: %s", r.status, status, r.body, what);
    assert_true(str_eq_text(reply_header(&r, "Content-Type"), "application/json"));
    assert_true(str_eq_text(reply_header(&r, "Connection"), "close"));
    assert_non_null(reply_header(&r, "Date").ptr);
    assert_true(r.body_len > 0);
    assert_int_equal(r.body[0], is_head ? '\0' : '{');
    client_expect_closed(c);
}

#endif
