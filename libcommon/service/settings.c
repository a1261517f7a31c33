/* settings.c - the shared tables; see settings.h */
#include "service/settings.h"

#define SERVER(kind, ...) CONFIG_##kind(struct server_settings, __VA_ARGS__)
const struct config_key server_settings_table[] = {
    SERVER(INT, port, "PORT", "0", 0, 65535, "port",
           "Port to listen on; 0 takes the service's own default."),
    SERVER(STR, listen_address, "LISTEN_ADDRESS", "0.0.0.0", "Numeric address to listen on."),
    SERVER(INT, workers, "WORKERS", "0", 0, 64, "threads",
           "Worker threads; handlers block on them. 0 takes the service's own default."),
    SERVER(INT, queue_max, "QUEUE_MAX", "512", 1, 65536, "requests",
           "Requests that may wait for a worker; more are answered 503."),
    SERVER(INT, connections_max, "CONNECTIONS_MAX", "2000", 1, 60000, "connections",
           "Open client connections; beyond it accepting pauses."),
    SERVER(INT, read_timeout_ms, "READ_TIMEOUT_MS", "10000", 50, 600000, "ms",
           "From a request's first byte to its last; slower ones get 408."),
    SERVER(INT, idle_timeout_ms, "IDLE_TIMEOUT_MS", "65000", 50, 3600000, "ms",
           "Keep-alive without a request."),
    SERVER(INT, request_budget_ms, "REQUEST_BUDGET_MS", "0", 0, 600000, "ms",
           "From complete request to reply; every outbound call gets what is left of it. 0 takes "
           "the service's own default."),
    SERVER(INT, drain_ms, "DRAIN_MS", "8000", 0, 60000, "ms",
           "After SIGTERM: time for what is running."),
    SERVER(INT, trusted_hops, "TRUSTED_HOPS", "1", 0, 8, "hops",
           "Which X-Forwarded-For entry from the right is the client; 0 ignores the header."),
    SERVER(INT, address_failures_max, "ADDRESS_FAILURES_PER_MINUTE", "1200", 1, 1000000, "requests",
           "Failed anonymous requests per client address and minute before 429; a hall of 500 "
           "behind one address stays below."),
    {.name = "CORS_ORIGINS",
     .type = CONFIG_TEXT,
     .offset = offsetof(struct server_settings, cors_origins),
     .max = 4096,
     .unit = "",
     .aliases = "CORS_ALLOWED_ORIGINS",
     .fallback = "https://ekklesia-prod-10-2025.web.app,https://"
                 "ekklesia-prod-10-2025.firebaseapp.com,http://localhost:3000",
     .doc = "Browser origins that may read replies, separated by ',', ';' or '^'."},
    SERVER(ENUM, log_level, "LOG_LEVEL", "info", "debug|info|notice|warning|error|critical",
           "Least severity that is written."),
    SERVER(SECRET, log_salt, "LOG_SALT", "", 0,
           "Key of the pseudonyms in log lines; empty: a random one per process, so lines of two "
           "processes do not match."),
    SERVER(INT, metrics_port, "METRICS_PORT", "0", 0, 65535, "port",
           "Prometheus text on this port; 0: off."),
    SERVER(STR, metrics_address, "METRICS_ADDRESS", "127.0.0.1",
           "Numeric address of the metrics port."),
    {.name = "ENVIRONMENT",
     .type = CONFIG_TEXT,
     .offset = offsetof(struct server_settings, environment),
     .fallback = "production",
     .max = 64,
     .unit = "",
     .aliases = "NODE_ENV",
     .doc = "Name shown by /health."},
    SERVER(STR, org_id, "ORG_ID", "00000000-0000-4000-8000-000000000001",
           "UUID of the organisation that callers without a tenant of their own belong to."),
    SERVER(STR, org_slug, "ORG_SLUG", "default",
           "Short name of that organisation, the `tenant` of log lines and metrics."),
    {.name = "GCP_PROJECT_ID",
     .type = CONFIG_TEXT,
     .offset = offsetof(struct server_settings, gcp_project),
     .fallback = "ekklesia-prod-10-2025",
     .max = 64,
     .unit = "",
     .aliases = "GOOGLE_CLOUD_PROJECT,GCP_PROJECT",
     .doc = "Google Cloud project, for trace names in log lines."},
    SERVER(
        STR, otlp_endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT", "",
        "OTLP/HTTP receiver that spans are sent to, without /v1/traces; empty: no span is made."),
    SERVER(ENUM, otlp_protocol, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf",
           "http/protobuf|http/json", "Encoding of the spans."),
    SERVER(ENUM, otlp_auth, "OTEL_EXPORTER_OTLP_AUTH", "none", "none|google",
           "Whether the receiver wants an access token of Google (telemetry.googleapis.com does)."),
    SERVER(INT, trace_sample_percent, "TRACE_SAMPLE_PERCENT", "5", 0, 100, "%",
           "Share of traces begun here that leave spans; a caller's decision comes first."),
    CONFIG_END,
};

