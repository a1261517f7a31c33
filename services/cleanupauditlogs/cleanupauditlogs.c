/*
 * cleanupauditlogs.c - removes what is old enough from the audit trail
 *
 * Contract: members.md §3.10, §14 D4.
 */
#include "cleanupauditlogs.h"

#define WORKERS           4
#define REQUEST_BUDGET_MS 290000 /* below the platform's 300 s */

#define SETTING(kind, ...) CONFIG_##kind(struct cleanup_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(SECRET, key, "AUDIT_KEY", NULL, 32, "Key of the trail, as in auditmemberchanges."),
    SETTING(INT, chains, "AUDIT_CHAINS", "8", 1, AUDIT_CHAINS_MAX, "chains",
            "How many chains new entries are spread over."),
    SETTING(INT, retention_days, "AUDIT_RETENTION_DAYS", "90", RETENTION_DAYS_MIN, 36500, "days",
            "Younger entries are never removed."),
    SETTING(INT, calls_per_minute, "CLEANUP_LIMIT_PER_MINUTE", "10", 1, 1000, "requests",
            "Calls per person and minute."),
    CONFIG_END,
};

static const size_t calls_setting = offsetof(struct cleanup_settings, calls_per_minute);
static const struct limit call_limit = {
    .name = "cleanup", .setting_offset = &calls_setting, .window_s = 60};

static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_USER, BODY_CALLABLE, &call_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, cleanup_audit_logs, "remove old entries of the trail"},
    {HTTP_POST, "/cleanupauditlogs", AUTH_USER, BODY_CALLABLE, &call_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, cleanup_audit_logs, "the same"},
};

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct cleanup_service *service = calloc(1, sizeof *service);

    (void)e;
    must(service);
    service->settings = service_settings(state);
    service->log = audit_log_new(&(struct audit_log_config){
        service_firestore(state), service->settings->key, service->settings->chains});
    *own = service;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct cleanup_service *service = own;

    (void)state;
    if (!service)
        return;
    audit_log_free(service->log);
    free(service);
}

const struct service the_service = {
    .name = "cleanupauditlogs",
    .wire_name = "cleanupauditlogs",
    .summary = "removes what is old enough from the audit trail",
    .config = settings,
    .settings_size = sizeof(struct cleanup_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_callable,
    .uses = USES_IDENTITY | USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = service_firestore_ready,
    .default_port = 8080,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
