/*
 * jwks_report.c - this instance's key-cache figures, where healthz finds them (M-F47)
 *
 * A document per instance in jwks_stats, written by a thread of its own some seconds after a figure
 * has changed and once more at the end, never on a login's path. healthz adds up what the last
 * day's instances wrote; Firestore's TTL on expiresAt removes older ones.
 */
#include "handlekenniauth.h"

#include "base/clock.h"
#include "cloud/firestore.h"
#include "ops/log.h"

#include <pthread.h>

#define KEPT_MS          86400000LL
#define WRITE_TIMEOUT_MS 2000

struct jwks_report {
    struct firestore *fs;
    struct provider *provider;
    int64_t interval_ms;
    int64_t started_unix_ms;
    char id[21];
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool dirty, stop;
};

static cJSON *figures(const struct jwks_report *r, struct arena *a)
{
    struct provider_stats s;
    cJSON *fields = fs_fields(a);

    provider_get_stats(r->provider, &s);
    fs_add_text(fields, "service", "handlekenniauth");
    fs_add_i64(fields, "hits", (int64_t)s.hits);
    fs_add_i64(fields, "misses", (int64_t)s.misses);
    fs_add_i64(fields, "size", (int64_t)s.size);
    fs_add_i64(fields, "failures", (int64_t)(s.failures + s.key_failures));
    fs_add_i64(fields, "keyFetches", (int64_t)s.key_fetches);
    fs_add_i64(fields, "keys", (int64_t)s.keys);
    fs_add_time_ms(fields, "startedAt", r->started_unix_ms);
    fs_add_time_ms(fields, "expiresAt", clock_unix_ms() + KEPT_MS);
    return fields;
}

static bool write_figures(const struct jwks_report *r, struct arena *a)
{
    const struct fs_write write = {
        .kind = FS_SET,
        .path = arena_printf(a, "jwks_stats/%s", r->id),
        .fields = figures(r, a),
        .server_times = {"updatedAt"},
    };
    struct error e = {0};

    if (firestore_commit(r->fs, &write, 1, NULL, a, clock_mono_ms() + WRITE_TIMEOUT_MS, NULL, &e))
        return true;
    log_warning("key-cache figures not written", LOG_TEXT("reason", str_from(e.detail)));
    return false;
}

/* Under the lock: until there is something to write, or the end. */
static void wait_for_change(struct jwks_report *r)
{
    while (!r->dirty && !r->stop)
        must(pthread_cond_wait(&r->changed, &r->lock) == 0);
}

static void wait_interval(struct jwks_report *r)
{
    int64_t until_ms = clock_mono_ms() + r->interval_ms;

    while (!r->stop && clock_cond_wait_until(&r->changed, &r->lock, until_ms))
        continue;
}

static void *report_main(void *arg)
{
    struct jwks_report *r = arg;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    bool written, stop = false;

    must(pthread_mutex_lock(&r->lock) == 0);
    while (!stop) {
        wait_for_change(r);
        wait_interval(r);
        stop = r->stop;
        if (!r->dirty)
            continue;
        r->dirty = false;
        must(pthread_mutex_unlock(&r->lock) == 0);
        written = write_figures(r, a);
        arena_reset(a);
        must(pthread_mutex_lock(&r->lock) == 0);
        if (!written)
            r->dirty = true;
    }
    must(pthread_mutex_unlock(&r->lock) == 0);
    arena_free(a);
    return NULL;
}

struct jwks_report *jwks_report_new(struct firestore *fs, struct provider *provider,
                                    int64_t interval_ms)
{
    struct jwks_report *r = calloc(1, sizeof *r);

    must(r);
    r->fs = fs;
    r->provider = provider;
    r->interval_ms = interval_ms;
    r->started_unix_ms = clock_unix_ms();
    firestore_auto_id(r->id);
    must(pthread_mutex_init(&r->lock, NULL) == 0);
    clock_cond_init(&r->changed);
    must(pthread_create(&r->thread, NULL, report_main, r) == 0);
    return r;
}

void jwks_report_touch(struct jwks_report *r)
{
    must(pthread_mutex_lock(&r->lock) == 0);
    if (!r->dirty) {
        r->dirty = true;
        must(pthread_cond_signal(&r->changed) == 0);
    }
    must(pthread_mutex_unlock(&r->lock) == 0);
}

void jwks_report_free(struct jwks_report *r)
{
    if (!r)
        return;
    must(pthread_mutex_lock(&r->lock) == 0);
    r->stop = true;
    must(pthread_cond_signal(&r->changed) == 0);
    must(pthread_mutex_unlock(&r->lock) == 0);
    must(pthread_join(r->thread, NULL) == 0);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
