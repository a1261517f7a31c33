/* metrics_port.c - /metrics on a port of its own, with a thread of its own */
#include "service/state.h"

static void answer_metrics(void *context, const struct http_request *http,
                           struct http_response *out, unsigned worker)
{
    struct service_state *state = context;

    (void)worker;
    out->body.max_bytes = 4U << 20;
    if (!str_eq(http->path, STR("/metrics"))) {
        out->status = 404;
        return;
    }
    out->status = 200;
    http_response_header(out, "Content-Type", STR("text/plain; version=0.0.4"));
    metrics_print(state->metrics, &out->body);
}

static void refuse_metrics(void *context, enum http_refusal why, enum error_code code,
                           const char *reason, const struct http_request *http,
                           struct http_response *out)
{
    (void)context;
    (void)why;
    (void)reason;
    (void)http;
    out->status = error_http_status(code);
}

static void *metrics_main(void *server)
{
    (void)http_server_run(server);
    return NULL;
}

static struct http_server *listen_metrics(struct service_state *state, struct error *e)
{
    const struct http_server_config config = {
        .listen_address = state->server.metrics_address,
        .port = (uint16_t)state->server.metrics_port,
        .workers = 1,
        .queue_max = 8,
        .connections_max = 16,
        .body_max_bytes = 1024,
        .read_timeout_ms = 5000,
        .idle_timeout_ms = 60000,
        .request_budget_ms = 5000,
        .drain_ms = 500,
    };
    const struct http_handler handler = {
        .context = state, .handle = answer_metrics, .refuse = refuse_metrics};

    return http_server_new(&config, &handler, e);
}

bool metrics_port_open(struct service_state *state, struct error *e)
{
    if (!state->server.metrics_port)
        return true;
    state->metrics_http = listen_metrics(state, e);
    if (!state->metrics_http)
        return false;
    must(pthread_create(&state->metrics_thread, NULL, metrics_main, state->metrics_http) == 0);
    return true;
}

void metrics_port_close(struct service_state *state)
{
    if (!state->metrics_http)
        return;
    http_server_stop(state->metrics_http);
    pthread_join(state->metrics_thread, NULL);
    http_server_free(state->metrics_http);
}
