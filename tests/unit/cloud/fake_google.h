/*
 * fake_google.h - a Google that says what the test tells it, one answer after the other
 *
 * Real sockets on loopback. Answers are given in the order they were told; the last one is
 * repeated. What was asked is kept. One per test.
 */
#ifndef TESTS_UNIT_CLOUD_FAKE_GOOGLE_H
#define TESTS_UNIT_CLOUD_FAKE_GOOGLE_H

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cloud/access_token.h"
#include "net/raw_server.h"

#define FAKE_STEPS_MAX 64
#define PATIENCE_MS    20000 /* never reached by a test that succeeds */

enum fake_fault {
    FAKE_ANSWERS,
    FAKE_HANGS,
    FAKE_CLOSES,  /* without a word */
    FAKE_CUTS,    /* announces more than it sends */
    FAKE_DRIPS,   /* a byte now and then */
    FAKE_FLOODS,  /* more than any cap */
    FAKE_BABBLES, /* no HTTP */
};

struct fake_step {
    int status;
    const char *headers; /* each with CRLF behind */
    const char *body;
    enum fake_fault fault;
    int delay_ms;
};

struct fake {
    struct raw_server *server;
    struct http_client *client;
    struct access_token_source *tokens;
    struct arena *arena;
    struct error error;
    char host[32];
    pthread_mutex_t lock;
    struct fake_step steps[FAKE_STEPS_MAX];
    size_t step_count;
    char *asked[FAKE_STEPS_MAX]; /* head and body */
    size_t asked_count;
};

static struct fake fake;

static inline void fake_says_step(struct fake_step step)
{
    must(pthread_mutex_lock(&fake.lock) == 0);
    must(fake.step_count < FAKE_STEPS_MAX);
    fake.steps[fake.step_count++] = step;
    must(pthread_mutex_unlock(&fake.lock) == 0);
}

static inline void fake_says(int status, const char *body)
{
    fake_says_step((struct fake_step){.status = status, .body = body});
}

static inline void fake_fails(enum fake_fault fault)
{
    fake_says_step((struct fake_step){.status = 200, .body = "{}", .fault = fault});
}

/* Forget the script and what was asked. */
static inline void fake_forget(void)
{
    must(pthread_mutex_lock(&fake.lock) == 0);
    for (size_t i = 0; i < fake.asked_count; i++)
        free(fake.asked[i]);
    fake.asked_count = 0;
    fake.step_count = 0;
    must(pthread_mutex_unlock(&fake.lock) == 0);
}

static inline size_t fake_asked_count(void)
{
    must(pthread_mutex_lock(&fake.lock) == 0);
    size_t count = fake.asked_count;
    must(pthread_mutex_unlock(&fake.lock) == 0);
    return count;
}

/* The n-th request; fails the test when there was none. */
static inline const char *fake_asked(size_t n)
{
    must(pthread_mutex_lock(&fake.lock) == 0);
    const char *text = n < fake.asked_count ? fake.asked[n] : NULL;
    must(pthread_mutex_unlock(&fake.lock) == 0);
    assert_non_null(text);
    return text;
}

static inline const char *fake_asked_body(size_t n)
{
    const char *end = strstr(fake_asked(n), "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static inline void assert_asked(size_t n, const char *text)
{
    if (!strstr(fake_asked(n), text))
        fail_msg("request %zu lacks %s:\n%s", n, text, fake_asked(n));
}

static inline bool fake_answer(int fd, const struct fake_step *step)
{
    char head[512];
    size_t len = strlen(step->body);
    snprintf(head, sizeof(head),
             "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
             step->status, step->headers ? step->headers : "",
             step->fault == FAKE_CUTS ? len + 100 : len);
    return raw_send_text(fd, head) && raw_send(fd, step->body, len) && step->fault != FAKE_CUTS;
}

static inline bool fake_misbehave(struct raw_server *s, int fd, enum fake_fault fault)
{
    static const char blanks[65536];
    bool open = true;
    if (fault == FAKE_HANGS)
        (void)raw_wait_for_stop(s, -1);
    if (fault == FAKE_BABBLES)
        (void)raw_send_text(fd, "220 mail.example.is ESMTP\r\n");
    if (fault == FAKE_DRIPS)
        open = raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    if (fault == FAKE_FLOODS) /* without a length: the cap must be found by counting */
        open = raw_send_text(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while (open && fault == FAKE_DRIPS && !raw_wait_for_stop(s, 10))
        open = raw_send_text(fd, "[");
    while (open && fault == FAKE_FLOODS && !raw_wait_for_stop(s, 0))
        open = raw_send(fd, blanks, sizeof(blanks));
    return false;
}

static bool fake_behave(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    must(pthread_mutex_lock(&s->lock) == 0);
    char *request = strdup(s->last_request);
    must(pthread_mutex_unlock(&s->lock) == 0);
    must(pthread_mutex_lock(&fake.lock) == 0);
    must(request && fake.step_count > 0 && fake.asked_count < FAKE_STEPS_MAX);
    size_t i = fake.asked_count < fake.step_count ? fake.asked_count : fake.step_count - 1;
    struct fake_step step = fake.steps[i];
    fake.asked[fake.asked_count++] = request;
    must(pthread_mutex_unlock(&fake.lock) == 0);
    if (step.delay_ms > 0 && raw_wait_for_stop(s, step.delay_ms))
        return false;
    if (step.fault == FAKE_ANSWERS || step.fault == FAKE_CUTS)
        return fake_answer(fd, &step);
    return fake_misbehave(s, fd, step.fault);
}

static inline int fake_start(void **state)
{
    (void)state;
    const struct http_client_config config = {
        .name = "google",
        .allow_http = true,
        .parallel_max = 32,
        .connect_timeout_ms = 2000,
    };
    encode_init();
    fake = (struct fake){.client = http_client_new(&config), .arena = arena_new(ARENA_MAX_BYTES)};
    must(pthread_mutex_init(&fake.lock, NULL) == 0);
    fake.server = raw_server_start(fake_behave);
    snprintf(fake.host, sizeof(fake.host), "127.0.0.1:%u", (unsigned)fake.server->port);
    const struct access_token_config tokens = {.emulator = true, .client = fake.client};
    fake.tokens = access_token_source_new(&tokens, NULL);
    return 0;
}

static inline int fake_stop(void **state)
{
    (void)state;
    http_client_free(fake.client);
    raw_server_stop(fake.server);
    access_token_source_free(fake.tokens);
    arena_free(fake.arena);
    fake_forget();
    must(pthread_mutex_destroy(&fake.lock) == 0);
    return 0;
}

#define FAKE_TEST(function) cmocka_unit_test_setup_teardown(function, fake_start, fake_stop)

static inline int64_t soon(void)
{
    return clock_mono_ms() + PATIENCE_MS;
}

static inline void assert_ok(bool ok)
{
    if (!ok)
        fail_msg("%s: %s", error_name(fake.error.code), fake.error.detail);
}

static inline void assert_error(bool ok, enum error_code code)
{
    assert_false(ok);
    assert_string_equal(error_name(fake.error.code), error_name(code));
}

#endif
