/* report.c - one log line and the metrics of each request; V-F1, V-F10, M-F40, M-F54 */
#include "base/clock.h"
#include "service/state.h"

/* Statuses we count apart; anything else lands in the last slot as "other". */
static const int statuses[STATUS_SLOTS - 1] = {200, 201, 202, 204, 304, 400, 401, 403,
                                               404, 405, 408, 409, 410, 413, 415, 422,
                                               429, 431, 500, 501, 502, 503, 504};

static size_t status_slot(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (statuses[i] == status)
            return i;
    }
    return STATUS_SLOTS - 1;
}

static const char *route_name(const struct service *service, size_t index)
{
    return index < service->route_count ? service->routes[index].path : "none";
}

static const char *method_label(const struct service *service, size_t index)
{
    return index < service->route_count ? http_method_name(service->routes[index].method) : "";
}

static struct route_metrics *metrics_of(const struct service_state *state, size_t tenant,
                                        size_t route)
{
    return &state->route_metrics[tenant * (state->service->route_count + 1) + route];
}

static void collect_route(const struct service_state *state, size_t tenant, size_t route,
                          struct buf *out)
{
    const struct route_metrics *metrics = metrics_of(state, tenant, route);

    for (size_t s = 0; s < STATUS_SLOTS; s++) {
        uint64_t n = atomic_load_explicit(&metrics->by_status[s], memory_order_relaxed);
        struct buf labels;

        if (n == 0)
            continue;
        buf_init(&labels, 512);
        buf_printf(&labels, "route=\"%s\",method=\"%s\",status=\"%d\",tenant=\"%s\"",
                   route_name(state->service, route), method_label(state->service, route),
                   s < ARRAY_LEN(statuses) ? statuses[s] : 0, state->tenants[tenant].name);
        metrics_print_value(out, "http_requests_total", METRIC_COUNTER,
                            "Requests answered, by route and status.", labels.ptr, (double)n);
        buf_done(&labels);
    }
}

static void collect_requests(void *arg, struct buf *out)
{
    struct service_state *state = arg;

    for (size_t t = 0; t < state->tenant_count; t++) {
        for (size_t r = 0; r <= state->service->route_count; r++)
            collect_route(state, t, r, out);
    }
}

static void collect_server(void *arg, struct buf *out)
{
    struct service_state *state = arg;
    struct http_server_stats s;

    http_server_get_stats(state->http, &s);
    metrics_print_value(out, "http_connections", METRIC_GAUGE, "Open client connections.", "",
                        s.connections);
    metrics_print_value(out, "http_queue_depth", METRIC_GAUGE, "Requests waiting for a worker.", "",
                        s.queue_depth);
    metrics_print_value(out, "http_queue_depth_max", METRIC_GAUGE, "Highest queue depth seen.", "",
                        s.queue_depth_max);
    metrics_print_value(out, "http_workers_busy", METRIC_GAUGE, "Workers in a handler.", "",
                        s.workers_busy);
    metrics_print_value(out, "http_refused_total", METRIC_COUNTER,
                        "Requests refused before a handler.", "reason=\"head\"",
                        (double)s.refused_heads);
    metrics_print_value(out, "http_refused_total", METRIC_COUNTER, "", "reason=\"queue_full\"",
                        (double)s.refused_queue_full);
    metrics_print_value(out, "http_refused_total", METRIC_COUNTER, "", "reason=\"too_old\"",
                        (double)s.refused_too_old);
    metrics_print_value(out, "http_accept_pauses_total", METRIC_COUNTER, "Times accepting paused.",
                        "", (double)s.accept_pauses);
    metrics_print_value(out, "log_lines_lost_total", METRIC_COUNTER,
                        "Log lines the kernel refused.", "", (double)log_lines_lost());
    metrics_print_value(out, "app_check_failures_total", METRIC_COUNTER,
                        "Requests without a good App Check token.", "",
                        (double)atomic_load(&state->app_check_failures));
}

