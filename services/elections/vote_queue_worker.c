/*
 * vote_queue_worker.c - records the votes that waited in the queue
 *
 * One thread an instance, one vote at a time, and only while nobody waits for a connection: votes
 * that come directly go first. A message is acknowledged when its outcome is stored and not before,
 * so whatever dies in between, it is delivered again, and the SQL function knows the receipt.
 * Poison, which no key of ours opens or the database finds malformed, is put aside on the dead
 * topic: nothing is thrown away, and nothing blocks the votes behind it.
 */
#include "vote_queue.h"

#include "ops/log.h"

#include <pthread.h>

#define WORKER_ARENA_BYTES (4U << 20)
#define IDLE_MS            500
#define TROUBLE_MS         1000
#define CALL_MS            5000
#define GIVE_WAY_MS        20
#define GIVE_WAYS_MAX      50

const struct pg_statement sql_record_queued_vote = {
    .name = "record_queued_vote",
    .sql = "select code from elections.record_queued_vote($1::uuid, $2::bytea, $3::text, $4::text, "
           "$5::uuid, $6::timestamptz, $7::bytea, $8::bytea, $9::bytea)",
};

enum fate {
    FATE_DONE,  /* the outcome is stored */
    FATE_ASIDE, /* poison */
    FATE_LATER, /* deliver it again */
};

struct vote_queue_worker {
    struct vote_queue *q;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
};

