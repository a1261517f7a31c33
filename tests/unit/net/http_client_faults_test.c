/* Each upstream here refuses, hangs, or sends what no caller wants. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_client_fixture.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

static void assert_fails(struct fixture *f, const struct http_call *call, enum error_code code,
                         bool sent)
{
    assert_false(run(f, call));
    assert_string_equal(error_name(f->error.code), error_name(code));
    assert_int_equal(f->sent, sent);
    assert_int_equal(f->answer.status, 0);
    assert_non_null(strstr(f->error.detail, "upstream: "));
}

static void assert_get_fails(raw_behave *behave, enum error_code code, size_t answer_max_bytes)
{
    struct raw_server *s = raw_server_start(behave);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.answer_max_bytes = answer_max_bytes;
    assert_fails(&f, &call, code, true);
    assert_int_equal(raw_requests(s), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_refused_is_unavailable_and_unsent(void **state)
{
    (void)state;
    uint16_t port;
    int fd = raw_bind(&port); /* bound and not listening: nobody else can take the port */
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, port, HTTP_GET);
    assert_fails(&f, &call, ERR_UNAVAILABLE, false);
    fixture_done(&f);
    (void)close(fd);
}

static bool behave_ok(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return answer_ok(fd);
}

static void test_http_client_call_refused_after_success_is_still_unsent(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    uint16_t port;
    int fd = raw_bind(&port);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call good = call_to(&f, s->port, HTTP_GET);
    assert_true(run(&f, &good));
    assert_true(f.sent);
    struct http_call refused = call_to(&f, port, HTTP_GET);
    assert_fails(&f, &refused, ERR_UNAVAILABLE, false);
    fixture_done(&f);
    (void)close(fd);
    raw_server_stop(s);
}

static bool behave_hang(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)fd, (void)n, (void)of_connection;
    (void)raw_wait_for_stop(s, -1);
    return false;
}

static void test_http_client_call_hanging_upstream_ends_at_the_deadline(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_hang);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_POST);
    call.body = STR("{}");
    call.deadline_ms = clock_mono_ms() + 300;
    assert_fails(&f, &call, ERR_GATEWAY_TIMEOUT, true);
    /* Not before it, and not by some other, far longer limit. */
    assert_true(clock_mono_ms() >= call.deadline_ms - 5);
    assert_true(clock_mono_ms() < call.deadline_ms + LONG_MS / 2);
    assert_int_equal(raw_requests(s), 1);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_deadline_passed_sends_nothing(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.deadline_ms = clock_mono_ms() - 1;
    assert_fails(&f, &call, ERR_GATEWAY_TIMEOUT, false);
    assert_int_equal(raw_requests(s), 0);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_hanging_attempts_are_cut_and_repeated(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_hang);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.attempt_timeout_ms = 300;
    call.attempts_max = 3;
    assert_fails(&f, &call, ERR_GATEWAY_TIMEOUT, true);
    assert_int_equal(f.answer.attempts, 3);
    assert_int_equal(raw_requests(s), 3);
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_half(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    (void)raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    return false;
}

static void test_http_client_call_half_an_answer_is_unavailable(void **state)
{
    (void)state;
    assert_get_fails(behave_half, ERR_UNAVAILABLE, 0);
}

static bool behave_half_chunk(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    (void)raw_send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf");
    return false;
}

static void test_http_client_call_half_a_chunk_is_unavailable(void **state)
{
    (void)state;
    assert_get_fails(behave_half_chunk, ERR_UNAVAILABLE, 0);
}

static bool behave_silent_close(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)fd, (void)n, (void)of_connection;
    return false;
}

static void test_http_client_call_closed_without_answer_is_unavailable(void **state)
{
    (void)state;
    assert_get_fails(behave_silent_close, ERR_UNAVAILABLE, 0);
}

static bool behave_drip(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    bool open = raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (open && !raw_wait_for_stop(s, 10))
        open = raw_send_text(fd, "x");
    return false;
}

static void test_http_client_call_slow_drip_ends_at_the_deadline(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_drip);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.deadline_ms = clock_mono_ms() + 300;
    assert_fails(&f, &call, ERR_GATEWAY_TIMEOUT, true);
    assert_true(clock_mono_ms() < call.deadline_ms + LONG_MS / 2);
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_huge_declared(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4001\r\n\r\n");
}

static void test_http_client_call_declared_length_over_cap_is_bad_gateway(void **state)
{
    (void)state;
    assert_get_fails(behave_huge_declared, ERR_BAD_GATEWAY, 4000);
}

