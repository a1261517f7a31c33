/*
 * settings.h - the settings services have in common, in groups
 *
 * A service says in `.uses` which groups it wants; each group is a table of its own, read, checked,
 * printed and documented like the service's own settings.
 */
#ifndef LIBCOMMON_SERVICE_SETTINGS_H
#define LIBCOMMON_SERVICE_SETTINGS_H

#include "ops/config.h"

/* Every service. */
struct server_settings {
    int64_t port;
    const char *listen_address;
    int64_t workers;
    int64_t queue_max;
    int64_t connections_max;
    int64_t read_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t request_budget_ms;
    int64_t drain_ms;
    int64_t trusted_hops;
    int64_t address_failures_max;
    const char *cors_origins;
    int64_t log_level;
    const char *log_salt;
    int64_t metrics_port;
    const char *metrics_address;
    const char *environment;
    const char *org_id;
    const char *org_slug;
    const char *gcp_project;
    const char *otlp_endpoint; /* "": no span is made */
    int64_t otlp_protocol;     /* enum otlp_encoding */
    int64_t otlp_auth;         /* enum otlp_auth */
    int64_t trace_sample_percent;
};
enum otlp_auth { OTLP_AUTH_NONE, OTLP_AUTH_GOOGLE };
extern const struct config_key server_settings_table[];

/* USES_IDENTITY: Firebase ID tokens and App Check. */
struct identity_settings {
    const char *project_id;
    const char *project_number;
    const char *id_token_jwks_url;
    const char *app_check_jwks_url;
    int64_t app_check_mode; /* enum app_check_mode */
    int64_t leeway_s;
    const char *auth_emulator_host;
    bool allow_http_upstreams;
};
enum app_check_mode { APP_CHECK_OFF, APP_CHECK_MONITOR, APP_CHECK_ENFORCE };
extern const struct config_key identity_settings_table[];
/* The last two, which USES_CLOUD wants as well. */
extern const struct config_key upstream_settings_table[];

/* USES_DATABASE: a strict pool. */
struct database_settings {
    const char *host;
    int64_t port;
    const char *name;
    const char *user;
    const char *password;
    int64_t pool_size;
    int64_t instances_max;
    int64_t connection_budget;
    int64_t acquire_timeout_ms;
    int64_t idle_close_ms;
    int64_t statement_timeout_ms;
    int64_t lock_timeout_ms;
};
extern const struct config_key database_settings_table[];

/* USES_IDEMPOTENCY: stored replies (needs USES_DATABASE). */
struct idempotency_settings {
    const char *key;
    int64_t ttl_s;
};
extern const struct config_key idempotency_settings_table[];

/* USES_S2S: signed calls come in (needs USES_DATABASE for the nonces). */
struct s2s_settings {
    const char *keys;
    bool api_key_allowed;
};
extern const struct config_key s2s_settings_table[];

/* USES_CLOUD: Google's APIs, or the emulators of them. The project is GCP_PROJECT_ID. */
struct google_settings {
    const char *firestore_database;
    const char *firestore_emulator_host;
    const char *key_file;
    const char *metadata_host;
    const char *iam_url;
};
extern const struct config_key google_settings_table[];

/* USES_ACCOUNT: what is true of an account now (V-G6). */
struct account_settings {
    int64_t check; /* enum account_check */
    int64_t cache_s;
    int64_t timeout_ms;
    bool strict;
};
enum account_check { ACCOUNT_CHECK_OFF, ACCOUNT_CHECK_ON };
extern const struct config_key account_settings_table[];

#endif