#define IDENTITY(kind, ...) CONFIG_##kind(struct identity_settings, __VA_ARGS__)
const struct config_key identity_settings_table[] = {
    IDENTITY(STR, project_id, "FIREBASE_PROJECT_ID", "ekklesia-prod-10-2025",
             "Audience of Firebase ID tokens."),
    IDENTITY(STR, project_number, "FIREBASE_PROJECT_NUMBER", "",
             "Project number; when set, App Check's issuer must name it."),
    IDENTITY(
        STR, id_token_jwks_url, "FIREBASE_JWKS_URL",
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        "Keys of Firebase ID tokens."),
    IDENTITY(STR, app_check_jwks_url, "APP_CHECK_JWKS_URL",
             "https://firebaseappcheck.googleapis.com/v1/jwks", "Keys of App Check tokens."),
    IDENTITY(ENUM, app_check_mode, "APP_CHECK_MODE", "monitor", "off|monitor|enforce",
             "App Check: not looked at, logged, or required (403)."),
    IDENTITY(INT, leeway_s, "TOKEN_LEEWAY_S", "5", 0, 60, "s",
             "Clock skew allowed in token times."),
    CONFIG_END,
};

const struct config_key upstream_settings_table[] = {
    IDENTITY(
        STR, auth_emulator_host, "FIREBASE_AUTH_EMULATOR_HOST", "",
        "host:port of the Firebase Auth emulator; only when set are its unsigned tokens accepted."),
    IDENTITY(BOOL, allow_http_upstreams, "ALLOW_HTTP_UPSTREAMS", "false",
             "Plain http to other services; for local stacks."),
    CONFIG_END,
};

#define DATABASE(kind, ...) CONFIG_##kind(struct database_settings, __VA_ARGS__)
const struct config_key database_settings_table[] = {
    DATABASE(STR, host, "DATABASE_HOST", "127.0.0.1",
             "Server, or the directory of its Unix socket (/cloudsql/…)."),
    DATABASE(INT, port, "DATABASE_PORT", "5432", 1, 65535, "port",
             "Port of the server or name of the socket."),
    DATABASE(STR, name, "DATABASE_NAME", "ekklesia", "Database."),
    DATABASE(STR, user, "DATABASE_USER", "", "Role; empty: the service's name."),
    {.name = "DATABASE_PASSWORD",
     .type = CONFIG_SECRET_TEXT,
     .offset = offsetof(struct database_settings, password),
     .fallback = "",
     .max = 1024,
     .unit = "",
     .aliases = "postgres-password,POSTGRES_PASSWORD",
     .doc = "Password of the role."},
    DATABASE(INT, pool_size, "DATABASE_POOL_MAX", "3", 1, 64, "connections",
             "Connections of one instance."),
    DATABASE(INT, instances_max, "INSTANCES_MAX", "1", 1, 1000, "instances",
             "Instances the deployment allows; checked against the budget."),
    DATABASE(INT, connection_budget, "CONNECTION_BUDGET", "20", 1, 10000, "connections",
             "Connections this service may take of the server altogether."),
    DATABASE(INT, acquire_timeout_ms, "DATABASE_POOL_CONNECTION_TIMEOUT", "2000", 10, 60000, "ms",
             "Longest wait for a connection; then 503."),
    DATABASE(INT, idle_close_ms, "DATABASE_POOL_IDLE_TIMEOUT", "30000", 100, 3600000, "ms",
             "Idle connections are closed after this."),
    DATABASE(INT, statement_timeout_ms, "STATEMENT_TIMEOUT_MS", "4000", 10, 600000, "ms",
             "The server stops a statement after this; below REQUEST_BUDGET_MS."),
    DATABASE(INT, lock_timeout_ms, "LOCK_TIMEOUT_MS", "2000", 10, 600000, "ms",
             "The server gives up waiting for a lock after this."),
    CONFIG_END,
};

