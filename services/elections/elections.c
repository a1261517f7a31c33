/*
 * elections.c - the ballot box
 *
 * Everything this service answers, to whom, how often, and which file does it. Contract: voting.md
 * §2.
 */
#include "elections.h"

/* clang-format off: one line a key, one line a route */
#define SETTING(kind, ...) CONFIG_##kind(struct elections_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(INT, votes_per_minute, "VOTE_LIMIT_PER_MINUTE", "10", 1, 100000, "requests",
            "Failed votes per voting token or member and minute."),
    SETTING(INT, reads_per_minute, "READ_LIMIT_PER_MINUTE", "100", 1, 100000, "requests",
            "Reads per caller and minute."),
    SETTING(INT, writes_per_minute, "WRITE_LIMIT_PER_MINUTE", "3000", 1, 1000000, "requests",
            "Signed writes per key and minute; must allow the burst of a whole hall asking for "
            "tokens."),
    CONFIG_END};

static const size_t votes_setting = offsetof(struct elections_settings, votes_per_minute);
static const size_t reads_setting = offsetof(struct elections_settings, reads_per_minute);
static const size_t writes_setting = offsetof(struct elections_settings, writes_per_minute);

static const struct limit vote_limit = {
    .name = "vote", .setting_offset = &votes_setting, .window_s = 60, .counts = LIMIT_FAILURES};
static const struct limit read_limit = {
    .name = "read", .setting_offset = &reads_setting, .window_s = 60};
static const struct limit write_limit = {
    .name = "write", .setting_offset = &writes_setting, .window_s = 60};

static const struct route routes[] = {
    {HTTP_POST, "/api/vote", AUTH_VOTING_TOKEN, BODY_JSON, &vote_limit, IDEMPOTENCY_IN_HANDLER,
     ROUTE_APP_CHECK | ROUTE_SECRET_BALLOT | ROUTE_NO_STORE, cast_token_vote,
     "spends a voting token on one answer"},
    {HTTP_GET, "/api/token-status", AUTH_VOTING_TOKEN, BODY_NONE, &read_limit, IDEMPOTENCY_NONE,
     ROUTE_APP_CHECK | ROUTE_NO_STORE, token_status,
     "whether a voting token is registered and used"},
    {HTTP_POST, "/api/s2s/register-token", AUTH_SERVICE, BODY_JSON, &write_limit,
     IDEMPOTENCY_STORED, 0, register_token,
     "takes the hash of a new voting token for one slot of one election"},
    {HTTP_GET, "/api/s2s/slot-status", AUTH_SERVICE, BODY_NONE, &write_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE, slot_status, "whether a slot has voted"},
    {HTTP_GET, "/api/s2s/results", AUTH_SERVICE, BODY_NONE, &write_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE, s2s_results, "the count of a closed election"},
};
/* clang-format on */

static const struct pg_statement *const statements[] = {
    &sql_cast_token_vote, &sql_token_status, &sql_register_token,
    &sql_slot_status,     &sql_results,      NULL,
};

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
    .uses = USES_IDENTITY | USES_DATABASE | USES_IDEMPOTENCY | USES_S2S,
    .statements = statements,
    .default_port = 8081,
};
