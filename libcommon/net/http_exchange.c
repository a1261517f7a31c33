#include "net/http_server_private.h"

#include <event2/keyvalq_struct.h>
#include <sys/queue.h>

struct http_exchange *http_exchange_take(struct http_server *s)
{
    struct http_exchange *x = (struct http_exchange *)(void *)s->spare;
    if (x) {
        s->spare = x->job.next;
        s->spare_count--;
        return x;
    }
    x = calloc(1, sizeof(*x));
    must(x);
    x->server = s;
    x->arena = arena_new(ARENA_MAX_BYTES);
    x->req.arena = x->arena;
    x->res.arena = x->arena;
    buf_init(&x->res.body, HTTP_ANSWER_MAX_BYTES);
    return x;
}

static void exchange_free(struct http_exchange *x)
{
    buf_done(&x->res.body);
    arena_free(x->arena);
    free(x);
}

void http_exchange_recycle(struct http_exchange *x)
{
    struct http_server *s = x->server;
    if (s->spare_count == EXCHANGES_KEPT_MAX) {
        exchange_free(x);
        return;
    }
    if (x->res.body.capacity > EXCHANGE_BODY_KEPT_MAX)
        buf_done(&x->res.body);
    buf_clear(&x->res.body);
    arena_reset(x->arena);
    x->conn = NULL;
    x->evreq = NULL;
    x->too_old = false;
    x->req.header_count = 0;
    x->res.header_count = 0;
    x->res.status = 0;
    x->res.close = false;
    x->job.next = s->spare;
    s->spare = &x->job;
    s->spare_count++;
}

void http_exchange_free_spare(struct http_server *s)
{
    while (s->spare) {
        struct http_exchange *x = (struct http_exchange *)(void *)s->spare;
        s->spare = x->job.next;
        exchange_free(x);
    }
    s->spare_count = 0;
}

static enum http_method method_of(const struct evhttp_request *evreq)
{
    switch (evhttp_request_get_command(evreq)) {
    case EVHTTP_REQ_GET:
        return HTTP_GET;
    case EVHTTP_REQ_HEAD:
        return HTTP_HEAD;
    case EVHTTP_REQ_POST:
        return HTTP_POST;
    case EVHTTP_REQ_PUT:
        return HTTP_PUT;
    case EVHTTP_REQ_PATCH:
        return HTTP_PATCH;
    case EVHTTP_REQ_DELETE:
        return HTTP_DELETE;
    case EVHTTP_REQ_OPTIONS:
        return HTTP_OPTIONS;
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
        break;
    }
    return HTTP_OTHER;
}

static void copy_headers(struct http_request *req, const struct evkeyvalq *headers)
{
    req->header_count = 0;
    for (const struct evkeyval *h = headers->tqh_first; h; h = h->next.tqe_next) {
        must(req->header_count < HTTP_HEADERS_MAX);
        struct http_header *to = &req->headers[req->header_count++];
        to->name = arena_dup(req->arena, str_from(h->key));
        to->value = arena_dup(req->arena, str_trim(str_from(h->value)));
    }
}

static void copy_body(struct http_request *req, struct evbuffer *input)
{
    size_t len = evbuffer_get_length(input);
    req->body = (struct str){NULL, 0};
    if (len == 0)
        return;
    char *copy = arena_alloc(req->arena, len + 1);
    must(evbuffer_copyout(input, copy, len) == (ev_ssize_t)len);
    req->body = str_n(copy, len);
}

/* Everything is copied: the worker may still read it when evhttp has forgotten the request. */
static void copy_request(struct http_exchange *x)
{
    struct http_request *req = &x->req;
    char *address = NULL;
    ev_uint16_t port;
    int64_t now_us = clock_mono_us();
    req->method = method_of(x->evreq);
    req->target = arena_dup(x->arena, str_from(evhttp_request_get_uri(x->evreq)));
    size_t path_len = str_find_char(req->target, '?');
    req->path = str_take(req->target, path_len);
    req->query = str_skip(req->target, path_len + 1);
    copy_headers(req, evhttp_request_get_input_headers(x->evreq));
    copy_body(req, evhttp_request_get_input_buffer(x->evreq));
    evhttp_connection_get_peer(x->conn->evcon, &address, &port);
    str_copy(str_from(address), req->peer, sizeof(req->peer));
    req->arrived_us = x->conn->head_at_us ? x->conn->head_at_us : now_us;
    req->arrived_unix_ms = clock_unix_ms() - (now_us - req->arrived_us) / 1000;
}

void http_exchange_dispatch(struct evhttp_request *evreq, void *server)
{
    struct http_server *s = server;
    struct http_exchange *x = http_exchange_take(s);
    x->evreq = evreq;
    x->conn = http_conn_find(s, evhttp_request_get_connection(evreq));
    copy_request(x);
    http_conn_working(x->conn, x);
    if (s->handler.answer_inline && s->handler.answer_inline(s->handler.context, &x->req, &x->res))
        http_exchange_send(x);
    else if (s->draining)
        http_exchange_refuse(x, HTTP_REFUSED_DRAINING, "stopping");
    else if (!http_server_submit(s, x))
        http_exchange_refuse(x, HTTP_REFUSED_QUEUE_FULL, "all workers busy and the queue full");
}

