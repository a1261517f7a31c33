#include "auth/jwks_cache.h"
#include "auth/jwks_cache_internal.h"
#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdatomic.h>

#define LIFETIME_MIN_S     300
#define LIFETIME_MAX_S     86400
#define LIFETIME_DEFAULT_S 3600
#define STALE_MAX_MS       86400000LL
/* Below the 8 s a process has for its orderly end, because free waits for a running fetch. */
#define FETCH_TIMEOUT_MS   5000
#define FETCH_ATTEMPT_MS   2500
#define FETCH_ATTEMPTS_MAX 2
/* How long a call that could be served, if less well, waits for better keys. */
#define IMPROVE_WAIT_MS       1000
#define UNKNOWN_KID_GAP_MS    60000
#define FAILED_STALE_GAP_MS   30000
#define FAILED_EMPTY_GAP_MS   1000
#define REFRESH_AHEAD_PERCENT 80

/* Shared by the cache and by the verifications that run on it. Never changes. */
struct key_ring {
    struct jwk_set *set;
    atomic_uint holders;
};

struct jwks_cache {
    char *url; /* NULL: a fixed set */
    struct http_client *client;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t fetched;
    struct key_ring *ring; /* NULL until the first good fetch */
    int64_t clock_offset_ms;
    int64_t fetched_at_ms, refresh_at_ms, expires_at_ms;
    int64_t started_at_ms; /* the last fetch's */
    uint64_t flights;      /* fetches that have ended */
    bool started_ever, last_failed, in_flight, thread_to_join;
    pthread_t thread;
    struct error last_error;
    uint64_t hits, misses, fetches, failures;
};

enum need {
    NEED_NOTHING,
    NEED_FRESHER_SOON, /* still fresh, but getting old */
    NEED_FRESHER,      /* expired */
    NEED_KID,          /* the kid asked for is not among ours */
    NEED_ANY,          /* no usable set at all */
};

static struct jwks_cache *new_cache(void)
{
    struct jwks_cache *c = calloc(1, sizeof(*c));
    must(c);
    must(pthread_mutex_init(&c->lock, NULL) == 0);
    clock_cond_init(&c->fetched);
    return c;
}

struct jwks_cache *jwks_cache_new(const char *url, struct http_client *client)
{
    must(url && client);
    struct jwks_cache *c = new_cache();
    c->url = strdup(url);
    must(c->url);
    c->client = client;
    return c;
}

static struct key_ring *ring_new(struct jwk_set *set)
{
    struct key_ring *ring = calloc(1, sizeof(*ring));
    must(ring);
    ring->set = set;
    atomic_init(&ring->holders, 1U);
    return ring;
}

static void ring_release(struct key_ring *ring)
{
    if (!ring || atomic_fetch_sub(&ring->holders, 1U) != 1U)
        return;
    jwk_set_free(ring->set);
    free(ring);
}

struct jwks_cache *jwks_cache_from_set(struct jwk_set *set)
{
    must(set);
    struct jwks_cache *c = new_cache();
    c->ring = ring_new(set);
    return c;
}

void jwks_cache_free(struct jwks_cache *c)
{
    if (!c)
        return;
    if (c->thread_to_join)
        must(pthread_join(c->thread, NULL) == 0);
    ring_release(c->ring);
    pthread_cond_destroy(&c->fetched);
    pthread_mutex_destroy(&c->lock);
    free(c->url);
    free(c);
}

/* Callers hold the lock from here to start_fetch(). */
static int64_t cache_now_ms(const struct jwks_cache *c)
{
    return clock_mono_ms() + c->clock_offset_ms;
}

static bool is_usable(const struct jwks_cache *c, int64_t now_ms)
{
    return c->ring && (!c->url || now_ms < c->expires_at_ms + STALE_MAX_MS);
}

static enum need find_need(const struct jwks_cache *c, const struct str *kid, int64_t now_ms)
{
    if (!is_usable(c, now_ms))
        return NEED_ANY;
    if (kid && !jwk_set_has(c->ring->set, *kid))
        return NEED_KID;
    if (!c->url || now_ms < c->refresh_at_ms)
        return NEED_NOTHING;
    return now_ms < c->expires_at_ms ? NEED_FRESHER_SOON : NEED_FRESHER;
}

