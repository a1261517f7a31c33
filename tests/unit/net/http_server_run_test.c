/* How the server begins, runs and ends. */
#include "http_server_fixture.h"

#define GATE "GET /gate HTTP/1.1\r\n" HOST "\r\n"

static struct fixture *start_with(struct http_server_config config)
{
    return fixture_start(&config);
}

static void test_http_server_new_taken_port_or_bad_address_fails(void **state)
{
    struct http_server_config config = fixture_config();
    struct fixture *f = fixture_start(&config);
    struct http_handler handler = {f, NULL, fixture_handle, fixture_refuse};
    struct error e = {0};
    (void)state;
    config.port = http_server_port(f->server);
    assert_null(http_server_new(&config, &handler, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(e.detail, "cannot listen"));
    config.listen_address = "localhost";
    assert_null(http_server_new(&config, &handler, &e));
    assert_non_null(strstr(e.detail, "not numeric"));
    config.listen_address = "::1";
    config.port = 0;
    struct http_server *v6 = http_server_new(&config, &handler, &e);
    assert_true(v6 != NULL || strstr(e.detail, "cannot listen") != NULL);
    http_server_free(v6);
    fixture_end(f);
}

static void test_http_server_free_without_run_releases_waiting_connection(void **state)
{
    struct http_server_config config = fixture_config();
    struct fixture f = {0};
    struct http_handler handler = {&f, NULL, fixture_handle, fixture_refuse};
    struct error e;
    (void)state;
    f.server = http_server_new(&config, &handler, &e);
    assert_non_null(f.server);
    struct client *c = client_new(&f);
    SEND(c, GET_ECHO);
    http_server_free(f.server);
    client_expect_closed(c);
    client_free(c);
}

static void test_http_server_every_is_called_on_the_loop(void **state)
{
    struct fixture *f = start_with(fixture_config());
    (void)state;
    WAIT_UNTIL(atomic_load(&f->ticks) >= 3);
    fixture_end(f);
}

static void *hammer(void *arg)
{
    struct fixture *f = arg;
    struct client *c = client_new(f);
    intptr_t good = 0;
    for (int i = 0; i < 200; i++) {
        SEND(c, "POST /echo?n=1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
        good += client_reply(c).status == 200;
        if (i % 50 == 49) {
            client_free(c);
            c = client_new(f);
        }
    }
    client_free(c);
    return (void *)good;
}

static void test_http_server_many_clients_each_answered_once(void **state)
{
    struct fixture *f = start_with(fixture_config());
    pthread_t threads[8];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, f), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_int_equal((intptr_t)good, 200);
    }
    assert_int_equal(atomic_load(&f->handled), 200 * ARRAY_LEN(threads));
    fixture_end(f);
}

static void test_http_server_stop_answers_what_runs_and_closes_the_rest(void **state)
{
    struct http_server_config config = fixture_config();
    config.workers = 1;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *running = client_new(f);
    struct client *queued = client_new(f);
    struct client *idle = client_new(f);
    struct client *partial = client_new(f);
    SEND(idle, GET_ECHO);
    assert_int_equal(client_reply(idle).status, 200);
    SEND(partial, "GET /echo HTT");
    SEND(running, GATE GET_ECHO);
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    SEND(queued, GET_ECHO);
    WAIT_UNTIL(stats_of(f).queue_depth == 1);
    http_server_stop(f->server);
    client_expect_closed(idle);
    client_expect_refusal(partial, 503, "partial request");
    int fd = client_socket();
    assert_int_equal(client_connect(fd, f), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    gate_set(f, true);
    struct reply r = client_reply(running);
    assert_int_equal(r.status, 200);
    assert_true(str_eq_text(reply_header(&r, "Connection"), "close"));
    client_expect_closed(running);
    assert_int_equal(client_reply(queued).status, 200);
    client_expect_closed(queued);
    assert_true(fixture_join(f));
    assert_int_equal(atomic_load(&f->refused_draining), 1);
    client_free(running);
    client_free(queued);
    client_free(idle);
    client_free(partial);
    fixture_free(f);
}

/* Whether the request overtakes the stop is chance, so it is tried until it does not. */
static void test_http_server_request_arriving_while_draining_gets_503(void **state)
{
    int seen = 0;
    (void)state;
    for (int i = 0; i < 50 && seen == 0; i++) {
        struct fixture *f = start_with(fixture_config());
        struct client *c = client_new(f);
        SEND(c, GET_ECHO);
        assert_int_equal(client_reply(c).status, 200);
        http_server_stop(f->server);
        SEND(c, GET_ECHO);
        if (client_more(c)) {
            struct reply r = client_reply(c);
            assert_true(r.status == 200 || r.status == 503);
            if (r.status == 503) {
                assert_body_has(&r, "\"has_request\":1");
                assert_true(str_eq_text(reply_header(&r, "Connection"), "close"));
            }
            client_expect_closed(c);
        }
        assert_true(fixture_join(f));
        seen = atomic_load(&f->refused_draining);
        client_free(c);
        fixture_free(f);
    }
    assert_int_equal(seen, 1);
}

/* A handler may stop the server that called it; its own reply still arrives. */
static void test_http_server_stop_from_handler_drains(void **state)
{
    struct fixture *f = start_with(fixture_config());
    (void)state;
    struct client *c = client_new(f);
    SEND(c, "GET /stop HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_reply(c).status, 200);
    client_expect_closed(c);
    assert_true(fixture_join(f));
    client_free(c);
    fixture_free(f);
}

static void test_http_server_drain_deadline_passes_run_gives_false(void **state)
{
    struct http_server_config config = fixture_config();
    config.drain_ms = 150;
    config.workers = 1;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *running = client_new(f);
    struct client *queued = client_new(f);
    struct client *gone = client_new(f);
    SEND(running, GATE);
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    SEND(queued, GATE);
    SEND(gone, GATE);
    WAIT_UNTIL(stats_of(f).queue_depth == 2);
    client_reset(gone);
    http_server_stop(f->server);
    assert_false(fixture_join(f));
    gate_set(f, true);
    fixture_free(f);
    client_expect_closed(running);
    client_expect_closed(queued);
    client_free(running);
    client_free(queued);
}

static void test_http_server_stop_before_run_and_twice_returns(void **state)
{
    struct http_server_config config = fixture_config();
    struct fixture f = {0};
    struct http_handler handler = {&f, NULL, fixture_handle, fixture_refuse};
    struct error e;
    (void)state;
    f.server = http_server_new(&config, &handler, &e);
    assert_non_null(f.server);
    http_server_stop(f.server);
    http_server_stop(f.server);
    assert_true(http_server_run(f.server));
    http_server_stop(f.server);
    http_server_free(f.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_server_new_taken_port_or_bad_address_fails),
        cmocka_unit_test(test_http_server_free_without_run_releases_waiting_connection),
        cmocka_unit_test(test_http_server_every_is_called_on_the_loop),
        cmocka_unit_test(test_http_server_many_clients_each_answered_once),
        cmocka_unit_test(test_http_server_stop_answers_what_runs_and_closes_the_rest),
        cmocka_unit_test(test_http_server_request_arriving_while_draining_gets_503),
        cmocka_unit_test(test_http_server_stop_from_handler_drains),
        cmocka_unit_test(test_http_server_drain_deadline_passes_run_gives_false),
        cmocka_unit_test(test_http_server_stop_before_run_and_twice_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
