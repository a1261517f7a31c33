/*
 * lease.h - one at a time, across instances
 *
 * A document leases/{name} says who works and until when. Who dies leaves it behind, and it counts
 * no more once its time is over, so the time must be longer than the pauses between two calls of
 * lease_take() by the same owner. Clocks of instances may differ by a few seconds. Blocking; any
 * thread.
 */
#ifndef LIBCOMMON_CLOUD_LEASE_H
#define LIBCOMMON_CLOUD_LEASE_H

#include "cloud/firestore.h"

struct lease {
    struct firestore *firestore; /* borrowed */
    const char *name;            /* a document id */
    const char *owner;           /* random, of one run */
    int64_t life_ms;
};

/* Takes it, or extends it when it is the owner's already. *ret_is_ours is false while somebody else
 * has it. On false nobody may know; it ends by itself. */
bool lease_take(const struct lease *lease, int64_t deadline_ms, bool *ret_is_ours,
                struct error *e) MUST_CHECK;

/* Gives it back, if it is the owner's still. Failing is no harm: it ends by itself. */
void lease_give(const struct lease *lease, int64_t deadline_ms);

#endif