/* How long after the start of one fetch the next may start. */
static int64_t fetch_gap_ms(const struct jwks_cache *c, enum need need)
{
    if (need == NEED_KID)
        return UNKNOWN_KID_GAP_MS;
    if (!c->last_failed)
        return 0;
    return need == NEED_ANY ? FAILED_EMPTY_GAP_MS : FAILED_STALE_GAP_MS;
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool max_age_of(struct str directive, struct str *ret_seconds)
{
    struct str rest = directive;
    struct str name;
    if (!str_split(&rest, '=', &name) || !str_eq_ci(str_trim(name), STR("max-age")))
        return false;
    *ret_seconds = str_trim(rest);
    size_t len = ret_seconds->len;
    if (len >= 2 && ret_seconds->ptr[0] == '"' && ret_seconds->ptr[len - 1] == '"')
        *ret_seconds = str_skip(str_take(*ret_seconds, len - 1), 1);
    return true;
}

int64_t jwks_cache_lifetime_s(struct str cache_control)
{
    struct str rest = cache_control;
    struct str directive;
    while (str_split(&rest, ',', &directive)) {
        struct str text;
        int64_t seconds = 0;
        if (!max_age_of(directive, &text))
            continue;
        if (str_is_digits(text) && !str_parse_i64(text, 0, LIFETIME_MAX_S, &seconds))
            seconds = LIFETIME_MAX_S;
        return seconds < LIFETIME_MIN_S ? LIFETIME_MIN_S : seconds;
    }
    return LIFETIME_DEFAULT_S;
}

static struct jwk_set *fetch_set(struct jwks_cache *c, struct arena *a, int64_t *ret_lifetime_s,
                                 struct error *e)
{
    struct http_header accept = {STR("Accept"), STR("application/json")};
    struct http_call call = {
        .method = HTTP_GET,
        .url = str_from(c->url),
        .headers = &accept,
        .header_count = 1,
        .deadline_ms = clock_mono_ms() + FETCH_TIMEOUT_MS,
        .attempt_timeout_ms = FETCH_ATTEMPT_MS,
        .answer_max_bytes = JWKS_MAX_BYTES,
        .attempts_max = FETCH_ATTEMPTS_MAX,
        .repeatable = true,
    };
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    if (!http_client_call(c->client, &call, a, answer, NULL, e))
        return NULL;
    if (answer->status != 200) {
        error_set(e, ERR_BAD_GATEWAY, "key set: status %d", answer->status);
        return NULL;
    }
    *ret_lifetime_s = jwks_cache_lifetime_s(http_answer_header(answer, "Cache-Control"));
    return jwk_set_parse(answer->body, e);
}

static void *run_fetch(void *arg)
{
    struct jwks_cache *c = arg;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e = {0};
    int64_t lifetime_s = 0;
    struct jwk_set *set = fetch_set(c, a, &lifetime_s, &e);
    struct key_ring *old = NULL;

    must(pthread_mutex_lock(&c->lock) == 0);
    if (set) {
        int64_t now_ms = cache_now_ms(c);
        old = c->ring;
        c->ring = ring_new(set);
        c->fetched_at_ms = now_ms;
        c->refresh_at_ms = now_ms + lifetime_s * 1000 * REFRESH_AHEAD_PERCENT / 100;
        c->expires_at_ms = now_ms + lifetime_s * 1000;
    } else {
        c->failures++;
        c->last_error = e;
    }
    c->last_failed = set == NULL;
    c->in_flight = false;
    c->flights++;
    must(pthread_cond_broadcast(&c->fetched) == 0);
    must(pthread_mutex_unlock(&c->lock) == 0);

    ring_release(old);
    arena_free(a);
    return NULL;
}

/* A thread of its own, so that no caller's short deadline ends a fetch that others wait for, and
 * refreshing ahead of expiry delays nobody. */
static void start_fetch(struct jwks_cache *c, enum need need, int64_t now_ms)
{
    if (!c->url || c->in_flight ||
        (c->started_ever && now_ms < c->started_at_ms + fetch_gap_ms(c, need)))
        return;
    if (c->thread_to_join) /* it has ended, or is about to without taking the lock again */
        must(pthread_join(c->thread, NULL) == 0);
    c->fetches++;
    c->started_at_ms = now_ms;
    c->started_ever = true;
    c->thread_to_join = pthread_create(&c->thread, NULL, run_fetch, c) == 0;
    c->in_flight = c->thread_to_join;
    if (!c->in_flight) {
        c->failures++;
        c->last_failed = true;
        error_set(&c->last_error, ERR_UNAVAILABLE, "key set: no thread to fetch with");
    }
}

/* Until the running fetch has ended, or until_ms. */
static void wait_for_fetch(struct jwks_cache *c, int64_t until_ms)
{
    uint64_t flight = c->flights;
    while (c->in_flight && c->flights == flight &&
           clock_cond_wait_until(&c->fetched, &c->lock, until_ms))
        continue;
}

/* The best set to be had by the deadline, held for the caller; NULL when there is none. kid may be
 * NULL. */
static struct key_ring *take_ring(struct jwks_cache *c, const struct str *kid, int64_t deadline_ms,
                                  struct error *e)
{
    struct key_ring *ring = NULL;
    must(pthread_mutex_lock(&c->lock) == 0);
    int64_t now_ms = cache_now_ms(c);
    enum need need = find_need(c, kid, now_ms);
    if (need != NEED_NOTHING)
        start_fetch(c, need, now_ms);
    if (need == NEED_ANY)
        wait_for_fetch(c, deadline_ms);
    else if (need == NEED_FRESHER || need == NEED_KID)
        wait_for_fetch(c, min_i64(deadline_ms, clock_mono_ms() + IMPROVE_WAIT_MS));
    if (need == NEED_NOTHING || need == NEED_FRESHER_SOON)
        c->hits++;
    else
        c->misses++;
    if (is_usable(c, cache_now_ms(c))) {
        ring = c->ring;
        atomic_fetch_add(&ring->holders, 1U);
    } else {
        error_set(e, ERR_UNAVAILABLE, "keys: %s",
                  c->in_flight ? "not here within the deadline" : c->last_error.detail);
    }
    must(pthread_mutex_unlock(&c->lock) == 0);
    return ring;
}

bool jwks_cache_verify(struct jwks_cache *c, const struct jwt *token, struct arena *a,
                       int64_t deadline_ms, struct error *e)
{
    (void)a; /* an answer is parsed in the fetching thread's own memory */
    struct key_ring *ring = take_ring(c, &token->kid, deadline_ms, e);
    if (!ring)
        return false;
    bool good = jwt_verify(token, ring->set, e);
    ring_release(ring);
    return good;
}

bool jwks_cache_warm(struct jwks_cache *c, int64_t deadline_ms, struct error *e)
{
    struct key_ring *ring = take_ring(c, NULL, deadline_ms, e);
    if (!ring)
        return false;
    ring_release(ring);
    return true;
}

void jwks_cache_get_stats(struct jwks_cache *c, struct jwks_cache_stats *ret)
{
    must(pthread_mutex_lock(&c->lock) == 0);
    int64_t now_ms = cache_now_ms(c);
    bool fetched = c->url && c->ring;
    *ret = (struct jwks_cache_stats){
        .hits = c->hits,
        .misses = c->misses,
        .fetches = c->fetches,
        .failures = c->failures,
        .size = c->ring ? jwk_set_size(c->ring->set) : 0,
        .age_ms = fetched ? now_ms - c->fetched_at_ms : -1,
        .stale = fetched && now_ms >= c->expires_at_ms,
    };
    must(pthread_mutex_unlock(&c->lock) == 0);
}

void jwks_cache_advance_clock(struct jwks_cache *c, int64_t ms)
{
    must(pthread_mutex_lock(&c->lock) == 0);
    c->clock_offset_ms += ms;
    must(pthread_mutex_unlock(&c->lock) == 0);
}
