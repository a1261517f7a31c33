/*
 * health.c - /health, /healthz and /health/ready
 *
 * /health is answered on the loop thread and never waits: it shows what a probe thread last found.
 * The probe runs only when somebody asks and the last answer is older than PROBE_FRESH_MS, so an
 * idle instance does nothing. V-D20, M-F47.
 */
#include "base/clock.h"
#include "service/state.h"

#define PROBE_FRESH_MS  2000
#define PROBE_BUDGET_MS 3000
#define REASONS_MAX     8

static const struct route health_route = {
    .method = HTTP_GET,
    .path = "/health",
    .doc = "what the process last knew of itself; never waits",
};

static bool check_dependencies(struct service_state *state, struct arena *a, int64_t deadline_ms,
                               struct error *e)
{
    if (state->pool && !pg_pool_check(state->pool, deadline_ms, e)) {
        /* The name is enough outside; the cause is in the log of the pool's own failures. */
        log_warning("database check failed", LOG_TEXT("reason", str_from(e->detail)));
        return error_set(e, ERR_UNAVAILABLE, "database");
    }
    return !state->service->ready || state->service->ready(state, state->own, a, deadline_ms, e);
}

static void remember(struct health_probe *probe, bool ok, const struct error *e)
{
    pthread_mutex_lock(&probe->lock);
    probe->ok = ok;
    (void)str_copy(str_from(ok ? "" : e->detail), probe->reason, sizeof probe->reason);
    probe->checked_at_ms = clock_mono_ms();
    pthread_cond_broadcast(&probe->checked);
    pthread_mutex_unlock(&probe->lock);
}

static void *probe_main(void *arg)
{
    struct service_state *state = arg;
    struct health_probe *probe = &state->probe;
    struct arena *a = arena_new(ARENA_MAX_BYTES);

    pthread_mutex_lock(&probe->lock);
    while (!probe->stop) {
        struct error e = {0};
        bool ok;

        if (!probe->want) {
            pthread_cond_wait(&probe->wanted, &probe->lock);
            continue;
        }
        probe->want = false;
        pthread_mutex_unlock(&probe->lock);
        ok = check_dependencies(state, a, clock_mono_ms() + PROBE_BUDGET_MS, &e);
        remember(probe, ok, &e);
        arena_reset(a);
        pthread_mutex_lock(&probe->lock);
    }
    pthread_mutex_unlock(&probe->lock);
    arena_free(a);
    return NULL;
}

bool health_probe_start(struct service_state *state)
{
    struct health_probe *probe = &state->probe;

    pthread_mutex_init(&probe->lock, NULL);
    pthread_cond_init(&probe->wanted, NULL);
    clock_cond_init(&probe->checked);
    probe->ok = true;
    /* What the service itself asks others is asked at once, so that the first answer knows it. */
    probe->want = state->service->ready != NULL;
    probe->running = pthread_create(&probe->thread, NULL, probe_main, state) == 0;
    return probe->running;
}

void health_probe_stop(struct service_state *state)
{
    struct health_probe *probe = &state->probe;

    if (!probe->running)
        return;
    pthread_mutex_lock(&probe->lock);
    probe->stop = true;
    pthread_cond_signal(&probe->wanted);
    pthread_mutex_unlock(&probe->lock);
    pthread_join(probe->thread, NULL);
    pthread_cond_destroy(&probe->wanted);
    pthread_cond_destroy(&probe->checked);
    pthread_mutex_destroy(&probe->lock);
    probe->running = false;
}

/* Under the lock. */
static bool is_old(const struct health_probe *probe)
{
    return probe->checked_at_ms == 0 || clock_mono_ms() - probe->checked_at_ms > PROBE_FRESH_MS;
}

/* Waits for the answer of a new probe, if the last one is old, until the deadline; 0: not at all.
 */
