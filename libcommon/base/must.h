/*
 * must.h - say what cannot be otherwise, and stop if it is
 *
 * must() is for our own mistakes only and stays on in release builds. Bad input never reaches one.
 */
#ifndef LIBCOMMON_BASE_MUST_H
#define LIBCOMMON_BASE_MUST_H

/* Writes one JSON line of severity CRITICAL to stderr and aborts. */
_Noreturn void must_fail(const char *expression, const char *file, int line);

/* The `service` of that line, borrowed for good; log_init() sets it. */
void must_set_service(const char *service);

#define must(expression) ((expression) ? (void)0 : must_fail(#expression, __FILE__, __LINE__))

/* For the end of a switch that names every case, and the like. */
#define must_not_happen(why) must_fail(why, __FILE__, __LINE__)

#define MUST_CHECK                         __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))
#define ARRAY_LEN(a)                       (sizeof(a) / sizeof((a)[0]))

#endif
