/*
 * load_report.h - what came back: counts, latencies, a table for people and JSON for programs
 *
 * Latency runs from the moment a request was due (open loop, burst) or first sent (closed loop) to
 * the last byte of its final reply, retries and their waits included. Percentiles are nearest rank
 * over the requests that were answered.
 */
#ifndef BENCH_LOAD_REPORT_H
#define BENCH_LOAD_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum load_error {
    LOAD_OK,
    LOAD_CONNECT, /* no connection */
    LOAD_CLOSED,  /* the peer closed or reset before the reply was whole */
    LOAD_TIMEOUT, /* no whole reply within the time allowed */
    LOAD_REPLY,   /* what came is no HTTP reply this program reads */
    LOAD_UNSENT,  /* the run ended first */
    LOAD_ERRORS
};

struct load_outcome {
    uint16_t status; /* 0 until answered */
    uint8_t error;   /* enum load_error */
    uint8_t retries; /* sent again after a 503 */
    uint32_t us;
};

struct load_run {
    const char *mode;
    const struct load_outcome *outcomes;
    size_t count;
    size_t connections; /* opened at the same time, at most */
    int64_t elapsed_us; /* first request due to last reply */
    int64_t cpu_us;     /* of this program, in the same span */
};

struct load_summary {
    size_t by_status[600];
    size_t by_error[LOAD_ERRORS];
    size_t answered, errors, retries;
    uint32_t p50_us, p95_us, p99_us, max_us;
    double rate; /* answered per second */
};

/* False when out of memory. */
int load_summarise(const struct load_run *run, struct load_summary *ret);
void load_print_table(FILE *out, const struct load_run *run, const struct load_summary *s);
void load_print_json(FILE *out, const struct load_run *run, const struct load_summary *s);

#endif
