/*
 * verifymembership.c - tells a signed-in person whether she is a member, and notes it
 *
 * Contract: members.md §3.2. The note, in users/{uid} and in the account's claims, is what later
 * ID tokens carry to the ballot box.
 */
#include "verifymembership.h"

#define SETTING(kind, ...) CONFIG_##kind(struct verify_settings, __VA_ARGS__)
static const struct config_key settings[] = {
    SETTING(BOOL, record_required, "MEMBERSHIP_RECORD_REQUIRED", "false",
            "Nobody is a member without members/{kennitala}/server/membership; switch on after the "
            "first full sync."),
    SETTING(INT, calls_per_minute, "VERIFY_LIMIT_PER_MINUTE", "60", 1, 100000, "requests",
            "Calls per person and minute."),
    CONFIG_END,
};

static const size_t calls_setting = offsetof(struct verify_settings, calls_per_minute);

static const struct limit call_limit = {
    .name = "verify", .setting_offset = &calls_setting, .window_s = 60};

/* verifymembership, verifyMembership: paths are compared without regard to case. */
static const struct route routes[] = {
    {HTTP_POST, "/", AUTH_USER, BODY_CALLABLE, &call_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, verify_membership, "is the caller a member?"},
    {HTTP_POST, "/verifyMembership", AUTH_USER, BODY_CALLABLE, &call_limit, IDEMPOTENCY_NONE,
     ROUTE_NO_STORE | ROUTE_APP_CHECK, verify_membership, "the same"},
};
const struct service the_service = {
    .name = "verifymembership",
    .wire_name = "verifymembership",
    .summary = "tells a signed-in person whether she is a member",
    .config = settings,
    .settings_size = sizeof(struct verify_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_callable,
    .uses = USES_IDENTITY | USES_CLOUD,
    .ready = service_firestore_ready,
    .default_port = 8080,
    .workers = 8,
    .request_budget_ms = 20000,
};
