/*
 * tracing.c - each request's place in a trace, and the exporter behind it
 *
 * Without OTEL_EXPORTER_OTLP_ENDPOINT no span is made; a trace the caller names is then only
 * written into log lines and passed on. Routes of secret ballots honour no caller's trace and enter
 * none: what they leave is one span of a trace of its own with route, status and duration, begun on
 * the full minute (DESIGN §3, §4).
 */
#include "base/clock.h"
#include "service/state.h"

#define SCOPE     "https://www.googleapis.com/auth/cloud-platform"
#define MINUTE_US 60000000

static bool is_secret(const struct request *req)
{
    return req->route && (req->route->flags & ROUTE_SECRET_BALLOT);
}

static struct span_ring *ring_of(const struct service_state *state)
{
    return state->traces ? trace_exporter_ring(state->traces) : NULL;
}

/* traceparent is preferred: it is the one every platform's proxy keeps up to date. */
static bool read_parent(const struct http_request *http, struct trace_parent *ret)
{
    return (http_header_count(http, "traceparent") == 1 &&
            trace_parse_traceparent(http_header_get(http, "traceparent"), ret)) ||
           (http_header_count(http, "X-Cloud-Trace-Context") == 1 &&
            trace_parse_cloud(http_header_get(http, "X-Cloud-Trace-Context"), ret));
}

void tracing_begin(const struct request *req)
{
    const struct service_state *state = req->state;
    struct trace_parent parent;
    struct trace *trace;
    bool known;

    if (is_secret(req))
        return;
    known = read_parent(req->http, &parent);
    if (!known && !state->traces)
        return;
    trace = ARENA_NEW(req->arena, struct trace);
    trace_begin(trace, known ? &parent : NULL, ring_of(state),
                (unsigned)state->server.trace_sample_percent, state->server.gcp_project);
    trace_enter(trace);
    if (span_begin())
        span_end(req->http->arrived_us, SPAN_QUEUE, "queue", ERR_NONE);
}

static void record_secret(const struct request *req, int status)
{
    struct trace trace;
    int64_t now_us = clock_mono_us();
    struct span span = {.kind = SPAN_REQUEST,
                        .name = req->route->path,
                        .status = status,
                        .began_us = req->http->arrived_us};

    trace_begin(&trace, NULL, ring_of(req->state),
                (unsigned)req->state->server.trace_sample_percent, NULL);
    if (!trace.sampled)
        return;
    span.began_us -= (span.began_us + trace.mono_to_unix_us) % MINUTE_US;
    span.ended_us = span.began_us + now_us - req->http->arrived_us;
    span_new_id(span.span_id);
    span_record(&trace, &span);
}

void tracing_end(const struct request *req, const struct response *res)
{
    const struct trace *trace = trace_current();

    if (is_secret(req) && req->state->traces)
        record_secret(req, res->http->status);
    if (!trace)
        return;
    if (span_begin()) {
        struct span span = {.kind = SPAN_REQUEST,
                            .name = req->route ? req->route->path : "none",
                            .method = http_method_name(req->http->method),
                            .status = res->http->status,
                            .error = res->error,
                            .began_us = req->http->arrived_us,
                            .ended_us = clock_mono_us()};

        memcpy(span.span_id, trace->span_id, SPAN_ID_BYTES);
        memcpy(span.parent_id, trace->parent_id, SPAN_ID_BYTES);
        span_record(trace, &span);
    }
    trace_enter(NULL);
}

/* --- the exporter
 * --------------------------------------------------------------------------------- */

static bool authorize(void *context, struct arena *a, int64_t deadline_ms, struct str *ret_value,
                      struct error *e)
{
    struct str token;

    if (!access_token_get(context, a, deadline_ms, &token, e))
        return false;
    *ret_value = arena_printf(a, "Bearer %.*s", STR_ARG(token));
    return true;
}

/* Services that use Google otherwise have a source of tokens already. */
static struct access_token_source *token_source(struct service_state *state, struct error *e)
{
    const struct http_client_config client = {
        .name = "google-auth", .allow_http = true, .parallel_max = 1, .connect_timeout_ms = 1000};

    if (state->tokens)
        return state->tokens;
    state->trace_auth_client = http_client_new(&client);

    const struct access_token_config config = {.key_file = "",
                                               .metadata_host = "metadata.google.internal",
                                               .scope = SCOPE,
                                               .client = state->trace_auth_client};

    return state->trace_tokens = access_token_source_new(&config, e);
}

bool tracing_open(struct service_state *state, struct error *e)
{
    const struct server_settings *server = &state->server;
    struct trace_exporter_config config = {
        .endpoint = server->otlp_endpoint,
        .encoding = (enum otlp_encoding)server->otlp_protocol,
        .resource = {.service = state->service->name,
                     .version = SUITE_VERSION,
                     .environment = server->environment,
                     .project = server->gcp_project,
                     .tenant = server->org_slug},
        /* A collector beside the service speaks plain http; a token of Google's must not travel
         * like that. */
        .allow_http = server->otlp_auth == OTLP_AUTH_NONE || state->identity.allow_http_upstreams,
    };

    if (!server->otlp_endpoint[0])
        return true;
    if (server->otlp_auth == OTLP_AUTH_GOOGLE) {
        config.authorize = authorize;
        config.authorize_context = token_source(state, e);
        if (!config.authorize_context)
            return false;
    }
    state->traces = trace_exporter_new(&config);
    metrics_collector(state->metrics, trace_exporter_collect, state->traces);
    return true;
}

void tracing_flush(struct service_state *state)
{
    if (state->traces)
        trace_exporter_stop(state->traces);
}

void tracing_close(struct service_state *state)
{
    trace_exporter_free(state->traces);
    access_token_source_free(state->trace_tokens);
    http_client_free(state->trace_auth_client);
}
