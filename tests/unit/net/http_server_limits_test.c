/* What bounds the server: time, workers, connections, descriptors. */
#include "http_server_fixture.h"

#include <sys/resource.h>

#define GATE "GET /gate HTTP/1.1\r\n" HOST "\r\n"

static struct fixture *start_with(struct http_server_config config)
{
    return fixture_start(&config);
}

/* --- time ------------------------------------------------------------------------------------ */

/* Sends a byte now and then until the server has had enough. */
static void trickle(struct client *c, const char *text)
{
    struct pollfd answer = {.fd = c->fd, .events = POLLIN};
    client_send(c, str_from(text));
    for (int i = 0; i < 1000 && poll(&answer, 1, 20) == 0; i++)
        SEND(c, "x");
}

static void test_http_server_slow_request_gets_408(void **state)
{
    static const char *const beginnings[] = {
        "G",
        "GET /x",
        "GET / HTTP/1.1\r\nX",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 20000\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n4e20\r\n",
        GET_ECHO "GET /x",
    };
    struct http_server_config config = fixture_config();
    config.read_timeout_ms = 300;
    struct fixture *f = fixture_start(&config);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        struct client *c = client_new(f);
        trickle(c, beginnings[i]);
        if (i == 5) {
            assert_int_equal(client_reply(c).status, 200);
            trickle(c, "x");
        }
        client_expect_refusal(c, 408, beginnings[i]);
        client_free(c);
    }
    assert_int_equal(atomic_load(&f->refused_head), ARRAY_LEN(beginnings));
    fixture_end(f);
}

static void test_http_server_idle_connection_closed_silently(void **state)
{
    struct http_server_config config = fixture_config();
    config.idle_timeout_ms = 200;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *fresh = client_new(f);
    struct client *used = client_new(f);
    SEND(used, GET_ECHO);
    assert_int_equal(client_reply(used).status, 200);
    client_expect_closed(fresh);
    client_expect_closed(used);
    assert_int_equal(atomic_load(&f->refused_head), 0);
    client_free(fresh);
    client_free(used);
    fixture_end(f);
}

/* Neither timeout runs while a worker has the request. */
static void test_http_server_slow_handler_keeps_its_connection(void **state)
{
    struct http_server_config config = fixture_config();
    config.read_timeout_ms = config.idle_timeout_ms = 150;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *c = client_new(f);
    SEND(c, GATE);
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    int ticks = atomic_load(&f->ticks);
    WAIT_UNTIL(atomic_load(&f->ticks) > ticks + 50);
    gate_set(f, true);
    assert_int_equal(client_reply(c).status, 200);
    client_free(c);
    fixture_end(f);
}

static void test_http_server_client_that_takes_no_reply_is_dropped(void **state)
{
    struct http_server_config config = fixture_config();
    config.read_timeout_ms = 200;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *c = client_new(f);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)), 0);
    for (int i = 0; i < 60; i++)
        SEND(c, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    WAIT_UNTIL(stats_of(f).connections_total == 1 && stats_of(f).connections == 0);
    assert_true(atomic_load(&f->handled) < 60);
    client_free(c);
    fixture_end(f);
}

/* --- workers --------------------------------------------------------------------------------- */

static void test_http_server_full_queue_refuses_at_once(void **state)
{
    struct http_server_config config = fixture_config();
    config.queue_max = 3;
    struct fixture *f = fixture_start(&config);
    struct client *busy[5];
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        busy[i] = client_new(f);
        SEND(busy[i], GATE);
        if (i < 2)
            WAIT_UNTIL(stats_of(f).workers_busy == i + 1);
        else
            WAIT_UNTIL(stats_of(f).queue_depth == i - 1);
    }
    struct client *c = client_new(f);
    for (int i = 0; i < 3; i++) {
        SEND(c, GET_ECHO);
        struct reply r = client_reply(c);
        assert_int_equal(r.status, 503);
        assert_true(str_eq_text(reply_header(&r, "Retry-After"), "1"));
        assert_body_has(&r, "\"has_request\":1");
        assert_null(reply_header(&r, "Connection").ptr);
    }
    SEND(c, "GET /health HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_reply(c).status, 200);
    gate_set(f, true);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(client_reply(busy[i]).status, 200);
        client_free(busy[i]);
    }
    SEND(c, GET_ECHO);
    assert_int_equal(client_reply(c).status, 200);
    assert_int_equal(stats_of(f).refused_queue_full, 3);
    assert_int_equal(stats_of(f).queue_depth_max, 3);
    assert_int_equal(stats_of(f).queue_depth, 0);
    client_free(c);
    fixture_end(f);
}

static void test_http_server_no_queue_still_uses_free_workers(void **state)
{
    struct http_server_config config = fixture_config();
    config.queue_max = 0;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *c = client_new(f);
    for (int i = 0; i < 20; i++) {
        SEND(c, GET_ECHO);
        assert_int_equal(client_reply(c).status, 200);
    }
    client_free(c);
    fixture_end(f);
}

