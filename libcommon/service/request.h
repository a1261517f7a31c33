/*
 * request.h - what a handler gets, and how it answers
 *
 * A handler is void f(const struct request *, struct response *), runs on a worker thread, may
 * block within deadline_ms, and returns having set a status. Everything allocated from req->arena
 * dies after the reply. Tests and fuzzers make a request up and call the handler directly.
 */
#ifndef LIBCOMMON_SERVICE_REQUEST_H
#define LIBCOMMON_SERVICE_REQUEST_H

#include "auth/identity.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "net/http.h"

struct service_state;
struct route;

/* What the live records say of the user who asks; see service/account.h. All false on routes that
 * no user calls, and where ACCOUNT_CHECK is off. */
struct account {
    bool checked;       /* somebody looked: the rest means something */
    bool strict;        /* ACCOUNT_STRICT */
    bool auth_known;    /* Firebase Authentication answered lately */
    bool records_known; /* Firestore answered lately */
    bool records_seen;  /* it did once: what it said below still counts against the caller */
    bool disabled;      /* or deleted */
    bool is_active;     /* an active member */
    bool is_admin, is_superuser;
    int64_t valid_since_s; /* tokens of earlier sign-ins are revoked */
};

struct request {
    const struct http_request *http;
    struct arena *arena;
    struct service_state *state; /* shared by all requests: settings, pools, clients */
    void *own;                   /* what the service's start hook made */
    const struct route *route;
    struct str params[ROUTE_PARAMS_MAX]; /* {…} parts of the route's path, in order, decoded */
    const cJSON *body; /* parsed strictly; an empty object when there was none; NULL on routes
                          without a body */
    struct identity identity;
    struct account account;
    struct str org_id; /* the tenant this request works in */
    size_t tenant;     /* the same, as a place in the library's list */
    struct str correlation_id;
    struct str client_address;
    struct str idempotency_key; /* empty when not sent */
    int64_t deadline_ms;        /* clock_mono_ms() */
};

struct response {
    struct http_response *http;
    const struct request *request;
    enum error_code error;  /* ERR_NONE for successes; what the log line and the limiters see */
    const char *log_reason; /* static text for the log line; never a value */
};

/* Replies. Each sets the status once; a later call replaces the former. */
void respond_json(struct response *res, int status, const cJSON *body);
void respond_empty(struct response *res, int status);
void respond_text(struct response *res, int status, const char *content_type, struct str body);

/*
 * An error in the service's own shape. `message` is for people and may be shown to them; `extra`
 * (may be NULL) is an object whose members are added. ERR_UNAVAILABLE and ERR_RATE_LIMITED get
 * Retry-After (1 s unless respond_retry_after() set another) and, in the voting shape,
 * `retryAfter`.
 */
void respond_error(struct response *res, enum error_code code, const char *message);
void respond_error_extra(struct response *res, enum error_code code, const char *message,
                         const cJSON *extra);
/* The reply for a failed call of libcommon: the code's fixed message to the client, the detail to
 * the log. */
void respond_failure(struct response *res, const struct error *e);
void respond_retry_after(struct response *res, unsigned seconds);

void respond_header(struct response *res, const char *name, const char *value);
void respond_no_store(struct response *res);

/* Query parameter, decoded; false when absent. */
bool request_query(const struct request *req, const char *name, struct str *ret);

#endif
