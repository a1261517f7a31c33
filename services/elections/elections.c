/*
 * elections.c - the ballot box
 *
 * Everything this service answers, to whom, how often, and which file does it. Contract: voting.md
 * §2.
 */
#include "elections.h"

#include "service/settings.h"

#define SETTING(kind, ...) CONFIG_##kind(struct elections_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(INT, votes_per_minute, "VOTE_LIMIT_PER_MINUTE", "10", 1, 100000, "requests",
            "Failed votes per voting token or member and minute."),
    SETTING(INT, reads_per_minute, "READ_LIMIT_PER_MINUTE", "100", 1, 100000, "requests",
            "Reads per caller and minute."),
    SETTING(INT, writes_per_minute, "WRITE_LIMIT_PER_MINUTE", "3000", 1, 1000000, "requests",
            "Signed writes per key and minute; must allow the burst of a whole hall asking for "
            "tokens."),
    SETTING(INT, admin_per_minute, "ADMIN_LIMIT_PER_MINUTE", "60", 1, 100000, "requests",
            "Requests per operator and minute."),
    SETTING(SECRET, voter_key, "VOTER_KEY", NULL, 32,
            "Key of the slots; the same in events, never in the database."),
    SETTING(INT, sweep_interval_s, "SWEEP_INTERVAL_S", "15", 0, 3600, "s",
            "How often elections whose end has passed are closed unasked; 0: only when somebody "
            "asks."),
    SETTING(INT, close_timeout_ms, "CLOSE_TIMEOUT_MS", "50000", 100, 600000, "ms",
            "What closing an election with its count may take, instead of REQUEST_BUDGET_MS; below "
            "the platform's own limit of a request."),
    SETTING(ENUM, app_check_member_mode, "APP_CHECK_MEMBER_MODE", "monitor", "off|monitor|enforce",
            "App Check on the routes of signed-in members; APP_CHECK_MODE is for voting tokens."),
    SETTING(ENUM, app_check_admin_mode, "APP_CHECK_ADMIN_MODE", "off", "off|monitor|enforce",
            "App Check on the operators' routes; their pages do not send it yet."),
    SETTING(BOOL, vote_queue, "VOTE_QUEUE", "off",
            "Votes the database cannot take wait in Cloud Pub/Sub, for clients that accept 202."),
    SETTING(SECRET, vote_queue_key, "VOTE_QUEUE_KEY", "", 32,
            "Seals queued votes and their receipts; known to this service alone."),
    SETTING(STR, vote_queue_topic, "VOTE_QUEUE_TOPIC", "elections-votes",
            "Topic queued votes are published to."),
    SETTING(STR, vote_queue_subscription, "VOTE_QUEUE_SUBSCRIPTION", "elections-votes-record",
            "Subscription of that topic which votes are recorded from."),
    SETTING(STR, vote_queue_dead_topic, "VOTE_QUEUE_DEAD_TOPIC", "elections-votes-dead",
            "Topic for messages that cannot be read."),
    SETTING(INT, vote_queue_timeout_ms, "VOTE_QUEUE_TIMEOUT_MS", "1500", 50, 60000, "ms",
            "Longest wait for Pub/Sub to store a vote, within the request's budget."),
    SETTING(STR, pubsub_emulator_host, "PUBSUB_EMULATOR_HOST", "",
            "host:port of a Pub/Sub emulator."),
    CONFIG_END,
};

static const size_t votes_setting = offsetof(struct elections_settings, votes_per_minute);
static const size_t reads_setting = offsetof(struct elections_settings, reads_per_minute);
static const size_t writes_setting = offsetof(struct elections_settings, writes_per_minute);
static const size_t admin_setting = offsetof(struct elections_settings, admin_per_minute);

static const struct limit vote_limit = {
    .name = "vote", .setting_offset = &votes_setting, .window_s = 60, .counts = LIMIT_FAILURES};
static const struct limit read_limit = {
    .name = "read", .setting_offset = &reads_setting, .window_s = 60};
static const struct limit write_limit = {
    .name = "write", .setting_offset = &writes_setting, .window_s = 60};
