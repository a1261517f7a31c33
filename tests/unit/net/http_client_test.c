#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_client_fixture.h"

static void assert_status(struct fixture *f, const struct http_call *call, int status)
{
    bool ok = run(f, call);
    if (!ok)
        print_message("%s: %s\n", error_name(f->error.code), f->error.detail);
    assert_true(ok);
    assert_true(f->sent);
    assert_int_equal(f->answer.status, status);
}

static bool behave_ok(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return answer_ok(fd);
}

/* ---- What goes out and what comes back ---- */

static void add_extra(void *context, struct http_header *extra, size_t *count, struct arena *a)
{
    unsigned *calls = context;
    (*calls)++;
    extra[0] = (struct http_header){STR("X-Nonce"), arena_printf(a, "n%u", *calls)};
    *count = 1;
}

static void test_http_client_call_post_sends_headers_and_body_as_given(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    const struct http_header headers[] = {{STR("Content-Type"), STR("application/json")},
                                          {STR("X-Empty"), {NULL, 0}}};
    unsigned calls = 0;
    struct http_call call = call_to(&f, s->port, HTTP_POST);
    call.url = url_of(&f, s->port, "/a/../b?q=%C3%A6");
    call.headers = headers;
    call.header_count = ARRAY_LEN(headers);
    call.body = STR("{\"a\":1}");
    call.before_attempt = add_extra;
    call.before_attempt_context = &calls;
    assert_status(&f, &call, 200);
    assert_true(str_eq(f.answer.body, STR("ok")));
    assert_int_equal(f.answer.attempts, 1);
    assert_true(raw_last_contains(s, "POST /a/../b?q=%C3%A6 HTTP/1.1\r\n"));
    assert_true(raw_last_contains(s, "\r\nContent-Type: application/json\r\n"));
    assert_true(raw_last_contains(s, "\r\nX-Empty:\r\n"));
    assert_true(raw_last_contains(s, "\r\nX-Nonce: n1\r\n"));
    assert_true(raw_last_contains(s, "\r\nContent-Length: 7\r\n"));
    assert_true(raw_last_contains(s, "\r\n\r\n{\"a\":1}"));
    assert_false(raw_last_contains(s, "Expect"));
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_each_method_after_another_is_sent_as_itself(void **state)
{
    (void)state;
    static const struct {
        enum http_method method;
        const char *line;
        bool body;
    } table[] = {{HTTP_POST, "POST /thing", true},   {HTTP_GET, "GET /thing", false},
                 {HTTP_PUT, "PUT /thing", true},     {HTTP_DELETE, "DELETE /thing", false},
                 {HTTP_PATCH, "PATCH /thing", true}, {HTTP_OPTIONS, "OPTIONS /thing", false},
                 {HTTP_GET, "GET /thing", false}};
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct http_call call = call_to(&f, s->port, table[i].method);
        call.body = STR("BODY");
        call.repeatable = true;
        assert_status(&f, &call, 200);
        assert_true(raw_last_contains(s, table[i].line));
        assert_int_equal(raw_last_contains(s, "BODY"), table[i].body);
        assert_false(raw_last_contains(s, "Content-Type"));
    }
    assert_int_equal(atomic_load(&s->connections), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_head(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nETag: \"x\"\r\n\r\n");
}

static void test_http_client_call_head_expects_no_body(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_head);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_HEAD);
    assert_status(&f, &call, 200);
    assert_int_equal(f.answer.body.len, 0);
    assert_true(str_eq(http_answer_header(&f.answer, "etag"), STR("\"x\"")));
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_headers(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return raw_send_text(fd, "HTTP/1.1 103 Early Hints\r\nLink: </interim>\r\n\r\n"
                             "HTTP/1.1 404 Not Found\r\nX-One:  1 \r\nx-one: 2\r\nBad Name: 3\r\n"
                             "X-Empty:\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nabc\r\n0\r\nX-Trailer: 4\r\n\r\n");
}

static void test_http_client_call_answer_headers_are_those_of_the_final_head(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_headers);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    assert_status(&f, &call, 404);
    assert_true(str_eq(f.answer.body, STR("abc")));
    assert_true(str_eq(http_answer_header(&f.answer, "X-ONE"), STR("1")));
    assert_true(str_eq(f.answer.headers[1].value, STR("2")));
    assert_non_null(http_answer_header(&f.answer, "X-Empty").ptr);
    assert_null(http_answer_header(&f.answer, "Link").ptr);
    assert_null(http_answer_header(&f.answer, "Bad Name").ptr);
    assert_null(http_answer_header(&f.answer, "X-Trailer").ptr);
    assert_int_equal(f.answer.header_count, 4);
    fixture_done(&f);
    raw_server_stop(s);
}