static bool send_body_until_closed(struct raw_server *s, int fd, const char *head)
{
    bool open = raw_send_text(fd, head);
    while (open && !raw_wait_for_stop(s, 0))
        open = raw_send_text(fd, "20\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    return false;
}

static bool behave_huge_chunked(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    return send_body_until_closed(s, fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static bool behave_huge_unframed(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    return send_body_until_closed(s, fd, "HTTP/1.0 200 OK\r\n\r\n");
}

static void test_http_client_call_endless_body_is_cut_at_the_cap(void **state)
{
    (void)state;
    assert_get_fails(behave_huge_chunked, ERR_BAD_GATEWAY, 4000);
    assert_get_fails(behave_huge_unframed, ERR_BAD_GATEWAY, 4000);
    assert_get_fails(behave_huge_chunked, ERR_BAD_GATEWAY, 0);
}

/* 50,000 times 'A' in 84 bytes of gzip. */
static const unsigned char bomb[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xc1, 0x01, 0x0d,
    0x00, 0x00, 0x00, 0xc2, 0xa0, 0x6c, 0xef, 0x5f, 0xca, 0x1e, 0x0e, 0x28, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x9e, 0x0c, 0xe7, 0x05, 0x0a, 0xd3, 0x50, 0xc3, 0x00, 0x00};

static bool behave_bomb(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    return raw_send_text(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                             "Content-Length: 84\r\n\r\n") &&
           raw_send(fd, bomb, sizeof(bomb));
}

static void test_http_client_call_compressed_answer_is_capped_after_inflating(void **state)
{
    (void)state;
    assert_get_fails(behave_bomb, ERR_BAD_GATEWAY, 49999);

    struct raw_server *s = raw_server_start(behave_bomb);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.answer_max_bytes = 50000;
    assert_true(run(&f, &call));
    assert_int_equal(f.answer.body.len, 50000);
    fixture_done(&f);
    raw_server_stop(s);
}

static bool behave_endless_head(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    bool open = raw_send_text(fd, "HTTP/1.1 200 OK\r\n");
    while (open && !raw_wait_for_stop(s, 0))
        open = raw_send_text(fd, "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    return false;
}

static bool behave_endless_interim(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)n, (void)of_connection;
    bool open = true;
    while (open && !raw_wait_for_stop(s, 0))
        open = raw_send_text(fd, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    return false;
}

static void test_http_client_call_endless_head_is_bad_gateway(void **state)
{
    (void)state;
    assert_get_fails(behave_endless_head, ERR_BAD_GATEWAY, 0);
    assert_get_fails(behave_endless_interim, ERR_BAD_GATEWAY, 0);
}

static bool behave_other_protocol(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    (void)raw_send_text(fd, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    return false;
}

static bool behave_bad_status(struct raw_server *s, int fd, unsigned n, unsigned of_connection)
{
    (void)s, (void)n, (void)of_connection;
    (void)raw_send_text(fd, "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n");
    return false;
}

static void test_http_client_call_not_http_is_bad_gateway(void **state)
{
    (void)state;
    assert_get_fails(behave_other_protocol, ERR_BAD_GATEWAY, 0);
    assert_get_fails(behave_bad_status, ERR_BAD_GATEWAY, 0);
}

static void test_http_client_call_http_where_only_https_is_allowed_sends_nothing(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct http_client_config config = plain_config;
    config.allow_http = false;
    config.breaker_failures = 1;
    config.breaker_open_ms = LONG_MS;
    struct fixture f;
    fixture_init(&f, &config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    assert_fails(&f, &call, ERR_INTERNAL, false);
    assert_int_equal(raw_requests(s), 0);
    /* Our own mistake is no verdict on the upstream. */
    struct http_client_stats stats;
    http_client_get_stats(f.client, &stats);
    assert_int_equal(stats.breaker, BREAKER_CLOSED);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_unsendable_url_or_header_sends_nothing(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    const char *const targets[] = {"/a b", "/a\r\nX-Evil: 1", "/\x7f", "/\xc3\xa6"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct http_call call = call_to(&f, s->port, HTTP_GET);
        call.url = url_of(&f, s->port, targets[i]);
        assert_fails(&f, &call, ERR_INTERNAL, false);
    }
    const struct http_header bad[] = {
        {STR("X-A"), STR("1\r\nX-Evil: 1")}, {STR("X A"), STR("1")}, {STR("X-A"), STR("\0")}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_call call = call_to(&f, s->port, HTTP_GET);
        call.headers = &bad[i];
        call.header_count = 1;
        assert_fails(&f, &call, ERR_INTERNAL, false);
    }
    assert_int_equal(raw_requests(s), 0);
    fixture_done(&f);
    raw_server_stop(s);
}

static void test_http_client_call_no_tls_handshake_ends_at_the_deadline_unsent(void **state)
{
    (void)state;
    struct raw_server *s = raw_server_start(behave_ok);
    struct fixture f;
    fixture_init(&f, &plain_config);
    struct http_call call = call_to(&f, s->port, HTTP_GET);
    call.url = arena_printf(f.arena, "https://127.0.0.1:%u/", (unsigned)s->port);
    call.deadline_ms = clock_mono_ms() + 300;
    /* The server takes the hello for a head and waits for its end. */
    assert_fails(&f, &call, ERR_GATEWAY_TIMEOUT, false);
    fixture_done(&f);
    raw_server_stop(s);
}

static pid_t start_program(const char *const argv[])
{
    union {
        const char *const *borrowed;
        char *const *spawnable;
    } args = {.borrowed = argv};
    posix_spawn_file_actions_t quiet;
    assert_int_equal(posix_spawn_file_actions_init(&quiet), 0);
    for (int fd = 0; fd <= 2; fd++)
        assert_int_equal(posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", fd ? 1 : 0, 0),
                         0);
    pid_t pid = -1;
    int rc = posix_spawnp(&pid, argv[0], &quiet, NULL, args.spawnable, environ);
    assert_int_equal(posix_spawn_file_actions_destroy(&quiet), 0);
    return rc == 0 ? pid : -1;
}

static bool port_answers(uint16_t port)
{
    for (int i = 0; i < 200; i++) {
        union {
            struct sockaddr any;
            struct sockaddr_in in;
        } to = {.in = {.sin_family = AF_INET,
                       .sin_port = htons(port),
                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool up = connect(fd, &to.any, sizeof(to.in)) == 0;
        (void)close(fd);
        if (up)
            return true;
        (void)usleep(50000);
    }
    return false;
}

static void test_http_client_call_self_signed_certificate_is_bad_gateway_and_unsent(void **state)
{
    (void)state;
    char dir[] = "/tmp/http_client_test.XXXXXX";
    assert_non_null(mkdtemp(dir));
    char cert[64];
    char key[64];
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    (void)snprintf(key, sizeof(key), "%s/key.pem", dir);
    const char *const make[] = {
        "openssl", "req",   "-x509", "-newkey", "rsa:2048",
        "-nodes",  "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", key,     "-out",  cert,      NULL};
    pid_t maker = start_program(make);
    int status = 1;
    if (maker < 0 || waitpid(maker, &status, 0) != maker || status != 0) {
        print_message("skipped: no openssl program here\n");
        (void)rmdir(dir);
        skip();
    }
    uint16_t port;
    (void)close(raw_bind(&port));
    char accept_at[32];
    (void)snprintf(accept_at, sizeof(accept_at), "127.0.0.1:%u", (unsigned)port);
    const char *const serve[] = {"openssl", "s_server", "-accept", accept_at, "-cert",
                                 cert,      "-key",     key,       "-www",    NULL};
    pid_t server = start_program(serve);
    bool up = port_answers(port);

    /* Two seconds are not enough for two handshakes on a busy machine under ThreadSanitizer. */
    struct http_client_config patient = plain_config;
    patient.connect_timeout_ms = LONG_MS;
    struct fixture f;
    fixture_init(&f, &patient);
    struct http_call call = call_to(&f, port, HTTP_GET);
    call.url = arena_printf(f.arena, "https://127.0.0.1:%u/", (unsigned)port);
    bool ok = run(&f, &call);

    (void)kill(server, SIGKILL);
    (void)waitpid(server, &status, 0);
    (void)unlink(cert);
    (void)unlink(key);
    (void)rmdir(dir);
    assert_true(up);
    assert_false(ok);
    assert_string_equal(error_name(f.error.code), "ERR_BAD_GATEWAY");
    assert_false(f.sent);
    fixture_done(&f);
}

int main(void)
{
    encode_init();
    /* Proxies of the environment must not be used. */
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_client_call_refused_is_unavailable_and_unsent),
        cmocka_unit_test(test_http_client_call_refused_after_success_is_still_unsent),
        cmocka_unit_test(test_http_client_call_hanging_upstream_ends_at_the_deadline),
        cmocka_unit_test(test_http_client_call_deadline_passed_sends_nothing),
        cmocka_unit_test(test_http_client_call_hanging_attempts_are_cut_and_repeated),
        cmocka_unit_test(test_http_client_call_half_an_answer_is_unavailable),
        cmocka_unit_test(test_http_client_call_half_a_chunk_is_unavailable),
        cmocka_unit_test(test_http_client_call_closed_without_answer_is_unavailable),
        cmocka_unit_test(test_http_client_call_slow_drip_ends_at_the_deadline),
        cmocka_unit_test(test_http_client_call_declared_length_over_cap_is_bad_gateway),
        cmocka_unit_test(test_http_client_call_endless_body_is_cut_at_the_cap),
        cmocka_unit_test(test_http_client_call_compressed_answer_is_capped_after_inflating),
        cmocka_unit_test(test_http_client_call_endless_head_is_bad_gateway),
        cmocka_unit_test(test_http_client_call_not_http_is_bad_gateway),
        cmocka_unit_test(test_http_client_call_http_where_only_https_is_allowed_sends_nothing),
        cmocka_unit_test(test_http_client_call_unsendable_url_or_header_sends_nothing),
        cmocka_unit_test(test_http_client_call_no_tls_handshake_ends_at_the_deadline_unsent),
        cmocka_unit_test(test_http_client_call_self_signed_certificate_is_bad_gateway_and_unsent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
