/* account_cache.c - see account_cache.h */
#include "service/account_cache.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS        1024 /* a power of two */
#define ARENA_BYTES    (4U << 20)
#define RETRY_AFTER_MS 2000   /* an answer that is not whole is asked for again this soon */
#define KEEP_WARM_MS   600000 /* after somebody's last request */
#define KEEPER_NAP_MS  500

struct entry {
    struct entry *next;          /* of the bucket */
    struct entry *newer, *older; /* by last use */
    char uid[UID_MAX_BYTES + 1];
    char kennitala[KENNITALA_SIZE];
    struct account account;
    int64_t asked_ms, used_ms; /* asked_ms 0: never */
    bool asking;
    unsigned waiting;
};

struct account_cache {
    struct account_cache_config config;
    pthread_mutex_t lock;   /* guards all below */
    pthread_cond_t changed; /* an answer came, or the end */
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest;
    struct account_cache_stats stats;
    bool stop, has_keeper;
    pthread_t keeper;
};

/* --- the table --- */

/* FNV-1a: the keys are proven by Google's signature, nobody chooses them to collide. */
static struct entry **bucket_of(struct account_cache *c, struct str uid)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < uid.len; i++)
        hash = (hash ^ (unsigned char)uid.ptr[i]) * 16777619U;
    return &c->buckets[hash & (BUCKETS - 1)];
}

static void unlink_use(struct account_cache *c, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &c->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &c->oldest) = entry->newer;
}

static void link_newest(struct account_cache *c, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = entry;
    c->newest = entry;
}

static void evict(struct account_cache *c, struct entry *entry)
{
    struct entry **at = bucket_of(c, str_from(entry->uid));

    while (*at && *at != entry)
        at = &(*at)->next;
    must(*at == entry);
    *at = entry->next;
    unlink_use(c, entry);
    free(entry);
    c->stats.accounts--;
    c->stats.evictions++;
}

static void make_room(struct account_cache *c)
{
    struct entry *entry = c->oldest;

    while (entry && c->stats.accounts >= c->config.accounts_max) {
        struct entry *newer = entry->newer;

        if (!entry->asking && entry->waiting == 0)
            evict(c, entry);
        entry = newer;
    }
}

static struct entry *find_or_add(struct account_cache *c, struct str uid, const char *kennitala)
{
    struct entry **bucket = bucket_of(c, uid), *entry = *bucket;

    while (entry && !(str_eq_text(uid, entry->uid) && strcmp(kennitala, entry->kennitala) == 0))
        entry = entry->next;
    if (entry) {
        unlink_use(c, entry);
        link_newest(c, entry);
        return entry;
    }
    make_room(c);
    entry = calloc(1, sizeof *entry);
    must(entry);
    must(str_copy(uid, entry->uid, sizeof entry->uid));
    must(str_copy(str_from(kennitala), entry->kennitala, sizeof entry->kennitala));
    entry->next = *bucket;
    *bucket = entry;
    link_newest(c, entry);
    c->stats.accounts++;
    return entry;
}

/* --- asking --- */

static bool is_whole(const struct account *a)
{
    return a->auth_known && a->records_known;
}

static bool is_fresh(const struct account_cache *c, const struct entry *entry, int64_t now_ms)
{
    int64_t keep_ms = c->config.keep_ms;

    if (!is_whole(&entry->account) && keep_ms > RETRY_AFTER_MS)
        keep_ms = RETRY_AFTER_MS;
    return entry->asked_ms != 0 && now_ms - entry->asked_ms < keep_ms;
}

/* What could not be asked this time stays as it was, but is known no longer. */
static void merge(struct account *known, const struct account *answer)
{
    struct account old = *known;

    *known = *answer;
    if (!answer->auth_known) {
        known->disabled = old.disabled;
        known->valid_since_s = old.valid_since_s;
    }
    known->records_seen = answer->records_known || old.records_seen;
    if (!answer->records_known) {
        known->is_active = old.is_active;
        known->is_admin = old.is_admin;
        known->is_superuser = old.is_superuser;
    }
}