static uint16_t redirect_port;
static bool behave_redirect(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    char answer[128];
    (void)snprintf(
        answer, sizeof(answer),
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/\r\nContent-Length: 0\r\n\r\n",
        (unsigned)redirect_port);
    return raw_send_text(fd, answer);
}

static void test_http_client_call_redirect_is_given_and_not_followed(void **state)
{
    (void)state;
    struct raw_server *target = raw_server_start(behave_ok);
    redirect_port = target->port;
    struct raw_server *s = raw_server_start(behave_redirect);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.attempts_max = 3;
    assert_status(&f, &call, 302);
    assert_int_equal(raw_requests(s), 1);
    assert_int_equal(raw_requests(target), 0);
    fixture_done(&f);
    raw_server_stop(s);
    raw_server_stop(target);
}

/* ---- Connections ---- */

/* The first request of a connection is answered, the second is read and dropped. */
static bool behave_drop_second(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n;
    return of_connection == 0 && answer_ok(fd);
}

static void test_http_client_call_not_repeatable_post_arrives_once(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_drop_second);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call warm = call_to(&f, s->port, HTTP_GET);
    assert_status(&f, &warm, 200);
    struct http_call post = call_to(&f, s->port, HTTP_POST);
    post.body = STR("once");
    post.attempts_max = 5; /* must not matter */
    for (unsigned i = 1; i <= 3; i++) {
        assert_status(&f, &post, 200);
        assert_int_equal(f.answer.attempts, 1);
        assert_int_equal(raw_requests(s), 1 + i);
        assert_int_equal(atomic_load(&s->connections), 1 + i);
    }
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_drop_all(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)fd, (void)n, (void)of_connection;
    return false;
}

static void test_http_client_call_not_repeatable_post_dropped_is_not_sent_again(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_drop_all);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call post = call_to(&f, s->port, HTTP_POST);
    post.body = STR("once");
    post.attempts_max = 5;
    assert_false(run(&f, &post));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_true(f.sent);
    assert_int_equal(f.answer.attempts, 1);
    assert_int_equal(raw_requests(s), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_repeatable_post_on_dying_connection_succeeds(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_drop_second);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call post = call_to(&f, s->port, HTTP_POST);
    post.body = STR("again");
    post.repeatable = true;
    assert_status(&f, &post, 200);
    assert_status(&f, &post, 200);
    assert_int_equal(raw_requests(s), 3); /* the second arrived twice */
    fixture_done(&f);
    raw_server_stop(s);
}

enum { CALLS = 2000 };

static void test_http_client_call_repeatable_calls_share_one_connection(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    int64_t began_us = clock_mono_us();
    for (int i = 0; i < CALLS; i++) {
        struct http_call call = call_to(&f, s->port, HTTP_POST);
        call.body = STR("{}");
        call.repeatable = true;
        assert_status(&f, &call, 200);
        arena_reset(f.arena);
    }
    print_message("%.1f us a call\n", (double)(clock_mono_us() - began_us) / CALLS);
    assert_int_equal(atomic_load(&s->connections), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

/* ---- Retries ---- */

static const char busy[] = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy";

static bool behave_busy_twice(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)of_connection;
    return n < 2 ? raw_send_text(fd, busy) : answer_ok(fd);
}

static void test_http_client_call_503_twice_is_repeated_with_new_headers(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_busy_twice);
    struct fixture f;
    fixture_init(&f, &plain_config);
    unsigned calls = 0;
    struct http_call call = call_to(&f, s->port, HTTP_POST);
    call.repeatable = true;
    call.attempts_max = 3;
    call.before_attempt = add_extra;
    call.before_attempt_context = &calls;
    assert_status(&f, &call, 200);
    assert_true(str_eq(f.answer.body, STR("ok")));
    assert_int_equal(f.answer.attempts, 3);
    assert_int_equal(calls, 3);
    assert_true(raw_last_contains(s, "X-Nonce: n3\r\n"));
    struct http_client_stats stats;
    http_client_get_stats(f.client, &stats);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.attempts, 3);
    assert_int_equal(stats.retries, 2);
    assert_int_equal(stats.failures, 2);
    assert_int_equal(stats.in_flight, 0);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_503_to_the_last_attempt_gives_that_answer(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_busy_twice);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.attempts_max = 2;
    assert_status(&f, &call, 503);
    assert_true(str_eq(f.answer.body, STR("busy")));
    assert_int_equal(f.answer.attempts, 2);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_503_of_a_call_not_repeatable_is_final(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_busy_twice);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_POST);
    call.attempts_max = 3;
    assert_status(&f, &call, 503);
    assert_int_equal(raw_requests(s), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_later(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)of_connection;
    if (n > 0)
        return answer_ok(fd);
    return raw_send_text(fd, "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
}

static void test_http_client_call_retry_after_is_waited_for(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_later);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.attempts_max = 2;
    int64_t began_ms = clock_mono_ms();
    assert_status(&f, &call, 200);
    assert_true(clock_mono_ms() - began_ms >= 999);
    assert_int_equal(raw_requests(s), 2);
    fixture_done(&f);
    raw_server_stop(s);
}