/* False when the thread is to end. */
static bool rest(struct vote_queue_worker *w, int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    bool go_on;

    pthread_mutex_lock(&w->lock);
    while (!w->stop && ms > 0 && clock_cond_wait_until(&w->stopped, &w->lock, until_ms))
        continue;
    go_on = !w->stop;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

/* Votes that come directly hold up the queue, but not for ever. */
static bool give_way(struct vote_queue_worker *w)
{
    struct pg_pool_stats stats;

    for (unsigned i = 0; i < GIVE_WAYS_MAX; i++) {
        pg_pool_get_stats(w->q->pool, &stats);
        if (stats.waiting == 0)
            break;
        if (!rest(w, GIVE_WAY_MS))
            return false;
    }
    return rest(w, 0);
}

/* The database answers, or what we pull would only go back. */
static bool database_answers(struct vote_queue_worker *w, struct arena *a)
{
    static const unsigned char nobodys[SHA256_BYTES];
    const struct pg_param params[] = {
        PG_TEXT(STR("00000000-0000-0000-0000-000000000000")),
        PG_BYTES(str_n((const char *)nobodys, sizeof nobodys)),
    };
    struct pg_result row = {0};
    struct error e = {0};

    return pg_call(w->q->pool, &sql_queued_vote_status, params, ARRAY_LEN(params), a,
                   clock_mono_ms() + CALL_MS, &row, &e);
}

static struct pg_param bytes_or_null(bool there, const unsigned char hash[SHA256_BYTES])
{
    return there ? PG_BYTES(str_n((const char *)hash, SHA256_BYTES)) : PG_NULL;
}

static enum fate record(struct vote_queue *q, struct str sealed, struct arena *a)
{
    struct queued_vote v;
    struct pg_result row = {0};
    struct error e = {0};

    if (!queued_vote_open(sealed, &q->keys, a, &v))
        return FATE_ASIDE;

    const struct pg_param params[] = {
        PG_TEXT(v.org_id),
        PG_BYTES(str_n((const char *)v.receipt_hash, sizeof v.receipt_hash)),
        PG_TEXT(v.token_hash),
        PG_TEXT(v.answer),
        PG_TEXT(v.ballot_id),
        PG_TEXT(v.arrived),
        bytes_or_null(v.has_idempotency, v.idem_key),
        bytes_or_null(v.has_idempotency, v.idem_fingerprint),
        v.has_idempotency ? PG_BYTES(v.idem_reply) : PG_NULL,
    };

    if (pg_call(q->pool, &sql_record_queued_vote, params, ARRAY_LEN(params), a,
                clock_mono_ms() + CALL_MS, &row, &e)) {
        metric_add(str_eq_text(pg_get(&row, 0, 0), "accepted") ? q->recorded : q->refused, 1);
        return FATE_DONE;
    }
    if (e.code == ERR_BAD_REQUEST)
        return FATE_ASIDE; /* class 22: it will be malformed the next time, too */
    log_warning("a queued vote was not recorded yet", LOG_TEXT("reason", str_from(e.detail)));
    return FATE_LATER;
}

static enum fate put_aside(struct vote_queue *q, struct str sealed, struct arena *a)
{
    struct error e = {0};

    if (!pubsub_publish(q->pubsub, q->settings->vote_queue_dead_topic, sealed, a,
                        clock_mono_ms() + CALL_MS, &e)) {
        log_error("a message of the vote queue cannot be read, nor put aside",
                  LOG_TEXT("reason", str_from(e.detail)));
        return FATE_LATER;
    }
    metric_add(q->poison, 1);
    log_error("a message of the vote queue cannot be read and was put aside",
              LOG_TEXT("topic", str_from(q->settings->vote_queue_dead_topic)));
    return FATE_DONE;
}

/* How long to rest before the next. */
static int64_t work(struct vote_queue_worker *w, struct arena *a)
{
    struct vote_queue *q = w->q;
    const char *subscription = q->settings->vote_queue_subscription;
    struct pubsub_message messages[PUBSUB_BATCH_MAX];
    struct str done[PUBSUB_BATCH_MAX], later[PUBSUB_BATCH_MAX];
    size_t count = 0, done_count = 0, later_count = 0;
    struct error e = {0};

    if (!database_answers(w, a))
        return TROUBLE_MS;
    if (!pubsub_pull(q->pubsub, subscription, a, clock_mono_ms() + CALL_MS, messages, &count, &e)) {
        log_warning("the vote queue gave nothing", LOG_TEXT("reason", str_from(e.detail)));
        return TROUBLE_MS;
    }
    for (size_t i = 0; i < count; i++) {
        enum fate fate = FATE_LATER;

        /* After one that has to wait the rest waits with it, and all go back at once. */
        if (later_count == 0 && give_way(w))
            fate = record(q, messages[i].data, a);
        if (fate == FATE_ASIDE)
            fate = put_aside(q, messages[i].data, a);
        if (fate == FATE_DONE)
            done[done_count++] = messages[i].ack_id;
        else
            later[later_count++] = messages[i].ack_id;
    }
    metric_add(q->postponed, later_count);
    if (!pubsub_acknowledge(q->pubsub, subscription, done, done_count, a, clock_mono_ms() + CALL_MS,
                            &e) ||
        !pubsub_release(q->pubsub, subscription, later, later_count, a, clock_mono_ms() + CALL_MS,
                        &e))
        log_warning("the vote queue will deliver again",
                    LOG_TEXT("reason", str_from(e.detail))); /* which does no harm */
    if (later_count > 0)
        return TROUBLE_MS;
    return count > 0 ? 0 : IDLE_MS;
}

static void *worker_main(void *arg)
{
    struct vote_queue_worker *w = arg;
    struct arena *a = arena_new(WORKER_ARENA_BYTES);
    int64_t wait_ms = 0;

    while (rest(w, wait_ms)) {
        wait_ms = work(w, a);
        arena_reset(a);
    }
    arena_free(a);
    return NULL;
}

struct vote_queue_worker *vote_queue_worker_start(struct vote_queue *q)
{
    struct vote_queue_worker *w = calloc(1, sizeof *w);

    must(w);
    w->q = q;
    pthread_mutex_init(&w->lock, NULL);
    clock_cond_init(&w->stopped);
    must(pthread_create(&w->thread, NULL, worker_main, w) == 0);
    return w;
}

void vote_queue_worker_stop(struct vote_queue_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->stopped);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->stopped);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
