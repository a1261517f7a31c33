/*
 * trace.h - which trace the work of this thread belongs to, and the spans it leaves
 *
 * A request that belongs to a trace is entered on the worker thread that serves it; whatever that
 * thread then does (statements, calls to other services, log lines) finds the trace by itself.
 * Spans of a sampled request go into a ring of bounded memory, from which ops/trace_export.h takes
 * them. On a thread that has entered nothing every function here is one branch.
 *
 * No text of a request gets into a span: all of its texts are static (routes, statement names,
 * names of upstreams, error names). Source: www.w3.org/TR/trace-context (level 1);
 * cloud.google.com/trace/docs/trace-context.
 */
#ifndef LIBCOMMON_BASE_TRACE_H
#define LIBCOMMON_BASE_TRACE_H

#include "base/error.h"
#include "base/str.h"

#include <stddef.h>

#define TRACE_ID_BYTES    16
#define SPAN_ID_BYTES     8
#define TRACEPARENT_SIZE  56 /* with the NUL */
#define CLOUD_TRACE_SIZE  58 /* with the NUL */
#define TRACE_ID_HEX_SIZE 33
#define SPAN_ID_HEX_SIZE  17

enum trace_decision { TRACE_UNDECIDED, TRACE_NOT_SAMPLED, TRACE_SAMPLED };

/* What a caller says of the trace it is part of. */
struct trace_parent {
    unsigned char trace_id[TRACE_ID_BYTES];
    unsigned char span_id[SPAN_ID_BYTES]; /* all 0: not said */
    enum trace_decision decision;
};

/* Strict: false for anything that is not well formed; *ret is then not touched. */
bool trace_parse_traceparent(struct str value, struct trace_parent *ret) MUST_CHECK;
/* X-Cloud-Trace-Context: TRACE[/SPAN][;o=0|1], SPAN in decimal. */
bool trace_parse_cloud(struct str value, struct trace_parent *ret) MUST_CHECK;

/* True for `percent` of all trace ids, and for the same ones in every service. */
bool trace_id_is_sampled(const unsigned char trace_id[TRACE_ID_BYTES], unsigned percent);

enum span_kind { SPAN_REQUEST, SPAN_QUEUE, SPAN_SQL, SPAN_UPSTREAM };

struct span {
    unsigned char trace_id[TRACE_ID_BYTES];
    unsigned char span_id[SPAN_ID_BYTES];
    unsigned char parent_id[SPAN_ID_BYTES]; /* all 0: none */
    enum span_kind kind;
    const char *name;           /* route, statement or upstream; static */
    const char *method;         /* of HTTP; NULL when there is none */
    int64_t began_us, ended_us; /* since 1970, UTC */
    int status;                 /* of HTTP; 0 when there is none */
    unsigned attempts;          /* of an upstream call */
    enum error_code error;
};

/* Spans that wait for the exporter. Thread-safe. */
struct span_ring;

struct span_ring *span_ring_new(size_t spans_max);
void span_ring_free(struct span_ring *r);
/* Never waits: a span that finds the ring full is dropped and counted. */
void span_ring_add(struct span_ring *r, const struct span *span);
/* Takes the oldest, at most max. When there are none it waits for wait_ms, or until `want` are
 * there or span_ring_close() was called. */
size_t span_ring_take(struct span_ring *r, struct span *out, size_t max, size_t want,
                      int64_t wait_ms);
/* From here on span_ring_take() does not wait. */
void span_ring_close(struct span_ring *r);
bool span_ring_is_closed(struct span_ring *r);
uint64_t span_ring_dropped(struct span_ring *r);

/* The trace of one request. Made by the pipeline; belongs to the request's arena. */
struct trace {
    unsigned char trace_id[TRACE_ID_BYTES];
    unsigned char
        span_id[SPAN_ID_BYTES]; /* the request's own span, or its parent's when we make none */
    unsigned char parent_id[SPAN_ID_BYTES];
    bool sampled;
    struct span_ring *ring; /* NULL: no span is made here, the headers are passed on */
    int64_t mono_to_unix_us;
    const char *project; /* of Google Cloud, for log lines */
};

/* trace may be NULL: the thread works for no trace (any more). */
void trace_enter(const struct trace *trace);
const struct trace *trace_current(void);

/* A root of a trace of its own, or the continuation of a parent's. ring may be NULL. */
void trace_begin(struct trace *trace, const struct trace_parent *parent, struct span_ring *ring,
                 unsigned percent, const char *project);

/* Takes the time when what follows is to be a span; 0 when not. */
int64_t span_begin(void);
/* A finished span below the request's, from span_begin() to now; nothing when began_us is 0. */
void span_end(int64_t began_us, enum span_kind kind, const char *name, enum error_code error);
/* A span whose times (clock_mono_us()), id and parent the caller has filled in. */
void span_record(const struct trace *trace, struct span *span);

/* The headers an outgoing call carries, for a span with that id. */
void trace_headers(const struct trace *trace, const unsigned char span_id[SPAN_ID_BYTES],
                   char traceparent[TRACEPARENT_SIZE], char cloud[CLOUD_TRACE_SIZE]);
void span_new_id(unsigned char id[SPAN_ID_BYTES]);
bool span_id_is_set(const unsigned char id[SPAN_ID_BYTES]);

#endif