static _Atomic(const char *) retry_after;
static bool behave_as_dated(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    char reply[128];
    (void)s, (void)of_connection;
    if (n > 0)
        return answer_ok(fd);
    (void)snprintf(reply, sizeof(reply),
                   "HTTP/1.1 503 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
                   atomic_load(&retry_after));
    return raw_send_text(fd, reply);
}

/* A date that is past, or that nobody can read, asks for no more than the usual pause. */
static void test_http_client_call_retry_after_as_a_date_or_too_large(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 200},
        {"Tue, 31 Dec 2999 23:59:59 GMT", 503},
        {"tomorrow", 200},
        {"99999999999999999999", 503},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        atomic_store(&retry_after, rows[i].text);
        struct raw_server *s = raw_server_start(behave_as_dated);
        struct fixture f;
        fixture_init(&f, &plain_config);
        struct http_call call = call_to(&f, s->port, HTTP_GET);
        call.attempts_max = 2;
        assert_status(&f, &call, rows[i].status);
        assert_int_equal(raw_requests(s), rows[i].status == 200 ? 2 : 1);
        fixture_done(&f);
        raw_server_stop(s);
    }
}

static void test_http_client_call_retry_after_beyond_the_deadline_ends_the_call(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_later);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.attempts_max = 2;
    call.deadline_ms = clock_mono_ms() + 900;
    assert_status(&f, &call, 429);
    assert_true(clock_mono_ms() < call.deadline_ms);
    assert_int_equal(raw_requests(s), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

/* ---- Breaker ---- */

static atomic_bool upstream_well;
static bool behave_as_told(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return atomic_load(&upstream_well)
               ? answer_ok(fd)
               : raw_send_text(fd, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
}

static enum breaker_state breaker_of(struct fixture *f)
{
    struct http_client_stats stats;
    http_client_get_stats(f->client, &stats);
    return stats.breaker;
}

static void test_http_client_call_breaker_opens_half_opens_and_closes(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_as_told);
    struct http_client_config config = plain_config;
    config.breaker_failures = 3;
    config.breaker_open_ms = 500;
    struct fixture f;
    fixture_init(&f, &config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);

    atomic_store(&upstream_well, false);
    for (int i = 0; i < 3; i++)
        assert_status(&f, &call, 500);
    while (breaker_of(&f) == BREAKER_OPEN) {
        bool ok = run(&f, &call);
        if (ok) /* the open time ran out between the two lines: this was the probe */
            break;
        assert_int_equal(f.error.code, ERR_UNAVAILABLE);
        assert_false(f.sent);
        (void)usleep(10000);
    }

    /* The probe fails: open again, and nobody else gets through. */
    while (raw_requests(s) < 4) {
        (void)run(&f, &call);
        (void)usleep(10000);
    }
    assert_int_equal(raw_requests(s), 4);
    assert_int_not_equal(breaker_of(&f), BREAKER_CLOSED);

    atomic_store(&upstream_well, true);
    while (breaker_of(&f) == BREAKER_OPEN)
        (void)usleep(10000);
    assert_int_equal(breaker_of(&f), BREAKER_HALF_OPEN);
    assert_status(&f, &call, 200);
    assert_int_equal(breaker_of(&f), BREAKER_CLOSED);
    assert_status(&f, &call, 200);
    struct http_client_stats stats;
    http_client_get_stats(f.client, &stats);
    assert_true(stats.refused_by_breaker >= 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_breaker_ignores_answers_below_500(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_headers);
    struct http_client_config config = plain_config;
    config.breaker_failures = 1;
    config.breaker_open_ms = LONG_MS;
    struct fixture f;
    fixture_init(&f, &config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    for (int i = 0; i < 5; i++)
        assert_status(&f, &call, 404);
    assert_int_equal(breaker_of(&f), BREAKER_CLOSED);
    fixture_done(&f);
    raw_server_stop(s);
}

/* ---- Many at once ---- */

static atomic_int inside, inside_max;
static bool behave_count_inside(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    int now = atomic_fetch_add(&inside, 1) + 1;
    int seen = atomic_load(&inside_max);
    while (now > seen && !atomic_compare_exchange_weak(&inside_max, &seen, now))
        continue;
    (void)raw_wait_for_stop(s, 2);
    (void)atomic_fetch_sub(&inside, 1);
    return answer_ok(fd);
}

enum { THREADS = 12, ROUNDS = 20 };
struct caller {
    struct http_client *client;
    uint16_t port;
    int good;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct fixture f = {.client = c->client, .arena = arena_new(ARENA_MAX_BYTES)};
    for (int i = 0; i < ROUNDS; i++) {
        struct http_call call = call_to(&f, c->port, HTTP_GET);
        c->good += run(&f, &call) && str_eq(f.answer.body, STR("ok")) ? 1 : 0;
    }
    arena_free(f.arena);
    return NULL;
}

static void test_http_client_call_many_threads_stay_within_parallel_max(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_count_inside);
    struct http_client_config config = plain_config;
    config.parallel_max = 3;
    struct http_client *client = http_client_new(&config);
    pthread_t threads[THREADS];
    struct caller callers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){client, s->port, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].good, ROUNDS);
    }
    assert_in_range(atomic_load(&inside_max), 1, 3);
    assert_in_range(atomic_load(&s->connections), 1, 3);
    http_client_free(client);
    raw_server_stop(s);
}

