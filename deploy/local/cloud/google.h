/*
 * google.h - replies and refusals in the shape of Google's JSON APIs
 *
 * Codes, numbers and HTTP statuses are those of google.rpc.Code; which one a situation gets was
 * read off Google's own emulators, and the conformance tests hold the two together. Messages are
 * ours: they differ between Google's emulator and its cloud as well. Pure; any thread.
 */
#ifndef LOCAL_CLOUD_GOOGLE_H
#define LOCAL_CLOUD_GOOGLE_H

#include "service/request.h"

/* Columns: google.rpc.Code, its number, HTTP status, what our own log line calls it. */
/* clang-format off */
#define GSTATUS_TABLE(X)                                        \
    X(OK,                   0, 200, ERR_NONE)                   \
    X(CANCELLED,            1, 499, ERR_INTERNAL)               \
    X(UNKNOWN,              2, 500, ERR_INTERNAL)               \
    X(INVALID_ARGUMENT,     3, 400, ERR_BAD_REQUEST)            \
    X(DEADLINE_EXCEEDED,    4, 504, ERR_GATEWAY_TIMEOUT)        \
    X(NOT_FOUND,            5, 404, ERR_NOT_FOUND)              \
    X(ALREADY_EXISTS,       6, 409, ERR_CONFLICT)               \
    X(PERMISSION_DENIED,    7, 403, ERR_FORBIDDEN)              \
    X(RESOURCE_EXHAUSTED,   8, 429, ERR_RATE_LIMITED)           \
    X(FAILED_PRECONDITION,  9, 400, ERR_FAILED_PRECONDITION)    \
    X(ABORTED,             10, 409, ERR_ABORTED)                \
    X(OUT_OF_RANGE,        11, 400, ERR_BAD_REQUEST)            \
    X(UNIMPLEMENTED,       12, 501, ERR_NOT_IMPLEMENTED)        \
    X(INTERNAL,            13, 500, ERR_INTERNAL)               \
    X(UNAVAILABLE,         14, 503, ERR_UNAVAILABLE)            \
    X(DATA_LOSS,           15, 500, ERR_INTERNAL)               \
    X(UNAUTHENTICATED,     16, 401, ERR_UNAUTHENTICATED)
/* clang-format on */

enum gstatus {
#define X(name, number, http, error) GSTATUS_##name = number,
    GSTATUS_TABLE(X)
#undef X
};

struct refusal {
    enum gstatus status;
    char message[256];
};

/* Sets both (cut to fit) and returns false, so that a failing function can return it. */
bool refuse(struct refusal *r, enum gstatus status, const char *format, ...) PRINTF_LIKE(3, 4);

int gstatus_http(enum gstatus status);
const char *gstatus_name(enum gstatus status);
/* False when the name is none of google.rpc.Code. */
bool gstatus_parse(struct str name, enum gstatus *ret);

/* {"error":{"code":…,"message":…,"status":…}} */
void reply_refusal(struct response *res, const struct refusal *r);
/* 200 and the tree; RESOURCE_EXHAUSTED when that would be more than one reply can hold. */
void reply_json(struct response *res, const cJSON *tree);

/*
 * The body as a JSON object, {} when there is none; the media type is not looked at, as Google does
 * not either. NULL when it is anything else; r says so.
 */
const cJSON *body_object(const struct request *req, struct refusal *r);

/* All of the object's members are in the NULL-terminated list; Google refuses what it does not
 * know. */
bool known_members(const cJSON *object, const char *const *known, struct refusal *r);

/* Bearer "owner", a token of the metadata server here, or none at all: as the emulators have it. */
bool caller_is_allowed(const struct request *req, struct refusal *r);

#define LOCAL_ACCESS_TOKEN "local-cloud-access-token"

#endif
