/*
 * account_cache.h - what is known of accounts, asked once and kept for a while
 *
 * Of several who want the same account at once one looks it up and the others wait (single flight).
 * Whoever was seen in the last ten minutes is looked up again before the answer grows old, on a
 * thread of its own, so that a hall that votes at once finds everybody known. Memory is bounded:
 * the longest unused goes. Thread-safe; account_cache_get() blocks at most as long as a look-up.
 */
#ifndef LIBCOMMON_SERVICE_ACCOUNT_CACHE_H
#define LIBCOMMON_SERVICE_ACCOUNT_CACHE_H

#include "service/request.h"

/* Fills `ret` by asking; parts that could not be asked stay unknown (auth_known, records_known).
 * kennitala is ten digits, or "" when there is none. */
typedef void account_look_up(void *context, struct str uid, const char *kennitala, struct arena *a,
                             int64_t deadline_ms, struct account *ret);

struct account_cache_config {
    account_look_up *look_up;
    void *context;
    int64_t keep_ms;    /* how long an answer counts */
    int64_t timeout_ms; /* of one look-up */
    unsigned accounts_max;
    bool refresh; /* have the thread; tests go without */
};

struct account_cache;

/* NULL: no thread to be had. */
struct account_cache *account_cache_new(const struct account_cache_config *config);
void account_cache_free(struct account_cache *c); /* NULL is fine; nobody may be in a get */

/* now_ms: clock_mono_ms(), given so that tests need no clock. uid: at most UID_MAX_BYTES. When the
 * look-up is not done in time the parts are unknown, and what was seen earlier stands beside. */
void account_cache_get(struct account_cache *c, struct str uid, const char *kennitala,
                       int64_t now_ms, int64_t deadline_ms, struct account *ret);

struct account_cache_stats {
    unsigned accounts;
    uint64_t look_ups, failures, evictions;
};
void account_cache_get_stats(struct account_cache *c, struct account_cache_stats *ret);

#endif
