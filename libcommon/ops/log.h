/*
 * log.h - one JSON object per line on stdout, made of tagged fields
 *
 * Nothing is masked by looking at text: what is personal carries its own tag and is masked or left
 * out by it. There is deliberately no way to log a free-form value together with a person. A line
 * is written by one write(2), so lines of several threads never mix. Thread-safe. Keys: ts, time,
 * severity, service, message, and what the caller adds. Names Cloud Logging knows are used as it
 * spells them. Source: cloud.google.com/logging/docs/structured-logging; V-F1, V-F10, M-F40, M-F48,
 * M-F54.
 */
#ifndef LIBCOMMON_OPS_LOG_H
#define LIBCOMMON_OPS_LOG_H

#include "base/must.h"
#include "base/str.h"

enum log_severity { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

enum log_field_type {
    LOG_FIELD_END = 0,
    LOG_FIELD_TEXT, /* our own words, ids, codes: never a personal value */
    LOG_FIELD_I64,
    LOG_FIELD_BOOL,
    LOG_FIELD_MILLIS,    /* int64 microseconds, printed as milliseconds with three decimals */
    LOG_FIELD_KENNITALA, /* either input form, printed DDMMYY-****; anything else as "invalid" */
    LOG_FIELD_PSEUDONYM, /* a uid or address: printed as 16 hex digits of a keyed hash (LOG_SALT) */
    LOG_FIELD_LATENCY,   /* int64 microseconds, printed as Cloud Logging's duration: "0.001234s" */
    LOG_FIELD_GROUP,     /* an object of further fields; groups do not nest */
};

struct log_field {
    const char *name;
    enum log_field_type type;
    struct str text;
    int64_t number;
    const struct log_field *group;
};

#define LOG_TEXT(name_, str_)                                                                      \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_TEXT, .text = (str_)})
#define LOG_I64(name_, n_)                                                                         \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_I64, .number = (n_)})
#define LOG_BOOL(name_, b_)                                                                        \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_BOOL, .number = (b_)})
#define LOG_MILLIS(name_, us_)                                                                     \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_MILLIS, .number = (us_)})
#define LOG_KENNITALA(name_, str_)                                                                 \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_KENNITALA, .text = (str_)})
#define LOG_PSEUDONYM(name_, str_)                                                                 \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_PSEUDONYM, .text = (str_)})
#define LOG_LATENCY(name_, us_)                                                                    \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_LATENCY, .number = (us_)})
#define LOG_GROUP(name_, fields_)                                                                  \
    ((struct log_field){.name = (name_), .type = LOG_FIELD_GROUP, .group = (fields_)})
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.type = LOG_FIELD_END}})

/* Once, before any thread: the service's name, the least severity written, the key of pseudonyms,
 * where to write (1: stdout). Copies. An empty key is replaced by a random one, good for this
 * process. SIGPIPE is ignored from here on: a reader that went away must not end the service.
 * Without log_init() lines of LOG_INFO and above go to stdout. */
void log_init(const char *service, enum log_severity least, struct str pseudonym_key, int fd);

/* Writes one line and checks that the kernel took it whole (V-F1). False when not. */
bool log_self_check(void);

/* Whose lines they are, as `tenant` in every line: the process's usual organisation, set once and
 * before any thread; and the one this thread works for now, NULL for the usual one. Borrowed. */
void log_set_tenant(const char *tenant);
void log_enter_tenant(const char *tenant);

/* `message` is a fixed text. fields may be NULL. Lines over LOG_LINE_MAX_BYTES lose the field that
 * is too long and those behind it, never their form, and say "truncated":true. */
void log_write(enum log_severity severity, const char *message, const struct log_field *fields);

#define log_info(message, ...)    log_write(LOG_INFO, (message), LOG_FIELDS(__VA_ARGS__))
#define log_warning(message, ...) log_write(LOG_WARNING, (message), LOG_FIELDS(__VA_ARGS__))
#define log_error(message, ...)   log_write(LOG_ERROR, (message), LOG_FIELDS(__VA_ARGS__))

/* The pseudonym that log_write would print, for other places that need the same: the first 8 bytes
 * of HMAC-SHA256 under SHA-256(pseudonym key), in hex. */
#define LOG_PSEUDONYM_SIZE 17
void log_pseudonym(struct str value, char out[LOG_PSEUDONYM_SIZE]);

bool log_severity_parse(struct str name, enum log_severity *ret);
uint64_t log_lines_lost(void); /* writes the kernel refused (disk full): counted, never fatal */

#endif
