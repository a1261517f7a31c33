/* fuzz.c - see fuzz.h */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define NOW_UNIX_MS 1800000000000

struct str fuzz_line(struct str *input)
{
    struct str line = {NULL, 0};

    (void)str_split(input, '\n', &line);
    return line;
}

/* What net/head_check.c refuses never reaches the code behind it. */
static bool target_is_plain(struct str target)
{
    if (target.len == 0 || target.len > HTTP_TARGET_MAX_BYTES || target.ptr[0] != '/' ||
        (target.len > 1 && target.ptr[1] == '/'))
        return false;
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] > '~' || target.ptr[i] == '#')
            return false;
    return true;
}

static bool read_headers(struct str *text, struct http_request *ret)
{
    struct str line, name;

    while (text->ptr && (line = fuzz_line(text)).len > 0) {
        if (ret->header_count == HTTP_HEADERS_MAX || !str_split(&line, ':', &name) ||
            !http_is_token(name) || !http_is_field_value(line))
            return false;
        ret->headers[ret->header_count++] = (struct http_header){name, str_trim(line)};
    }
    return true;
}

bool fuzz_request(struct arena *a, struct str text, struct http_request *ret)
{
    struct str line = fuzz_line(&text), method = {NULL, 0}, path;

    *ret = (struct http_request){
        .peer = "192.0.2.1", .arrived_us = 1, .arrived_unix_ms = NOW_UNIX_MS, .arena = a};
    if (!str_split(&line, ' ', &method) || !line.ptr || !target_is_plain(line))
        return false;
    ret->method = http_method_parse(method);
    ret->target = ret->query = line;
    (void)str_split(&ret->query, '?', &path);
    ret->path = path;
    if (!read_headers(&text, ret))
        return false;
    ret->body = text.ptr ? text : STR("");
    return true;
}

void fuzz_one(const void *bytes, size_t len)
{
    static bool started;
    struct arena *a;
    char *exact;

    if (!started) {
        encode_init();
        fuzz_start();
        started = true;
    }
    /* A copy of exactly that size, so that the sanitizer sees a read past the end. */
    exact = malloc(len > 0 ? len : 1);
    must(exact);
    if (len > 0)
        memcpy(exact, bytes, len);
    a = arena_new(ARENA_MAX_BYTES);
    fuzz_input(a, str_n(exact, len));
    arena_free(a);
    free(exact);
}
