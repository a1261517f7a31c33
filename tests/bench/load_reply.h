/*
 * load_reply.h - reads as much of an HTTP/1.1 reply as a load generator needs
 *
 * Status, Content-Length, Connection: close and Retry-After; a reply without a length ends with the
 * connection; chunked is not read. Pure; strings borrow from the input.
 */
#ifndef BENCH_LOAD_REPLY_H
#define BENCH_LOAD_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_reply_state { LOAD_REPLY_PART, LOAD_REPLY_WHOLE, LOAD_REPLY_BAD };

struct load_reply {
    uint16_t status; /* 100..599 */
    bool close;
    unsigned retry_after_s; /* 1 when absent or not a small number */
    const char *body;
    size_t body_length;
};

/* head_only: the request was HEAD. ended: the peer has closed, nothing more will come. */
enum load_reply_state load_reply_parse(const char *in, size_t length, bool head_only, bool ended,
                                       struct load_reply *ret);

#endif
