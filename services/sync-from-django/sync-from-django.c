/*
 * sync-from-django.c - the register's webhook: a saved or deleted member reaches Firestore at once
 *
 * Contract: members.md §3.3. No browser has business here, so no origin is ever allowed (M-F51).
 */
#include "sync_from_django.h"

#include "service/settings.h"

/* Below the register's own 10 s, so that it hears the answer. */
#define REQUEST_BUDGET_MS 9000
#define BODY_MAX_BYTES    262144
#define WORKERS           8

#define SETTING(kind, ...) CONFIG_##kind(struct sync_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(SECRET, api_key, "SYNC_API_KEY", "", 16,
            "The webhook key; another secret than Django's own token."),
    SETTING(SECRET, previous_key, "SYNC_API_KEY_PREVIOUS", "", 16,
            "The key before it, while it is being changed."),
    SETTING(SECRET, signing_keys, "SYNC_SIGNING_KEYS", "", 1,
            "Keys of signed webhooks: id:secret, separated by ','; secrets of 32 bytes or more."),
    SETTING(ENUM, auth, "SYNC_AUTH", "key", "key|either|signature",
            "What a call must bring: the key, a signature or the key, or a signature."),
    SETTING(STR, countries, "DJANGO_COUNTRIES", MEMBER_COUNTRIES_DEFAULT,
            "Ids of Django's country table with their ISO codes, \"109:IS,53:DK\"; others are kept "
            "as ids."),
    SETTING(STR, test_accounts, "SYNC_TEST_ACCOUNTS", MEMBER_TEST_ACCOUNTS_DEFAULT,
            MEMBER_TEST_ACCOUNTS_HELP),
    CONFIG_END,
};

static void answer_preflight(const struct request *req, struct response *res)
{
    (void)req;
    respond_empty(res, 204);
}

#define EVENT_ROUTE(path_)                                                                         \
    {                                                                                              \
        HTTP_POST, path_, AUTH_PUBLIC, BODY_RAW, NULL, IDEMPOTENCY_IN_HANDLER, ROUTE_NO_STORE,     \
            receive_event, "a member was saved or deleted"                                         \
    }
#define OPTIONS_ROUTE(path_)                                                                       \
    {                                                                                              \
        HTTP_OPTIONS, path_, AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0, answer_preflight,  \
            "204 without permission"                                                               \
    }
/* The names are compared without regard to case. */
static const struct route routes[] = {
    EVENT_ROUTE("/"),   EVENT_ROUTE("/sync_from_django"),   EVENT_ROUTE("/sync-from-django"),
    OPTIONS_ROUTE("/"), OPTIONS_ROUTE("/sync_from_django"), OPTIONS_ROUTE("/sync-from-django"),
};

static const char *const count_labels[] = {
    [SYNC_WRITTEN] = "outcome=\"written\"",   [SYNC_UNCHANGED] = "outcome=\"unchanged\"",
    [SYNC_REPEATED] = "outcome=\"repeated\"", [SYNC_OUTDATED] = "outcome=\"outdated\"",
    [SYNC_SKIPPED] = "outcome=\"skipped\"",   [SYNC_FAILED] = "outcome=\"failed\"",
    [SYNC_REFUSED] = "outcome=\"refused\"",
};

/* {"error": text}, as the register knows it. */
static void write_error(struct buf *out, const struct request *req, enum error_code code,
                        const char *message, unsigned retry_after_s, const cJSON *extra)
{
    (void)req;
    (void)retry_after_s;
    (void)extra;
    buf_add_text(out, "{\"error\":");
    buf_add_json_string(out,
                        str_from(code == ERR_METHOD_NOT_ALLOWED ? "Method not allowed" : message));
    buf_add_char(out, '}');
}

static const struct error_shape error_shape = {
    .wrong_method = ERR_METHOD_NOT_ALLOWED,
    .content_type = "application/json; charset=utf-8",
    .write = write_error,
};

static bool read_settings(const struct service_state *state, struct sync_service *service,
                          struct error *e)
{
    const struct sync_settings *s = service_settings(state);
    struct str org = str_from(service_server_settings(state)->org_id);

    service->settings = s;
    if (s->auth == SYNC_AUTH_SIGNATURE && !s->signing_keys[0])
        return error_set(e, ERR_INTERNAL, "SYNC_AUTH=signature needs SYNC_SIGNING_KEYS");
    return member_countries_parse(str_from(s->countries), &service->countries, e) &&
           member_test_accounts_parse(str_from(s->test_accounts), &service->test_accounts, e) &&
           s2s_keys_parse(str_from(s->signing_keys), org, &service->keys, e);
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    struct sync_service *service = calloc(1, sizeof *service);

    must(service);
    if (!read_settings(state, service, e)) {
        free(service);
        return false;
    }
    for (size_t i = 0; i < SYNC_COUNTS; i++)
        service->counts[i] = metrics_counter(service_metrics(state), "sync_events_total",
                                             "Webhooks, by what became of them.", count_labels[i]);
    *own = service;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    (void)state;
    free(own);
}

static bool ready(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                  struct error *e)
{
    const struct sync_service *service = own;

    if (!service->settings->api_key[0] && service->keys.count == 0)
        return error_set(e, ERR_INTERNAL, "configuration");
    return service_firestore_ready(state, own, a, deadline_ms, e);
}

const struct service the_service = {
    .name = "sync-from-django",
    .wire_name = "sync-from-django",
    .summary = "brings each change of the register to Firestore at once",
    .config = settings,
    .settings_size = sizeof(struct sync_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape,
    .uses = USES_CLOUD,
    .start = start,
    .stop = stop,
    .ready = ready,
    .default_port = 8080,
    .body_max_bytes = BODY_MAX_BYTES,
    .workers = WORKERS,
    .request_budget_ms = REQUEST_BUDGET_MS,
};