static void count_refusal(struct http_server *s, enum http_refusal why)
{
    switch (why) {
    case HTTP_REFUSED_HEAD:
        atomic_fetch_add(&s->refused_heads, 1);
        return;
    case HTTP_REFUSED_QUEUE_FULL:
        atomic_fetch_add(&s->refused_queue_full, 1);
        return;
    case HTTP_REFUSED_TOO_OLD:
        atomic_fetch_add(&s->refused_too_old, 1);
        return;
    case HTTP_REFUSED_DRAINING:
        return;
    }
}

void http_exchange_fill_refusal(struct http_exchange *x, enum http_refusal why,
                                enum error_code code, const char *reason,
                                const struct http_request *req)
{
    struct http_server *s = x->server;
    count_refusal(s, why);
    s->handler.refuse(s->handler.context, why, code, reason, req, &x->res);
    must(x->res.status >= 400 && x->res.status <= 599);
    if (x->res.status == 503 && !http_response_header_get(&x->res, "Retry-After").ptr)
        http_response_header(&x->res, "Retry-After", STR("1"));
}

void http_exchange_refuse(struct http_exchange *x, enum http_refusal why, const char *reason)
{
    http_exchange_fill_refusal(x, why, ERR_UNAVAILABLE, reason, &x->req);
    http_exchange_send(x);
}

bool http_exchange_has_body(const struct http_response *res)
{
    return res->status != 204 && res->status != 304;
}

/* A handler that wrote more than HTTP_ANSWER_MAX_BYTES has no reply to give. */
static void replace_overflow(struct http_response *res)
{
    buf_clear(&res->body);
    res->header_count = 0;
    res->status = error_http_status(ERR_INTERNAL);
    http_response_header(res, "Content-Type", STR("application/json"));
    buf_printf(&res->body, "{\"error\":\"%s\"}", error_text(ERR_INTERNAL));
}

static void free_body(const void *data, size_t len, void *body)
{
    (void)data;
    (void)len;
    free(body);
}

static void move_body(struct evbuffer *out, struct buf *body)
{
    if (body->len <= EXCHANGE_BODY_KEPT_MAX) {
        evbuffer_add(out, body->ptr, body->len);
        return;
    }
    size_t len;
    char *taken = buf_take(body, &len);
    must(evbuffer_add_reference(out, taken, len, free_body, taken) == 0);
}

static void add_header(struct evkeyvalq *headers, const char *name, const char *value)
{
    must(evhttp_add_header(headers, name, value) == 0);
}

static void add_line(struct buf *block, struct str name, struct str value)
{
    buf_add(block, STR("\r\n"));
    buf_add(block, name);
    buf_add(block, STR(": "));
    buf_add(block, value);
}

/*
 * All our headers as one: evhttp prints "Date: VALUE\r\n", and VALUE holds the lines of the others.
 * It formats and copies each header of its list three times over, which was a quarter of all
 * instructions of a vote. http_response_header() has let no CR or LF into a name or a value.
 */
static void add_header_block(struct http_exchange *x, struct evkeyvalq *headers)
{
    const struct http_response *res = &x->res;
    struct evkeyval *all = calloc(1, sizeof(*all)); /* evhttp frees it and both texts */
    struct buf block;
    must(all);
    buf_init(&block, HTTP_ANSWER_MAX_BYTES);
    buf_add_text(&block, http_server_date(x->server));
    for (size_t i = 0; i < res->header_count; i++)
        add_line(&block, res->headers[i].name, res->headers[i].value);
    must(!block.overflow);
    all->key = strdup("Date"); /* the one that evhttp would add if it did not see it */
    must(all->key);
    all->value = buf_take(&block, NULL);
    TAILQ_INSERT_TAIL(headers, all, next);
}

static void write_reply(struct http_exchange *x)
{
    struct http_response *res = &x->res;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(x->evreq);
    if (res->body.overflow)
        replace_overflow(res);
    must(res->status >= 200 && res->status <= 599);
    add_header_block(x, headers);
    if (res->close || x->server->draining)
        add_header(headers, "Connection", "close");
    if (http_exchange_has_body(res)) {
        char length[24];
        snprintf(length, sizeof(length), "%zu", res->body.len);
        add_header(headers, "Content-Length", length);
        if (x->req.method != HTTP_HEAD)
            move_body(evhttp_request_get_output_buffer(x->evreq), &res->body);
    }
}

void http_exchange_send(struct http_exchange *x)
{
    struct http_conn *conn = x->conn;
    int status;
    write_reply(x);
    status = x->res.status;
    if (conn)
        http_conn_writing(conn, x->evreq);
    /* Without a connection this only frees the request. */
    evhttp_send_reply(x->evreq, status, http_status_text(status), NULL);
    if (conn)
        http_conn_send_reply(conn);
    http_exchange_recycle(x);
}
