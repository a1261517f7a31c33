/* provider.c - see provider.h */
#include "provider.h"

#include "base/clock.h"

#include <pthread.h>

#define DOCUMENT_MAX_BYTES 65536
#define URL_MAX_BYTES      2048
#define KEY_SETS_MAX       4 /* a provider moves its keys seldom; more in one life is an attack */
#define FETCH_TIMEOUT_MS   6000
#define FETCH_ATTEMPT_MS   2800
#define FETCH_ATTEMPTS_MAX 2
/* With an expired document still of use, whoever refreshes it waits no longer than this. */
#define REFRESH_TIMEOUT_MS  1500
#define STALE_MAX_MS        86400000LL
#define FAILED_EMPTY_GAP_MS 500 /* one failure answers all who ask at the same time */
#define FAILED_STALE_GAP_MS 30000

struct key_set {
    char *url;
    struct jwks_cache *cache;
};

struct provider {
    struct provider_config config;
    char *url;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t fetched;
    bool in_flight, failed;
    int64_t tried_at_ms, fetched_at_ms; /* 0: never */
    struct error last_error;
    char *token_endpoint, *userinfo_endpoint; /* NULL before the first good fetch */
    struct jwks_cache *keys;                  /* the current one of key_sets */
    struct key_set key_sets[KEY_SETS_MAX];    /* kept until the end: others may be using them */
    size_t key_set_count;
    uint64_t hits, misses, failures;
};

struct provider *provider_new(const struct provider_config *config)
{
    struct provider *p = calloc(1, sizeof *p);
    struct buf url;

    must(p);
    p->config = *config;
    must(pthread_mutex_init(&p->lock, NULL) == 0);
    clock_cond_init(&p->fetched);
    buf_init(&url, DOCUMENT_MAX_BYTES);
    buf_printf(&url, "%s/.well-known/openid-configuration", config->issuer);
    p->url = buf_take(&url, NULL);
    return p;
}

void provider_free(struct provider *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->key_set_count; i++) {
        jwks_cache_free(p->key_sets[i].cache);
        free(p->key_sets[i].url);
    }
    free(p->token_endpoint);
    free(p->userinfo_endpoint);
    pthread_cond_destroy(&p->fetched);
    pthread_mutex_destroy(&p->lock);
    free(p->url);
    free(p);
}

/* --- fetching --- */

struct found {
    struct str token_endpoint, userinfo_endpoint, jwks_uri;
};

static bool is_endpoint(const struct provider *p, struct str url)
{
    bool allowed = str_starts_with(url, STR("https://")) ||
                   (p->config.allow_http && str_starts_with(url, STR("http://")));

    return allowed && url.len <= URL_MAX_BYTES && str_find_char(url, ' ') == url.len &&
           str_find_char(url, '#') == url.len && str_is_utf8(url);
}

static bool read_document(const struct provider *p, const struct http_answer *answer,
                          struct arena *a, struct found *ret, struct error *e)
{
    const cJSON *document;
    struct str issuer;

    if (answer->status != 200)
        return error_set(e, ERR_BAD_GATEWAY, "discovery: status %d", answer->status);
    if (!http_media_type_is(http_answer_header(answer, "Content-Type"), "application/json"))
        return error_set(e, ERR_BAD_GATEWAY, "discovery: not application/json");
    document = json_parse(a, answer->body, NULL);
    if (!json_str(document, "issuer", &issuer) || !str_eq_text(issuer, p->config.issuer))
        return error_set(e, ERR_BAD_GATEWAY, "discovery: issuer is not ours");
    if (!json_str(document, "token_endpoint", &ret->token_endpoint) ||
        !is_endpoint(p, ret->token_endpoint) || !json_str(document, "jwks_uri", &ret->jwks_uri) ||
        !is_endpoint(p, ret->jwks_uri))
        return error_set(e, ERR_BAD_GATEWAY, "discovery: no usable endpoints");
    if (!json_str(document, "userinfo_endpoint", &ret->userinfo_endpoint) ||
        !is_endpoint(p, ret->userinfo_endpoint))
        ret->userinfo_endpoint = STR("");
    return true;
}

static bool fetch(const struct provider *p, int64_t deadline_ms, struct arena *a, struct found *ret,
                  struct error *e)
{
    /* The provider's edge turns away clients without a usual name (contract §9). */
    const struct http_header headers[] = {{STR("Accept"), STR("application/json")},
                                          {STR("User-Agent"), STR("Mozilla/5.0")}};
    const struct http_call call = {
        .method = HTTP_GET,
        .url = str_from(p->url),
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .deadline_ms = deadline_ms,
        .attempt_timeout_ms = FETCH_ATTEMPT_MS,
        .answer_max_bytes = DOCUMENT_MAX_BYTES,
        .attempts_max = FETCH_ATTEMPTS_MAX,
        .repeatable = true,
    };
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    struct error cause = {0};

    if (!http_client_call(p->config.client, &call, a, answer, NULL, &cause))
        return error_set(e, cause.code, "discovery: %s", cause.detail);
    return read_document(p, answer, a, ret, e);
}

static char *text_of(struct str s)
{
    char *text = strndup(s.ptr ? s.ptr : "", s.len);

    must(text);
    return text;
}

