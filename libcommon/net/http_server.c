#include "net/http_server_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void start_timer(struct event *ev, int64_t ms)
{
    struct timeval interval = timeval_of(ms);
    must(event_add(ev, &interval) == 0);
}

/* --- accepting ------------------------------------------------------------------------------- */

/* The one place that decides whether connections are taken. */
static void update_listening(struct http_server *s)
{
    bool full = atomic_load(&s->connections) >= s->config.connections_max;
    bool wanted = s->running && s->bound && !full && !s->no_descriptors;
    if (wanted == s->listening || !s->bound)
        return;
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(s->bound);
    if (wanted)
        must(evconnlistener_enable(listener) == 0);
    else
        must(evconnlistener_disable(listener) == 0);
    s->listening = wanted;
    if (!wanted)
        atomic_fetch_add(&s->accept_pauses, 1);
}

/* evhttp takes the argument of some callbacks for itself; they have no other way to their server.
 */
static _Thread_local struct http_server *running_here;

struct http_server *http_server_here(void)
{
    must(running_here);
    return running_here;
}

/* accept() failed, for lack of descriptors or memory. The socket stays readable, so without a pause
 * the loop would spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *s = http_server_here();
    (void)listener;
    (void)arg;
    s->no_descriptors = true;
    update_listening(s);
    start_timer(s->accept_retry, SERVER_ACCEPT_RETRY_MS);
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd;
    (void)what;
    s->no_descriptors = false;
    update_listening(s);
}

void http_server_conn_opened(struct http_server *s)
{
    atomic_fetch_add(&s->connections_total, 1);
    if (atomic_fetch_add(&s->connections, 1) == 0)
        start_timer(s->sweep, SERVER_SWEEP_MS);
    update_listening(s);
}

static void end_when_drained(struct http_server *s)
{
    if (s->draining && atomic_load(&s->connections) == 0 && s->in_flight == 0)
        event_base_loopbreak(s->base);
}

void http_server_conn_closed(struct http_server *s)
{
    if (atomic_fetch_sub(&s->connections, 1) == 1)
        event_del(s->sweep);
    update_listening(s);
    end_when_drained(s);
}

/* New connections and refusals: what cannot be done inside the callback that found it out. */
static void on_attend(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd;
    (void)what;
    http_conn_settle(s);
    http_conn_make_room(s);
    http_refusal_send(s);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    http_conn_sweep(arg);
    http_conn_make_room(arg);
}

/* --- workers --------------------------------------------------------------------------------- */

static void work(void *context, struct pool_job *job, unsigned worker)
{
    struct http_server *s = context;
    struct http_exchange *x = (struct http_exchange *)(void *)job;
    x->too_old = clock_mono_us() - x->req.arrived_us > s->config.request_budget_ms * 1000;
    if (!x->too_old)
        s->handler.handle(s->handler.context, &x->req, &x->res, worker);
}

bool http_server_submit(struct http_server *s, struct http_exchange *x)
{
    if (!worker_pool_submit(s->pool, &x->job))
        return false;
    s->in_flight++;
    return true;
}

static void on_collect(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    struct pool_job *job = worker_pool_collect(s->pool);
    (void)fd;
    (void)what;
    while (job) {
        struct http_exchange *x = (struct http_exchange *)(void *)job;
        job = job->next;
        s->in_flight--;
        if (x->too_old)
            http_exchange_refuse(x, HTTP_REFUSED_TOO_OLD, "waited longer than its budget");
        else
            http_exchange_send(x);
    }
    end_when_drained(s);
}

/* --- stopping -------------------------------------------------------------------------------- */

/*
 * The listener closes now. Idle connections are closed by the next sweep: until then a request that
 * was already on its way gets a 503 instead of a reset.
 */
static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd;
    (void)what;
    event_del(s->stop);
    event_del(s->accept_retry);
    s->draining = true;
    s->listening = false;
    evhttp_del_accept_socket(s->http, s->bound);
    s->bound = NULL;
    start_timer(s->drain_end, s->config.drain_ms);
    end_when_drained(s);
}

static void on_drain_end(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(s->base);
}

