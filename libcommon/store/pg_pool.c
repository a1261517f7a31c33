#include "store/pg_pool.h"

#include "base/clock.h"
#include "base/encode.h"
#include "base/trace.h"
#include "store/pg_conn.h"

#include <pthread.h>

#define POOL_SIZE_MAX      64
#define CONNECT_TIMEOUT_MS 2000
/* A caller with almost no time left proves nothing about the server. */
#define CONNECT_VERDICT_MS 500
/* Jittered 100 ms .. 1 s: a dead server is not hammered, one that is back is found within 1 s. */
#define RECONNECT_FLOOR_MS 100
#define RECONNECT_RANGE_MS 900

/* What the head of the queue is given. A turn is a seat in the pool; it comes with a connection
 * that was idle, or without one, and then the caller connects. */
enum turn { TURN_WAITING, TURN_CONNECTION, TURN_EMPTY_SEAT, TURN_REFUSED };

struct waiter {
    struct waiter *next;
    pthread_cond_t wake;
    enum turn turn;
    struct pg_conn *conn;
};

struct idle_conn {
    struct pg_conn *conn;
    int64_t since_ms;
};

/* Invariant under the lock: while anybody waits, no connection is idle. */
struct pg_pool {
    struct pg_pool *self; /* reaches the lock from const views */
    struct pg_pool_config config;
    pthread_mutex_t lock;
    pthread_cond_t all_idle;
    struct waiter *first, *last;
    struct idle_conn idle[POOL_SIZE_MAX]; /* a stack: the warm ones on top, the oldest at 0 */
    unsigned idle_count;
    unsigned open;  /* seats taken: idle, in use, or connecting */
    unsigned users; /* calls between entry and exit */
    unsigned connect_failures_in_a_row;
    int64_t connect_not_before_ms;
    struct error connect_error; /* of the last failed connect */
    struct pg_pool_stats stats;
};

static void lock(struct pg_pool *p)
{
    must(pthread_mutex_lock(&p->lock) == 0);
}

static void unlock(struct pg_pool *p)
{
    must(pthread_mutex_unlock(&p->lock) == 0);
}

/* ---- Life ---- */

static const char *dup_text(const char *text)
{
    char *copy = strdup(text != NULL ? text : "");
    must(copy != NULL);
    return copy;
}

struct pg_pool *pg_pool_new(const struct pg_pool_config *config)
{
    must(config->size >= 1 && config->size <= POOL_SIZE_MAX);
    /* 0 would mean "no limit" to the server. */
    must(config->statement_timeout_ms > 0 && config->lock_timeout_ms > 0);

    struct pg_pool *p = calloc(1, sizeof(*p));
    must(p != NULL);
    p->self = p;
    p->config = *config;
    p->config.host = dup_text(config->host);
    p->config.database = dup_text(config->database);
    p->config.user = dup_text(config->user);
    p->config.password = dup_text(config->password);
    p->config.application_name = dup_text(config->application_name);
    must(pthread_mutex_init(&p->lock, NULL) == 0);
    must(pthread_cond_init(&p->all_idle, NULL) == 0);
    return p;
}

static void free_text(const char *text)
{
    union {
        const char *borrowed;
        char *owned;
    } u = {.borrowed = text};
    explicit_bzero(u.owned, strlen(u.owned));
    free(u.owned);
}

void pg_pool_free(struct pg_pool *p)
{
    if (p == NULL)
        return;
    lock(p);
    while (p->users > 0)
        must(pthread_cond_wait(&p->all_idle, &p->lock) == 0);
    must(p->first == NULL && p->open == p->idle_count);
    unlock(p);

    for (unsigned i = 0; i < p->idle_count; i++)
        pg_conn_close(p->idle[i].conn);
    must(pthread_mutex_destroy(&p->lock) == 0);
    must(pthread_cond_destroy(&p->all_idle) == 0);
    free_text(p->config.host);
    free_text(p->config.database);
    free_text(p->config.user);
    free_text(p->config.password);
    free_text(p->config.application_name);
    free(p);
}

/* ---- The queue ---- */

static struct waiter *queue_pop(struct pg_pool *p)
{
    struct waiter *w = p->first;
    p->first = w->next;
    if (p->first == NULL)
        p->last = NULL;
    return w;
}

static void queue_push(struct pg_pool *p, struct waiter *w)
{
    if (p->last != NULL)
        p->last->next = w;
    else
        p->first = w;
    p->last = w;
}

static void queue_remove(struct pg_pool *p, const struct waiter *gone)
{
    struct waiter *before = NULL;
    for (struct waiter *w = p->first; w != gone; w = w->next)
        before = w;
    if (before != NULL)
        before->next = gone->next;
    else
        p->first = gone->next;
    if (p->last == gone)
        p->last = before;
}