static void collect_pool(void *arg, struct buf *out)
{
    struct service_state *state = arg;
    struct pg_pool_stats s;

    pg_pool_get_stats(state->pool, &s);
    metrics_print_value(out, "pg_pool_size", METRIC_GAUGE, "Connections allowed.", "", s.size);
    metrics_print_value(out, "pg_pool_open", METRIC_GAUGE, "Connections open.", "", s.open);
    metrics_print_value(out, "pg_pool_in_use", METRIC_GAUGE, "Connections in use.", "", s.in_use);
    metrics_print_value(out, "pg_pool_waiting", METRIC_GAUGE, "Callers waiting for a connection.",
                        "", s.waiting);
    metrics_print_value(out, "pg_calls_total", METRIC_COUNTER, "Statements sent.", "",
                        (double)s.calls);
    metrics_print_value(out, "pg_pool_waits_total", METRIC_COUNTER,
                        "Calls that had to wait for a connection.", "", (double)s.waits);
    metrics_print_value(out, "pg_pool_wait_seconds_total", METRIC_COUNTER,
                        "Time spent waiting for connections.", "", (double)s.wait_us_total / 1e6);
    metrics_print_value(out, "pg_pool_acquire_timeouts_total", METRIC_COUNTER, "Waits given up.",
                        "", (double)s.acquire_timeouts);
    metrics_print_value(out, "pg_connects_total", METRIC_COUNTER, "Connections made.", "",
                        (double)s.connects);
    metrics_print_value(out, "pg_connect_failures_total", METRIC_COUNTER,
                        "Connections that failed.", "", (double)s.connect_failures);
    metrics_print_value(out, "pg_dropped_total", METRIC_COUNTER, "Connections dropped on doubt.",
                        "", (double)s.dropped);
    metrics_print_value(out, "pg_lock_refusals_total", METRIC_COUNTER,
                        "Held rows answered 503 (SQLSTATE 55P03).", "", (double)s.lock_refusals);
    metrics_print_value(out, "pg_statement_timeouts_total", METRIC_COUNTER,
                        "Statements stopped by the server.", "", (double)s.statement_timeouts);
}

/* Samples of one name must stand together, so the loop over clients is inside the loop over
 * figures. */
static void collect_clients(void *arg, struct buf *out)
{
    struct service_state *state = arg;
    static const char *const names[] = {"upstream_calls_total",    "upstream_attempts_total",
                                        "upstream_failures_total", "upstream_retries_total",
                                        "upstream_refused_total",  "upstream_breaker_open"};
    static const char *const helps[] = {
        "Calls to other services.",        "Attempts made for them.",
        "Attempts that failed.",           "Attempts that repeated one.",
        "Calls the open breaker refused.", "0 closed, 1 open, 0.5 half open."};

    for (size_t f = 0; f < ARRAY_LEN(names); f++) {
        for (size_t c = 0; c < state->client_count; c++) {
            struct http_client_stats s;
            struct buf labels;

            http_client_get_stats(state->clients[c], &s);
            const double values[] = {(double)s.calls,
                                     (double)s.attempts,
                                     (double)s.failures,
                                     (double)s.retries,
                                     (double)s.refused_by_breaker,
                                     s.breaker == BREAKER_CLOSED ? 0
                                     : s.breaker == BREAKER_OPEN ? 1
                                                                 : 0.5};

            buf_init(&labels, 256);
            buf_printf(&labels, "upstream=\"%s\"", http_client_name(state->clients[c]));
            metrics_print_value(out, names[f], f == 5 ? METRIC_GAUGE : METRIC_COUNTER, helps[f],
                                labels.ptr, values[f]);
            buf_done(&labels);
        }
    }
}