static const struct limit admin_limit = {
    .name = "admin", .setting_offset = &admin_setting, .window_s = 60};

#define ADMIN_READ(path_, handler_, doc_)                                                          \
    {                                                                                              \
        HTTP_GET, "/api/admin/elections" path_, AUTH_USER, BODY_NONE, &admin_limit,                \
            IDEMPOTENCY_NONE, ROUTE_APP_CHECK | ROUTE_NO_STORE, handler_, doc_                     \
    }
#define ADMIN_WRITE(method_, path_, handler_, doc_)                                                \
    {                                                                                              \
        method_, "/api/admin/elections" path_, AUTH_USER, BODY_JSON, &admin_limit,                 \
            IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_NO_STORE, handler_, doc_                   \
    }
/* Of an election whose end has passed, the first step closes it. */
#define ADMIN_STEP(method_, path_, handler_, doc_)                                                 \
    {                                                                                              \
        method_, "/api/admin/elections/{id}" path_, AUTH_USER, BODY_JSON, &admin_limit,            \
            IDEMPOTENCY_STORED, ROUTE_APP_CHECK | ROUTE_NO_STORE | ROUTE_LONG, handler_, doc_      \
    }
#define ADMIN_UNKNOWN(method_)                                                                     \
    {                                                                                              \
        method_, "/api/admin/{rest...}", AUTH_USER, BODY_NONE, &admin_limit, IDEMPOTENCY_NONE,     \
            ROUTE_APP_CHECK, admin_unknown, "404"                                                  \
    }
static const struct route routes[] = {
    {HTTP_POST, "/api/vote", AUTH_VOTING_TOKEN, BODY_JSON, &vote_limit, IDEMPOTENCY_IN_HANDLER,
     ROUTE_APP_CHECK | ROUTE_SECRET_BALLOT | ROUTE_NO_STORE, cast_token_vote,
     "spends a voting token on one answer"},
    {HTTP_GET, "/api/vote-status", AUTH_VOTING_TOKEN, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_SECRET_BALLOT | ROUTE_NO_STORE, vote_status,
     "what became of a vote that was answered 202; the bearer is its receipt"},
    {HTTP_GET, "/api/token-status", AUTH_VOTING_TOKEN, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, token_status,
     "whether a voting token is registered and used"},
    {HTTP_POST, "/api/s2s/register-token", AUTH_SERVICE, BODY_JSON, &write_limit,
     IDEMPOTENCY_STORED, 0, register_token,
     "takes the hash of a new voting token for one slot of one election"},
    {HTTP_GET, "/api/s2s/slot-status", AUTH_SERVICE, BODY_NONE, &write_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE, slot_status, "whether a slot has voted"},
    {HTTP_GET, "/api/s2s/results", AUTH_SERVICE, BODY_NONE, &write_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_LONG, s2s_results, "the count of a closed election"},

    {HTTP_GET, "/api/elections", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, list_elections, "the elections the caller may vote in"},
    {HTTP_GET, "/api/elections/{id}", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK, get_election, "one election, and whether the caller has voted"},
    {HTTP_POST, "/api/elections/{id}/vote", AUTH_USER, BODY_JSON, &vote_limit,
     IDEMPOTENCY_IN_HANDLER, ROUTE_APP_CHECK | ROUTE_SECRET_BALLOT | ROUTE_NO_STORE,
     cast_member_vote, "a member votes"},
    {HTTP_GET, "/api/elections/{id}/results", AUTH_USER, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE | ROUTE_LONG, member_results,
     "the result, once voting has ended"},

    ADMIN_READ("", admin_list_elections, "all elections, with turnout"),
    ADMIN_WRITE(HTTP_POST, "", admin_create_election, "makes a draft"),
    ADMIN_READ("/{id}", admin_get_election, "one election, with turnout"),
    ADMIN_WRITE(HTTP_PATCH, "/{id}", admin_update_election, "changes fields"),
    ADMIN_STEP(HTTP_DELETE, "", admin_delete_election,
               "removes; with votes two superusers must agree"),
    ADMIN_STEP(HTTP_POST, "/open", admin_open_election, "publishes a draft"),
    ADMIN_STEP(HTTP_POST, "/close", admin_close_election, "ends voting and counts"),
    ADMIN_STEP(HTTP_POST, "/pause", admin_pause_election, "stops voting for a while"),
    ADMIN_STEP(HTTP_POST, "/resume", admin_resume_election, "lets voting go on"),
    ADMIN_STEP(HTTP_POST, "/archive", admin_archive_election, "files a closed election"),
    ADMIN_STEP(HTTP_POST, "/hide", admin_hide_election, "takes it off the members' routes"),
    ADMIN_STEP(HTTP_POST, "/unhide", admin_unhide_election, "puts it back"),
    {HTTP_GET, "/api/admin/elections/{id}/results", AUTH_USER, BODY_NONE, &admin_limit,
     IDEMPOTENCY_NONE, ROUTE_APP_CHECK | ROUTE_NO_STORE | ROUTE_LONG, admin_results,
     "the result with the numbers to check it by"},
    ADMIN_STEP(HTTP_POST, "/anonymize", admin_anonymize_election,
               "kept for the portal; repeatable"),

    ADMIN_UNKNOWN(HTTP_GET),
    ADMIN_UNKNOWN(HTTP_POST),
    ADMIN_UNKNOWN(HTTP_PUT),
    ADMIN_UNKNOWN(HTTP_PATCH),
    ADMIN_UNKNOWN(HTTP_DELETE),
};
static const struct pg_statement *const statements[] = {
    &sql_cast_token_vote,
    &sql_token_status,
    &sql_register_token,
    &sql_slot_status,
    &sql_results,
    &sql_list_member_elections,
    &sql_voted_in,
    &sql_get_member_election,
    &sql_cast_member_vote,
    &sql_member_results,
    &sql_list_elections,
    &sql_get_election,
    &sql_create_election,
    &sql_update_election,
    &sql_open_election,
    &sql_admin_results,
    &sql_close_election,
    &sql_pause_election,
    &sql_resume_election,
    &sql_archive_election,
    &sql_hide_election,
    &sql_unhide_election,
    &sql_delete_election,
    &sql_anonymize_election,
    &sql_audit_append,
    &sql_close_due,
    &sql_sweep,
    &sql_record_queued_vote,
    &sql_queued_vote_status,
    NULL,
};

