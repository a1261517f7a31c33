/*
 * worker_pool.h - threads that do what the loop thread must not wait for
 *
 * A bounded queue in, a list of finished jobs out, and a file descriptor that becomes readable when
 * there is something to collect. Jobs start in the order they came. One thread (the loop's)
 * submits, collects and frees; get_stats may be called from any. Workers block all signals, so that
 * those reach the main thread.
 */
#ifndef LIBCOMMON_NET_WORKER_POOL_H
#define LIBCOMMON_NET_WORKER_POOL_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* First member of what is to be worked on. Belongs to the pool from submit to collect. */
struct pool_job {
    struct pool_job *next;
};

typedef void pool_work_fn(void *context, struct pool_job *job, unsigned worker);

struct worker_pool;

/* ERR_UNAVAILABLE when a thread or descriptor cannot be had. workers >= 1. */
struct worker_pool *worker_pool_new(unsigned workers, unsigned queue_max, pool_work_fn *work,
                                    void *context, struct error *e);

/* False when queue_max jobs already wait and no worker is free; the job then stays the caller's. */
bool worker_pool_submit(struct worker_pool *p, struct pool_job *job);

/* Readable while finished jobs wait; worker_pool_collect() makes it quiet again. */
int worker_pool_fd(const struct worker_pool *p);
/* All finished jobs as a list, oldest first; NULL when there are none. The caller's again. */
struct pool_job *worker_pool_collect(struct worker_pool *p);

/*
 * Waits for the jobs that run, starts no other, ends the threads. Gives the jobs that were never
 * started and those never collected, as one list. Then only worker_pool_free() may follow.
 */
struct pool_job *worker_pool_stop(struct worker_pool *p);
void worker_pool_free(struct worker_pool *p);

struct worker_pool_stats {
    unsigned queued, queued_max, busy;
};
struct worker_pool_stats worker_pool_get_stats(struct worker_pool *p);

#endif
