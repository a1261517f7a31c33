/*
 * get-django-token.c - lets operators' pages talk to the register themselves
 *
 * Contract: members.md §3.12, §14 D8.
 */
#include "get_django_token.h"

#include "service/settings.h"

#define REQUEST_BUDGET_MS 20000
#define DJANGO_CONNECT_MS 3000
#define DJANGO_PARALLEL   4

#define SETTING(kind, ...) CONFIG_##kind(struct token_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(SECRET, django_token, "DJANGO_API_TOKEN", "", 8, "Django's API token."),
    SETTING(STR, base_url, "DJANGO_API_BASE_URL", "https://starf.sosialistaflokkurinn.is/felagar",
            "Where Django's API is, without a trailing slash."),
    SETTING(STR, ticket_path, "DJANGO_TICKET_PATH", "",
            "Path below it that hands out short-lived tickets; empty: Django offers none, and the "
            "token itself is given."),
    SETTING(STR, ticket_scope, "DJANGO_TICKET_SCOPE", "members:read members:write",
            "What a ticket may do."),
    SETTING(INT, ticket_ttl_s, "DJANGO_TICKET_TTL_S", "3600", 60, 86400, "s",
            "How long a ticket is good; pages keep one 45 minutes."),
    SETTING(INT, issues_per_hour, "ISSUES_PER_HOUR", "20", 1, 10000, "keys",
            "Keys one operator may get within an hour."),
    CONFIG_END,
};

static const size_t issues_setting = offsetof(struct token_settings, issues_per_hour);
static const struct limit issue_limit = {
    .name = "issue", .setting_offset = &issues_setting, .window_s = 3600};

static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_USER, BODY_NONE, &issue_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, issue_token, "the key to the register"},
    {HTTP_POST, "/get_django_token", AUTH_USER, BODY_NONE, &issue_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, issue_token, "the same"},
    {HTTP_POST, "/get-django-token", AUTH_USER, BODY_NONE, &issue_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, issue_token, "the same"},
};

static const char *title_of(enum error_code code)
{
    if (code == ERR_RATE_LIMITED)
        return "Too Many Requests";
    return code == ERR_APP_CHECK ? "Forbidden" : error_text(code);
}

/* {"error": title, "message": text}. */
static void write_error(struct buf *out, const struct request *req, enum error_code code,
                        const char *message, unsigned retry_after_s, const cJSON *extra)
{
    (void)req;
    (void)retry_after_s;
    (void)extra;
    buf_add_text(out, "{\"error\":");
    buf_add_json_string(out, str_from(title_of(code)));
    buf_add_text(out, ",\"message\":");
    buf_add_json_string(out, str_from(message));
    buf_add_char(out, '}');
}

static const struct error_shape error_shape = {
    .wrong_method = ERR_METHOD_NOT_ALLOWED,
    .content_type = "application/json; charset=utf-8",
    .write = write_error,
};

static struct http_client *open_django(struct service_state *state)
{
    const struct http_client_config config = {
        .name = "django",
        .allow_http = service_identity_settings(state)->allow_http_upstreams,
        .parallel_max = DJANGO_PARALLEL,
        .connect_timeout_ms = DJANGO_CONNECT_MS,
    };
    struct http_client *client = http_client_new(&config);

    service_watch_client(state, client);
    return client;
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct token_service *service = calloc(1, sizeof *service);
    struct metrics *m = service_metrics(state);

    (void)e;
    must(service);
    service->settings = service_settings(state);
    if (service->settings->ticket_path[0])
        service->django = open_django(state);
    service->issued = metrics_counter(m, "django_tokens_issued_total", "Keys handed out.", "");
    service->denied =
        metrics_counter(m, "django_tokens_denied_total", "Refused for want of the role.", "");
    *own = service;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct token_service *service = own;

    (void)state;
    if (service->django)
        http_client_free(service->django);
    free(service);
}

static bool ready(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                  struct error *e)
{
    const struct token_service *service = own;

    if (!service->settings->django_token[0])
        return error_set(e, ERR_INTERNAL, "configuration");
    return service_firestore_ready(state, own, a, deadline_ms, e);
}

const struct service the_service = {
    .name = "get-django-token",
    .wire_name = "get-django-token",
    .summary = "hands an operator the key to the register, and notes it",
    .config = settings,
    .settings_size = sizeof(struct token_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape,
    .cors = &cors_plain,
    .uses = USES_IDENTITY | USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = ready,
    .default_port = 8080,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