static void test_http_server_request_older_than_budget_refused(void **state)
{
    struct http_server_config config = fixture_config();
    config.workers = 1;
    config.request_budget_ms = 100;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *first = client_new(f);
    struct client *second = client_new(f);
    SEND(first, GATE);
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    SEND(second, GET_ECHO);
    WAIT_UNTIL(stats_of(f).queue_depth == 1);
    nap_ms(150);
    gate_set(f, true);
    assert_int_equal(client_reply(first).status, 200);
    assert_int_equal(client_reply(second).status, 503);
    assert_int_equal(stats_of(f).refused_too_old, 1);
    assert_int_equal(atomic_load(&f->handled), 1);
    SEND(second, GET_ECHO);
    assert_int_equal(client_reply(second).status, 200);
    client_free(first);
    client_free(second);
    fixture_end(f);
}

static void test_http_server_client_gone_while_worker_busy_is_safe(void **state)
{
    static const char *const requests[] = {
        GATE,
        "POST /gate HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
        GATE GATE,
        GATE "\x01",
    };
    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(requests); i++) {
        struct fixture *f = start_with(fixture_config());
        struct client *c = client_new(f);
        client_send(c, str_from(requests[i / 2]));
        WAIT_UNTIL(atomic_load(&f->entered) == 1);
        if (i % 2)
            client_reset(c);
        else
            client_free(c);
        struct client *other = client_new(f);
        SEND(other, GET_ECHO);
        assert_int_equal(client_reply(other).status, 200);
        gate_set(f, true);
        WAIT_UNTIL(stats_of(f).connections == 1);
        SEND(other, GET_ECHO);
        assert_int_equal(client_reply(other).status, 200);
        client_free(other);
        fixture_end(f);
    }
}

/* The server's end of the client's connection: they are in one process here. */
static int server_side(const struct client *c)
{
    struct sockaddr_in mine = {0};
    struct sockaddr_in peer = {0};
    socklen_t len = sizeof(mine);
    assert_int_equal(getsockname(c->fd, (struct sockaddr *)(void *)&mine, &len), 0);
    for (int fd = 3; fd < 1024; fd++) {
        len = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)(void *)&peer, &len) == 0 &&
            memcmp(&peer, &mine, sizeof(mine)) == 0)
            return fd;
    }
    fail_msg("no server side found");
    return -1;
}

/*
 * A worker has the request while "100 Continue" still waits for a client that reads nothing; then
 * the client resets. evhttp lets go of connection and request, and the reply comes later.
 */