/* Serves the queue in order of arrival, as far as there is something to give. Under the lock. */
static void dispatch(struct pg_pool *p, int64_t now_ms)
{
    while (p->first != NULL) {
        enum turn turn;
        struct pg_conn *conn = NULL;
        if (p->idle_count > 0) {
            turn = TURN_CONNECTION;
            conn = p->idle[--p->idle_count].conn;
        } else if (p->open < p->config.size && now_ms >= p->connect_not_before_ms) {
            turn = TURN_EMPTY_SEAT;
            p->open++;
        } else if (p->open == 0) {
            turn = TURN_REFUSED;
        } else {
            return;
        }
        struct waiter *w = queue_pop(p);
        w->turn = turn;
        w->conn = conn;
        must(pthread_cond_signal(&w->wake) == 0);
    }
}

static void wait_for_turn(struct pg_pool *p, struct waiter *w, int64_t deadline_ms)
{
    int64_t began_us = clock_mono_us();
    p->stats.waits++;
    p->stats.waiting++;
    while (w->turn == TURN_WAITING && clock_cond_wait_until(&w->wake, &p->lock, deadline_ms))
        continue;
    p->stats.waiting--;
    p->stats.wait_us_total += clock_mono_us() - began_us;
    if (w->turn == TURN_WAITING)
        queue_remove(p, w);
}

static enum turn take_turn(struct pg_pool *p, int64_t deadline_ms, struct pg_conn **ret_conn,
                           struct error *e)
{
    struct waiter w = {.turn = TURN_WAITING};
    clock_cond_init(&w.wake);
    lock(p);
    queue_push(p, &w);
    dispatch(p, clock_mono_ms());
    if (w.turn == TURN_WAITING)
        wait_for_turn(p, &w, deadline_ms);
    if (w.turn == TURN_WAITING) {
        p->stats.acquire_timeouts++;
        (void)error_set(e, ERR_UNAVAILABLE, "no database connection became free in time");
    } else if (w.turn == TURN_REFUSED && e != NULL) {
        *e = p->connect_error;
    }
    unlock(p);
    must(pthread_cond_destroy(&w.wake) == 0);
    *ret_conn = w.conn;
    return w.turn;
}

/* ---- Seats ---- */

static void seat_give_up(struct pg_pool *p)
{
    lock(p);
    p->open--;
    dispatch(p, clock_mono_ms());
    unlock(p);
}

static void drop(struct pg_pool *p, struct pg_conn *c)
{
    pg_conn_close(c);
    lock(p);
    p->stats.dropped++;
    unlock(p);
}

static int64_t reconnect_delay_ms(unsigned failures_before)
{
    uint32_t range_ms = RECONNECT_RANGE_MS;
    if (failures_before < 3)
        range_ms = (uint32_t)RECONNECT_FLOOR_MS << failures_before;
    return RECONNECT_FLOOR_MS + random_below(range_ms + 1);
}

static void note_connect_failure(struct pg_pool *p, int64_t allowed_ms, const struct error *why)
{
    lock(p);
    p->stats.connect_failures++;
    p->connect_error = *why;
    if (allowed_ms >= CONNECT_VERDICT_MS) {
        p->connect_not_before_ms =
            clock_mono_ms() + reconnect_delay_ms(p->connect_failures_in_a_row++);
    }
    unlock(p);
}

static void note_connect_success(struct pg_pool *p)
{
    lock(p);
    p->stats.connects++;
    p->connect_failures_in_a_row = 0;
    p->connect_not_before_ms = 0;
    unlock(p);
}

static struct pg_conn *fill_seat(struct pg_pool *p, int64_t deadline_ms, struct error *e)
{
    struct error why = {.code = ERR_NONE};
    int64_t allowed_ms = clock_left_ms(deadline_ms);
    if (allowed_ms > CONNECT_TIMEOUT_MS)
        allowed_ms = CONNECT_TIMEOUT_MS;
    struct pg_conn *c = pg_conn_open(&p->config, clock_mono_ms() + allowed_ms, &why);
    if (c != NULL) {
        note_connect_success(p);
        return c;
    }
    note_connect_failure(p, allowed_ms, &why);
    if (e != NULL)
        *e = why;
    return NULL;
}

/* True when a connect that failed may be followed by waiting for a connection of somebody else. */
static bool others_live(struct pg_pool *p)
{
    lock(p);
    bool live = p->open > 1;
    unlock(p);
    return live;
}

/*
 * A connection that was alive a moment ago, or a new one. *ret_fresh tells which. NULL: `e` says
 * why, and no seat is held.
 */
static struct pg_conn *acquire(struct pg_pool *p, int64_t deadline_ms, bool *ret_fresh,
                               struct error *e)
{
    int64_t wait_until_ms = clock_mono_ms() + p->config.acquire_timeout_ms;
    if (wait_until_ms > deadline_ms)
        wait_until_ms = deadline_ms;

