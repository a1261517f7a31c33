/*
 * http_attempt.h - one request over libcurl, and what came of it
 *
 * Private to http_client.c, which decides about retries. One thread per handle at a time; blocks
 * until timeout_ms. Source: libcurl 7.88 manual; PLATFORM notes on libcurl.
 */
#ifndef LIBCOMMON_NET_HTTP_ATTEMPT_H
#define LIBCOMMON_NET_HTTP_ATTEMPT_H

#include "net/http_client.h"

/* The bytes of an answer. Kept from one attempt to the next, so that the last one can be given. */
struct http_reply {
    int status;
    struct buf head; /* "Name: value" lines, '\n' behind each */
    struct buf body;
    size_t head_bytes; /* everything before the body, interim answers included */
};

void http_reply_init(struct http_reply *r);
void http_reply_done(struct http_reply *r);

/* Next header of the answer; *rest starts as buf_str(&r->head). False when there is none left. */
bool http_reply_next_header(struct str *rest, struct http_header *ret);

struct http_verdict {
    enum error_code code; /* ERR_NONE: an answer arrived */
    const char *what;     /* static text for the log */
    bool sent;            /* false: no byte of the request left */
    bool upstream_failed; /* counts against the upstream */
    bool worth_repeating; /* a repeatable call may try again */
};

/* A CURL easy handle with a connection cache of its own. The first call sets libcurl up. */
void *http_attempt_handle_new(void);
void http_attempt_handle_free(void *handle);

/* Clears the reply, then fills it. extra: headers of this attempt only. */
struct http_verdict http_attempt_run(void *handle, const struct http_client_config *config,
                                     const struct http_call *call, const struct http_header *extra,
                                     size_t extra_count, int64_t timeout_ms, struct arena *a,
                                     struct http_reply *reply);

#endif
