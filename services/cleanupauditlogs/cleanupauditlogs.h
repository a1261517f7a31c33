/*
 * cleanupauditlogs.h - what this service's files share
 */
#ifndef SERVICES_CLEANUPAUDITLOGS_H
#define SERVICES_CLEANUPAUDITLOGS_H

#include "cloud/audit_log.h"
#include "service/service.h"

#define RETENTION_DAYS_MIN 90 /* contract §14 D4: nothing younger, whatever anybody says */

struct cleanup_settings {
    const char *key;
    int64_t chains;
    int64_t retention_days;
    int64_t calls_per_minute;
};

/* What start makes and every handler sees as req->own. */
struct cleanup_service {
    const struct cleanup_settings *settings;
    struct audit_log *log;
};

/* --- caller.c --- */

/* A live account whose users/{uid} has a role that may; else res is answered. */
bool caller_is_allowed(const struct request *req, struct response *res,
                       struct str *ret_email) MUST_CHECK;

/* --- removal.c --- */

struct removal {
    struct firestore *firestore;
    const struct audit_log *log;
    int64_t cutoff_ms;   /* only what is older */
    int64_t left;        /* how many more may go */
    int64_t deadline_ms; /* to stop by */
    int64_t deleted;
    bool has_broken_chain;            /* some entry was not what was written: its chain stays */
    bool is_broken[AUDIT_CHAINS_MAX]; /* which */
};
/* Removes the oldest entries, page by page; `deleted` is right even when it fails half way. */
bool removal_run(struct removal *r, struct error *e) MUST_CHECK;

/* --- cleanup.c --- */

void cleanup_audit_logs(const struct request *req, struct response *res);

#endif
