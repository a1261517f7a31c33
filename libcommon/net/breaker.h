/*
 * breaker.h - stop asking who does not answer
 *
 * Closed: calls pass; `failures` in a row open it. Open: refuses for open_ms. Half-open: one call
 * passes as probe; its success closes, its failure opens again. Time is a parameter. Thread-safe.
 */
#ifndef LIBCOMMON_NET_BREAKER_H
#define LIBCOMMON_NET_BREAKER_H

#include "net/http_client.h"

#include <pthread.h>

struct breaker {
    pthread_mutex_t lock;
    unsigned failures_to_open; /* 0: always closed */
    int64_t open_ms;
    unsigned failures;
    int64_t opened_at_ms;
    enum breaker_state state;
    bool probing;
};

void breaker_init(struct breaker *b, unsigned failures_to_open, int64_t open_ms);
void breaker_done(struct breaker *b);
bool breaker_allow(struct breaker *b,
                   int64_t now_ms); /* every true must be followed by one breaker_report */
void breaker_report(struct breaker *b, bool success, int64_t now_ms);
enum breaker_state breaker_state_now(struct breaker *b, int64_t now_ms);

#endif