/* Called and left with the lock held; without it in between. */
static void ask(struct account_cache *c, struct entry *entry, int64_t now_ms, int64_t deadline_ms,
                bool keep_when_failed)
{
    struct arena *a = arena_new(ARENA_BYTES);
    struct account answer = {0};

    entry->asking = true;
    c->stats.look_ups++;
    pthread_mutex_unlock(&c->lock);
    c->config.look_up(c->config.context, str_from(entry->uid), entry->kennitala, a, deadline_ms,
                      &answer);
    arena_free(a);
    pthread_mutex_lock(&c->lock);
    entry->asking = false;
    if (!is_whole(&answer))
        c->stats.failures++;
    if (is_whole(&answer) || !keep_when_failed) {
        merge(&entry->account, &answer);
        entry->asked_ms = now_ms;
    }
    pthread_cond_broadcast(&c->changed);
}

/* False when the deadline came first. */
static bool wait_for_other(struct account_cache *c, struct entry *entry, int64_t deadline_ms)
{
    entry->waiting++;
    while (entry->asking && clock_cond_wait_until(&c->changed, &c->lock, deadline_ms))
        continue;
    entry->waiting--;
    return !entry->asking;
}

void account_cache_get(struct account_cache *c, struct str uid, const char *kennitala,
                       int64_t now_ms, int64_t deadline_ms, struct account *ret)
{
    struct entry *entry;
    bool answered = true;

    if (deadline_ms > now_ms + c->config.timeout_ms)
        deadline_ms = now_ms + c->config.timeout_ms;
    pthread_mutex_lock(&c->lock);
    entry = find_or_add(c, uid, kennitala);
    entry->used_ms = now_ms;
    if (!is_fresh(c, entry, now_ms)) {
        if (entry->asking)
            answered = wait_for_other(c, entry, deadline_ms);
        else
            ask(c, entry, now_ms, deadline_ms, false);
    }
    *ret = entry->account;
    if (!answered || entry->asked_ms == 0)
        ret->auth_known = ret->records_known = false;
    pthread_mutex_unlock(&c->lock);
}

/* --- the keeper --- */

static struct entry *next_to_refresh(struct account_cache *c, int64_t now_ms)
{
    for (struct entry *entry = c->newest; entry && now_ms - entry->used_ms < KEEP_WARM_MS;
         entry = entry->older) {
        if (!entry->asking && is_whole(&entry->account) &&
            now_ms - entry->asked_ms > c->config.keep_ms / 2)
            return entry;
    }
    return NULL;
}

static void *keeper_main(void *context)
{
    struct account_cache *c = context;

    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        int64_t now_ms = clock_mono_ms();
        struct entry *entry = next_to_refresh(c, now_ms);
        uint64_t failures = c->stats.failures;

        if (entry)
            ask(c, entry, now_ms, now_ms + c->config.timeout_ms, true);
        /* Nothing to do, or the other side is unwell: later. */
        if (!entry || c->stats.failures > failures)
            while (!c->stop && clock_cond_wait_until(&c->changed, &c->lock, now_ms + KEEPER_NAP_MS))
                continue;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* --- life --- */

struct account_cache *account_cache_new(const struct account_cache_config *config)
{
    struct account_cache *c = calloc(1, sizeof *c);

    must(c);
    c->config = *config;
    pthread_mutex_init(&c->lock, NULL);
    clock_cond_init(&c->changed);
    c->has_keeper = config->refresh && pthread_create(&c->keeper, NULL, keeper_main, c) == 0;
    if (config->refresh && !c->has_keeper) {
        account_cache_free(c);
        return NULL;
    }
    return c;
}

void account_cache_free(struct account_cache *c)
{
    if (!c)
        return;
    if (c->has_keeper) {
        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->keeper, NULL);
    }
    for (struct entry *entry = c->newest, *older; entry; entry = older) {
        older = entry->older;
        free(entry);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void account_cache_get_stats(struct account_cache *c, struct account_cache_stats *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->stats;
    pthread_mutex_unlock(&c->lock);
}
