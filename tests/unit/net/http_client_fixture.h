/*
 * http_client_fixture.h - what both test programs of the HTTP client share
 */
#ifndef TESTS_UNIT_NET_HTTP_CLIENT_FIXTURE_H
#define TESTS_UNIT_NET_HTTP_CLIENT_FIXTURE_H

#include "base/clock.h"
#include "base/encode.h"
#include "net/http_client.h"
#include "raw_server.h"

/* Generous: tests that expect success never wait for it. */
#define LONG_MS 20000

static const struct http_client_config plain_config = {
    .name = "upstream",
    .allow_http = true,
    .parallel_max = 4,
    .connect_timeout_ms = 2000,
};

struct fixture {
    struct http_client *client;
    struct arena *arena;
    struct http_answer answer;
    struct error error;
    bool sent;
};

static inline void fixture_init(struct fixture *f, const struct http_client_config *config)
{
    *f = (struct fixture){.client = http_client_new(config), .arena = arena_new(ARENA_MAX_BYTES)};
}

static inline void fixture_done(struct fixture *f)
{
    http_client_free(f->client);
    arena_free(f->arena);
}

static inline struct str url_of(struct fixture *f, uint16_t port, const char *target)
{
    return arena_printf(f->arena, "http://127.0.0.1:%u%s", (unsigned)port, target);
}

static inline struct http_call call_to(struct fixture *f, uint16_t port, enum http_method method)
{
    return (struct http_call){
        .method = method,
        .url = url_of(f, port, "/thing?x=1"),
        .deadline_ms = clock_mono_ms() + LONG_MS,
        .repeatable = method == HTTP_GET,
    };
}

static inline bool run(struct fixture *f, const struct http_call *call)
{
    f->error = (struct error){.code = ERR_NONE};
    return http_client_call(f->client, call, f->arena, &f->answer, &f->sent, &f->error);
}

static inline bool answer_ok(int fd)
{
    return raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

#endif
