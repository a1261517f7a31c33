/*
 * search-addresses.c - find any door in Iceland
 *
 * Autocomplete over the official registry: a callable for the portals, GET for everyone else, and
 * the nearest door to a position. Contract: members.md §3.6.
 */
#include "search_addresses.h"

static const struct config_key settings[] = {
    REGISTRY_SETTINGS(struct search_settings),
    CONFIG_INT(struct search_settings, cache_max_age_s, "CACHE_MAX_AGE_S", "300", 0, 86400, "s",
               "How long browsers and caches may keep an answer to GET."),
    CONFIG_END,
};

#define ROUTE_GET(path, handler, doc)                                                              \
    {                                                                                              \
        HTTP_GET, path, AUTH_PUBLIC, BODY_NONE, &registry_limit, IDEMPOTENCY_NONE, 0, handler, doc \
    }
#define ROUTE_CALL(path, handler, doc)                                                             \
    {                                                                                              \
        HTTP_POST, path, AUTH_OPTIONAL, BODY_CALLABLE, &registry_limit, IDEMPOTENCY_NONE,          \
            ROUTE_APP_CHECK, handler, doc                                                          \
    }

static const struct route routes[] = {
    ROUTE_CALL("/", call_search, "callable: addresses for what was typed"),
    ROUTE_CALL("/search_addresses", call_search, "the same"),
    ROUTE_CALL("/search-addresses", call_search, "the same"),
    ROUTE_GET("/", get_search, "?q=&limit=: addresses for what was typed"),
    ROUTE_GET("/search_addresses", get_search, "the same"),
    ROUTE_GET("/search-addresses", get_search, "the same"),
    ROUTE_GET("/nearest", get_nearest, "?lat=&lon=&limit=: doors around a position"),
};
static const struct cors_profile cors_search = {
    .any_origin = true,
    .preflight_status = 200,
    .methods = "GET, POST",
    .expose_headers = "ETag",
};

const struct service the_service = {
    .name = "search-addresses",
    .wire_name = "search-addresses",
    .summary = "finds addresses of the official registry while they are typed",
    .config = settings,
    .settings_size = sizeof(struct search_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_search,
    .uses = USES_IDENTITY,
    .start = registry_hook_start,
    .stop = registry_hook_stop,
    .health = registry_hook_health,
    .default_port = 8080,
    .workers = 2, /* they never wait for anything: more only take turns */
};
