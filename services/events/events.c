/*
 * events.c - the door to the ballot box
 *
 * Knows the members, shows them the current election, gives each one voting token, and never learns
 * what was voted. Contract: voting.md §3.
 */
#include "events.h"

#include "admin.h"
#include "elections_client.h"
#include "service/settings.h"

#define SETTING(kind, ...) CONFIG_##kind(struct events_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(INT, reads_per_minute, "READ_LIMIT_PER_MINUTE", "100", 1, 100000, "requests",
            "Reads per member and minute."),
    SETTING(INT, tokens_per_minute, "TOKEN_LIMIT_PER_MINUTE", "10", 1, 100000, "requests",
            "Failed token requests per member and minute."),
    SETTING(STR, elections_url, "ELECTIONS_SERVICE_URL",
            "https://elections-service-521240388393.europe-west2.run.app",
            "Base URL of elections, without a trailing slash."),
    SETTING(STR, s2s_key_id, "S2S_KEY_ID", "events-1",
            "Name of the key calls to elections are signed with."),
    {.name = "S2S_KEY",
     .type = CONFIG_SECRET_TEXT,
     .offset = offsetof(struct events_settings, s2s_key),
     .fallback = NULL,
     .min = 32,
     .max = 1024,
     .unit = "",
     .aliases = "elections-s2s-api-key,S2S_API_KEY",
     .doc = "That key's secret."},
    SETTING(SECRET, voter_key, "VOTER_KEY", NULL, 32,
            "Key of the slots; the same in elections, never in the database."),
    SETTING(INT, elections_timeout_ms, "ELECTIONS_TIMEOUT_MS", "1500", 50, 60000, "ms",
            "One attempt of a call to elections."),
    SETTING(INT, admin_per_minute, "ADMIN_LIMIT_PER_MINUTE", "60", 1, 100000, "requests",
            "Requests per operator and minute."),
    SETTING(
        ENUM, app_check_admin_mode, "APP_CHECK_ADMIN_MODE", "same", "off|monitor|enforce|same",
        "App Check on the operators' routes; same: as APP_CHECK_MODE, which is for the members'."),
    SETTING(INT, close_timeout_ms, "CLOSE_TIMEOUT_MS", "50000", 100, 600000, "ms",
            "What closing an election with its count may take, instead of REQUEST_BUDGET_MS; below "
            "the platform's own limit of a request."),
    SETTING(BOOL, reset_enabled, "ADMIN_RESET_ENABLED", "false",
            "Whether POST /api/admin/reset-election does anything; for rehearsals."),
    SETTING(STR, reset_uids, "ALLOWED_RESET_UIDS", "", "Who may reset, as uids separated by ','."),
    SETTING(INT, reset_interval_s, "ADMIN_RESET_MIN_INTERVAL_SEC", "300", 0, 86400, "s",
            "Least time between two resets of everything, over all instances."),
    SETTING(BOOL, reset_in_production, "PRODUCTION_RESET_ALLOWED", "false",
            "Whether scope all works when ENVIRONMENT is production."),
    CONFIG_END,
};

static const size_t reads_setting = offsetof(struct events_settings, reads_per_minute);
static const size_t admin_setting = offsetof(struct events_settings, admin_per_minute);
static const size_t tokens_setting = offsetof(struct events_settings, tokens_per_minute);

static const struct limit read_limit = {
    .name = "read", .setting_offset = &reads_setting, .window_s = 60};
static const struct limit admin_limit = {
    .name = "admin", .setting_offset = &admin_setting, .window_s = 60};
static const struct limit token_limit = {
    .name = "token", .setting_offset = &tokens_setting, .window_s = 60, .counts = LIMIT_FAILURES};

