#include "load_client.h"

#include "load_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define NS_PER_US    INT64_C(1000)
#define NS_PER_MS    INT64_C(1000000)
#define NS_PER_S     INT64_C(1000000000)
#define SWEEP_NS     (20 * NS_PER_MS)
#define EVENTS_BATCH 256
#define NO_REQUEST   SIZE_MAX

struct conn {
    int fd; /* -1: not connected */
    uint32_t generation;
    size_t request; /* NO_REQUEST: idle */
    size_t sent;
    char *in;
    size_t in_length;
    int64_t deadline_ns;
};

struct retry {
    int64_t due_ns;
    size_t request;
};

struct client {
    const struct load_options *options;
    const struct load_requests *requests;
    struct load_outcome *outcomes;
    int epoll;
    struct conn *conns;
    size_t conn_count;
    size_t *free_conns; /* a stack, so that a connection that is open is used before a new one */
    size_t free_count;
    struct retry *retries; /* a binary heap, soonest first */
    size_t retry_count;
    int64_t *due_ns; /* when the latency clock of each request started */
    size_t next;     /* first request not yet sent */
    size_t done;
    size_t open_now, open_most;
    int64_t start_ns, now_ns, last_done_ns;
    uint64_t random_state;
};

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static uint64_t next_random(struct client *c)
{
    c->random_state ^= c->random_state << 13;
    c->random_state ^= c->random_state >> 7;
    c->random_state ^= c->random_state << 17;
    return c->random_state;
}

/* ---- retries waiting for their time ---- */

static void retry_swap(struct client *c, size_t a, size_t b)
{
    struct retry held = c->retries[a];
    c->retries[a] = c->retries[b];
    c->retries[b] = held;
}

static void retry_push(struct client *c, size_t request, int64_t due_ns)
{
    size_t at = c->retry_count++;
    c->retries[at] = (struct retry){due_ns, request};
    for (; at > 0 && c->retries[(at - 1) / 2].due_ns > c->retries[at].due_ns; at = (at - 1) / 2)
        retry_swap(c, at, (at - 1) / 2);
}

static size_t retry_pop(struct client *c)
{
    size_t request = c->retries[0].request;
    c->retries[0] = c->retries[--c->retry_count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < c->retry_count && c->retries[child].due_ns < c->retries[least].due_ns)
                least = child;
        if (least == at)
            return request;
        retry_swap(c, at, least);
        at = least;
    }
}

/* ---- one connection ---- */

static void conn_close(struct client *c, struct conn *conn)
{
    if (conn->fd < 0)
        return;
    close(conn->fd);
    conn->fd = -1;
    conn->generation++;
    c->open_now--;
}

static bool conn_open(struct client *c, struct conn *conn)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const struct sockaddr_in *address = &c->options->address;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    event.data.u64 = (uint64_t)(conn - c->conns) << 32 | conn->generation;
    if ((connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        return false;
    }
    conn->fd = fd;
    if (++c->open_now > c->open_most)
        c->open_most = c->open_now;
    return true;
}

/* The request is over, well or badly; the connection is free for the next. */
static void finish(struct client *c, struct conn *conn, enum load_error error)
{
    struct load_outcome *outcome = &c->outcomes[conn->request];
    outcome->error = (uint8_t)error;
    outcome->us = (uint32_t)((c->now_ns - c->due_ns[conn->request]) / NS_PER_US);
    c->done++;
    c->last_done_ns = c->now_ns;
    conn->request = NO_REQUEST;
    if (error != LOAD_OK)
        conn_close(c, conn);
    c->free_conns[c->free_count++] = (size_t)(conn - c->conns);
}

static void conn_send(struct client *c, struct conn *conn)
{
    const struct load_request *request = &c->requests->items[conn->request];
    const char *bytes = c->requests->bytes + request->offset;
    while (conn->sent < request->length) {
        ssize_t n = send(conn->fd, bytes + conn->sent, request->length - conn->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            conn->sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN) {
            return; /* the edge of EPOLLOUT brings us back */
        } else if (errno != EINTR) {
            finish(c, conn, conn->sent == 0 ? LOAD_CONNECT : LOAD_CLOSED);
            return;
        }
    }
}

static void conn_start(struct client *c, struct conn *conn, size_t request)
{
    conn->request = request;
    conn->sent = 0;
    conn->in_length = 0;
    conn->deadline_ns = c->now_ns + c->options->request_timeout_us * NS_PER_US;
    if (conn->fd < 0 && !conn_open(c, conn)) {
        finish(c, conn, LOAD_CONNECT);
        return;
    }
    conn_send(c, conn);
}