bool report_start(struct service_state *state)
{
    size_t routes = state->service->route_count + 1, count = routes * state->tenant_count;

    state->route_metrics = arena_alloc_array(state->arena, count, sizeof *state->route_metrics);
    for (size_t i = 0; i < count; i++) {
        struct str labels =
            arena_printf(state->arena, "route=\"%s\",method=\"%s\",tenant=\"%s\"",
                         route_name(state->service, i % routes),
                         method_label(state->service, i % routes), state->tenants[i / routes].name);

        state->route_metrics[i].latency =
            metrics_histogram(state->metrics, "http_request_duration_seconds",
                              "From complete head to finished reply.", labels.ptr);
    }
    metrics_collector(state->metrics, collect_requests, state);
    metrics_collector(state->metrics, collect_server, state);
    if (state->pool)
        metrics_collector(state->metrics, collect_pool, state);
    if (state->client_count > 0)
        metrics_collector(state->metrics, collect_clients, state);
    return true;
}

/* The library's own routes (/health, /health/ready) and unknown paths share the last place. */
static size_t route_index(const struct service *service, const struct route *route)
{
    for (size_t i = 0; route && i < service->route_count; i++) {
        if (route == &service->routes[i])
            return i;
    }
    return service->route_count;
}

static void count(const struct request *req, int status, int64_t took_us)
{
    struct route_metrics *metrics =
        metrics_of(req->state, req->tenant, route_index(req->state->service, req->route));

    histogram_observe_us(metrics->latency, took_us);
    atomic_fetch_add_explicit(&metrics->by_status[status_slot(status)], 1, memory_order_relaxed);
}

static enum log_severity severity_of(int status)
{
    if (status >= 500)
        return status == 503 ? LOG_WARNING : LOG_ERROR;
    return LOG_INFO;
}

void report_request(const struct request *req, const struct response *res)
{
    int64_t took_us = clock_mono_us() - req->http->arrived_us;
    int status = res->http->status;
    const char *route = req->route ? req->route->path : "none";
    /* An accepted vote leaves no trace of who asked; a refused one keeps its correlation id (V-B5).
     */
    bool anonymous = req->route && (req->route->flags & ROUTE_SECRET_BALLOT) && status < 400;
    struct str agent = str_take(http_header_get(req->http, "User-Agent"), USER_AGENT_LOG_MAX_BYTES);
    char size[24];
    struct buf size_text;
    struct log_field fields[16];
    size_t n = 0;

    count(req, status, took_us);
    buf_init_fixed(&size_text, size, sizeof size);
    buf_add_i64(&size_text, (int64_t)res->http->body.len);

    /* Cloud Logging's HttpRequest, which has its 64-bit numbers as text. */
    const struct log_field *http_request =
        LOG_FIELDS(LOG_TEXT("requestMethod", str_from(http_method_name(req->http->method))),
                   LOG_TEXT("requestUrl", str_from(route)), LOG_I64("status", status),
                   LOG_TEXT("responseSize", buf_str(&size_text)), LOG_LATENCY("latency", took_us));

    fields[n++] = LOG_TEXT("route", str_from(route));
    fields[n++] = LOG_I64("status", status);
    fields[n++] = LOG_MILLIS("latency_ms", took_us);
    if (!anonymous) {
        fields[n++] = LOG_TEXT("correlation_id", req->correlation_id);
        fields[n++] = LOG_TEXT("user_agent", agent);
        fields[n++] = LOG_PSEUDONYM("client", req->client_address);
        if (req->identity.kind == IDENTITY_USER)
            fields[n++] = LOG_PSEUDONYM("caller", req->identity.uid);
        else if (req->identity.kind == IDENTITY_SERVICE)
            fields[n++] = LOG_TEXT("caller", req->identity.key_id);
    }
    if (res->error != ERR_NONE)
        fields[n++] = LOG_TEXT("error", str_from(error_name(res->error)));
    if (res->log_reason)
        fields[n++] = LOG_TEXT("reason", str_from(res->log_reason));
    fields[n++] = LOG_GROUP("httpRequest", http_request);
    fields[n] = (struct log_field){.type = LOG_FIELD_END};
    must(n < ARRAY_LEN(fields));
    log_write(severity_of(status), "request", fields);
}