    for (;;) {
        struct pg_conn *c = NULL;
        enum turn turn = take_turn(p, wait_until_ms, &c, e);
        if (turn == TURN_WAITING || turn == TURN_REFUSED)
            return NULL;
        *ret_fresh = false;
        if (c != NULL && pg_conn_is_alive(c))
            return c;
        if (c != NULL)
            drop(p, c);
        *ret_fresh = true;
        c = fill_seat(p, deadline_ms, e);
        if (c != NULL)
            return c;
        bool again = others_live(p) && clock_left_ms(wait_until_ms) > 0;
        seat_give_up(p);
        if (!again)
            return NULL;
    }
}

/* The oldest connection when it was idle for too long; the caller closes it. Under the lock. */
static struct pg_conn *take_expired(struct pg_pool *p, int64_t now_ms)
{
    if (p->idle_count == 0 || now_ms - p->idle[0].since_ms < p->config.idle_close_ms)
        return NULL;
    struct pg_conn *c = p->idle[0].conn;
    p->idle_count--;
    memmove(&p->idle[0], &p->idle[1], p->idle_count * sizeof(p->idle[0]));
    p->open--;
    return c;
}

static void release(struct pg_pool *p, struct pg_conn *c)
{
    if (!pg_conn_is_reusable(c)) {
        drop(p, c);
        seat_give_up(p);
        return;
    }
    int64_t now_ms = clock_mono_ms();
    lock(p);
    p->idle[p->idle_count++] = (struct idle_conn){c, now_ms};
    dispatch(p, now_ms);
    struct pg_conn *expired = take_expired(p, now_ms);
    unlock(p);
    pg_conn_close(expired);
}

void pg_pool_reap_idle(struct pg_pool *p)
{
    struct pg_conn *expired;
    do {
        lock(p);
        expired = take_expired(p, clock_mono_ms());
        unlock(p);
        pg_conn_close(expired);
    } while (expired != NULL);
}

/* ---- Calls ---- */

static void enter(struct pg_pool *p, bool is_call)
{
    lock(p);
    p->users++;
    if (is_call)
        p->stats.calls++;
    unlock(p);
}

static void leave(struct pg_pool *p, const char *sqlstate)
{
    lock(p);
    if (strcmp(sqlstate, "55P03") == 0)
        p->stats.lock_refusals++;
    if (strcmp(sqlstate, "57014") == 0)
        p->stats.statement_timeouts++;
    p->users--;
    if (p->users == 0)
        must(pthread_cond_broadcast(&p->all_idle) == 0);
    unlock(p);
}

bool pg_pool_check(struct pg_pool *p, int64_t deadline_ms, struct error *e)
{
    enter(p, false);
    bool ok = false;
    bool fresh = false;
    struct pg_conn *c = acquire(p, deadline_ms, &fresh, e);
    if (c != NULL) {
        ok = fresh || pg_conn_ping(c, deadline_ms, e);
        release(p, c);
    }
    leave(p, "");
    return ok;
}

bool pg_call(struct pg_pool *p, const struct pg_statement *statement, const struct pg_param *params,
             size_t param_count, struct arena *a, int64_t deadline_ms, struct pg_result *ret,
             struct error *e)
{
    *ret = (struct pg_result){.sqlstate = ""};
    struct pg_values values;
    if (!pg_values_fill(&values, params, param_count, a, e))
        return false;

    int64_t span_us = span_begin();
    enter(p, true);
    bool ok = false;
    bool fresh = false;
    struct pg_conn *c = acquire(p, deadline_ms, &fresh, e);
    if (c == NULL) {
        /* Whatever keeps us from connecting is no fault of this request. */
        if (e != NULL)
            e->code = ERR_UNAVAILABLE;
    } else {
        if (clock_left_ms(deadline_ms) > 0)
            ok = pg_conn_call(c, statement, &values, a, deadline_ms, ret, e);
        else
            (void)error_set(e, ERR_UNAVAILABLE, "statement %s: no time left", statement->name);
        release(p, c);
    }
    leave(p, ret->sqlstate);
    span_end(span_us, SPAN_SQL, statement->name,
             ok          ? ERR_NONE
             : e != NULL ? e->code
                         : ERR_INTERNAL);
    return ok;
}

bool pg_call_again(struct pg_pool *p, const struct pg_statement *statement,
                   const struct pg_param *params, size_t param_count, struct arena *a,
                   int64_t deadline_ms, struct pg_result *ret, struct error *e)
{
    return pg_call(p, statement, params, param_count, a, deadline_ms, ret, e) ||
           (ret->outcome_unknown &&
            pg_call(p, statement, params, param_count, a, deadline_ms, ret, e));
}

void pg_pool_get_stats(const struct pg_pool *pool, struct pg_pool_stats *ret)
{
    struct pg_pool *p = pool->self;
    lock(p);
    *ret = p->stats;
    ret->size = p->config.size;
    ret->open = p->open;
    ret->in_use = p->open - p->idle_count;
    unlock(p);
}
