/*
 * validate-address.c - is this address in the registry, and where is it
 *
 * Called by the address editor of the member portal before it stores an address. Contract:
 * members.md §3.7.
 */
#include "validate_address.h"

static const struct config_key settings[] = {
    REGISTRY_SETTINGS(struct validate_settings),
    CONFIG_INT(struct validate_settings, batches_per_minute, "BATCH_LIMIT_PER_MINUTE", "60", 1,
               100000000, "requests",
               "Batches per client address and minute (per user when signed in)."),
    CONFIG_END,
};

static const size_t batch_setting = offsetof(struct validate_settings, batches_per_minute);
static const struct limit batch_limit = {
    .name = "batch", .setting_offset = &batch_setting, .window_s = 60};

#define ROUTE_CALL(path, doc)                                                                      \
    {                                                                                              \
        HTTP_POST, path, AUTH_OPTIONAL, BODY_CALLABLE, &registry_limit, IDEMPOTENCY_NONE,          \
            ROUTE_APP_CHECK, call_validate, doc                                                    \
    }

static const struct route routes[] = {
    ROUTE_CALL("/", "callable: checks one address"),
    ROUTE_CALL("/validate_address", "the same"),
    ROUTE_CALL("/validate-address", "the same"),
    {HTTP_POST, "/batch", AUTH_OPTIONAL, BODY_CALLABLE, &batch_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, call_batch, "callable: checks up to 50 addresses"},
};
const struct service the_service = {
    .name = "validate-address",
    .wire_name = "validate-address",
    .summary = "checks an address against the official registry",
    .config = settings,
    .settings_size = sizeof(struct validate_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_callable,
    .uses = USES_IDENTITY,
    .start = registry_hook_start,
    .stop = registry_hook_stop,
    .health = registry_hook_health,
    .default_port = 8080,
    .workers = 2, /* they never wait for anything: more only take turns */
};
