/*
 * updatememberprofile.c - a member changes her profile; the register and Firestore both hear of it
 *
 * Contract: members.md §3.4.
 */
#include "updatememberprofile.h"

#include "service/settings.h"

#define REQUEST_BUDGET_MS 28000 /* below the platform's 30 s */
#define WORKERS           12
#define DJANGO_CONNECT_MS 3000
#define DJANGO_PARALLEL   24
#define BREAKER_FAILURES  20
#define BREAKER_OPEN_MS   1000

#define SETTING(kind, ...) CONFIG_##kind(struct profile_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(STR, base_url, "DJANGO_API_BASE_URL", "https://starf.sosialistaflokkurinn.is/felagar",
            "Where Django's API is, without a trailing slash."),
    SETTING(SECRET, django_token, "DJANGO_API_TOKEN", "", 8, "Django's API token."),
    SETTING(STR, countries, "DJANGO_COUNTRIES", MEMBER_COUNTRIES_DEFAULT,
            "Ids of Django's country table with their ISO codes, \"109:IS,53:DK\"."),
    SETTING(INT, calls_per_window, "UPDATE_LIMIT_PER_10_MINUTES", "5", 1, 100000, "requests",
            "Calls per person within ten minutes."),
    SETTING(INT, django_timeout_ms, "DJANGO_TIMEOUT_MS", "15000", 100, 25000, "ms",
            "Longest wait for one answer of Django."),
    SETTING(INT, repair_interval_ms, "REPAIR_INTERVAL_MS", "5000", 50, 600000, "ms",
            "Pause before Firestore is tried again after Django succeeded."),
    SETTING(
        INT, abandoned_after_ms, "ABANDONED_AFTER_MS", "120000", 100, 3600000, "ms",
        "An update that began so long ago has died with its instance; above the request's budget."),
    CONFIG_END,
};

static const size_t calls_setting = offsetof(struct profile_settings, calls_per_window);
static const struct limit call_limit = {
    .name = "update", .setting_offset = &calls_setting, .window_s = 600};

static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_USER, BODY_CALLABLE, &call_limit, IDEMPOTENCY_IN_HANDLER,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, update_profile, "change a profile"},
    {HTTP_POST, "/updatememberprofile", AUTH_USER, BODY_CALLABLE, &call_limit,
     IDEMPOTENCY_IN_HANDLER, ROUTE_NO_STORE | ROUTE_APP_CHECK, update_profile, "the same"},
};

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct profile_service *service = calloc(1, sizeof *service);
    struct metrics *m = service_metrics(state);
    const struct http_client_config django = {
        .name = "django",
        .allow_http = service_identity_settings(state)->allow_http_upstreams,
        .parallel_max = DJANGO_PARALLEL,
        .connect_timeout_ms = DJANGO_CONNECT_MS,
        .breaker_failures = BREAKER_FAILURES,
        .breaker_open_ms = BREAKER_OPEN_MS,
    };

    must(service);
    service->settings = service_settings(state);
    if (!member_countries_parse(str_from(service->settings->countries), &service->countries, e)) {
        free(service);
        return false;
    }
    service->django = http_client_new(&django);
    service_watch_client(state, service->django);
    service->repairs = repair_queue_new(service, service_firestore(state));
    service->updated = metrics_counter(m, "profile_updates_total", "Profiles updated.", "");
    service->partial = metrics_counter(m, "profile_updates_queued_total",
                                       "Of these not in Firestore at once.", "");
    service->failed =
        metrics_counter(m, "profile_update_failures_total", "Updates Django did not take.", "");
    *own = service;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct profile_service *service = own;

    (void)state;
    repair_queue_free(service->repairs);
    http_client_free(service->django);
    free(service);
}

static bool ready(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                  struct error *e)
{
    const struct profile_service *service = own;

    if (!service->settings->django_token[0])
        return error_set(e, ERR_INTERNAL, "configuration");
    return service_firestore_ready(state, own, a, deadline_ms, e);
}

const struct service the_service = {
    .name = "updatememberprofile",
    .wire_name = "updatememberprofile",
    .summary = "brings a member's changes to the register and to Firestore",
    .config = settings,
    .settings_size = sizeof(struct profile_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_callable,
    .uses = USES_IDENTITY | USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = ready,
    .default_port = 8080,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
