/*
 * syncmembers.c - brings all members from Django to Firestore, when an operator asks
 *
 * Contract: members.md §3.5.
 */
#include "syncmembers.h"

#include "net/http_client.h"
#include "service/settings.h"

#define WORKERS           4
#define REQUEST_BUDGET_MS 530000 /* below the platform's 540 s */
#define DJANGO_PARALLEL   4

#define SETTING(kind, ...) CONFIG_##kind(struct sync_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(STR, base_url, "DJANGO_API_BASE_URL", "https://starf.sosialistaflokkurinn.is/felagar",
            "The register's API, without a trailing slash."),
    SETTING(SECRET, token, "DJANGO_API_TOKEN", NULL, 8, "Its token."),
    SETTING(INT, timeout_ms, "DJANGO_TIMEOUT_MS", "30000", 100, 120000, "ms",
            "Longest wait for one page; it is asked for up to four times."),
    SETTING(INT, page_size, "SYNC_PAGE_SIZE", "200", 1, 500, "members", "Members of one page."),
    SETTING(STR, countries, "DJANGO_COUNTRIES", MEMBER_COUNTRIES_DEFAULT,
            "Country ids of Django: id:ISO code, separated by ','."),
    SETTING(STR, test_accounts, "SYNC_TEST_ACCOUNTS", MEMBER_TEST_ACCOUNTS_DEFAULT,
            MEMBER_TEST_ACCOUNTS_HELP),
    SETTING(INT, vanish_percent, "SYNC_VANISH_PERCENT", "5", 0, 100, "percent",
            "A run stops when more of the active members than this are missing from Django."),
    SETTING(BOOL, lower_roles, "SYNC_LOWER_ROLES", "false",
            "Take a role away when Django says false; otherwise roles are only added."),
    SETTING(SECRET, audit_key, "AUDIT_KEY", NULL, 32,
            "Key of the audit trail, as in auditmemberchanges."),
    SETTING(INT, audit_chains, "AUDIT_CHAINS", "8", 1, AUDIT_CHAINS_MAX, "chains",
            "How many chains new entries are spread over."),
    SETTING(INT, lease_s, "SYNC_LEASE_S", "180", 2, 600, "s",
            "How long after a run died another may begin; above four waits for a page."),
    SETTING(INT, calls_per_minute, "SYNC_LIMIT_PER_MINUTE", "120", 1, 10000, "requests",
            "Calls per person and minute, looking at the progress included."),
    CONFIG_END,
};

static const size_t calls_setting = offsetof(struct sync_settings, calls_per_minute);
static const struct limit call_limit = {
    .name = "sync", .setting_offset = &calls_setting, .window_s = 60};

static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_USER, BODY_NONE, &call_limit, IDEMPOTENCY_NONE, ROUTE_NO_STORE,
     sync_members, "sync all members from Django"},
    {HTTP_POST, "/syncmembers", AUTH_USER, BODY_NONE, &call_limit, IDEMPOTENCY_NONE, ROUTE_NO_STORE,
     sync_members, "the same"},
    {HTTP_GET, "/", AUTH_USER, BODY_NONE, &call_limit, IDEMPOTENCY_NONE, ROUTE_NO_STORE,
     sync_status, "how far the run named by ?run=, or the last one, is"},
    {HTTP_GET, "/syncmembers", AUTH_USER, BODY_NONE, &call_limit, IDEMPOTENCY_NONE, ROUTE_NO_STORE,
     sync_status, "the same"},
};

/* {"error":"<text>"}, and what else the handler has to say. */
static void write_error(struct buf *out, const struct request *req, enum error_code code,
                        const char *message, unsigned retry_after_s, const cJSON *extra)
{
    const cJSON *member;

    (void)req;
    (void)code;
    buf_add_text(out, "{\"error\":");
    buf_add_json_string(out, str_from(message));
    if (retry_after_s > 0)
        buf_printf(out, ",\"retryAfter\":%u", retry_after_s);
    cJSON_ArrayForEach(member, extra)
    {
        buf_add_char(out, ',');
        buf_add_json_string(out, str_from(member->string));
        buf_add_char(out, ':');
        (void)json_write(out, member);
    }
    buf_add_char(out, '}');
}

static const struct error_shape error_shape = {
    .wrong_method = ERR_METHOD_NOT_ALLOWED,
    .content_type = "application/json; charset=utf-8",
    .write = write_error,
};

static const struct cors_profile cors = {
    .preflight_status = 204,
    .methods = "GET, POST, OPTIONS",
    .allow_headers = "Content-Type, Authorization, X-Correlation-ID",
    .expose_headers = "X-Correlation-ID",
    .max_age_s = "3600",
};

static void stop(struct service_state *state, void *own)
{
    struct sync_service *service = own;

    (void)state;
    if (!service)
        return;
    if (service->django)
        http_client_free(service->django);
    audit_log_free(service->audit);
    free(service);
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct sync_service *service = calloc(1, sizeof *service);
    bool allow_http = service_identity_settings(state)->allow_http_upstreams;

    must(service);
    service->settings = service_settings(state);
    service->audit = audit_log_new(&(struct audit_log_config){
        service_firestore(state), service->settings->audit_key, service->settings->audit_chains});
    service->django = http_client_new(&(struct http_client_config){.name = "django",
                                                                   .allow_http = allow_http,
                                                                   .parallel_max = DJANGO_PARALLEL,
                                                                   .connect_timeout_ms = 5000});
    service_watch_client(state, service->django);
    *own = service;
    if (member_countries_parse(str_from(service->settings->countries), &service->countries, e) &&
        member_test_accounts_parse(str_from(service->settings->test_accounts),
                                   &service->test_accounts, e))
        return true;
    stop(state, service);
    *own = NULL;
    return false;
}

const struct service the_service = {
    .name = "syncmembers",
    .wire_name = "syncmembers",
    .summary = "brings all members from Django to Firestore",
    .config = settings,
    .settings_size = sizeof(struct sync_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape,
    .cors = &cors,
    .uses = USES_IDENTITY | USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = service_firestore_ready,
    .default_port = 8080,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
