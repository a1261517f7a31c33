/*
 * error.h - the one table of what can go wrong, and what the outside is told
 *
 * Functions that can fail return bool and fill a struct error. `detail` is for the log only: it
 * must hold no personal value, token, ballot or text of an upstream, and it is never sent to a
 * client.
 */
#ifndef LIBCOMMON_BASE_ERROR_H
#define LIBCOMMON_BASE_ERROR_H

#include "base/must.h"
#include <stdbool.h>

/*
 * Columns: code, HTTP status, `error` on the wire, status of a callable's answer, whether the same
 * request may be repeated as it is. Sources: contract voting.md §0, members.md §2.1;
 * google.rpc.Code.
 */
/* clang-format off */
#define ERROR_TABLE(X)                                                                                                   \
    X(ERR_NONE,              200, "OK",                              "OK",                  false)                       \
    X(ERR_BAD_REQUEST,       400, "Bad Request",                     "INVALID_ARGUMENT",    false)                       \
    X(ERR_FAILED_PRECONDITION, 400, "Bad Request",                   "FAILED_PRECONDITION", false)                       \
    X(ERR_UNAUTHENTICATED,   401, "Unauthorized",                    "UNAUTHENTICATED",     false)                       \
    X(ERR_FORBIDDEN,         403, "Forbidden",                       "PERMISSION_DENIED",   false)                       \
    X(ERR_APP_CHECK,         403, "App Check verification failed",   "PERMISSION_DENIED",   false)                       \
    X(ERR_NOT_FOUND,         404, "Not Found",                       "NOT_FOUND",           false)                       \
    X(ERR_METHOD_NOT_ALLOWED, 405, "Method Not Allowed",             "INVALID_ARGUMENT",    false)                       \
    X(ERR_REQUEST_TIMEOUT,   408, "Request Timeout",                 "DEADLINE_EXCEEDED",   true)                        \
    X(ERR_CONFLICT,          409, "Conflict",                        "ALREADY_EXISTS",      false)                       \
    X(ERR_ABORTED,           409, "Conflict",                        "ABORTED",             true)                        \
    X(ERR_GONE,              410, "Gone",                            "FAILED_PRECONDITION", false)                       \
    X(ERR_TOO_LARGE,         413, "Payload Too Large",               "INVALID_ARGUMENT",    false)                       \
    X(ERR_UNSUPPORTED_MEDIA, 415, "Unsupported Media Type",          "INVALID_ARGUMENT",    false)                       \
    X(ERR_UNPROCESSABLE,     422, "Unprocessable Entity",            "INVALID_ARGUMENT",    false)                       \
    X(ERR_RATE_LIMITED,      429, "RATE_LIMIT_EXCEEDED",             "RESOURCE_EXHAUSTED",  true)                        \
    X(ERR_TOO_SOON,          429, "Too Many Requests",               "RESOURCE_EXHAUSTED",  true)                        \
    X(ERR_HEAD_TOO_LARGE,    431, "Request Header Fields Too Large", "INVALID_ARGUMENT",    false)                       \
    X(ERR_INTERNAL,          500, "Internal Server Error",           "INTERNAL",            false)                       \
    X(ERR_NOT_IMPLEMENTED,   501, "Not Implemented",                 "UNIMPLEMENTED",       false)                       \
    X(ERR_BAD_GATEWAY,       502, "Bad Gateway",                     "UNAVAILABLE",         true)                        \
    X(ERR_UNAVAILABLE,       503, "Service Temporarily Unavailable", "UNAVAILABLE",         true)                        \
    X(ERR_GATEWAY_TIMEOUT,   504, "Gateway Timeout",                 "DEADLINE_EXCEEDED",   true)

/* clang-format on */

enum error_code {
#define X(code, http, text, callable, retryable) code,
    ERROR_TABLE(X)
#undef X
        ERROR_CODE_COUNT
};

struct error {
    enum error_code code;
    char detail[160];
};

/* Sets code and detail (cut to fit) and returns false, so that a failing function can `return
 * error_set(e, …);`. e may be NULL. */
bool error_set(struct error *e, enum error_code code, const char *format, ...) PRINTF_LIKE(3, 4);

int error_http_status(enum error_code code);
const char *error_text(enum error_code code);            /* the `error` member of a body */
const char *error_callable_status(enum error_code code); /* google.rpc.Code name */
bool error_is_retryable(enum error_code code);
const char *error_name(enum error_code code); /* "ERR_CONFLICT": for logs and metrics */

#endif
