/*
 * rate_limit.h - how often a caller may, counted exactly, in bounded memory
 *
 * Sliding window: the count of the current window plus the share of the previous one that still
 * overlaps, so there is no double burst at an edge. One limiter per declared limit and process; N
 * instances allow at most N times the limit (V-G8: documented tolerance, N is bounded by the
 * deployment). Keys are hashed; at most keys_max are held, idle ones are evicted first, then the
 * longest idle. Time is a parameter. Thread-safe.
 */
#ifndef LIBCOMMON_AUTH_RATE_LIMIT_H
#define LIBCOMMON_AUTH_RATE_LIMIT_H

#include "base/str.h"

struct rate_limiter;

struct rate_verdict {
    bool allowed;
    unsigned limit, remaining;
    unsigned reset_s;       /* until the window has moved on */
    unsigned retry_after_s; /* >= 1 when not allowed: when the next one will be */
};

/* limit 1..2^30, window_s up to 31 days, keys_max 1..2^24 (below 1024 exact, above it shards of a
 * sixteenth each). */
struct rate_limiter *rate_limiter_new(unsigned limit, unsigned window_s, size_t keys_max);
void rate_limiter_free(struct rate_limiter *l);

/* Counts one if allowed. */
struct rate_verdict rate_limiter_take(struct rate_limiter *l, struct str key, int64_t now_ms);
/* Looks without counting, and counts without looking: for limiters that judge the final status
 * (V-G3). */
struct rate_verdict rate_limiter_peek(struct rate_limiter *l, struct str key, int64_t now_ms);
void rate_limiter_count(struct rate_limiter *l, struct str key, int64_t now_ms);

size_t rate_limiter_keys(struct rate_limiter *l);

#endif
