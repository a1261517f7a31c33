#include "ops/trace_export.h"

#include "base/clock.h"
#include "net/backoff.h"
#include "ops/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define EXPORT_EVERY_MS    5000
#define EXPORT_WANT        256  /* this many spans are worth a post before the time */
#define POST_TIMEOUT_MS    1000 /* below TRACE_FLUSH_MS, so that stopping need not wait for a post */
#define POST_MAX_BYTES     (512U << 10)
#define ANSWER_MAX_BYTES   4096
#define ATTEMPTS_MAX       6
#define BACKOFF_BASE_MS    1000
#define BACKOFF_CAP_MS     30000
#define ARENA_EXPORT_BYTES (1U << 20)

struct trace_exporter {
    struct trace_exporter_config config;
    struct span_ring *ring;
    struct http_client *client;
    pthread_t thread;
    struct span batch[SPANS_PER_EXPORT];
    _Atomic int64_t stop_by_ms; /* 0: go on */
    bool stopped;
    bool complained; /* about the receiver, since it last took something */
    _Atomic uint64_t exported, lost, failures;
};

/* ---- One batch ---- */

enum outcome { TAKEN, REFUSED, TRY_AGAIN };

static enum outcome judge(bool answered, int status)
{
    if (answered && status >= 200 && status < 300)
        return TAKEN;
    /* OTLP/HTTP, "Failures": only these may be tried again. */
    if (!answered || status == 429 || status == 502 || status == 503 || status == 504)
        return TRY_AGAIN;
    return REFUSED;
}

static void complain(struct trace_exporter *x, int status, const char *reason)
{
    if (!x->complained)
        log_warning("spans could not be exported", LOG_I64("status", status),
                    LOG_TEXT("reason", str_from(reason)));
    x->complained = true;
}

static enum outcome post(struct trace_exporter *x, struct str body, int64_t deadline_ms)
{
    struct arena *a = arena_new(ARENA_EXPORT_BYTES);
    struct http_header headers[2] = {
        {STR("Content-Type"), str_from(otlp_content_type(x->config.encoding))}};
    size_t header_count = 1;
    struct http_answer answer = {.status = 0};
    struct error e = {.code = ERR_NONE};
    bool ok = true;

    if (x->config.authorize) {
        headers[1].name = STR("Authorization");
        ok =
            x->config.authorize(x->config.authorize_context, a, deadline_ms, &headers[1].value, &e);
        header_count = 2;
    }

    const struct http_call call = {
        .method = HTTP_POST,
        .url = arena_printf(a, "%s/v1/traces", x->config.endpoint),
        .headers = headers,
        .header_count = header_count,
        .body = body,
        .deadline_ms = deadline_ms,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .repeatable = true, /* spans carry their ids; keeps the connection */
    };

    ok = ok && http_client_call(x->client, &call, a, &answer, NULL, &e);
    enum outcome outcome = judge(ok, answer.status);
    if (outcome == TAKEN) {
        x->complained = false;
    } else {
        atomic_fetch_add(&x->failures, 1);
        complain(x, answer.status, ok ? "the receiver refused them" : e.detail);
    }
    arena_free(a);
    return outcome;
}

static int64_t stop_by_ms(struct trace_exporter *x)
{
    return atomic_load(&x->stop_by_ms);
}

/* Waits for the pause to pass, or for the end. */
static void pause_before(struct trace_exporter *x, unsigned attempt)
{
    int64_t until_ms =
        clock_mono_ms() + backoff_full_jitter_ms(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    const struct timespec tick = {.tv_nsec = 50 * 1000000};

    while (!span_ring_is_closed(x->ring) && clock_mono_ms() < until_ms)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
}

static void export_batch(struct trace_exporter *x, size_t count)
{
    struct buf body;
    enum outcome outcome = REFUSED;

    buf_init(&body, POST_MAX_BYTES);
    if (otlp_write(&body, x->config.encoding, &x->config.resource, x->batch, count)) {
        for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
            int64_t deadline_ms = clock_mono_ms() + POST_TIMEOUT_MS, end_ms = stop_by_ms(x);

            if (end_ms && end_ms < deadline_ms)
                deadline_ms = end_ms;
            outcome =
                clock_left_ms(deadline_ms) > 0 ? post(x, buf_str(&body), deadline_ms) : REFUSED;
            if (outcome != TRY_AGAIN)
                break;
            pause_before(x, attempt);
        }
    }
    buf_done(&body);
    atomic_fetch_add(outcome == TAKEN ? &x->exported : &x->lost, count);
}

/* ---- Life ---- */

static void *export_main(void *arg)
{
    struct trace_exporter *x = arg;
    size_t count;
    bool last;

    do {
        last = span_ring_is_closed(x->ring);
        count = span_ring_take(x->ring, x->batch, SPANS_PER_EXPORT, EXPORT_WANT, EXPORT_EVERY_MS);
        if (count > 0)
            export_batch(x, count);
    } while (!last || count > 0);
    return NULL;
}

struct trace_exporter *trace_exporter_new(const struct trace_exporter_config *config)
{
    struct trace_exporter *x = calloc(1, sizeof(*x));
    const struct http_client_config client = {
        .name = "otlp",
        .allow_http = config->allow_http,
        .parallel_max = 1,
        .connect_timeout_ms = POST_TIMEOUT_MS,
    };
    sigset_t all, before;

    must(x != NULL);
    x->config = *config;
    x->ring = span_ring_new(SPANS_WAITING_MAX);
    x->client = http_client_new(&client);
    sigfillset(&all); /* signals belong to the main thread */
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    must(pthread_create(&x->thread, NULL, export_main, x) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return x;
}

struct span_ring *trace_exporter_ring(struct trace_exporter *x)
{
    return x->ring;
}

void trace_exporter_stop(struct trace_exporter *x)
{
    atomic_store(&x->stop_by_ms, clock_mono_ms() + TRACE_FLUSH_MS);
    span_ring_close(x->ring);
    must(pthread_join(x->thread, NULL) == 0);
    x->stopped = true;

    uint64_t lost = atomic_load(&x->lost) + span_ring_dropped(x->ring);
    if (lost > 0)
        log_warning("spans were lost", LOG_I64("spans", (int64_t)lost));
}

void trace_exporter_free(struct trace_exporter *x)
{
    if (x == NULL)
        return;
    if (!x->stopped)
        trace_exporter_stop(x);
    http_client_free(x->client);
    span_ring_free(x->ring);
    free(x);
}

void trace_exporter_collect(void *exporter, struct buf *out)
{
    struct trace_exporter *x = exporter;

    metrics_print_value(out, "trace_spans_exported_total", METRIC_COUNTER,
                        "Spans the receiver took.", "", (double)atomic_load(&x->exported));
    metrics_print_value(out, "trace_spans_dropped_total", METRIC_COUNTER, "Spans nobody will see.",
                        "reason=\"queue_full\"", (double)span_ring_dropped(x->ring));
    metrics_print_value(out, "trace_spans_dropped_total", METRIC_COUNTER, "",
                        "reason=\"not_taken\"", (double)atomic_load(&x->lost));
    metrics_print_value(out, "trace_export_failures_total", METRIC_COUNTER,
                        "Posts the receiver did not take.", "", (double)atomic_load(&x->failures));
}