static void write_reply(struct client *c, size_t request, const struct load_reply *reply)
{
    const struct load_outcome *outcome = &c->outcomes[request];
    fprintf(c->options->replies, "%zu\t%u\t%u\t%u\t", request, outcome->status, outcome->us,
            outcome->retries);
    for (size_t i = 0; i < reply->body_length; i++) {
        unsigned char byte = (unsigned char)reply->body[i];
        putc(byte < 0x20 ? ' ' : byte, c->options->replies);
    }
    putc('\n', c->options->replies);
}

static bool retry_later(struct client *c, size_t request, const struct load_reply *reply)
{
    struct load_outcome *outcome = &c->outcomes[request];
    if (!c->options->retry || reply->status != 503 || outcome->retries >= LOAD_RETRIES_MAX)
        return false;
    uint64_t jitter_ms = next_random(c) % (LOAD_RETRY_JITTER_MS + 1);
    int64_t due_ns =
        c->now_ns + (int64_t)reply->retry_after_s * NS_PER_S + (int64_t)jitter_ms * NS_PER_MS;
    if (due_ns - c->due_ns[request] > LOAD_RETRY_WITHIN_MS * NS_PER_MS)
        return false;
    outcome->retries++;
    retry_push(c, request, due_ns);
    return true;
}

static void handle_reply(struct client *c, struct conn *conn, const struct load_reply *reply)
{
    size_t request = conn->request;
    c->outcomes[request].status = reply->status;
    if (reply->close || c->options->mode == LOAD_BURST)
        conn_close(c, conn);
    if (retry_later(c, request, reply)) {
        conn->request = NO_REQUEST;
        c->free_conns[c->free_count++] = (size_t)(conn - c->conns);
        return;
    }
    finish(c, conn, LOAD_OK);
    if (c->options->replies)
        write_reply(c, request, reply);
}

static void conn_parse(struct client *c, struct conn *conn, bool ended)
{
    const struct load_request *request = &c->requests->items[conn->request];
    bool head_only = c->requests->bytes[request->offset] == 'H';
    struct load_reply reply;
    switch (load_reply_parse(conn->in, conn->in_length, head_only, ended, &reply)) {
    case LOAD_REPLY_WHOLE:
        handle_reply(c, conn, &reply);
        break;
    case LOAD_REPLY_BAD:
        finish(c, conn, LOAD_REPLY);
        break;
    case LOAD_REPLY_PART:
        if (ended)
            finish(c, conn, LOAD_CLOSED);
        else if (conn->in_length == LOAD_REPLY_MAX_BYTES)
            finish(c, conn, LOAD_REPLY);
        break;
    }
}

