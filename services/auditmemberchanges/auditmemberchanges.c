/*
 * auditmemberchanges.c - keeps a trail of every change to a member
 *
 * Firestore tells each write of members/{kennitala} as a CloudEvent; each becomes one entry of a
 * chain that shows when something was changed or taken out. Contract: members.md §3.9.
 */
#include "auditmemberchanges.h"

#include "auth/jwks_cache.h"
#include "service/settings.h"

#define BODY_MAX_BYTES    (1U << 20) /* events are delivered up to 512 KiB */
#define WORKERS           8
#define REQUEST_BUDGET_MS 50000 /* below the platform's 60 s */

#define SETTING(kind, ...) CONFIG_##kind(struct audit_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(SECRET, key, "AUDIT_KEY", NULL, 32,
            "Key of the trail: chain, keyed hashes and sealed values. The same in every service "
            "that writes to it, kept as long as the entries."),
    SETTING(INT, chains, "AUDIT_CHAINS", "8", 1, AUDIT_CHAINS_MAX, "chains",
            "How many chains new entries are spread over; each is written one entry at a time."),
    SETTING(ENUM, event_auth, "EVENT_AUTH", "required", "required|platform",
            "Check the token Eventarc sends, or leave that to the platform in front."),
    SETTING(STR, audience, "EVENT_AUDIENCE", "", "Audience of that token: the trigger's URL."),
    SETTING(STR, account, "EVENT_SERVICE_ACCOUNT", "", "E-mail of the trigger's service account."),
    SETTING(STR, jwks_url, "GOOGLE_JWKS_URL", "https://www.googleapis.com/oauth2/v3/certs",
            "Keys of Google's ID tokens."),
    SETTING(STR, writers, "AUDIT_WRITERS", "",
            "Service accounts whose metadata.updated_by names the real actor, separated by ','; "
            "empty: any service account."),
    CONFIG_END,
};

static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_PUBLIC, BODY_RAW, NULL, IDEMPOTENCY_NONE, 0, record_change,
     "an event of Firestore about a member document"},
    {HTTP_POST, "/auditmemberchanges", AUTH_PUBLIC, BODY_RAW, NULL, IDEMPOTENCY_NONE, 0,
     record_change, "the same"},
};

static bool open_keys(struct service_state *state, struct audit_service *service, struct error *e)
{
    const struct http_client_config config = {
        .name = "google_keys",
        .allow_http = service_identity_settings(state)->allow_http_upstreams,
        .parallel_max = 2,
        .connect_timeout_ms = 2000,
    };

    if (service->settings->event_auth == EVENT_AUTH_PLATFORM)
        return true;
    if (!service->settings->audience[0] || !service->settings->account[0])
        return error_set(e, ERR_INTERNAL,
                         "EVENT_AUTH=required needs EVENT_AUDIENCE and EVENT_SERVICE_ACCOUNT");
    service->keys_client = http_client_new(&config);
    service->keys = jwks_cache_new(service->settings->jwks_url, service->keys_client);
    service_watch_client(state, service->keys_client);
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct audit_service *service = own;

    (void)state;
    if (!service)
        return;
    jwks_cache_free(service->keys);
    if (service->keys_client)
        http_client_free(service->keys_client);
    audit_log_free(service->log);
    free(service);
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct audit_service *service = calloc(1, sizeof *service);

    must(service);
    service->settings = service_settings(state);
    service->log = audit_log_new(&(struct audit_log_config){
        service_firestore(state), service->settings->key, service->settings->chains});
    *own = service;
    if (open_keys(state, service, e))
        return true;
    stop(state, service);
    *own = NULL;
    return false;
}

const struct service the_service = {
    .name = "auditmemberchanges",
    .wire_name = "auditmemberchanges",
    .summary = "keeps a trail of every change to a member",
    .config = settings,
    .settings_size = sizeof(struct audit_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_coded,
    .uses = USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = service_firestore_ready,
    .default_port = 8080,
    .body_max_bytes = BODY_MAX_BYTES,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
