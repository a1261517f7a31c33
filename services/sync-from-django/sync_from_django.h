/*
 * sync_from_django.h - what this service's files share
 */
#ifndef SERVICES_SYNC_FROM_DJANGO_H
#define SERVICES_SYNC_FROM_DJANGO_H

#include "auth/s2s.h"
#include "cloud/member_document.h"
#include "ops/metrics.h"
#include "service/service.h"

enum sync_auth { SYNC_AUTH_KEY, SYNC_AUTH_EITHER, SYNC_AUTH_SIGNATURE };

struct sync_settings {
    const char *api_key, *previous_key;
    const char *signing_keys;
    int64_t auth; /* enum sync_auth */
    const char *countries;
    const char *test_accounts;
};

enum sync_count {
    SYNC_WRITTEN,
    SYNC_UNCHANGED,
    SYNC_REPEATED,
    SYNC_OUTDATED,
    SYNC_SKIPPED,
    SYNC_FAILED,
    SYNC_REFUSED,
    SYNC_COUNTS
};

struct sync_service {
    const struct sync_settings *settings;
    struct s2s_keys keys;
    struct member_countries countries;
    struct member_test_accounts test_accounts;
    struct metric *counts[SYNC_COUNTS];
};

/* Is the caller the register? Answered with 401 (or 500) when false. */
bool caller_is_the_register(const struct request *req, struct response *res) MUST_CHECK;

/* One webhook. */
void receive_event(const struct request *req, struct response *res);

#endif
