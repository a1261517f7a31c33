/*
 * handlekenniauth.c - signing in with Kenni.is
 *
 * Takes the authorization code that Kenni gave the browser, proves who that is, and hands out a
 * Firebase custom token for the person's one account. Contract: members.md §3.1.
 */
#include "handlekenniauth.h"

#include "ops/log.h"
#include "service/settings.h"

#include <fcntl.h>

#define SECRET_FILE           "/run/secrets/kenni-client-secret" /* contract §2.7 */
#define SECRET_FILE_MAX_BYTES 1024
#define METADATA_TTL_USUAL_S  3600
#define BODY_MAX_BYTES        16384
/* A login waits for others most of its life. */
#define WORKERS 16
/* Below the platform's 30 s: provider 10 s, exchange 10 s, and what Google takes. */
#define REQUEST_BUDGET_MS      27000
#define KENNI_CONNECT_MS       3000 /* M-F35 */
#define KENNI_PARALLEL_MAX     32
#define KENNI_BREAKER_FAILURES 12
#define KENNI_BREAKER_OPEN_MS  1000

#define SETTING(kind, ...) CONFIG_##kind(struct login_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(STR, issuer, "KENNI_IS_ISSUER_URL", "",
            "Kenni's issuer, without a trailing slash; ID tokens must name it to the byte."),
    SETTING(STR, client_id, "KENNI_IS_CLIENT_ID", "",
            "Our name at Kenni, the audience of its ID tokens."),
    {.name = "KENNI_IS_CLIENT_SECRET",
     .type = CONFIG_SECRET_TEXT,
     .offset = offsetof(struct login_settings, client_secret),
     .fallback = "",
     .min = 1,
     .max = 1024,
     .unit = "",
     .aliases = "KENNI_CLIENT_SECRET",
     .doc = "Our secret at Kenni; also read from " SECRET_FILE "."},
    SETTING(STR, redirect_uri, "KENNI_IS_REDIRECT_URI", "",
            "Where Kenni sends the browser back to; equal to the portal's to the byte."),
    SETTING(
        BOOL, delegated_allowed, "DELEGATED_SESSIONS_ALLOWED", "false",
        "Accept sessions in which one person acts for another; the account is then the other's."),
    SETTING(SECRET, uid_key, "LOGIN_UID_KEY", NULL, 32,
            "Key of new uids and of the names of rate-limit records."),
    SETTING(INT, limit_max, "RATE_LIMIT_MAX_ATTEMPTS", "10", 1, 1000, "attempts",
            "Login attempts of one client address within the window."),
    SETTING(INT, limit_window_min, "RATE_LIMIT_WINDOW_MINUTES", "10", 1, 1440, "min",
            "That window; it slides."),
    SETTING(ENUM, limit_without_store, "RATE_LIMIT_WITHOUT_STORE", "refuse", "refuse|local|allow",
            "While Firestore does not answer: 503, count in this process only, or do not count."),
    {.name = "RATE_LIMIT_EXEMPT",
     .type = CONFIG_TEXT,
     .offset = offsetof(struct login_settings, exempt_addresses),
     .fallback = "",
     .max = 2048,
     .unit = "",
     .aliases = "EXEMPT_IPS",
     .doc = "Client addresses that are not counted, separated by ','; an IPv6 one stands for its "
            "/64."},
    SETTING(INT, metadata_ttl_s, "JWKS_CACHE_TTL_SECONDS", "3600", -2147483648, 2147483647, "s",
            "How long Kenni's discovery document is good; 0 and below mean 3600."),
    SETTING(INT, exchange_timeout_ms, "KENNI_EXCHANGE_TIMEOUT_MS", "10000", 100, 20000, "ms",
            "Longest wait for Kenni's token endpoint."),
    SETTING(INT, report_interval_ms, "JWKS_REPORT_INTERVAL_MS", "5000", 50, 600000, "ms",
            "At most this often the key-cache figures are written for healthz."),
    CONFIG_END,
};

/* handlekenniauth, handleKenniAuth: paths are compared without regard to case. */
static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_PUBLIC, BODY_RAW, NULL, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, login, "a code of Kenni's against a custom token"},
    {HTTP_POST, "/handleKenniAuth", AUTH_PUBLIC, BODY_RAW, NULL, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, login, "the same"},
};
static const char *const outcome_labels[] = {
#define X(name, text) "outcome=\"" text "\"",
    LOGIN_OUTCOMES(X)
#undef X
};

