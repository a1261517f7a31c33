/*
 * http.h - a request and a reply as plain data
 *
 * What the server hands to a worker and takes back. No libevent type and no callback: handlers,
 * tests and fuzzers make one up. Names compare without regard to case (RFC 9110 §5.1).
 */
#ifndef LIBCOMMON_NET_HTTP_H
#define LIBCOMMON_NET_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"

enum http_method {
    HTTP_GET = 1 << 0,
    HTTP_HEAD = 1 << 1,
    HTTP_POST = 1 << 2,
    HTTP_PUT = 1 << 3,
    HTTP_PATCH = 1 << 4,
    HTTP_DELETE = 1 << 5,
    HTTP_OPTIONS = 1 << 6,
    HTTP_OTHER = 1 << 7, /* TRACE, CONNECT, anything else */
};

const char *http_method_name(enum http_method method);
enum http_method http_method_parse(struct str name); /* case-sensitive */
const char *http_status_text(int status);            /* reason phrase; "Other" when unknown */

struct http_header {
    struct str name;
    struct str value;
};

struct http_request {
    enum http_method method;
    struct str target; /* as sent, starts with one '/' */
    struct str path;   /* target up to '?', not decoded */
    struct str query;  /* behind '?', not decoded; empty when absent */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct str body;
    char peer[64];      /* numeric address of the socket's other end, or "unix" */
    int64_t arrived_us; /* clock_mono_us() when the head was complete */
    int64_t arrived_unix_ms;
    struct arena *arena; /* everything above lives here; handlers allocate here */
};

/* Value of the header; empty str with ptr NULL when absent. With several of one name: the first. */
struct str http_header_get(const struct http_request *req, const char *name);
/* How many of that name: a security header that comes twice is refused. */
size_t http_header_count(const struct http_request *req, const char *name);

/*
 * Percent-decodes a path segment or query value into the arena ('+' is a blank when plus_is_space).
 * False on a bad escape, on %00, or when the result is not UTF-8.
 */
bool http_url_decode(struct arena *a, struct str text, bool plus_is_space, struct str *ret);

struct http_param {
    struct str name;
    struct str value;
};
/*
 * Decodes a query string or an application/x-www-form-urlencoded body. Keys without '=' have an
 * empty value; names repeat in order. False on a bad escape or more than HTTP_QUERY_PARAMS_MAX.
 */
bool http_query_parse(struct arena *a, struct str query,
                      struct http_param params[HTTP_QUERY_PARAMS_MAX], size_t *ret_count);

struct http_response {
    int status; /* 200..599; 0 until set */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct buf body;
    bool close;          /* close the connection after the reply */
    struct arena *arena; /* the request's */
};

/* Name and value are copied into the arena. must(): no CR, LF or NUL in either, room left. Replaces
 * an existing one of that name. */
void http_response_header(struct http_response *res, const char *name, struct str value);
struct str http_response_header_get(const struct http_response *res, const char *name);

/* Percent-encoding, tokens */
bool http_is_token(struct str s); /* RFC 9110 §5.6.2 */
bool http_is_field_value(
    struct str s); /* no control characters but HTAB; any byte above 0x7F is allowed */

/* Media type of a Content-Type value without parameters equals `type` (ASCII, lower case),
 * case-insensitively. */
bool http_media_type_is(struct str content_type, const char *type);
/* Value of a parameter ("charset") of a Content-Type or similar, quotes removed, borrowed; false
 * when absent, when the text before it is malformed, or when a quoted value holds a backslash. */
bool http_media_type_param(struct str content_type, const char *name, struct str *ret);

#endif