static int64_t app_check_mode(const struct service_state *state, const struct route *route)
{
    const struct elections_settings *set = service_settings(state);

    if (route->auth != AUTH_USER)
        return service_identity_settings(state)->app_check_mode;
    return route->limit == &admin_limit ? set->app_check_admin_mode : set->app_check_member_mode;
}

static int64_t long_budget_ms(const struct service_state *state)
{
    const struct elections_settings *set = service_settings(state);

    return set->close_timeout_ms;
}

static bool start(struct service_state *state, void **own, struct error *e)
{
    static struct elections elections;

    elections.settings = service_settings(state);
    if (!vote_queue_open(state, elections.settings, &elections.queue, e))
        return false;
    elections.sweeper = sweeper_start(service_pool(state), elections.settings->sweep_interval_s,
                                      elections.settings->close_timeout_ms);
    *own = &elections;
    return true;
}

static void stop(struct service_state *state, void *own)
{
    struct elections *elections = own;

    (void)state;
    vote_queue_close(elections->queue);
    sweeper_stop(elections->sweeper);
}

const struct service the_service = {
    .name = "elections",
    .wire_name = "elections-service",
    .summary = "records secret ballots and counts them",
    .config = settings,
    .settings_size = sizeof(struct elections_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_voting,
    .cors = &cors_voting,
    .uses = USES_IDENTITY | USES_DATABASE | USES_IDEMPOTENCY | USES_S2S | USES_CLOUD | USES_ACCOUNT,
    .statements = statements,
    .app_check_mode = app_check_mode,
    .long_budget_ms = long_budget_ms,
    .start = start,
    .stop = stop,
    .default_port = 8081,
    .workers = 3, /* as many as database connections: one more only hands votes around */
};
