/*
 * healthz.c - one page that says whether the members' platform works
 *
 * Configuration, dependencies, and what the login service's key cache did. Nothing secret: of a
 * setting only whether it is there. Contract: members.md §3.11.
 */
#include "healthz.h"

#include "net/http_client.h"
#include "service/settings.h"

#define KENNI_SECRET_FILE "/run/secrets/kenni-client-secret" /* contract §2.7 */

#define SETTING(kind, ...) CONFIG_##kind(struct healthz_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(STR, issuer, "KENNI_IS_ISSUER_URL", "", "Kenni's issuer, as the login service has it."),
    SETTING(STR, client_id, "KENNI_IS_CLIENT_ID", "",
            "Our name at Kenni; only whether it is there is shown."),
    {.name = "KENNI_IS_CLIENT_SECRET",
     .type = CONFIG_SECRET_TEXT,
     .offset = offsetof(struct healthz_settings, client_secret),
     .fallback = "",
     .min = 1,
     .max = 1024,
     .unit = "",
     .aliases = "KENNI_CLIENT_SECRET",
     .doc =
         "Our secret at Kenni; only whether it is there is shown. Also read from " KENNI_SECRET_FILE
         "."},
    SETTING(STR, redirect_uri, "KENNI_IS_REDIRECT_URI", "",
            "Where Kenni sends the browser back to; only whether it is there is shown."),
    SETTING(SECRET, django_token, "DJANGO_API_TOKEN", "", 1,
            "Token of the register; only whether it is there is shown."),
    SETTING(STR, django_url, "DJANGO_API_BASE_URL", "https://starf.sosialistaflokkurinn.is/felagar",
            "The register, without a trailing slash."),
    SETTING(INT, probe_timeout_ms, "PROBE_TIMEOUT_MS", "900", 50, 5000, "ms",
            "Longest wait for one dependency."),
    CONFIG_END,
};

/* /health and /healthz are answered before the table, at once; here they make other methods 405. */
static const struct route routes[] = {
    {HTTP_GET, "/", AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0, service_health,
     "health, after a fresh look when the last one is old"},
    {HTTP_GET, "/health", AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0, service_health,
     "what was last known, at once"},
    {HTTP_GET, "/healthz", AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0, service_health,
     "the same"},
};
static bool start(struct service_state *state, void **own_, struct error *e)
{
    struct healthz *own = calloc(1, sizeof *own);
    const struct http_client_config client = {
        .name = "probe",
        .allow_http = service_identity_settings(state)->allow_http_upstreams,
        .parallel_max = 2,
        .connect_timeout_ms = 800,
    };

    (void)e;
    must(own);
    own->settings = service_settings(state);
    own->secret_in_file = access(KENNI_SECRET_FILE, R_OK) == 0;
    own->client = http_client_new(&client);
    service_watch_client(state, own->client);
    must(pthread_mutex_init(&own->lock, NULL) == 0);
    *own_ = own;
    return true;
}

static void stop(struct service_state *state, void *own_)
{
    struct healthz *own = own_;

    (void)state;
    http_client_free(own->client);
    pthread_mutex_destroy(&own->lock);
    free(own);
}

static void add_flag(struct buf *members, const char *name, bool value)
{
    if (members->ptr[members->len - 1] != '{')
        buf_add_char(members, ',');
    buf_printf(members, "\"%s\":%s", name, value ? "true" : "false");
}

bool healthz_is_configured(const struct healthz *own)
{
    const struct healthz_settings *s = own->settings;

    return s->issuer[0] && s->client_id[0] && (s->client_secret[0] || own->secret_in_file) &&
           s->redirect_uri[0] && s->django_token[0];
}

static void add_environment(const struct healthz *own, struct buf *members)
{
    const struct healthz_settings *s = own->settings;

    buf_add_text(members, ",\"env\":{");
    add_flag(members, "KENNI_IS_ISSUER_URL", s->issuer[0]);
    add_flag(members, "KENNI_IS_CLIENT_ID", s->client_id[0]);
    add_flag(members, "KENNI_IS_CLIENT_SECRET", s->client_secret[0] || own->secret_in_file);
    add_flag(members, "KENNI_IS_REDIRECT_URI", s->redirect_uri[0]);
    add_flag(members, "DJANGO_API_TOKEN", s->django_token[0]);
    buf_add_char(members, '}');
}

static bool health(struct service_state *state, void *own_, struct buf *members)
{
    struct healthz *own = own_;
    struct findings found;

    (void)state;
    add_environment(own, members);
    pthread_mutex_lock(&own->lock);
    found = own->findings;
    pthread_mutex_unlock(&own->lock);
    buf_printf(members,
               ",\"jwks\":{\"hits\":%lld,\"misses\":%lld,\"size\":%lld,\"instances\":%lld},"
               "\"issuerConfigured\":%s,\"checked\":%s,\"dependencies\":{",
               (long long)found.jwks.hits, (long long)found.jwks.misses, (long long)found.jwks.size,
               (long long)found.jwks.instances, own->settings->issuer[0] ? "true" : "false",
               found.checked ? "true" : "false");
    add_flag(members, "firestore", found.firestore);
    add_flag(members, "kenni", found.kenni);
    add_flag(members, "django", found.django);
    buf_add_text(members, "},\"data\":{\"lastMemberSync\":");
    if (found.last_sync[0])
        buf_add_json_string(members, str_from(found.last_sync));
    else
        buf_add_text(members, "null");
    buf_add_char(members, '}');
    /* Until the first look has ended nothing is known, and green must mean green. */
    if (!found.checked)
        buf_add_text(members, ",\"reasons\":[\"not checked yet\"]");
    return healthz_is_configured(own) && found.checked;
}

const struct service the_service = {
    .name = "healthz",
    .wire_name = "healthz",
    .summary = "says whether the members' platform works",
    .config = settings,
    .settings_size = sizeof(struct healthz_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_coded,
    .cors = &cors_plain,
    .uses = USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = healthz_probe,
    .health = health,
    .default_port = 8080,
};
