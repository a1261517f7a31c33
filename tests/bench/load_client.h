/*
 * load_client.h - sends each prepared request exactly once, on one thread, over raw HTTP/1.1
 *
 * Closed loop: `connections` clients, each sends its next request when the last is answered. Open
 * loop: request i is due i/rate seconds after the start, whatever the server does; the latency of a
 * request that had to wait for a connection counts from when it was due. Burst: all are due at
 * once, each on a connection of its own. A request is sent again only after a 503, and only when
 * `retry` is on: at most LOAD_RETRIES_MAX times within LOAD_RETRY_WITHIN_MS, after Retry-After (1 s
 * when absent) and a random part of LOAD_RETRY_JITTER_MS.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include "load_report.h"
#include "load_requests.h"

#include <netinet/in.h>
#include <stdbool.h>

#define LOAD_CONNECTIONS_MAX 4096U
#define LOAD_REPLY_MAX_BYTES 524288U
#define LOAD_RETRIES_MAX     2
#define LOAD_RETRY_WITHIN_MS 3000
#define LOAD_RETRY_JITTER_MS 400
#define LOAD_PROGRESS_MS     250

enum load_mode { LOAD_CLOSED_LOOP, LOAD_OPEN_LOOP, LOAD_BURST };

struct load_options {
    struct sockaddr_in address; /* loopback; the caller has checked */
    enum load_mode mode;
    size_t connections; /* the most that are open at once, 1..LOAD_CONNECTIONS_MAX */
    double rate;        /* open loop: requests per second */
    bool retry;
    int64_t request_timeout_us;
    int64_t total_timeout_us;
    FILE *replies;  /* index, status, microseconds, retries, body, one line each; or NULL */
    FILE *progress; /* or NULL */
};

/* Fills outcomes (one for each request) and ret. False, with a line on stderr, when it could not
 * even start. */
bool load_client_run(const struct load_options *options, const struct load_requests *requests,
                     struct load_outcome *outcomes, struct load_run *ret);

#endif
