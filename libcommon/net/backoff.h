/*
 * backoff.h - how long to wait before trying again
 *
 * Exponential back-off with full jitter: uniform in 0..min(cap, base * 2^attempt). Source: AWS
 * Architecture Blog, "Exponential Backoff And Jitter" (2015). Pure but for the randomness. Any
 * thread.
 */
#ifndef LIBCOMMON_NET_BACKOFF_H
#define LIBCOMMON_NET_BACKOFF_H

#include <stdint.h>

/* attempt counts from 0. base_ms >= 1, cap_ms >= base_ms. */
int64_t backoff_full_jitter_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms);

#endif