static const struct route routes[] = {
    {HTTP_GET, "/api/election", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, get_election, "the election that is on now"},
    {HTTP_POST, "/api/request-token", AUTH_USER, BODY_JSON, &token_limit, IDEMPOTENCY_STORED,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, request_token, "gives the member one voting token"},
    {HTTP_GET, "/api/my-status", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, my_status, "whether the member has a token, and has voted"},
    {HTTP_GET, "/api/my-token", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, my_token, "says that a token is shown once only"},
    {HTTP_GET, "/api/results", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, get_results, "the result, once voting has ended"},
    {HTTP_GET, "/api/admin/elections", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_list_elections, "all elections, newest first"},
    {HTTP_POST, "/api/admin/elections", AUTH_USER, BODY_JSON, &admin_limit, IDEMPOTENCY_STORED,
     ROUTE_APP_CHECK, admin_create_election, "a new draft"},
    {HTTP_GET, "/api/admin/elections/{id}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_get_election, "one election, all of it"},
    {HTTP_DELETE, "/api/admin/elections/{id}", AUTH_USER, BODY_NONE, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK, admin_delete_draft, "a superuser drops a draft"},
    {HTTP_PATCH, "/api/admin/elections/{id}/draft", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK, admin_update_draft, "changes a draft"},
    {HTTP_PATCH, "/api/admin/elections/{id}/metadata", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK, admin_update_metadata,
     "changes title and description in any state"},
    {HTTP_POST, "/api/admin/elections/{id}/publish", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK, admin_publish, "opens a draft for voting"},
    {HTTP_POST, "/api/admin/elections/{id}/open", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_NONE, ROUTE_APP_CHECK, admin_open, "410: operators get no tokens of members"},
    {HTTP_POST, "/api/admin/elections/{id}/pause", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_LONG, admin_pause, "stops voting for a while"},
    {HTTP_POST, "/api/admin/elections/{id}/resume", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_LONG, admin_resume, "goes on after a pause"},
    {HTTP_POST, "/api/admin/elections/{id}/close", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_LONG, admin_close, "ends voting and counts"},
    {HTTP_POST, "/api/admin/elections/{id}/archive", AUTH_USER, BODY_JSON, &admin_limit,
     IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_LONG, admin_archive,
     "puts a closed election away"},
    {HTTP_GET, "/api/admin/elections/{id}/status", AUTH_USER, BODY_NONE, &admin_limit,
     IDEMPOTENCY_NONE, ROUTE_APP_CHECK | ROUTE_NO_STORE, admin_election_status,
     "where it stands, and how many tokens are out"},
    {HTTP_GET, "/api/admin/elections/{id}/results", AUTH_USER, BODY_NONE, &admin_limit,
     IDEMPOTENCY_NONE, ROUTE_APP_CHECK | ROUTE_NO_STORE | ROUTE_LONG, admin_election_results,
     "the count, once voting has ended"},
    {HTTP_GET, "/api/admin/elections/{id}/tokens", AUTH_USER, BODY_NONE, &admin_limit,
     IDEMPOTENCY_NONE, ROUTE_APP_CHECK | ROUTE_NO_STORE, admin_election_tokens,
     "how many tokens, from when"},
    {HTTP_POST, "/api/admin/reset-election", AUTH_USER, BODY_JSON, &admin_limit, IDEMPOTENCY_STORED,
     ROUTE_APP_CHECK, reset_election, "empties a rehearsal; off unless switched on"},
    {HTTP_GET, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_unknown, "404, for operators only"},
    {HTTP_POST, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_unknown, "404, for operators only"},
    {HTTP_PATCH, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_unknown, "404, for operators only"},
    {HTTP_DELETE, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_unknown, "404, for operators only"},
    {HTTP_PUT, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, admin_unknown, "404, for operators only"},
};

static const struct pg_statement *const statements[] = {
    &sql_current_election, &sql_claim_issue,      &sql_confirm_issue,
    &sql_release_issue,    &sql_issue_status,     &sql_create_election,
    &sql_update_draft,     &sql_update_metadata,  &sql_publish_election,
    &sql_pause_election,   &sql_resume_election,  &sql_close_election,
    &sql_archive_election, &sql_delete_draft,     &sql_list_elections,
    &sql_get_election,     &sql_election_results, &sql_token_counts,
    &sql_reset_election,   &sql_audit_append,     NULL,
};

static int64_t app_check_mode(const struct service_state *state, const struct route *route)
{
    const struct events_settings *set = service_settings(state);

    if (route->limit == &admin_limit && set->app_check_admin_mode <= APP_CHECK_ENFORCE)
        return set->app_check_admin_mode;
    return service_identity_settings(state)->app_check_mode;
}

static int64_t long_budget_ms(const struct service_state *state)
{
    const struct events_settings *set = service_settings(state);

    return set->close_timeout_ms;
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    static struct events events;

    (void)e;
    events.settings = service_settings(state);
    events.elections = elections_client_new(service_identity_settings(state)->allow_http_upstreams);
    service_watch_client(state, events.elections);
    *own = &events;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct events *events = own;

    (void)state;
    http_client_free(events->elections);
}

const struct service the_service = {
    .name = "events",
    .wire_name = "events-service",
    .summary = "shows members the election and gives each one voting token",
    .config = settings,
    .settings_size = sizeof(struct events_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_voting,
    .cors = &cors_voting,
    .uses = USES_IDENTITY | USES_DATABASE | USES_IDEMPOTENCY | USES_CLOUD | USES_ACCOUNT,
    .statements = statements,
    .app_check_mode = app_check_mode,
    .long_budget_ms = long_budget_ms,
    .start = start,
    .stop = stop,
    .default_port = 8080,
};
