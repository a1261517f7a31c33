/*
 * service.h - a service is a value
 *
 * services/<name>/<name>.c defines `the_service`: its settings, its routes, its start and stop
 * hooks. main() is in libcommon and does the rest:
 * --check-config, --print-config, --version, logging, the HTTP server, the request pipeline,
 * metrics, health, SIGTERM.
 *
 * Pipeline of one request, in order: head check (400) · /health on the loop thread · admission
 * (503) · correlation id · route (404, 405) · CORS and preflight · body size, media type, charset,
 * JSON (413, 415, 400; before authentication, contract §0) · App Check · authentication (401) ·
 * rate limit (429) · idempotency (409, 422, or the stored reply) · handler · headers, log line,
 * metrics.
 */
#ifndef LIBCOMMON_SERVICE_SERVICE_H
#define LIBCOMMON_SERVICE_SERVICE_H

#include "ops/config.h"
#include "ops/metrics.h"
#include "service/request.h"

enum route_auth {
    AUTH_PUBLIC,       /* nobody is asked; a credential that is sent is ignored */
    AUTH_OPTIONAL,     /* callable: none is fine, a bad one is 401 */
    AUTH_USER,         /* Firebase ID token */
    AUTH_VOTING_TOKEN, /* Bearer <64 hex> */
    AUTH_SERVICE,      /* signed S2S call (or X-API-Key where the setting allows) */
};

enum route_body {
    BODY_NONE, /* whatever is sent is not looked at */
    BODY_JSON, /* a JSON object; none, or another media type, counts as {} (contract voting.md §0)
                */
    BODY_CALLABLE, /* {"data": …}: req->body is the value of data */
    BODY_RAW,      /* the handler reads req->http->body itself */
};

enum limit_counts { LIMIT_ALL, LIMIT_FAILURES /* only 4xx and 5xx but 503 count (V-G3) */ };

/* A declared limit. One counter per key: the uid, the S2S key id, the hash of the voting token; the
 * client address only for anonymous routes. */
struct limit {
    const char *name;
    unsigned per_window;          /* unless a setting says otherwise: */
    const size_t *setting_offset; /* offset of an int64_t in the service's settings, or NULL */
    unsigned window_s;
    enum limit_counts counts;
};

enum idempotency_use {
    IDEMPOTENCY_NONE,       /* header ignored */
    IDEMPOTENCY_STORED,     /* pipeline claims the key and replays the sealed reply */
    IDEMPOTENCY_IN_HANDLER, /* the handler's own transaction does it (the vote) */
};

/* Cache-Control: no-store on every reply (V-C12). */
#define ROUTE_NO_STORE 1u
/* App Check applies, in the mode the setting says (V-G5). */
#define ROUTE_APP_CHECK 2u
/* From the moment a voting token is spent nothing may join it with a person: the log line of an
 * accepted vote holds no correlation id, address, user agent or caller (DESIGN §3, §4). */
#define ROUTE_SECRET_BALLOT 4u
/* Has service.long_budget_ms() instead of REQUEST_BUDGET_MS, for statements that are long_running.
 */
#define ROUTE_LONG 8u

struct route {
    enum http_method method; /* GET also answers HEAD */
    const char *path; /* "/api/elections/{id}/vote"; matched without regard to case, one trailing
                         '/' tolerated; a last part {rest...} takes all that is left */
    enum route_auth auth;
    enum route_body body;
    const struct limit *limit; /* NULL: none */
    enum idempotency_use idempotency;
    unsigned flags;
    void (*handler)(const struct request *req, struct response *res);
    const char *doc; /* one line, for the README check */
};

/* The shape of errors, chosen per service. */
struct error_shape {
    enum error_code wrong_method; /* what a known path with another method gets */
    const char *content_type;
    /* Writes a whole body. req may be NULL (malformed head). message non-NULL. extra may be NULL.
     */
    void (*write)(struct buf *out, const struct request *req, enum error_code code,
                  const char *message, unsigned retry_after_s, const cJSON *extra);
};
extern const struct error_shape error_shape_voting; /* {error, message, …} (voting.md §0) */
extern const struct error_shape
    error_shape_callable; /* {"error":{status,message}} (members.md §2.1) */
/* {"error":CODE,"message","correlationId"} (members.md §3.1, §3.11), with `retryAfter` beside every
 * 429 and 503. A member `error` in extra is the CODE; otherwise it is made of the error code. */
extern const struct error_shape error_shape_coded;

