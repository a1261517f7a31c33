#include "auth/rate_limit.h"
#include "base/encode.h"
#include "base/must.h"

#include <pthread.h>
#include <sodium.h>

#define SHARDS           16
#define SHARDING_MIN     1024 /* below it one shard, or chance would fill some of them early */
#define WINDOW_MAX_S     (31U * 24 * 3600)
#define IDLE_DROPS_MAX   8 /* idle keys let go per new key: more than come, and still bounded */
#define COUNT_MAX        (1U << 30) /* times a window in ms, twice, this stays within 64 bits */
#define NONE             0U /* place 0 of a shard is never used, so memory nobody touched means "none" */
#define KEY_HASH_BYTES   crypto_shorthash_siphashx24_BYTES
#define KEY_SECRET_BYTES crypto_shorthash_siphashx24_KEYBYTES

struct entry {
    unsigned char key[KEY_HASH_BYTES];
    uint64_t window; /* the one `current` counts */
    uint32_t current, previous;
    uint32_t chain;        /* next in bucket, or next free */
    uint32_t newer, older; /* by last use */
};

struct shard {
    pthread_mutex_t lock;
    struct entry *entries;
    uint32_t *buckets;
    uint32_t capacity, bucket_mask;
    uint32_t touched; /* entries ever used: those above cost no memory yet */
    uint32_t free_list, newest, oldest;
    uint32_t count;
};

struct rate_limiter {
    uint64_t limit, window_ms;
    unsigned char secret[KEY_SECRET_BYTES]; /* or chosen keys could share a bucket */
    unsigned shard_count;
    struct entry *entries; /* of all shards */
    uint32_t *buckets;
    struct shard shards[SHARDS];
};

/* Where now stands for one key. */
struct moment {
    uint64_t window;
    uint64_t elapsed_ms; /* in the window */
};

static uint32_t bucket_count(uint32_t capacity)
{
    uint32_t buckets = 1;
    while (buckets < capacity)
        buckets *= 2;
    return buckets;
}

static void shard_init(struct shard *s, uint32_t capacity, struct entry *entries, uint32_t *buckets)
{
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    s->entries = entries;
    s->buckets = buckets;
    s->capacity = capacity;
    s->bucket_mask = bucket_count(capacity) - 1;
    s->touched = 1;
}

struct rate_limiter *rate_limiter_new(unsigned limit, unsigned window_s, size_t keys_max)
{
    must(limit >= 1 && limit <= COUNT_MAX);
    must(window_s >= 1 && window_s <= WINDOW_MAX_S);
    must(keys_max >= 1 && keys_max <= 1U << 24);
    struct rate_limiter *l = calloc(1, sizeof(*l));
    must(l);
    l->limit = limit;
    l->window_ms = (uint64_t)window_s * 1000;
    random_bytes(l->secret, sizeof(l->secret));
    l->shard_count = keys_max < SHARDING_MIN ? 1 : SHARDS;
    uint32_t capacity = (uint32_t)(keys_max / l->shard_count);
    /* One piece each for all shards: that large, it is mapped as it is used, not as it is made. */
    l->entries = calloc((size_t)l->shard_count * (capacity + 1), sizeof(*l->entries));
    l->buckets = calloc((size_t)l->shard_count * bucket_count(capacity), sizeof(*l->buckets));
    must(l->entries && l->buckets);
    for (unsigned i = 0; i < l->shard_count; i++)
        shard_init(&l->shards[i], capacity, l->entries + (size_t)i * (capacity + 1),
                   l->buckets + (size_t)i * bucket_count(capacity));
    return l;
}

void rate_limiter_free(struct rate_limiter *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < l->shard_count; i++)
        pthread_mutex_destroy(&l->shards[i].lock);
    free(l->entries);
    free(l->buckets);
    free(l);
}

static struct shard *lock_shard(struct rate_limiter *l, struct str key,
                                unsigned char hash[KEY_HASH_BYTES])
{
    static const unsigned char empty[1] = {0};
    const unsigned char *bytes = key.len > 0 ? (const unsigned char *)key.ptr : empty;
    must(crypto_shorthash_siphashx24(hash, bytes, key.len, l->secret) == 0);
    struct shard *s = &l->shards[hash[0] % l->shard_count];
    must(pthread_mutex_lock(&s->lock) == 0);
    return s;
}

