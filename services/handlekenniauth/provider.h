/*
 * provider.h - Kenni as discovery describes it, at hand before a code is redeemed
 *
 * The discovery document is fetched on first use, kept for the TTL, and fetched by one caller at a
 * time; while that fails an expired one serves on, for at most a day. Its issuer must be ours to
 * the byte. Key sets are jwks_cache's. Thread-safe; blocks on HTTP within the deadline. Source:
 * OpenID Connect Discovery 1.0 §4; M-F36.
 */
#ifndef SERVICES_HANDLEKENNIAUTH_PROVIDER_H
#define SERVICES_HANDLEKENNIAUTH_PROVIDER_H

#include "auth/jwks_cache.h"

struct provider;

struct provider_config {
    const char *issuer; /* borrowed; no trailing slash */
    int64_t ttl_s;
    bool allow_http;            /* endpoints may be plain http: local stacks only */
    struct http_client *client; /* borrowed */
};
struct provider *provider_new(const struct provider_config *config);
void provider_free(struct provider *p);

struct provider_endpoints {
    struct str token, userinfo; /* userinfo may be empty; both live in the arena */
    struct jwks_cache *keys;    /* borrowed, good until provider_free() */
};

/*
 * Endpoints and keys, fetched when needed. ERR_UNAVAILABLE, ERR_BAD_GATEWAY or ERR_GATEWAY_TIMEOUT;
 * the detail begins with "discovery:" or "keys:".
 */
bool provider_get(struct provider *p, struct arena *a, int64_t deadline_ms,
                  struct provider_endpoints *ret, struct error *e) MUST_CHECK;

/* hits: look-ups served by what was held; misses: fetches; size: issuers held (contract §9). */
struct provider_stats {
    uint64_t hits, misses, failures;
    unsigned size;
    uint64_t key_fetches, key_failures;
    size_t keys;
};
void provider_get_stats(struct provider *p, struct provider_stats *ret);

#endif