/* What browsers are told (contract voting.md §7.2, members.md §2.4). */
struct cors_profile {
    bool any_origin; /* callables: echo whatever asks */
    bool credentials;
    int preflight_status; /* 204 or 200 */
    const char *methods;
    const char *allow_headers; /* NULL: echo the requested ones */
    const char *expose_headers;
    const char *max_age_s;
};
extern const struct cors_profile cors_voting;
extern const struct cors_profile cors_callable;
extern const struct cors_profile cors_plain; /* profile A */

/* Parts of libcommon a service wants set up, with their settings. */
#define USES_IDENTITY    1u  /* Firebase ID tokens, App Check */
#define USES_DATABASE    2u  /* state->pool */
#define USES_IDEMPOTENCY 4u  /* stored replies; needs the database */
#define USES_S2S         8u  /* signed calls come in; needs the database */
#define USES_CLOUD       16u /* Firestore, Identity Toolkit and the tokens they want */
#define USES_ACCOUNT     32u /* the live account behind an ID token; needs identity and cloud */

struct pg_pool;
struct pg_statement;

struct service {
    const char *name;      /* = folder = binary = database role */
    const char *wire_name; /* what /health calls it: "elections-service" */
    const char *summary;   /* one line, for --version */
    const struct config_key *config;
    size_t settings_size;
    const struct route *routes;
    size_t route_count;
    const struct error_shape *errors;
    const struct cors_profile *cors;
    unsigned uses;
    const struct pg_statement *const *statements; /* NULL-terminated; prepared on each connection */
    uint16_t default_port;
    size_t body_max_bytes; /* 0: HTTP_BODY_MAX_BYTES */
    /* What PORT, WORKERS and REQUEST_BUDGET_MS mean when they are 0; 0: the suite's 4 and 5000. */
    unsigned workers;
    int64_t request_budget_ms;

    /* After configuration and library set-up, before listening. Makes *own. May block a few
     * seconds. */
    bool (*start)(struct service_state *state, void **own, struct error *e);
    /* After the last reply. */
    void (*stop)(struct service_state *state, void *own);
    /*
     * Everything the service depends on beyond the database; for /health/ready and the probe behind
     * /health. On a worker or the probe's thread. May be NULL. False: e->detail names the
     * dependency.
     */
    bool (*ready)(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                  struct error *e);
    /*
     * Loop thread, must not block: adds `,"name":value` members to the /health body and returns
     * false when the service is degraded. May be NULL.
     */
    bool (*health)(struct service_state *state, void *own, struct buf *members);
    /* enum app_check_mode of a route with ROUTE_APP_CHECK; NULL: APP_CHECK_MODE for all of them. */
    int64_t (*app_check_mode)(const struct service_state *state, const struct route *route);
    /* Milliseconds from complete request to reply of a route with ROUTE_LONG; NULL when there is
     * none. */
    int64_t (*long_budget_ms)(const struct service_state *state);
    /* Called on the loop thread about once a second while running. Must not block. May be NULL. */
    void (*tick)(struct service_state *state, void *own);
};

/* Each service defines it; main() runs it. */
extern const struct service the_service;

int service_run(const struct service *service, int argc, char **argv);

/* For hooks and handlers. Borrowed; the same for the life of the process. */
struct server_settings;
struct identity_settings;
struct database_settings;
struct idempotency_settings;
const struct server_settings *service_server_settings(const struct service_state *state);
const struct identity_settings *service_identity_settings(const struct service_state *state);
const struct idempotency_settings *service_idempotency_settings(const struct service_state *state);
/* The service's own settings, of the type its table describes. */
const void *service_settings(const struct service_state *state);
struct pg_pool *service_pool(const struct service_state *state);
struct metrics *service_metrics(const struct service_state *state);
/* USES_CLOUD. */
struct firestore;
struct identity_toolkit;
struct firestore *service_firestore(const struct service_state *state);
struct identity_toolkit *service_identity_toolkit(const struct service_state *state);
/* For clients of further Google APIs; settings say where the tokens come from. */
struct access_token_source *service_access_tokens(const struct service_state *state);
/* A ready hook, or part of one: reads a document that is not there. own is not looked at. False:
 * e->detail is "firestore". */
bool service_firestore_ready(struct service_state *state, void *own, struct arena *a,
                             int64_t deadline_ms, struct error *e) MUST_CHECK;
/* Is it, to the byte, an entry of CORS_ORIGINS? "*" lists none. */
bool service_origin_is_listed(const struct service_state *state, struct str origin);
/* A handler with the body of /health; unlike it, it waits for a probe when the last one is old. */
void service_health(const struct request *req, struct response *res);
/* Adds an upstream's figures to metrics and /health. */
struct http_client;
void service_watch_client(struct service_state *state, struct http_client *client);

#endif