static void lose_client_behind_continue(struct fixture *f)
{
    static const char junk[4096];
    struct client *c = client_new(f);
    WAIT_UNTIL(stats_of(f).connections == 1);
    int fd = server_side(c);
    while (send(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
        ;
    SEND(c, "POST /gate HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    int ticks = atomic_load(&f->ticks);
    WAIT_UNTIL(atomic_load(&f->ticks) > ticks + 5);
    SEND(c, "hi");
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    client_reset(c);
    WAIT_UNTIL(stats_of(f).connections == 0);
}

static void test_http_server_client_lost_behind_continue_late_reply_is_safe(void **state)
{
    struct fixture *f = start_with(fixture_config());
    (void)state;
    lose_client_behind_continue(f);
    gate_set(f, true);
    struct client *other = client_new(f);
    for (int i = 0; i < 3; i++) {
        SEND(other, GET_ECHO);
        assert_int_equal(client_reply(other).status, 200);
    }
    client_free(other);
    fixture_end(f);
}

static void test_http_server_client_lost_behind_continue_no_reply_is_safe(void **state)
{
    struct http_server_config config = fixture_config();
    config.drain_ms = 50;
    struct fixture *f = fixture_start(&config);
    (void)state;
    lose_client_behind_continue(f);
    http_server_stop(f->server);
    assert_false(fixture_join(f));
    gate_set(f, true);
    fixture_free(f);
}

static void test_http_server_client_gone_while_refused_is_safe(void **state)
{
    static const char *const requests[] = {
        "\x01",
        "G",
        GET_ECHO "\x01",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999\r\n\r\nsome",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nsome",
    };
    struct http_server_config config = fixture_config();
    config.read_timeout_ms = 100;
    struct fixture *f = fixture_start(&config);
    (void)state;
    for (unsigned i = 0; i < 10 * ARRAY_LEN(requests); i++) {
        struct client *c = client_new(f);
        client_send(c, str_from(requests[i % ARRAY_LEN(requests)]));
        if (i % 3 == 0)
            nap_ms(i % 7 * 25);
        if (i % 2)
            client_reset(c);
        else
            client_free(c);
    }
    WAIT_UNTIL(stats_of(f).connections == 0);
    fixture_end(f);
}

/* It reads on for a moment, but not without end. */
static void test_http_server_flood_behind_refused_head_is_cut_off(void **state)
{
    static char flood[1 << 16];
    struct fixture *f = start_with(fixture_config());
    (void)state;
    struct client *c = client_new(f);
    SEND(c, "GET / HTTP/9.9\r\n");
    for (int i = 0; i < 200; i++)
        client_send(c, str_n(flood, sizeof(flood)));
    WAIT_UNTIL(stats_of(f).connections == 0);
    client_free(c);
    fixture_end(f);
}

/* --- connections and descriptors ------------------------------------------------------------- */

static void test_http_server_connections_max_pauses_and_resumes(void **state)
{
    struct http_server_config config = fixture_config();
    config.connections_max = 3;
    struct fixture *f = fixture_start(&config);
    struct client *c[6];
    (void)state;
    for (int i = 0; i < 6; i++) {
        c[i] = client_new(f);
        SEND(c[i], GET_ECHO);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_reply(c[i]).status, 200);
    assert_int_equal(stats_of(f).connections, 3);
    assert_int_equal(stats_of(f).connections_total, 3);
    assert_int_equal(stats_of(f).accept_pauses, 1);
    for (int i = 3; i < 6; i++) {
        client_free(c[i - 3]);
        assert_int_equal(client_reply(c[i]).status, 200);
        assert_true(stats_of(f).connections <= 3);
    }
    for (int i = 3; i < 6; i++)
        client_free(c[i]);
    WAIT_UNTIL(stats_of(f).connections == 0);
    fixture_end(f);
}

/* Who only holds a place loses it to one who asks; who works or reads keeps it. */
static void test_http_server_connections_max_idle_longest_makes_room(void **state)
{
    struct http_server_config config = fixture_config();
    config.connections_max = 3;
    config.idle_timeout_ms = config.read_timeout_ms = 600000;
    struct fixture *f = fixture_start(&config);
    (void)state;
    struct client *busy = client_new(f);
    SEND(busy, GATE);
    WAIT_UNTIL(stats_of(f).workers_busy == 1);
    struct client *reading = client_new(f);
    SEND(reading, "GET /echo HTTP/1.1\r\n");
    struct client *idle = client_new(f);
    WAIT_UNTIL(stats_of(f).connections == 3);
    struct client *honest = client_new(f);
    SEND(honest, GET_ECHO);
    assert_int_equal(client_reply(honest).status, 200);
    client_expect_closed(idle);
    SEND(reading, HOST "\r\n");
    assert_int_equal(client_reply(reading).status, 200);
    gate_set(f, true);
    assert_int_equal(client_reply(busy).status, 200);
    client_free(idle);
    client_free(reading);
    client_free(honest);
    client_free(busy);
    fixture_end(f);
}

static int64_t thread_cpu_ms(pthread_t thread)
{
    clockid_t id;
    struct timespec used;
    assert_int_equal(pthread_getcpuclockid(thread, &id), 0);
    assert_int_equal(clock_gettime(id, &used), 0);
    return (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void test_http_server_out_of_descriptors_pauses_without_spinning(void **state)
{
    struct fixture *f = start_with(fixture_config());
    struct rlimit before, few;
    int taken[256];
    size_t count = 0;
    (void)state;
    struct client *c = malloc(sizeof(*c));
    assert_non_null(c);
    c->len = 0;
    c->fd = client_socket();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 128;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < ARRAY_LEN(taken) && (taken[count] = dup(c->fd)) >= 0)
        count++;
    int64_t cpu_ms = thread_cpu_ms(f->thread);
    assert_int_equal(client_connect(c->fd, f), 0);
    /* Three pauses mean that two waits of SERVER_ACCEPT_RETRY_MS lie between. */
    WAIT_UNTIL(stats_of(f).accept_pauses >= 3);
    cpu_ms = thread_cpu_ms(f->thread) - cpu_ms;
    assert_true(cpu_ms < 200);
    assert_int_equal(stats_of(f).connections_total, 0);
    while (count > 0)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    SEND(c, GET_ECHO);
    assert_int_equal(client_reply(c).status, 200);
    client_free(c);
    fixture_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_server_slow_request_gets_408),
        cmocka_unit_test(test_http_server_idle_connection_closed_silently),
        cmocka_unit_test(test_http_server_slow_handler_keeps_its_connection),
        cmocka_unit_test(test_http_server_client_that_takes_no_reply_is_dropped),
        cmocka_unit_test(test_http_server_full_queue_refuses_at_once),
        cmocka_unit_test(test_http_server_no_queue_still_uses_free_workers),
        cmocka_unit_test(test_http_server_request_older_than_budget_refused),
        cmocka_unit_test(test_http_server_client_gone_while_worker_busy_is_safe),
        cmocka_unit_test(test_http_server_client_lost_behind_continue_late_reply_is_safe),
        cmocka_unit_test(test_http_server_client_lost_behind_continue_no_reply_is_safe),
        cmocka_unit_test(test_http_server_client_gone_while_refused_is_safe),
        cmocka_unit_test(test_http_server_flood_behind_refused_head_is_cut_off),
        cmocka_unit_test(test_http_server_connections_max_pauses_and_resumes),
        cmocka_unit_test(test_http_server_connections_max_idle_longest_makes_room),
        cmocka_unit_test(test_http_server_out_of_descriptors_pauses_without_spinning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