/* True when there may be more to read: a short read drains a socket, but not the end behind it. */
static bool conn_receive(struct client *c, struct conn *conn, bool end_is_near)
{
    size_t room = LOAD_REPLY_MAX_BYTES - conn->in_length;
    ssize_t n = recv(conn->fd, conn->in + conn->in_length, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    c->now_ns = clock_ns();
    if (conn->request == NO_REQUEST) { /* closed while idle, or bytes nobody asked for */
        conn_close(c, conn);
        return false;
    }
    if (n < 0) {
        finish(c, conn, conn->sent == 0 ? LOAD_CONNECT : LOAD_CLOSED);
        return false;
    }
    conn->in_length += (size_t)n;
    conn_parse(c, conn, n == 0);
    return n > 0 && conn->fd >= 0 && (end_is_near || (size_t)n == room);
}

static void handle_event(struct client *c, const struct epoll_event *event)
{
    struct conn *conn = &c->conns[event->data.u64 >> 32];
    if (conn->fd < 0 || conn->generation != (uint32_t)event->data.u64)
        return; /* an event of a connection that is gone */
    if (conn->request != NO_REQUEST && conn->sent < c->requests->items[conn->request].length &&
        (event->events & EPOLLOUT))
        conn_send(c, conn);
    if (conn->fd >= 0 && (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        while (conn_receive(c, conn, event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            continue;
}

/* ---- the run ---- */

static int64_t fresh_due_ns(const struct client *c)
{
    if (c->next >= c->requests->count)
        return INT64_MAX;
    if (c->options->mode != LOAD_OPEN_LOOP)
        return c->start_ns;
    return c->start_ns + (int64_t)((double)c->next * 1e9 / c->options->rate);
}

static void dispatch(struct client *c)
{
    while (c->free_count > 0) {
        size_t request;
        int64_t fresh = fresh_due_ns(c);
        if (c->retry_count > 0 && c->retries[0].due_ns <= c->now_ns) {
            request = retry_pop(c);
        } else if (fresh <= c->now_ns) {
            request = c->next++;
            c->due_ns[request] = c->options->mode == LOAD_CLOSED_LOOP ? c->now_ns : fresh;
        } else {
            return;
        }
        conn_start(c, &c->conns[c->free_conns[--c->free_count]], request);
    }
}

static void sweep(struct client *c, bool everything)
{
    for (size_t i = 0; i < c->conn_count; i++) {
        struct conn *conn = &c->conns[i];
        if (conn->request != NO_REQUEST && (everything || conn->deadline_ns <= c->now_ns))
            finish(c, conn, LOAD_TIMEOUT);
    }
}

static void wait_events(struct client *c)
{
    int64_t wake_ns = c->now_ns + SWEEP_NS;
    if (c->free_count > 0) {
        int64_t fresh = fresh_due_ns(c);
        if (fresh < wake_ns)
            wake_ns = fresh;
        if (c->retry_count > 0 && c->retries[0].due_ns < wake_ns)
            wake_ns = c->retries[0].due_ns;
    }
    int64_t wait_ns = wake_ns > c->now_ns ? wake_ns - c->now_ns : 0;
    struct timespec timeout = {.tv_nsec = wait_ns};
    struct epoll_event events[EVENTS_BATCH];
    int n = epoll_pwait2(c->epoll, events, EVENTS_BATCH, &timeout, NULL);
    c->now_ns = clock_ns();
    for (int i = 0; i < n; i++)
        handle_event(c, &events[i]);
}

static void report_progress(const struct client *c, int64_t *next_ns)
{
    if (!c->options->progress || c->now_ns < *next_ns)
        return;
    *next_ns += LOAD_PROGRESS_MS * NS_PER_MS;
    fprintf(c->options->progress, "  %zu of %zu answered\n", c->done, c->requests->count);
    fflush(c->options->progress);
}

static void run(struct client *c)
{
    c->start_ns = c->now_ns = c->last_done_ns = clock_ns();
    int64_t end_ns = c->start_ns + c->options->total_timeout_us * NS_PER_US;
    int64_t sweep_ns = c->start_ns + SWEEP_NS;
    int64_t progress_ns = c->start_ns + LOAD_PROGRESS_MS * NS_PER_MS;
    while (c->done < c->requests->count && c->now_ns < end_ns) {
        dispatch(c);
        wait_events(c);
        if (c->now_ns >= sweep_ns) {
            sweep(c, false);
            sweep_ns = c->now_ns + SWEEP_NS;
            report_progress(c, &progress_ns);
        }
    }
    sweep(c, true);
    for (size_t i = 0; i < c->retry_count; i++)
        c->outcomes[c->retries[i].request].error = LOAD_TIMEOUT;
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static bool client_init(struct client *c)
{
    size_t count = c->requests->count;
    c->conn_count = c->options->mode == LOAD_BURST ? count : c->options->connections;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->conns = calloc(c->conn_count, sizeof(*c->conns));
    c->free_conns = calloc(c->conn_count, sizeof(*c->free_conns));
    c->retries = calloc(count, sizeof(*c->retries));
    c->due_ns = calloc(count, sizeof(*c->due_ns));
    if (c->epoll < 0 || !c->conns || !c->free_conns || !c->retries || !c->due_ns)
        return false;
    for (size_t i = 0; i < c->conn_count; i++)
        c->conns[i] = (struct conn){.fd = -1, .request = NO_REQUEST};
    for (size_t i = c->conn_count; i-- > 0;) {
        c->free_conns[c->free_count++] = i;
        if (!(c->conns[i].in = malloc(LOAD_REPLY_MAX_BYTES)))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        c->outcomes[i] = (struct load_outcome){.error = LOAD_UNSENT};
    if (getrandom(&c->random_state, sizeof(c->random_state), 0) < 0)
        return false;
    c->random_state |= 1;
    return true;
}

static void client_done(struct client *c)
{
    for (size_t i = 0; c->conns && i < c->conn_count; i++) {
        conn_close(c, &c->conns[i]);
        free(c->conns[i].in);
    }
    if (c->epoll >= 0)
        close(c->epoll);
    free(c->conns);
    free(c->free_conns);
    free(c->retries);
    free(c->due_ns);
}

bool load_client_run(const struct load_options *options, const struct load_requests *requests,
                     struct load_outcome *outcomes, struct load_run *ret)
{
    struct client c = {.options = options, .requests = requests, .outcomes = outcomes};
    bool good = client_init(&c);
    if (good) {
        static const char *const modes[] = {"closed", "open", "burst"};
        int64_t cpu_before_us = cpu_us();
        run(&c);
        *ret = (struct load_run){
            .mode = modes[options->mode],
            .outcomes = outcomes,
            .count = requests->count,
            .connections = c.open_most,
            .elapsed_us = (c.last_done_ns - c.start_ns) / NS_PER_US,
            .cpu_us = cpu_us() - cpu_before_us,
        };
    } else {
        perror("loadgen");
    }
    client_done(&c);
    return good;
}
