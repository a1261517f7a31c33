/*
 * clock.h - what time it is, and how it is written
 *
 * Deadlines use the monotonic clock, everything people or other systems read the real one, in UTC.
 * Functions that decide take the time as a parameter, so that tests need no clock. Any thread.
 */
#ifndef LIBCOMMON_BASE_CLOCK_H
#define LIBCOMMON_BASE_CLOCK_H

#include "base/str.h"

#include <pthread.h>

int64_t clock_mono_us(void);
int64_t clock_mono_ms(void);
int64_t clock_unix_us(void); /* UTC */
int64_t clock_unix_ms(void);

/* Milliseconds from now to a clock_mono_ms() deadline, never below 0. */
int64_t clock_left_ms(int64_t deadline_ms);

/*
 * A condition variable with the monotonic clock, for clock_cond_wait_until(); destroyed as any
 * other. Source: POSIX pthread_condattr_setclock(), pthread_cond_timedwait().
 */
void clock_cond_init(pthread_cond_t *cond);

/* Waits, holding the mutex, until woken or a clock_mono_ms() deadline. False when the deadline came
 * first, at once when it has passed; true may mean nothing, so what was waited for is looked at
 * again. */
bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ms);

#define CLOCK_ISO_SIZE 32
/* "2026-11-21T22:32:34.657Z" with a NUL; out has CLOCK_ISO_SIZE bytes. Years 1970..9999 (clamped).
 */
void clock_iso_utc(int64_t unix_ms, char out[CLOCK_ISO_SIZE]);

/*
 * RFC 3339 date-time ("2026-11-21T22:32:34.657Z", "+00:00" offsets, up to nine fractional digits,
 * 'T' or space) to UTC milliseconds. False on anything else, leap seconds included.
 */
bool clock_parse_rfc3339(struct str s, int64_t *ret_unix_ms);

/* IMF-fixdate of RFC 9110 §5.6.7, for Date and Last-Modified: "Sun, 06 Nov 1994 08:49:37 GMT". */
void clock_http_date(int64_t unix_s, char out[CLOCK_ISO_SIZE]);
bool clock_parse_http_date(struct str s, int64_t *ret_unix_s);

#endif