static atomic_bool let_go;
static bool behave_hold(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    while (!atomic_load(&let_go) && !raw_wait_for_stop(s, 5))
        continue;
    return answer_ok(fd);
}

static void test_http_client_call_waiting_for_a_handle_ends_at_the_deadline(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_hold);
    struct http_client_config config = plain_config;
    config.parallel_max = 1;
    struct fixture f;
    fixture_init(&f, &config);
    atomic_store(&let_go, false);
    struct caller holder = {f.client, s->port, 0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, call_often, &holder), 0);
    while (raw_requests(s) == 0)
        (void)usleep(1000);

    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.deadline_ms = clock_mono_ms() + 150;
    assert_false(run(&f, &call));
    assert_int_equal(f.error.code, ERR_GATEWAY_TIMEOUT);
    assert_false(f.sent);
    assert_true(clock_mono_ms() >= call.deadline_ms);
    assert_int_equal(raw_requests(s), 1);

    atomic_store(&let_go, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(holder.good, ROUNDS);
    fixture_done(&f);
    raw_server_stop(s);
}

int main(void)
{
    encode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_client_call_post_sends_headers_and_body_as_given),
        cmocka_unit_test(test_http_client_call_each_method_after_another_is_sent_as_itself),
        cmocka_unit_test(test_http_client_call_head_expects_no_body),
        cmocka_unit_test(test_http_client_call_answer_headers_are_those_of_the_final_head),
        cmocka_unit_test(test_http_client_call_redirect_is_given_and_not_followed),
        cmocka_unit_test(test_http_client_call_not_repeatable_post_arrives_once),
        cmocka_unit_test(test_http_client_call_not_repeatable_post_dropped_is_not_sent_again),
        cmocka_unit_test(test_http_client_call_repeatable_post_on_dying_connection_succeeds),
        cmocka_unit_test(test_http_client_call_repeatable_calls_share_one_connection),
        cmocka_unit_test(test_http_client_call_503_twice_is_repeated_with_new_headers),
        cmocka_unit_test(test_http_client_call_503_to_the_last_attempt_gives_that_answer),
        cmocka_unit_test(test_http_client_call_503_of_a_call_not_repeatable_is_final),
        cmocka_unit_test(test_http_client_call_retry_after_is_waited_for),
        cmocka_unit_test(test_http_client_call_retry_after_as_a_date_or_too_large),
        cmocka_unit_test(test_http_client_call_retry_after_beyond_the_deadline_ends_the_call),
        cmocka_unit_test(test_http_client_call_breaker_opens_half_opens_and_closes),
        cmocka_unit_test(test_http_client_call_breaker_ignores_answers_below_500),
        cmocka_unit_test(test_http_client_call_many_threads_stay_within_parallel_max),
        cmocka_unit_test(test_http_client_call_waiting_for_a_handle_ends_at_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
