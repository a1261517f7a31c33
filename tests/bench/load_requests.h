/*
 * load_requests.h - the prepared requests of loadgen, ready to be written to a socket
 *
 * One request a line: METHOD <tab> PATH <tab> HEADERS <tab> BODY, headers as `Name: value` joined
 * by the byte 0x1f; headers and body may be empty. Host and Content-Length are added. Built whole
 * before the clock starts, so that sending costs one system call.
 */
#ifndef BENCH_LOAD_REQUESTS_H
#define BENCH_LOAD_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_REQUESTS_MAX 1000000U
#define LOAD_FILE_MAX     (1024U * 1024U * 1024U)

struct load_request {
    size_t offset; /* into bytes */
    size_t length;
};

struct load_requests {
    struct load_request *items;
    size_t count;
    char *bytes;
    size_t bytes_length;
};

/* False after a line on stderr that names the line number and the reason. `host` goes into Host. */
int load_requests_read(const char *path, const char *host, struct load_requests *ret);
void load_requests_free(struct load_requests *requests);

#endif
