/*
 * head_check.h - the strict pass over request heads that libevent does not make
 *
 * Fed with every byte of a connection before evhttp parses it, it follows heads and bodies
 * (Content-Length and chunked) and says at which request the peer broke the rules, and how. Pure:
 * bytes in, verdict out; the verdict does not depend on how the bytes are cut. One thread per
 * instance. Refused: request line that is not METHOD SP /target SP HTTP/1.0|1; a method that is
 * none of http.h (501); target over HTTP_TARGET_MAX_BYTES, not starting with exactly one '/', with
 * control bytes, blanks, '#', bytes over 0x7E or bad percent escapes, or %00; header name that is
 * no token (so also a blank before ':'), obs-fold, NUL or other control byte in a value, bare CR,
 * bare LF; more than HTTP_HEADERS_MAX headers or HTTP_HEAD_MAX_BYTES; no Host (HTTP/1.1), two, or
 * one that is no host; two Content-Length, a Content-Length that is not 1..18 digits,
 * Content-Length with Transfer-Encoding, two Transfer-Encoding, any coding but exactly `chunked`
 * (case-insensitive), Transfer-Encoding in HTTP/1.0, chunk sizes that are not 1..8 plain hex digits
 * (chunk extensions refused), trailer fields, Expect other than 100-continue, a body with HEAD
 * (evhttp would read it as the next request), a body over body_max_bytes (413). Source: RFC 9112
 * §2..§7; DESIGN §2.
 */
#ifndef LIBCOMMON_NET_HEAD_CHECK_H
#define LIBCOMMON_NET_HEAD_CHECK_H

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

struct head_check {
    size_t body_max_bytes;
    /* in: one empty line may come before the next request line (RFC 9112 §2.2). True at first, and
     * false from the first byte of a head on; the owner may set it between two messages. */
    bool blank_line_ok;
    /* out */
    bool blank_line_seen;     /* such a line was read; evhttp must not see it. The owner resets. */
    unsigned requests_begun;  /* heads whose first byte was seen, the current one included */
    unsigned requests_passed; /* heads found good */
    enum error_code verdict;  /* ERR_NONE while all is well; then BAD_REQUEST, TOO_LARGE,
                                 HEAD_TOO_LARGE, NOT_IMPLEMENTED; final */
    const char *reason;       /* static text for the log, NULL while all is well */
    bool is_head;             /* the method of the current request is HEAD */
    bool in_message;          /* between the first byte of a head and the last byte of its body */
    /* private */
    int state;
    int field; /* which header the value belongs to */
    size_t head_bytes;
    size_t target_len;
    uint64_t body_left;
    size_t body_bytes;
    unsigned header_count, host_count, length_count, coding_count;
    bool http_1_0, host_ended, percent_zero;
    unsigned char word_len; /* over sizeof word: too long to matter */
    char word[32];          /* method, version, name or value of interest, chunk size */
};

void head_check_init(struct head_check *h, size_t body_max_bytes);

/* Takes the next bytes. Returns verdict == ERR_NONE. After a verdict nothing more is read. */
bool head_check_feed(struct head_check *h, struct str bytes);

#endif