/* Where the container platform mounts it; in no environment variable then. */
static void read_secret_file(struct login_settings *s)
{
    static char text[SECRET_FILE_MAX_BYTES];
    int fd = s->client_secret[0] ? -1 : open(SECRET_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    struct str trimmed;

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return;
    trimmed = str_trim(str_n(text, (size_t)len));
    memmove(text, trimmed.ptr, trimmed.len);
    text[trimmed.len] = '\0';
    s->client_secret = text;
}

static void read_settings(struct service_state *state, struct login_settings *s)
{
    *s = *(const struct login_settings *)service_settings(state);
    read_secret_file(s);
    if (s->metadata_ttl_s <= 0) {
        log_warning("JWKS_CACHE_TTL_SECONDS is not above 0, the usual 3600 is used",
                    LOG_I64("seconds", s->metadata_ttl_s));
        s->metadata_ttl_s = METADATA_TTL_USUAL_S;
    }
}

static void collect_provider(void *arg, struct buf *out)
{
    struct provider_stats s;

    provider_get_stats(arg, &s);
    metrics_print_value(out, "kenni_discovery_hits_total", METRIC_COUNTER,
                        "Logins served from the discovery document held.", "", (double)s.hits);
    metrics_print_value(out, "kenni_discovery_fetches_total", METRIC_COUNTER,
                        "Times the discovery document was fetched.", "", (double)s.misses);
    metrics_print_value(out, "kenni_discovery_failures_total", METRIC_COUNTER,
                        "Fetches of it that failed.", "", (double)s.failures);
    metrics_print_value(out, "kenni_key_fetches_total", METRIC_COUNTER,
                        "Times the key set was fetched.", "", (double)s.key_fetches);
    metrics_print_value(out, "kenni_key_failures_total", METRIC_COUNTER,
                        "Fetches of it that failed.", "", (double)s.key_failures);
}

static void make_metrics(struct service_state *state, struct login_service *service)
{
    struct metrics *m = service_metrics(state);

    service->outcomes = calloc(LOGIN_OUTCOME_COUNT, sizeof *service->outcomes);
    must(service->outcomes);
    for (size_t i = 0; i < LOGIN_OUTCOME_COUNT; i++)
        service->outcomes[i] =
            metrics_counter(m, "logins_total", "Logins, by how they ended.", outcome_labels[i]);
    metrics_collector(m, collect_provider, service->provider);
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct login_service *service = calloc(1, sizeof *service);
    bool allow_http = service_identity_settings(state)->allow_http_upstreams;
    const struct http_client_config kenni = {
        .name = "kenni",
        .allow_http = allow_http,
        .parallel_max = KENNI_PARALLEL_MAX,
        .connect_timeout_ms = KENNI_CONNECT_MS,
        .breaker_failures = KENNI_BREAKER_FAILURES,
        .breaker_open_ms = KENNI_BREAKER_OPEN_MS,
    };

    (void)e;
    must(service);
    read_settings(state, &service->settings);
    service->kenni = http_client_new(&kenni);
    service_watch_client(state, service->kenni);

    const struct provider_config provider = {
        .issuer = service->settings.issuer,
        .ttl_s = service->settings.metadata_ttl_s,
        .allow_http = allow_http,
        .client = service->kenni,
    };

    service->provider = provider_new(&provider);
    service->limit = login_limit_new(&service->settings);
    service->report = jwks_report_new(service_firestore(state), service->provider,
                                      service->settings.report_interval_ms);
    make_metrics(state, service);
    *own = service;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct login_service *service = own;

    (void)state;
    jwks_report_free(service->report);
    login_limit_free(service->limit);
    provider_free(service->provider);
    http_client_free(service->kenni);
    free(service->outcomes);
    free(service);
}

static bool is_configured(const struct login_settings *s)
{
    return s->issuer[0] && s->client_id[0] && s->client_secret[0] && s->redirect_uri[0];
}

static bool ready(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                  struct error *e)
{
    const struct login_service *service = own;
    struct provider_endpoints endpoints;

    if (!is_configured(&service->settings))
        return error_set(e, ERR_INTERNAL, "configuration");
    if (!service_firestore_ready(state, own, a, deadline_ms, e))
        return false;
    if (provider_get(service->provider, a, deadline_ms, &endpoints, e))
        return true;
    log_warning("kenni check failed", LOG_TEXT("reason", str_from(e->detail)));
    return error_set(e, e->code, "kenni");
}

static void add_flag(struct buf *members, const char *name, const char *value)
{
    if (members->ptr[members->len - 1] != '{')
        buf_add_char(members, ',');
    buf_printf(members, "\"%s\":%s", name, value[0] ? "true" : "false");
}

/* The members the troubleshooting page of the former deployment reads (contract §3.11). */
static bool health(struct service_state *state, void *own, struct buf *members)
{
    const struct login_service *service = own;
    const struct login_settings *s = &service->settings;
    struct provider_stats keys;

    (void)state;
    provider_get_stats(service->provider, &keys);
    buf_add_text(members, ",\"env\":{");
    add_flag(members, "KENNI_IS_ISSUER_URL", s->issuer);
    add_flag(members, "KENNI_IS_CLIENT_ID", s->client_id);
    add_flag(members, "KENNI_IS_CLIENT_SECRET", s->client_secret);
    add_flag(members, "KENNI_IS_REDIRECT_URI", s->redirect_uri);
    buf_printf(members, "},\"jwks\":{\"hits\":%llu,\"misses\":%llu,\"size\":%u}",
               (unsigned long long)keys.hits, (unsigned long long)keys.misses, keys.size);
    add_flag(members, "issuerConfigured", s->issuer);
    return is_configured(s);
}

const struct service the_service = {
    .name = "handlekenniauth",
    .wire_name = "handlekenniauth",
    .summary = "turns a sign-in at Kenni into a token for the person's one account",
    .config = settings,
    .settings_size = sizeof(struct login_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_coded,
    .cors = &cors_plain,
    .uses = USES_IDENTITY | USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = ready,
    .health = health,
    .default_port = 8080,
    .body_max_bytes = BODY_MAX_BYTES,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
