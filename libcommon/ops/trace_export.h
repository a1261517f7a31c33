/*
 * trace_export.h - sends finished spans to an OTLP receiver, in the background
 *
 * One thread posts batches of at most SPANS_PER_EXPORT every few seconds, or sooner when that many
 * wait. While the receiver is away the batch in hand is tried again with growing pauses; what does
 * not fit the ring meanwhile is dropped and counted. A receiver that refuses a batch (4xx) does not
 * get it again. trace_exporter_stop() sends what is left within TRACE_FLUSH_MS. Requests never wait
 * for any of this. Source: opentelemetry.io/docs/specs/otlp (OTLP/HTTP).
 */
#ifndef LIBCOMMON_OPS_TRACE_EXPORT_H
#define LIBCOMMON_OPS_TRACE_EXPORT_H

#include "net/http_client.h"
#include "ops/metrics.h"
#include "ops/otlp.h"

#define SPANS_WAITING_MAX 2048
#define SPANS_PER_EXPORT  512
#define TRACE_FLUSH_MS    1500 /* DRAIN_MS and this stay below the 10 s a platform gives */

struct trace_exporter_config {
    const char *endpoint; /* "https://host[:port][/path]"; /v1/traces is added to it */
    enum otlp_encoding encoding;
    struct otlp_resource resource;
    /* The Authorization header of each post; may block until the deadline. NULL: none is sent. */
    bool (*authorize)(void *context, struct arena *a, int64_t deadline_ms, struct str *ret_value,
                      struct error *e);
    void *authorize_context;
    bool allow_http;
};

struct trace_exporter;

/* Starts the thread. The texts are borrowed. */
struct trace_exporter *trace_exporter_new(const struct trace_exporter_config *config);
struct span_ring *trace_exporter_ring(struct trace_exporter *x);
/* Sends what is left, ends the thread, frees nothing yet: later spans are dropped. Once. */
void trace_exporter_stop(struct trace_exporter *x);
void trace_exporter_free(struct trace_exporter *x);

/* For metrics_collector(). */
void trace_exporter_collect(void *exporter, struct buf *out);

#endif
