/*
 * registry_hooks.h - what the three address services share: the registry file, opened at start,
 * replaced on SIGHUP, described in /health
 *
 * Their settings begin with struct registry_settings; their service value names these hooks.
 * SIGHUP wakes a thread of its own that opens the file at REGISTRY_DB again and swaps it in;
 * requests go on meanwhile. When the new file is refused the old one serves on, and log, metrics
 * and /health say so.
 */
#ifndef LIBCOMMON_SERVICE_REGISTRY_HOOKS_H
#define LIBCOMMON_SERVICE_REGISTRY_HOOKS_H

#include "registry/registry.h"
#include "service/service.h"

struct registry_settings {
    const char *path;
    int64_t lookups_per_minute;
};

/* clang-format off */
/* The rows of a settings table for that; type_ begins with `struct registry_settings registry`. */
#define REGISTRY_SETTINGS(type_) \
    CONFIG_STR(type_, registry.path, "REGISTRY_DB", NULL, "The registry file, made by deploy/registry/build."), \
    CONFIG_INT(type_, registry.lookups_per_minute, "LOOKUP_LIMIT_PER_MINUTE", "1200", 1, 100000000, "requests", \
               "Look-ups per client address and minute (per user when signed in).")
/* clang-format on */

extern const struct limit registry_limit;

bool registry_hook_start(struct service_state *state, void **own, struct error *e);
void registry_hook_stop(struct service_state *state, void *own);
bool registry_hook_health(struct service_state *state, void *own, struct buf *members);

/* A reader for this request; back before the handler returns, and after its texts were copied. */
struct registry_reader *registry_borrow(const struct request *req);

/* Counts how look-ups end, for /metrics. */
enum lookup_outcome { LOOKUP_FOUND, LOOKUP_NOTHING, LOOKUP_INVALID, LOOKUP_OUTCOME_COUNT };
void registry_count(const struct request *req, enum lookup_outcome outcome);

#endif
