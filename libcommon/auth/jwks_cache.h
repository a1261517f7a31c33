/*
 * jwks_cache.h - a provider's public keys, at hand before they are needed
 *
 * Fetched over HTTP on first use and kept for the answer's max-age (clamped to 5 minutes..24 hours,
 * 1 hour when absent). Any number of threads in want of keys cause one fetch (single flight); the
 * others wait within their deadline. An expired set serves on while refreshing fails, for at most
 * 24 hours. An unknown kid causes at most one refetch a minute. Fetches run on a thread of their
 * own, from 80 % of the lifetime on ahead of expiry; whoever can be served by an expired set waits
 * at most 1 s for a better one. Thread-safe; blocks on HTTP at most until the deadline.
 */
#ifndef LIBCOMMON_AUTH_JWKS_CACHE_H
#define LIBCOMMON_AUTH_JWKS_CACHE_H

#include "auth/jwt.h"
#include "net/http_client.h"

struct jwks_cache;

/* The url is copied, the client borrowed. */
struct jwks_cache *jwks_cache_new(const char *url, struct http_client *client);
/* Before its client. Waits for a running fetch, at most 5 s. NULL is fine. */
void jwks_cache_free(struct jwks_cache *c);

/*
 * Verifies the token's signature with the cached keys, fetching when needed. ERR_UNAUTHENTICATED:
 * unknown kid or bad signature. ERR_UNAVAILABLE: no keys could be had.
 */
bool jwks_cache_verify(struct jwks_cache *c, const struct jwt *token, struct arena *a,
                       int64_t deadline_ms, struct error *e) MUST_CHECK;

/* Fetches unless fresh; for start-up warming. */
bool jwks_cache_warm(struct jwks_cache *c, int64_t deadline_ms, struct error *e);

/* For tests and fixed key sets: never fetches. Takes the set. */
struct jwks_cache *jwks_cache_from_set(struct jwk_set *set);

struct jwks_cache_stats {
    uint64_t hits, misses, fetches, failures;
    size_t size;    /* keys held */
    int64_t age_ms; /* since the last good fetch; -1 when none */
    bool stale;
};
void jwks_cache_get_stats(struct jwks_cache *c, struct jwks_cache_stats *ret);

#endif
