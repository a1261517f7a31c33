/*
 * sweep.c - closes elections whose end has passed and removes what has expired
 *
 * Whoever asks first after the end closes an election anyway; this thread makes it happen when
 * nobody asks. It waits a little more or less than the interval, so that instances do not meet.
 */
#include "elections.h"

#include "base/clock.h"
#include "ops/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CLOSE_MAX         20
#define SWEEP_MAX         "1000"
#define CALL_TIME_MS      10000
#define STOP_TIME_MS      5000
#define SWEEP_ARENA_BYTES (1U << 20)

const struct pg_statement sql_close_due = {
    .name = "close_due",
    .sql = "select closed from elections.close_due($1::int)",
    .long_running = true,
};
const struct pg_statement sql_sweep = {
    .name = "sweep",
    .sql = "select nonces, idempotency from elections.sweep($1::int)",
};

struct sweeper {
    struct pg_pool *pool;
    int64_t interval_s;
    int64_t close_timeout_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, ended;
};

/* Between three quarters and five quarters of the interval. */
static int64_t next_wait_ms(const struct sweeper *s)
{
    uint32_t half_ms = (uint32_t)(s->interval_s * 500);

    return s->interval_s * 750 + (int64_t)random_below(half_ms + 1);
}

/* False when the thread is to end. */
static bool wait_for_turn(struct sweeper *s, int64_t wait_ms)
{
    int64_t until_ms = clock_mono_ms() + wait_ms;
    bool go_on;

    pthread_mutex_lock(&s->lock);
    while (!s->stop && clock_cond_wait_until(&s->changed, &s->lock, until_ms))
        continue;
    go_on = !s->stop;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static bool call(struct sweeper *s, const struct pg_statement *statement, const char *most,
                 int64_t time_ms, struct arena *a, struct pg_result *row)
{
    const struct pg_param params[] = {pg_param_text(most)};
    struct error e = {0};

    if (pg_call(s->pool, statement, params, ARRAY_LEN(params), a, clock_mono_ms() + time_ms, row,
                &e))
        return true;
    log_warning("sweep failed", LOG_TEXT("statement", str_from(statement->name)),
                LOG_TEXT("reason", str_from(e.detail)));
    return false;
}

static void sweep_once(struct sweeper *s, struct arena *a)
{
    struct pg_result row = {0};
    int closed = 0;

    /* Each in a transaction of its own: a large one keeps neither the others nor the audit trail.
     */
    while (closed < CLOSE_MAX && wait_for_turn(s, 0) &&
           call(s, &sql_close_due, "1", s->close_timeout_ms, a, &row) && pg_get_i64(&row, 0, 0) > 0)
        closed++;
    if (closed > 0)
        log_info("closed elections whose end had passed", LOG_I64("elections", closed));
    if (call(s, &sql_sweep, SWEEP_MAX, CALL_TIME_MS, a, &row) &&
        pg_get_i64(&row, 0, 0) + pg_get_i64(&row, 0, 1) > 0)
        log_info("removed what had expired", LOG_I64("nonces", pg_get_i64(&row, 0, 0)),
                 LOG_I64("idempotency", pg_get_i64(&row, 0, 1)));
}

static void *sweeper_main(void *context)
{
    struct sweeper *s = context;
    struct arena *a = arena_new(SWEEP_ARENA_BYTES);

    while (wait_for_turn(s, next_wait_ms(s))) {
        sweep_once(s, a);
        arena_reset(a);
    }
    arena_free(a);
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

struct sweeper *sweeper_start(struct pg_pool *pool, int64_t interval_s, int64_t close_timeout_ms)
{
    struct sweeper *s;

    if (interval_s == 0)
        return NULL;
    s = calloc(1, sizeof *s);
    must(s);
    s->pool = pool;
    s->interval_s = interval_s;
    s->close_timeout_ms = close_timeout_ms;
    pthread_mutex_init(&s->lock, NULL);
    clock_cond_init(&s->changed);
    must(pthread_create(&s->thread, NULL, sweeper_main, s) == 0);
    return s;
}

void sweeper_stop(struct sweeper *s)
{
    int64_t until_ms = clock_mono_ms() + STOP_TIME_MS;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->changed);
    while (!s->ended && clock_cond_wait_until(&s->changed, &s->lock, until_ms))
        continue;
    /* All replies are out. What is still being closed goes on in the database without us. */
    if (!s->ended)
        _exit(0);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