static void unlock_shard(struct shard *s)
{
    must(pthread_mutex_unlock(&s->lock) == 0);
}

static uint32_t *bucket_of(struct shard *s, const unsigned char hash[KEY_HASH_BYTES])
{
    uint32_t number = 0;
    memcpy(&number, hash + 4, sizeof(number));
    return &s->buckets[number & s->bucket_mask];
}

static struct entry *find_entry(struct shard *s, const unsigned char hash[KEY_HASH_BYTES])
{
    for (uint32_t i = *bucket_of(s, hash); i != NONE; i = s->entries[i].chain)
        if (memcmp(s->entries[i].key, hash, KEY_HASH_BYTES) == 0)
            return &s->entries[i];
    return NULL;
}

static uint32_t index_of(const struct shard *s, const struct entry *entry)
{
    return (uint32_t)(entry - s->entries);
}

static void unlink_use(struct shard *s, const struct entry *entry)
{
    if (entry->newer == NONE)
        s->newest = entry->older;
    else
        s->entries[entry->newer].older = entry->older;
    if (entry->older == NONE)
        s->oldest = entry->newer;
    else
        s->entries[entry->older].newer = entry->newer;
}

static void link_newest(struct shard *s, struct entry *entry)
{
    uint32_t at = index_of(s, entry);
    entry->newer = NONE;
    entry->older = s->newest;
    if (s->newest == NONE)
        s->oldest = at;
    else
        s->entries[s->newest].newer = at;
    s->newest = at;
}

static void drop_oldest(struct shard *s)
{
    uint32_t at = s->oldest;
    struct entry *entry = &s->entries[at];
    uint32_t *link = bucket_of(s, entry->key);
    while (*link != at)
        link = &s->entries[*link].chain;
    *link = entry->chain;
    unlink_use(s, entry);
    entry->chain = s->free_list;
    s->free_list = at;
    s->count--;
}

/* Two windows after its last count a key weighs nothing. Last use orders the list, so the idle are
 * always at its old end. */
static void make_room(struct shard *s, uint64_t window)
{
    for (int i = 0; i < IDLE_DROPS_MAX && s->oldest != NONE; i++) {
        if (s->entries[s->oldest].window + 1 >= window)
            break;
        drop_oldest(s);
    }
    if (s->count == s->capacity)
        drop_oldest(s);
}

static struct entry *add_entry(struct shard *s, const unsigned char hash[KEY_HASH_BYTES],
                               uint64_t window)
{
    make_room(s, window);
    uint32_t at = s->free_list;
    if (at != NONE)
        s->free_list = s->entries[at].chain;
    else
        at = s->touched++;
    must(at <= s->capacity);
    struct entry *entry = &s->entries[at];
    uint32_t *bucket = bucket_of(s, hash);
    memset(entry, 0, sizeof(*entry));
    memcpy(entry->key, hash, KEY_HASH_BYTES);
    entry->window = window;
    entry->chain = *bucket;
    *bucket = at;
    s->count++;
    link_newest(s, entry);
    return entry;
}

/* Moves the entry's counts to now. A clock that steps back stands still for the key instead. */
static struct moment advance(const struct rate_limiter *l, struct entry *entry, int64_t now_ms)
{
    uint64_t now = now_ms > 0 ? (uint64_t)now_ms : 0;
    struct moment m = {now / l->window_ms, now % l->window_ms};
    if (m.window < entry->window)
        return (struct moment){entry->window, 0};
    if (m.window > entry->window) {
        entry->previous = m.window == entry->window + 1 ? entry->current : 0;
        entry->current = 0;
        entry->window = m.window;
    }
    return m;
}

/* All weights are counts times window_ms, in whole numbers: nothing is rounded before the end. */
static uint64_t weight(const struct rate_limiter *l, const struct entry *entry, struct moment m)
{
    return entry->current * l->window_ms + entry->previous * (l->window_ms - m.elapsed_ms);
}

