#include "net/http_server_private.h"

#include <sys/socket.h>

/* evhttp's deferred callback may call this with its own connection as arg, so only bev is used. */
static void drop_input(struct bufferevent *bev, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    (void)arg;
    evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;
    if (conn->refusal.waiting || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        return;
    if (conn->refusal.peer_done) {
        http_conn_close(conn);
        return;
    }
    conn->refusal.flushed = true;
    conn->deadline_ms = clock_mono_ms() + LINGER_MS;
    /* The client sees the end of the answer now, not when we stop listening to it. */
    (void)shutdown(conn->fd, SHUT_WR);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct http_conn *conn = arg;
    (void)bev;
    if ((what & BEV_EVENT_EOF) && !conn->refusal.flushed) {
        /* It has said all it had to say, and may still listen. */
        conn->refusal.peer_done = true;
        return;
    }
    http_conn_close(conn);
}

static void take_over(struct http_conn *conn)
{
    bufferevent_setcb(conn->bev, drop_input, on_written, on_event, conn);
}

void http_refusal_begin(struct http_conn *conn, enum http_refusal why, enum error_code code,
                        const char *reason)
{
    struct http_server *s = conn->server;
    must(conn->phase == CONN_IDLE || conn->phase == CONN_READING);
    conn->phase = CONN_REFUSING;
    conn->refusal.why = why;
    conn->refusal.code = code;
    conn->refusal.reason = reason;
    conn->refusal.waiting = true;
    LIST_INSERT_HEAD(&s->refused, conn, refused);
    take_over(conn);
    event_active(s->attend, 0, 0);
}

static void write_reply(struct evbuffer *out, const struct http_response *res, bool to_head,
                        const char *date)
{
    size_t body_len = http_exchange_has_body(res) ? res->body.len : 0;
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", res->status,
                        http_status_text(res->status), date);
    for (size_t i = 0; i < res->header_count; i++)
        evbuffer_add_printf(out, "%.*s: %.*s\r\n", STR_ARG(res->headers[i].name),
                            STR_ARG(res->headers[i].value));
    evbuffer_add_printf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body_len);
    if (!to_head)
        evbuffer_add(out, res->body.ptr, body_len);
}

static void send_one(struct http_conn *conn)
{
    struct http_server *s = conn->server;
    /* When this follows an earlier reply, evhttp has put its own callbacks back meanwhile. */
    take_over(conn);
    drop_input(conn->bev, NULL);
    struct http_exchange *x = http_exchange_take(s);
    http_exchange_fill_refusal(x, conn->refusal.why, conn->refusal.code, conn->refusal.reason,
                               NULL);
    write_reply(bufferevent_get_output(conn->bev), &x->res, conn->head.is_head,
                http_server_date(s));
    http_exchange_recycle(x);
    conn->deadline_ms = clock_mono_ms() + s->config.read_timeout_ms;
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}

void http_refusal_send(struct http_server *s)
{
    struct http_conn *conn;
    while ((conn = LIST_FIRST(&s->refused))) {
        LIST_REMOVE(conn, refused);
        conn->refusal.waiting = false;
        send_one(conn);
    }
}

void http_refusal_count(struct http_conn *conn, size_t more)
{
    conn->refusal.drained_bytes += more;
    if (conn->refusal.drained_bytes > LINGER_MAX_BYTES)
        bufferevent_disable(conn->bev, EV_READ);
}