/* Under the lock from here on. NULL when the keys have moved too often. */
static struct jwks_cache *key_set_of(struct provider *p, struct str url)
{
    for (size_t i = 0; i < p->key_set_count; i++) {
        if (str_eq_text(url, p->key_sets[i].url))
            return p->key_sets[i].cache;
    }
    if (p->key_set_count == KEY_SETS_MAX)
        return NULL;

    struct key_set *set = &p->key_sets[p->key_set_count++];

    set->url = text_of(url);
    set->cache = jwks_cache_new(set->url, p->config.client);
    return set->cache;
}

static bool take_over(struct provider *p, const struct found *found, struct error *e)
{
    struct jwks_cache *keys = key_set_of(p, found->jwks_uri);

    if (!keys)
        return error_set(e, ERR_BAD_GATEWAY, "discovery: the keys move too often");
    free(p->token_endpoint);
    free(p->userinfo_endpoint);
    p->token_endpoint = text_of(found->token_endpoint);
    p->userinfo_endpoint = text_of(found->userinfo_endpoint);
    p->keys = keys;
    p->fetched_at_ms = clock_mono_ms();
    return true;
}

static bool is_usable(const struct provider *p, int64_t now_ms)
{
    return p->token_endpoint && now_ms < p->fetched_at_ms + p->config.ttl_s * 1000 + STALE_MAX_MS;
}

static bool is_fresh(const struct provider *p, int64_t now_ms)
{
    return p->token_endpoint && now_ms < p->fetched_at_ms + p->config.ttl_s * 1000;
}

static bool may_try(const struct provider *p, int64_t now_ms)
{
    int64_t gap_ms = is_usable(p, now_ms) ? FAILED_STALE_GAP_MS : FAILED_EMPTY_GAP_MS;

    return !p->failed || now_ms >= p->tried_at_ms + gap_ms;
}

/* Lets go of the lock while it asks. */
static void refresh(struct provider *p, int64_t deadline_ms)
{
    int64_t now_ms = clock_mono_ms();
    int64_t own_ms = now_ms + (is_usable(p, now_ms) ? REFRESH_TIMEOUT_MS : FETCH_TIMEOUT_MS);
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct found found = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    struct error e = {0};
    bool good;

    p->in_flight = true;
    p->misses++;
    must(pthread_mutex_unlock(&p->lock) == 0);
    good = fetch(p, own_ms < deadline_ms ? own_ms : deadline_ms, a, &found, &e);
    must(pthread_mutex_lock(&p->lock) == 0);
    good = good && take_over(p, &found, &e);
    if (!good) {
        p->failures++;
        p->last_error = e;
    }
    p->failed = !good;
    p->tried_at_ms = clock_mono_ms();
    p->in_flight = false;
    must(pthread_cond_broadcast(&p->fetched) == 0);
    arena_free(a);
}

static void wait_for_fetch(struct provider *p, int64_t deadline_ms)
{
    while (p->in_flight && clock_cond_wait_until(&p->fetched, &p->lock, deadline_ms))
        continue;
}

static void bring_up_to_date(struct provider *p, int64_t deadline_ms)
{
    int64_t now_ms = clock_mono_ms();

    if (is_fresh(p, now_ms)) {
        p->hits++;
        return;
    }
    if (!p->in_flight && may_try(p, now_ms)) {
        refresh(p, deadline_ms);
        return;
    }
    if (p->in_flight && !is_usable(p, now_ms))
        wait_for_fetch(p, deadline_ms);
    if (is_usable(p, clock_mono_ms()))
        p->hits++;
}

bool provider_get(struct provider *p, struct arena *a, int64_t deadline_ms,
                  struct provider_endpoints *ret, struct error *e)
{
    struct error cause = {0};
    bool usable;

    must(pthread_mutex_lock(&p->lock) == 0);
    bring_up_to_date(p, deadline_ms);
    usable = is_usable(p, clock_mono_ms());
    if (usable) {
        ret->token = arena_dup(a, str_from(p->token_endpoint));
        ret->userinfo = arena_dup(a, str_from(p->userinfo_endpoint));
        ret->keys = p->keys;
    } else if (p->in_flight) {
        error_set(&cause, ERR_GATEWAY_TIMEOUT, "discovery: no answer within the deadline");
    } else {
        cause = p->last_error;
    }
    must(pthread_mutex_unlock(&p->lock) == 0);
    if (!usable)
        return error_set(e, cause.code, "%s", cause.detail);
    if (!jwks_cache_warm(ret->keys, deadline_ms, &cause))
        return error_set(e, cause.code, "%s", cause.detail);
    return true;
}

void provider_get_stats(struct provider *p, struct provider_stats *ret)
{
    struct jwks_cache_stats keys = {0};

    *ret = (struct provider_stats){0};
    must(pthread_mutex_lock(&p->lock) == 0);
    ret->hits = p->hits;
    ret->misses = p->misses;
    ret->failures = p->failures;
    ret->size = p->token_endpoint ? 1 : 0;
    if (p->keys)
        jwks_cache_get_stats(p->keys, &keys);
    must(pthread_mutex_unlock(&p->lock) == 0);
    ret->key_fetches = keys.fetches;
    ret->key_failures = keys.failures;
    ret->keys = keys.size;
}
