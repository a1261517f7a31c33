/*
 * validate-postal-code.c - what a postcode stands for
 *
 * Place, region, municipality and kind of one of Iceland's postcodes. Contract: members.md §3.8.
 */
#include "validate_postal_code.h"

static const struct config_key settings[] = {
    REGISTRY_SETTINGS(struct postcode_settings),
    CONFIG_END,
};

#define ROUTE_CALL(path, doc)                                                                      \
    {                                                                                              \
        HTTP_POST, path, AUTH_OPTIONAL, BODY_CALLABLE, &registry_limit, IDEMPOTENCY_NONE,          \
            ROUTE_APP_CHECK, call_postcode, doc                                                    \
    }

static const struct route routes[] = {
    ROUTE_CALL("/", "callable: looks one postcode up"),
    ROUTE_CALL("/validate_postal_code", "the same"),
    ROUTE_CALL("/validate-postal-code", "the same"),
};
const struct service the_service = {
    .name = "validate-postal-code",
    .wire_name = "validate-postal-code",
    .summary = "tells place, region, municipality and kind of a postcode",
    .config = settings,
    .settings_size = sizeof(struct postcode_settings),
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
