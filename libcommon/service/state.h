/*
 * state.h - what all requests of a process share; private to this folder
 *
 * Made by service_run() before any thread, immutable afterwards but for what locks itself (pool,
 * limiters, counters).
 */
#ifndef LIBCOMMON_SERVICE_STATE_H
#define LIBCOMMON_SERVICE_STATE_H

#include "auth/firebase_token.h"
#include "auth/rate_limit.h"
#include "auth/s2s.h"
#include "cloud/firestore.h"
#include "cloud/identity_toolkit.h"
#include "net/http_server.h"
#include "ops/log.h"
#include "ops/trace_export.h"
#include "service/service.h"
#include "service/settings.h"
#include "store/pg_pool.h"

#include <pthread.h>
#include <stdatomic.h>

#define SERVICE_CLIENTS_MAX 8
#define SERVICE_LIMITS_MAX  16
#define CORS_ORIGINS_MAX    16
#define STATUS_SLOTS        32

struct tenant {
    struct str org_id;
    const char *name; /* in log lines and metrics */
};

struct route_metrics {
    struct histogram *latency;
    _Atomic uint64_t by_status[STATUS_SLOTS];
};

/* Refreshed by the probe thread when /health is asked and the last answer is old. */
struct health_probe {
    pthread_mutex_t lock;
    pthread_cond_t wanted, checked;
    pthread_t thread;
    bool running, stop, want;
    int64_t checked_at_ms; /* 0: never */
    bool ok;
    char reason[64]; /* name of the dependency that failed; one of our own texts */
};

struct service_state {
    const struct service *service;
    void *own;
    bool started;        /* the service's start hook has done its work */
    struct arena *arena; /* settings and what else lives as long as the process */
    struct server_settings server;
    struct identity_settings identity;
    struct database_settings database;
    struct idempotency_settings idempotency;
    struct s2s_settings s2s;
    struct google_settings google;
    struct account_settings account;
    void *settings;

    struct str cors_origins[CORS_ORIGINS_MAX];
    size_t cors_origin_count;
    struct s2s_keys s2s_keys;

    struct tenant tenants[1 + S2S_KEYS_MAX]; /* the first is the process's own */
    size_t tenant_count;
    size_t tenant_of_key[S2S_KEYS_MAX];

    struct pg_pool *pool;
    const struct pg_statement *nonce_statement, *claim_statement, *store_statement,
        *release_statement;

    struct http_client *google_client, *google_auth_client;
    struct access_token_source *tokens;
    struct firestore *firestore;
    struct identity_toolkit *identity_toolkit;
    struct account_cache *accounts; /* NULL: the token alone counts */

    struct http_client *jwks_client;
    struct firebase_verifier verifier;
    struct http_client *clients[SERVICE_CLIENTS_MAX];
    size_t client_count;

    const struct limit *limits[SERVICE_LIMITS_MAX];
    struct rate_limiter *limiters[SERVICE_LIMITS_MAX];
    size_t limiter_count;
    struct rate_limiter *address_failures;

    struct trace_exporter *traces; /* NULL: no span is made */
    struct access_token_source *trace_tokens;
    struct http_client *trace_auth_client;

    struct metrics *metrics;
    struct route_metrics *route_metrics; /* tenant by tenant, one per route and one for "none" */
    _Atomic uint64_t app_check_failures;
    struct health_probe probe;
    struct http_server *http;
    struct http_server *metrics_http; /* NULL: no such port */
    pthread_t metrics_thread;
};

/* pipeline.c */
void pipeline_handle(void *context, const struct http_request *http, struct http_response *out,
                     unsigned worker);
/* What every reply has: correlation id, client address, deadline. */
void pipeline_begin(struct service_state *state, const struct http_request *http,
                    struct http_response *out, struct request *req, struct response *res);
void pipeline_refuse(void *context, enum http_refusal why, enum error_code code, const char *reason,
                     const struct http_request *http, struct http_response *out);

/* tenants.c: which organisations there are; and for which one a request, and its thread, works. */
void tenants_start(struct service_state *state);
void tenants_enter(struct request *req, size_t tenant);

/* health.c */
bool health_answer_inline(void *context, const struct http_request *http,
                          struct http_response *out);
void health_ready(const struct request *req, struct response *res);
bool health_probe_start(struct service_state *state);
void health_probe_stop(struct service_state *state);

/* cloud.c: makes and ends what USES_CLOUD promises. */
bool cloud_open(struct service_state *state, struct error *e);
void cloud_close(struct service_state *state);

/* account.c: the look-up of USES_ACCOUNT, after the cloud. */
bool account_open(struct service_state *state, struct error *e);
void account_close(struct service_state *state);
/* Fills req->account. False: disabled, revoked, or strict and not known; res is answered. */
bool account_admit(struct request *req, struct response *res);

/* router.c: finds the route; params are raw (not decoded). ret_path_known: the path exists under
 * another method. */
const struct route *router_find(const struct service *service, enum http_method method,
                                struct str path, struct str params[ROUTE_PARAMS_MAX],
                                bool *ret_path_known);

/* cors.c: adds the headers; true when the request was a preflight and is now answered. */
bool cors_apply(const struct service_state *state, const struct request *req, struct response *res);

/* authenticate.c: fills req->identity. False: res is answered. */
bool authenticate(struct request *req, struct response *res);

/* limits.c: false: answered 429. Judging the final status happens in limits_account(). */
bool limits_admit(const struct request *req, struct response *res);
void limits_account(const struct request *req, const struct response *res);
bool limits_start(struct service_state *state);

/* idempotency.c */
enum idempotency_outcome { IDEMPOTENCY_GO, IDEMPOTENCY_ANSWERED };
enum idempotency_outcome idempotency_begin(const struct request *req, struct response *res);
void idempotency_end(const struct request *req, struct response *res);

/* tracing.c: begin, once the route is known; end, after the log line. Flush: before exit, also when
 * handlers still run. */
void tracing_begin(const struct request *req);
void tracing_end(const struct request *req, const struct response *res);
bool tracing_open(struct service_state *state, struct error *e);
void tracing_flush(struct service_state *state);
void tracing_close(struct service_state *state);

/* metrics_port.c: while the service serves, if METRICS_PORT says so. */
bool metrics_port_open(struct service_state *state, struct error *e);
void metrics_port_close(struct service_state *state);

/* report.c: log line and metrics of one request. */
void report_request(const struct request *req, const struct response *res);
bool report_start(struct service_state *state);

#endif
