#include "net/http_server_private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);
static void on_close(struct evhttp_connection *evcon, void *arg);

struct bufferevent *http_conn_accept(struct event_base *base, void *server)
{
    struct http_server *s = server;
    struct http_conn *conn = calloc(1, sizeof(*conn));
    must(conn);
    conn->server = s;
    conn->fd = -1;
    conn->bev = bufferevent_socket_new(base, -1, 0);
    must(conn->bev);
    head_check_init(&conn->head, s->config.body_max_bytes);
    conn->watch = evbuffer_add_cb(bufferevent_get_input(conn->bev), on_input, conn);
    must(conn->watch);
    /* evhttp keeps a whole body in this buffer; beyond that a client has to wait. */
    bufferevent_setwatermark(conn->bev, EV_READ, 0, s->config.body_max_bytes + HTTP_HEAD_MAX_BYTES);
    bufferevent_incref(conn->bev);
    LIST_INSERT_HEAD(&s->fresh, conn, link);
    event_active(s->attend, 0, 0);
    http_server_conn_opened(s);
    return conn->bev;
}

static void remember_fd(struct http_server *s, struct http_conn *conn)
{
    size_t at = (size_t)conn->fd;
    if (at >= s->by_fd_len) {
        size_t len = (at + 64) / 64 * 64 + 64;
        struct http_conn **grown = realloc(s->by_fd, len * sizeof(struct http_conn *));
        must(grown);
        for (size_t i = s->by_fd_len; i < len; i++)
            grown[i] = NULL;
        s->by_fd = grown;
        s->by_fd_len = len;
    }
    must(!s->by_fd[at]);
    s->by_fd[at] = conn;
}

static void settle(struct http_server *s, struct http_conn *conn)
{
    bufferevent_data_cb read_cb = NULL;
    void *evcon = NULL;
    LIST_REMOVE(conn, link);
    bufferevent_getcb(conn->bev, &read_cb, NULL, &s->evhttp_event_cb, &evcon);
    if (!read_cb) {
        /* evhttp could not set the connection up and has freed its half. */
        bufferevent_decref(conn->bev);
        free(conn);
        http_server_conn_closed(s);
        return;
    }
    conn->evcon = evcon;
    evhttp_connection_set_closecb(conn->evcon, on_close, conn);
    bufferevent_decref(conn->bev);
    conn->fd = bufferevent_getfd(conn->bev);
    /* Fails when the client is gone already; then nothing is lost. */
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    conn->deadline_ms = clock_mono_ms() + s->config.idle_timeout_ms;
    remember_fd(s, conn);
    LIST_INSERT_HEAD(&s->conns, conn, link);
}

void http_conn_settle(struct http_server *s)
{
    struct http_conn *conn;
    while ((conn = LIST_FIRST(&s->fresh)))
        settle(s, conn);
}

struct http_conn *http_conn_find(struct http_server *s, struct evhttp_connection *evcon)
{
    size_t fd = (size_t)bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    must(fd < s->by_fd_len && s->by_fd[fd] && s->by_fd[fd]->evcon == evcon);
    return s->by_fd[fd];
}

/* True when evhttp is done with every request before the one being read: only then may it be
 * answered past evhttp. */
static bool is_next_in_line(const struct http_conn *conn)
{
    return conn->answered + 1 == conn->head.requests_begun;
}

static void refuse_broken_head(struct http_conn *conn)
{
    http_refusal_begin(conn, HTTP_REFUSED_HEAD, conn->head.verdict, conn->head.reason);
}

/* What was read decides the phase, unless a reply is still on its way. */
static void follow_head(struct http_conn *conn)
{
    if (conn->phase == CONN_WRITING)
        return;
    if (conn->head.verdict != ERR_NONE && is_next_in_line(conn)) {
        refuse_broken_head(conn);
    } else if (conn->phase == CONN_IDLE && conn->head.requests_begun > conn->answered) {
        conn->phase = CONN_READING;
        conn->deadline_ms = clock_mono_ms() + conn->server->config.read_timeout_ms;
    }
}

static void check_last_bytes(struct head_check *head, struct evbuffer *input, size_t count)
{
    struct evbuffer_ptr at;
    size_t from = evbuffer_get_length(input) - count;
    must(evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) == 0);
    while (count > 0) {
        struct evbuffer_iovec part;
        must(evbuffer_peek(input, -1, &at, &part, 1) >= 1 && part.iov_len <= count);
        head_check_feed(head, str_n(part.iov_base, part.iov_len));
        count -= part.iov_len;
        if (count > 0)
            must(evbuffer_ptr_set(input, &at, part.iov_len, EVBUFFER_PTR_ADD) == 0);
    }
}

/* Runs when bytes have arrived and before evhttp looks at them. A filtering bufferevent would be
 * the obvious place, but evhttp stops serving such a connection after its first request. */
static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct http_conn *conn = arg;
    struct head_check *head = &conn->head;
    if (info->n_added == 0)
        return;
    if (conn->phase == CONN_REFUSING) {
        http_refusal_count(conn, info->n_added);
        return;
    }
    must(conn->evcon && conn->phase != CONN_WORKING);
    bool head_is_next = head->requests_passed == conn->dispatched;
    check_last_bytes(head, input, info->n_added);
    if (head_is_next && head->requests_passed > conn->dispatched)
        conn->head_at_us = clock_mono_us();
    if (head->blank_line_seen) {
        /* evhttp would take the empty line for a request line. It was allowed only where nothing
         * else was in the buffer. */
        head->blank_line_seen = false;
        evbuffer_drain(input, 2);
    }
    follow_head(conn);
}