/* Milliseconds into a window, counted from its start, when `previous` has faded enough to leave
 * room for `spare` counts, which are fewer. */
static uint64_t faded_at_ms(const struct rate_limiter *l, uint64_t previous, uint64_t spare)
{
    must(previous > spare);
    return l->window_ms - spare * l->window_ms / previous;
}

/* One count is refused now and allowed again this long from now, if nothing is counted meanwhile.
 * Never 0: what is refused has not faded enough yet, and a window has not ended before its end. */
static uint64_t wait_ms(const struct rate_limiter *l, const struct entry *entry, struct moment m)
{
    if (entry->current < l->limit)
        return faded_at_ms(l, entry->previous, l->limit - 1 - entry->current) - m.elapsed_ms;
    return l->window_ms - m.elapsed_ms + faded_at_ms(l, entry->current, l->limit - 1);
}

static unsigned ceil_seconds(uint64_t ms)
{
    return (unsigned)((ms + 999) / 1000);
}

static struct rate_verdict judge(const struct rate_limiter *l, const struct entry *entry,
                                 struct moment m)
{
    uint64_t full = l->limit * l->window_ms;
    uint64_t used = weight(l, entry, m);
    struct rate_verdict v = {
        .allowed = used + l->window_ms <= full,
        .limit = (unsigned)l->limit,
        .remaining = used >= full ? 0 : (unsigned)((full - used) / l->window_ms),
        .reset_s = ceil_seconds(l->window_ms - m.elapsed_ms),
    };
    if (!v.allowed)
        v.retry_after_s = ceil_seconds(wait_ms(l, entry, m));
    return v;
}

static uint64_t window_of(const struct rate_limiter *l, int64_t now_ms)
{
    return now_ms > 0 ? (uint64_t)now_ms / l->window_ms : 0;
}

static struct entry *use_entry(const struct rate_limiter *l, struct shard *s,
                               const unsigned char hash[KEY_HASH_BYTES], int64_t now_ms)
{
    struct entry *entry = find_entry(s, hash);
    if (!entry)
        return add_entry(s, hash, window_of(l, now_ms));
    unlink_use(s, entry);
    link_newest(s, entry);
    return entry;
}

struct rate_verdict rate_limiter_take(struct rate_limiter *l, struct str key, int64_t now_ms)
{
    unsigned char hash[KEY_HASH_BYTES];
    struct shard *s = lock_shard(l, key, hash);
    struct entry *entry = use_entry(l, s, hash, now_ms);
    struct moment m = advance(l, entry, now_ms);
    struct rate_verdict v = judge(l, entry, m);
    if (v.allowed) {
        entry->current++;
        v.remaining--;
    }
    unlock_shard(s);
    return v;
}

struct rate_verdict rate_limiter_peek(struct rate_limiter *l, struct str key, int64_t now_ms)
{
    unsigned char hash[KEY_HASH_BYTES];
    struct shard *s = lock_shard(l, key, hash);
    const struct entry *found = find_entry(s, hash);
    struct entry copy = {.window = window_of(l, now_ms)};
    if (found)
        copy = *found;
    unlock_shard(s);
    struct moment m = advance(l, &copy, now_ms);
    return judge(l, &copy, m);
}

void rate_limiter_count(struct rate_limiter *l, struct str key, int64_t now_ms)
{
    unsigned char hash[KEY_HASH_BYTES];
    struct shard *s = lock_shard(l, key, hash);
    struct entry *entry = use_entry(l, s, hash, now_ms);
    (void)advance(l, entry, now_ms);
    if (entry->current < COUNT_MAX)
        entry->current++;
    unlock_shard(s);
}

size_t rate_limiter_keys(struct rate_limiter *l)
{
    size_t keys = 0;
    for (unsigned i = 0; i < l->shard_count; i++) {
        must(pthread_mutex_lock(&l->shards[i].lock) == 0);
        keys += l->shards[i].count;
        unlock_shard(&l->shards[i]);
    }
    return keys;
}
