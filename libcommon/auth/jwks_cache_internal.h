/*
 * jwks_cache_internal.h - the cache's clock, moved by hand
 *
 * For tests of expiry, staleness and back-off, which take minutes and hours by the real clock.
 * Thread-safe.
 */
#ifndef LIBCOMMON_AUTH_JWKS_CACHE_INTERNAL_H
#define LIBCOMMON_AUTH_JWKS_CACHE_INTERNAL_H

#include "auth/jwks_cache.h"

/* From now on the cache believes that it is ms later than clock_mono_ms() says. Adds up. */
void jwks_cache_advance_clock(struct jwks_cache *c, int64_t ms);

/* Seconds to keep an answer with this Cache-Control value: max-age, clamped; the default when it
 * has none; the minimum when it cannot be read. */
int64_t jwks_cache_lifetime_s(struct str cache_control);

#endif