const struct config_key idempotency_settings_table[] = {
    CONFIG_SECRET(struct idempotency_settings, key, "IDEMPOTENCY_KEY", NULL, 32,
                  "Key of the hashes that stored replies are found by."),
    CONFIG_INT(struct idempotency_settings, ttl_s, "IDEMPOTENCY_TTL_S", "86400", 60, 604800, "s",
               "How long a reply can be replayed."),
    CONFIG_END,
};

const struct config_key s2s_settings_table[] = {
    CONFIG_SECRET(struct s2s_settings, keys, "S2S_KEYS", NULL, 1,
                  "Keys other services sign with: id:secret[:organisation[:its short name]], "
                  "separated by ','; secrets of 32 bytes or more."),
    CONFIG_BOOL(struct s2s_settings, api_key_allowed, "S2S_API_KEY_ALLOWED", "false",
                "Accept the bare X-API-Key of the former deployment."),
    CONFIG_END,
};

#define ACCOUNT(kind, ...) CONFIG_##kind(struct account_settings, __VA_ARGS__)
const struct config_key account_settings_table[] = {
    ACCOUNT(ENUM, check, "ACCOUNT_CHECK", "on", "off|on",
            "Whether disabled and revoked accounts, roles and membership are looked up, or the "
            "token alone counts."),
    ACCOUNT(INT, cache_s, "ACCOUNT_CACHE_S", "60", 1, 3600, "s",
            "How long what was looked up counts: changes take effect within this time."),
    ACCOUNT(INT, timeout_ms, "ACCOUNT_TIMEOUT_MS", "1500", 50, 60000, "ms",
            "Longest wait for a look-up; then it is not known."),
    ACCOUNT(BOOL, strict, "ACCOUNT_STRICT", "false",
            "While it is not known: refuse (503) also those whose token says enough."),
    CONFIG_END,
};

#define GOOGLE(kind, ...) CONFIG_##kind(struct google_settings, __VA_ARGS__)
const struct config_key google_settings_table[] = {
    GOOGLE(STR, firestore_database, "FIRESTORE_DATABASE", "(default)", "Firestore database."),
    GOOGLE(STR, firestore_emulator_host, "FIRESTORE_EMULATOR_HOST", "",
           "host:port of a Firestore emulator; no credentials are asked for then."),
    GOOGLE(STR, key_file, "GOOGLE_APPLICATION_CREDENTIALS", "",
           "Service-account key file; empty: the metadata server gives tokens and signBlob signs."),
    GOOGLE(STR, metadata_host, "GCE_METADATA_HOST", "metadata.google.internal", "Metadata server."),
    GOOGLE(STR, iam_url, "IAM_CREDENTIALS_URL", "https://iamcredentials.googleapis.com",
           "Where signBlob is asked when there is no key file."),
    CONFIG_END,
};