void http_server_stop(struct http_server *s)
{
    int saved = errno;
    ssize_t written = write(s->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written; /* fails only when the counter is full, so when it was told before */
    errno = saved;
}

/* --- making ---------------------------------------------------------------------------------- */

static void ignore_log(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

static void on_fatal(int code)
{
    (void)code;
    must_fail("libevent: internal error", __FILE__, __LINE__);
}

static bool parse_address(const struct http_server_config *config, struct sockaddr_storage *ret,
                          int *ret_len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, config->listen_address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(config->port);
        *ret_len = (int)sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, config->listen_address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(config->port);
        *ret_len = (int)sizeof(*v6);
        return true;
    }
    return false;
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {.sin6_port = 0}};
    socklen_t len = sizeof(bound);
    must(getsockname(fd, &bound.any, &len) == 0);
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

static bool start_listening(struct http_server *s, struct error *e)
{
    struct sockaddr_storage address;
    int len;
    if (!parse_address(&s->config, &address, &len))
        return error_set(e, ERR_UNAVAILABLE, "listen address is not numeric");
    unsigned flags =
        LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED;
    struct evconnlistener *listener = evconnlistener_new_bind(
        s->base, NULL, NULL, flags, SERVER_BACKLOG, (struct sockaddr *)(void *)&address, len);
    if (!listener)
        return error_set(e, ERR_UNAVAILABLE, "cannot listen on port %u: %s",
                         (unsigned)s->config.port, strerror(errno));
    s->port = bound_port(evconnlistener_get_fd(listener));
    s->bound = evhttp_bind_listener(s->http, listener);
    must(s->bound);
    evconnlistener_set_error_cb(listener, on_accept_error);
    return true;
}

static struct event *new_event(struct http_server *s, int fd, short what, event_callback_fn fn)
{
    struct event *ev = event_new(s->base, fd, what, fn, s);
    must(ev);
    return ev;
}

static void make_base(struct http_server *s)
{
    struct event_config *options = event_config_new();
    must(options);
    must(event_config_set_flag(options, EVENT_BASE_FLAG_IGNORE_ENV) == 0);
    /* evhttp switches reading and writing on and off for each request; only what is left of it when
     * the loop waits again becomes a system call. Safe because no descriptor of ours is a dup. */
    must(event_config_set_flag(options, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0);
    s->base = event_base_new_with_config(options);
    must(s->base);
    event_config_free(options);
    s->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(s->stop_fd >= 0);
    s->stop = new_event(s, s->stop_fd, EV_READ | EV_PERSIST, on_stop);
    s->attend = new_event(s, -1, 0, on_attend);
    s->sweep = new_event(s, -1, EV_PERSIST, on_sweep);
    s->accept_retry = new_event(s, -1, 0, on_accept_retry);
    s->drain_end = new_event(s, -1, 0, on_drain_end);
}

/* evhttp's own limits lie a little above ours, so that ours speak first and in JSON. */
static void make_http(struct http_server *s)
{
    s->http = evhttp_new(s->base);
    must(s->http);
    evhttp_set_max_headers_size(s->http, HTTP_HEAD_MAX_BYTES + 1024);
    evhttp_set_max_body_size(s->http, (ev_ssize_t)s->config.body_max_bytes + 1024);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS);
    evhttp_set_default_content_type(s->http, NULL);
    evhttp_set_bevcb(s->http, http_conn_accept, s);
    evhttp_set_gencb(s->http, http_exchange_dispatch, s);
}

static void check_config(const struct http_server_config *c)
{
    must(c->listen_address && c->workers >= 1 && c->workers <= 64 && c->connections_max >= 1);
    must(c->body_max_bytes <= ARENA_MAX_BYTES / 2);
    must(c->read_timeout_ms > 0 && c->idle_timeout_ms > 0 && c->request_budget_ms > 0);
    must(c->drain_ms > 0);
}

struct http_server *http_server_new(const struct http_server_config *config,
                                    const struct http_handler *handler, struct error *e)
{
    check_config(config);
    must(handler->handle && handler->refuse);
    struct http_server *s = calloc(1, sizeof(*s));
    must(s);
    s->config = *config;
    s->handler = *handler;
    must(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    event_set_log_callback(ignore_log);
    event_set_fatal_callback(on_fatal);
    make_base(s);
    make_http(s);
    if (!start_listening(s, e)) {
        http_server_free(s);
        return NULL;
    }
    s->config.listen_address = NULL; /* not ours to keep */
    s->pool = worker_pool_new(config->workers, config->queue_max, work, s, e);
    if (!s->pool) {
        http_server_free(s);
        return NULL;
    }
    s->collect = new_event(s, worker_pool_fd(s->pool), EV_READ | EV_PERSIST, on_collect);
    return s;
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->port;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct server_timer *t = arg;
    (void)fd;
    (void)what;
    t->fn(t->arg);
}

void http_server_every(struct http_server *s, int64_t interval_ms, void (*fn)(void *arg), void *arg)
{
    must(!s->running && s->timer_count < SERVER_TIMERS_MAX && interval_ms > 0);
    struct server_timer *t = &s->timers[s->timer_count++];
    *t = (struct server_timer){.interval_ms = interval_ms, .fn = fn, .arg = arg};
    t->event = event_new(s->base, -1, EV_PERSIST, on_timer, t);
    must(t->event);
}

static bool all_answered(const struct http_server *s)
{
    const struct http_conn *conn;
    if (s->in_flight > 0)
        return false;
    LIST_FOREACH(conn, &s->conns, link)
    if (conn->phase == CONN_WRITING)
        return false;
    return true;
}

bool http_server_run(struct http_server *s)
{
    must(!s->running && s->bound);
    s->running = true;
    must(event_add(s->stop, NULL) == 0);
    must(event_add(s->collect, NULL) == 0);
    for (size_t i = 0; i < s->timer_count; i++)
        start_timer(s->timers[i].event, s->timers[i].interval_ms);
    update_listening(s);
    running_here = s;
    must(event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY) == 0);
    running_here = NULL;
    return all_answered(s);
}

const char *http_server_date(struct http_server *s)
{
    int64_t now_s = clock_unix_ms() / 1000;
    if (now_s != s->date_s) {
        clock_http_date(now_s, s->date);
        s->date_s = now_s;
    }
    return s->date;
}

/* Replies nobody waits for any more. evhttp forgets a request when its connection fails while the
 * reply is pending; all others it frees itself. */
static void drop_jobs(struct pool_job *job)
{
    while (job) {
        struct http_exchange *x = (struct http_exchange *)(void *)job;
        job = job->next;
        if (!x->conn)
            evhttp_request_free(x->evreq);
        else
            x->conn->exchange = NULL;
        http_exchange_recycle(x);
    }
}

static void free_events(struct http_server *s)
{
    struct event *events[] = {s->collect, s->stop,         s->attend,
                              s->sweep,   s->accept_retry, s->drain_end};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    for (size_t i = 0; i < s->timer_count; i++)
        event_free(s->timers[i].event);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->pool)
        drop_jobs(worker_pool_stop(s->pool));
    s->running = false;
    s->draining = false;
    s->bound = NULL; /* evhttp frees it */
    http_conn_settle(s);
    evhttp_free(s->http);
    free_events(s);
    event_base_free(s->base);
    worker_pool_free(s->pool);
    http_exchange_free_spare(s);
    free(s->by_fd);
    must(close(s->stop_fd) == 0);
    free(s);
}

void http_server_get_stats(const struct http_server *s, struct http_server_stats *ret)
{
    struct worker_pool_stats pool = worker_pool_get_stats(s->pool);
    *ret = (struct http_server_stats){
        .connections = atomic_load(&s->connections),
        .connections_total = atomic_load(&s->connections_total),
        .queue_depth = pool.queued,
        .queue_depth_max = pool.queued_max,
        .workers_busy = pool.busy,
        .refused_heads = atomic_load(&s->refused_heads),
        .refused_queue_full = atomic_load(&s->refused_queue_full),
        .refused_too_old = atomic_load(&s->refused_too_old),
        .accept_pauses = atomic_load(&s->accept_pauses),
    };
}