void http_conn_working(struct http_conn *conn, struct http_exchange *x)
{
    must(conn->phase == CONN_READING);
    conn->phase = CONN_WORKING;
    conn->deadline_ms = INT64_MAX;
    conn->exchange = x;
    conn->dispatched++;
    conn->head_at_us = 0;
}

/* The reply is written; evhttp goes on with the next request, or closes, right after this. */
static void on_reply_written(struct evhttp_request *evreq, void *arg)
{
    struct http_conn *conn = arg;
    const struct http_server_config *config = &conn->server->config;
    (void)evreq;
    conn->answered++;
    conn->phase = CONN_IDLE;
    conn->deadline_ms = clock_mono_ms() + config->idle_timeout_ms;
    if (evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0)
        conn->head.blank_line_ok = true;
    follow_head(conn);
}

/* A FIN of the client says that it has no more to ask, not that it does not listen. evhttp would
 * drop the reply; it sees the FIN again when it reads for the next request. */
static void on_event_while_writing(struct bufferevent *bev, short what, void *evcon)
{
    if (what != (BEV_EVENT_READING | BEV_EVENT_EOF))
        http_server_here()->evhttp_event_cb(bev, what, evcon);
}

void http_conn_writing(struct http_conn *conn, struct evhttp_request *evreq)
{
    must(conn->phase == CONN_WORKING);
    conn->phase = CONN_WRITING;
    conn->exchange = NULL;
    conn->unsent_bytes = SIZE_MAX;
    conn->deadline_ms = clock_mono_ms() + conn->server->config.read_timeout_ms;
    evhttp_request_set_on_complete_cb(evreq, on_reply_written, conn);
}

/* evhttp would ask epoll first whether the socket takes the reply, and take that back afterwards.
 * What the socket does not take, and what is wrong with it, evhttp finds out as ever. */
static void write_now(struct bufferevent *bev)
{
    struct evbuffer *output = bufferevent_get_output(bev);
    evbuffer_unfreeze(output, 1);
    (void)evbuffer_write(output, bufferevent_getfd(bev));
    evbuffer_freeze(output, 1);
    if (evbuffer_get_length(output) > 0)
        return;
    bufferevent_disable(bev, EV_WRITE);
    /* Deferred: evhttp may close the connection at this, and we may be inside one of its calls. */
    bufferevent_trigger(bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

void http_conn_send_reply(struct http_conn *conn)
{
    bufferevent_data_cb write_cb;
    void *evcon;
    bufferevent_getcb(conn->bev, NULL, &write_cb, NULL, &evcon);
    bufferevent_setcb(conn->bev, NULL, write_cb, on_event_while_writing, evcon);
    write_now(conn->bev);
}

/* evhttp frees the connection after this. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct http_conn *conn = arg;
    struct http_server *s = conn->server;
    (void)evcon;
    LIST_REMOVE(conn, link);
    if (conn->refusal.waiting)
        LIST_REMOVE(conn, refused);
    if (conn->exchange)
        conn->exchange->conn = NULL;
    evbuffer_remove_cb_entry(bufferevent_get_input(conn->bev), conn->watch);
    s->by_fd[conn->fd] = NULL;
    free(conn);
    http_server_conn_closed(s);
}

void http_conn_close(struct http_conn *conn)
{
    must(conn->phase != CONN_WORKING);
    evhttp_connection_free(conn->evcon);
}

/* A client may take its reply as slowly as it likes, but it has to take some of it. */
static bool reply_moves(struct http_conn *conn)
{
    size_t unsent = evbuffer_get_length(bufferevent_get_output(conn->bev));
    bool moves = unsent < conn->unsent_bytes;
    conn->unsent_bytes = unsent;
    return moves;
}

static void sweep_one(struct http_conn *conn, int64_t now)
{
    const struct http_server *s = conn->server;
    bool late = now >= conn->deadline_ms;
    switch (conn->phase) {
    case CONN_IDLE:
        if (late || s->draining)
            http_conn_close(conn);
        return;
    case CONN_READING:
        if (s->draining)
            http_refusal_begin(conn, HTTP_REFUSED_DRAINING, ERR_UNAVAILABLE, "stopping");
        else if (late)
            http_refusal_begin(conn, HTTP_REFUSED_HEAD, ERR_REQUEST_TIMEOUT,
                               "request not complete in time");
        return;
    case CONN_WORKING:
        return;
    case CONN_WRITING:
        if (late && reply_moves(conn))
            conn->deadline_ms = now + s->config.read_timeout_ms;
        else if (late)
            http_conn_close(conn);
        return;
    case CONN_REFUSING:
        if (late && !conn->refusal.waiting)
            http_conn_close(conn);
        return;
    }
}

void http_conn_make_room(struct http_server *s)
{
    struct http_conn *longest = NULL, *conn;
    int64_t idle_before_ms = clock_mono_ms() - IDLE_KEPT_MS;
    if (atomic_load(&s->connections) < s->config.connections_max)
        return;
    LIST_FOREACH(conn, &s->conns, link)
    if (conn->phase == CONN_IDLE && (!longest || conn->deadline_ms <= longest->deadline_ms))
        longest = conn;
    if (longest && longest->deadline_ms - s->config.idle_timeout_ms <= idle_before_ms)
        http_conn_close(longest);
}

void http_conn_sweep(struct http_server *s)
{
    int64_t now = clock_mono_ms();
    struct http_conn *conn = LIST_FIRST(&s->conns);
    while (conn) {
        struct http_conn *next = LIST_NEXT(conn, link);
        sweep_one(conn, now);
        conn = next;
    }
}
