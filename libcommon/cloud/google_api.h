/*
 * google_api.h - one call of a Google JSON API: bearer token, bounded repeats, errors understood
 *
 * Shared by Firestore and Identity Toolkit. Private to this layer. Blocking; thread-safe. Source:
 * google.rpc.Code; cloud.google.com/apis/design/errors; PLATFORM notes on Google's REST surfaces.
 */
#ifndef LIBCOMMON_CLOUD_GOOGLE_API_H
#define LIBCOMMON_CLOUD_GOOGLE_API_H

#include "cloud/access_token.h"

#define GOOGLE_ATTEMPTS_MAX     5
#define GOOGLE_ANSWER_MAX_BYTES (8U << 20)
#define GOOGLE_REASON_SIZE      64

/*
 * google.rpc.Code: number, what we make of it, and what the failure says about the request: it was
 * surely not carried out, or nobody knows.
 */
/* clang-format off */
#define RPC_TABLE(X)                                                          \
    X(OK,                   0, ERR_NONE,                 RPC_CARRIED_OUT)     \
    X(CANCELLED,            1, ERR_UNAVAILABLE,          RPC_NOBODY_KNOWS)    \
    X(UNKNOWN,              2, ERR_BAD_GATEWAY,          RPC_NOBODY_KNOWS)    \
    X(INVALID_ARGUMENT,     3, ERR_BAD_REQUEST,          RPC_REFUSED)         \
    X(DEADLINE_EXCEEDED,    4, ERR_GATEWAY_TIMEOUT,      RPC_NOBODY_KNOWS)    \
    X(NOT_FOUND,            5, ERR_NOT_FOUND,            RPC_REFUSED)         \
    X(ALREADY_EXISTS,       6, ERR_CONFLICT,             RPC_REFUSED)         \
    X(PERMISSION_DENIED,    7, ERR_INTERNAL,             RPC_REFUSED)         \
    X(RESOURCE_EXHAUSTED,   8, ERR_UNAVAILABLE,          RPC_NOT_CARRIED_OUT) \
    X(FAILED_PRECONDITION,  9, ERR_FAILED_PRECONDITION,  RPC_REFUSED)         \
    X(ABORTED,             10, ERR_ABORTED,              RPC_NOT_CARRIED_OUT) \
    X(OUT_OF_RANGE,        11, ERR_BAD_REQUEST,          RPC_REFUSED)         \
    X(UNIMPLEMENTED,       12, ERR_INTERNAL,             RPC_REFUSED)         \
    X(INTERNAL,            13, ERR_UNAVAILABLE,          RPC_NOBODY_KNOWS)    \
    X(UNAVAILABLE,         14, ERR_UNAVAILABLE,          RPC_NOBODY_KNOWS)    \
    X(DATA_LOSS,           15, ERR_BAD_GATEWAY,          RPC_REFUSED)         \
    X(UNAUTHENTICATED,     16, ERR_INTERNAL,             RPC_REFUSED)
/* clang-format on */

enum rpc_code {
#define X(name, number, code, fate) RPC_##name = number,
    RPC_TABLE(X)
#undef X
        RPC_COUNT
};

enum rpc_fate {
    RPC_CARRIED_OUT,
    RPC_REFUSED,         /* for good: asking again changes nothing */
    RPC_NOT_CARRIED_OUT, /* for now: anything may be asked again */
    RPC_NOBODY_KNOWS,    /* only what does no harm twice may be asked again */
};

enum rpc_fate rpc_fate(enum rpc_code code);
enum error_code rpc_error(enum rpc_code code);
const char *rpc_name(enum rpc_code code);
enum rpc_code rpc_code_of_name(struct str name);       /* UNKNOWN when it is none */
enum rpc_code rpc_code_of_number(int64_t number);      /* UNKNOWN when it is none */
enum rpc_code rpc_code_of_http_status(int status);     /* of an answer that is not Google's JSON */
enum rpc_code rpc_code_of_error(enum error_code code); /* of a call without any answer */

/* sent: at least one byte of the request left. In a transaction ABORTED ends the call: the whole
 * transaction is to be run again. */
bool google_may_repeat(enum rpc_code code, bool sent, bool repeatable, bool in_transaction);

struct google_api {
    struct http_client *client;         /* borrowed */
    struct access_token_source *tokens; /* borrowed */
};

struct google_call {
    const char *what; /* for error details; static */
    struct str url;
    struct str body; /* JSON; POSTed */
    bool repeatable; /* the same request twice is as good as once */
    bool in_transaction;
    int64_t deadline_ms;
};

struct google_answer {
    const cJSON *json; /* of a good answer; owned by the arena */
    enum rpc_code code;
    char reason[GOOGLE_REASON_SIZE]; /* first word of Google's message when it is like
                                        USER_NOT_FOUND; else empty */
    unsigned attempts;
    bool unsure; /* some attempt may have been carried out without our seeing a good answer */
};

/*
 * True for a 2xx answer with JSON and no error in it. Otherwise `e` holds rpc_error() of the last
 * attempt, and a detail with nothing of Google's text. Reads text of documents as they come, with
 * one change: a NUL that somebody stored ("\u0000") becomes U+FFFD, because the strict reader would
 * refuse the whole answer for it.
 */
bool google_call(const struct google_api *api, const struct google_call *call, struct arena *a,
                 struct google_answer *ret, struct error *e) MUST_CHECK;

/* The error in an answer, also when it is wrapped in an array or stands behind good elements; NULL
 * when there is none. */
const cJSON *google_error_in(const cJSON *answer);

/* "https://<service>/" or, for an emulator, "http://<host>/" with `service` as first part of the
 * path when in_path. New; free(). */
char *google_base_url(const char *service, const char *emulator_host, bool in_path);

#endif