static bool last_known(struct service_state *state, int64_t deadline_ms, char reason[64])
{
    struct health_probe *probe = &state->probe;
    bool ok;

    pthread_mutex_lock(&probe->lock);
    if (is_old(probe)) {
        probe->want = true;
        pthread_cond_signal(&probe->wanted);
        while (deadline_ms > 0 && is_old(probe) &&
               clock_cond_wait_until(&probe->checked, &probe->lock, deadline_ms))
            continue;
    }
    ok = probe->ok;
    (void)str_copy(str_from(probe->reason), reason, 64);
    pthread_mutex_unlock(&probe->lock);
    return ok;
}

/* A ready hook names several dependencies with ',' between them. */
static void write_reasons(struct buf *out, const char *reasons)
{
    struct str rest = str_from(reasons), one;
    const char *between = ",\"reasons\":[";

    for (unsigned n = 0; reasons[0] && n < REASONS_MAX && str_split(&rest, ',', &one); n++) {
        buf_add_text(out, between);
        buf_add_json_string(out, one);
        between = ",";
    }
    if (reasons[0])
        buf_add_char(out, ']');
}

/* Written by hand and not through a tree: probes and dashboards ask often, and the loop thread has
 * votes to admit. */
static void write_body(struct service_state *state, const struct request *req, int64_t deadline_ms,
                       struct buf *out)
{
    char reason[64], now[CLOCK_ISO_SIZE];
    struct buf more;
    bool ok = last_known(state, deadline_ms, reason);

    clock_iso_utc(clock_unix_ms(), now);
    buf_init(&more, 8192);
    if (state->service->health && !state->service->health(state, state->own, &more))
        ok = false;
    buf_printf(
        out,
        "{\"status\":\"%s\",\"ok\":%s,\"service\":\"%s\",\"version\":\"%s\",\"timestamp\":\"%s\"",
        ok ? "healthy" : "degraded", ok ? "true" : "false", state->service->wire_name,
        SUITE_VERSION, now);
    buf_add_text(out, ",\"environment\":");
    buf_add_json_string(out, str_from(state->server.environment));
    write_reasons(out, reason);
    buf_add(out, buf_str(&more));
    buf_add_text(out, ",\"correlationId\":");
    buf_add_json_string(out, req->correlation_id);
    buf_add_char(out, '}');
    buf_done(&more);
    must(!out->overflow);
}

static void answer(const struct request *req, struct response *res, int64_t deadline_ms)
{
    respond_empty(res, 200);
    respond_header(res, "Content-Type", "application/json; charset=utf-8");
    respond_header(res, "Cache-Control", "no-store");
    write_body(req->state, req, deadline_ms, &res->http->body);
}

void service_health(const struct request *req, struct response *res)
{
    answer(req, res, req->deadline_ms);
}

bool health_answer_inline(void *context, const struct http_request *http, struct http_response *out)
{
    struct service_state *state = context;
    struct request req;
    struct response res;

    if (!(http->method == HTTP_GET || http->method == HTTP_HEAD) ||
        !(str_eq(http->path, STR("/health")) || str_eq(http->path, STR("/healthz"))))
        return false;
    pipeline_begin(state, http, out, &req, &res);
    req.route = &health_route;
    (void)cors_apply(state, &req, &res);
    answer(&req, &res, 0);
    report_request(&req, &res);
    return true;
}

void health_ready(const struct request *req, struct response *res)
{
    struct error e = {0};
    cJSON *body = json_object(req->arena);

    if (!check_dependencies(req->state, req->arena, req->deadline_ms, &e)) {
        remember(&req->state->probe, false, &e);
        json_add_text(body, "status", "degraded");
        json_add_text(body, "reason", e.detail);
        respond_retry_after(res, 1);
        respond_error_extra(res, ERR_UNAVAILABLE, "A dependency does not answer.", body);
        return;
    }
    remember(&req->state->probe, true, NULL);
    json_add_text(body, "status", "ready");
    respond_json(res, 200, body);
}
