#include "http_server_fixture.h"

static int start(void **state)
{
    struct http_server_config config = fixture_config();
    *state = fixture_start(&config);
    return 0;
}

static int end(void **state)
{
    fixture_end(*state);
    return 0;
}

#define POST    "POST /echo HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct form {
    struct str bytes;
    int status;
};
#define FORM(literal, status)                                                                      \
    {                                                                                              \
        {literal, sizeof(literal) - 1}, status                                                     \
    }

static const struct form malformed[] = {
    FORM("\n", 400),
    FORM("\r\n\r\n", 400),
    FORM("\x16\x03\x01\x02\x00\x01", 400),
    FORM("GET /echo\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.9\r\n" HOST "\r\n", 400),
    FORM("GET /echo HTTP/2.0\r\n" HOST "\r\n", 400),
    FORM("GET //evil/x HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET http://evil/x HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /a b HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /\xC3\xA1 HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /a%00b HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /\0 HTTP/1.1\r\n" HOST "\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST HOST "\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\nHost:\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\n" HOST "\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\nHost: a\n\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "X : x\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "X\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400),
    FORM("GET /echo HTTP/1.1\r\n" HOST "Expect: miracles\r\n\r\n", 400),
    FORM("HEAD /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", 400),
    FORM(POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", 400),
    FORM(POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 400),
    FORM(POST "Content-Length: +2\r\n\r\nhi", 400),
    FORM(POST "Content-Length: -2\r\n\r\nhi", 400),
    FORM(POST "Content-Length: 2,2\r\n\r\nhi", 400),
    FORM(POST "Content-Length: 99999999999999999999\r\n\r\n", 400),
    FORM(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    FORM(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    FORM(POST "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", 400),
    FORM(POST "Transfer-Encoding: xchunked\r\n\r\n", 400),
    FORM(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    FORM(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    FORM("POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    FORM(CHUNKED "0x2\r\nhi\r\n0\r\n\r\n", 400),
    FORM(CHUNKED "2;x=y\r\nhi\r\n0\r\n\r\n", 400),
    FORM(CHUNKED "2\r\nhi!\r\n0\r\n\r\n", 400),
    FORM(CHUNKED "000000002\r\nhi\r\n0\r\n\r\n", 400),
    FORM(CHUNKED "2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n", 400),
    FORM("BREW /echo HTTP/1.1\r\n" HOST "\r\n", 501),
    FORM("TRACE /echo HTTP/1.1\r\n" HOST "\r\n", 501),
    FORM("CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 501),
    FORM("get /echo HTTP/1.1\r\n" HOST "\r\n", 501),
    FORM(POST "Content-Length: 20001\r\n\r\n", 413),
    FORM(POST "Expect: 100-continue\r\nContent-Length: 20001\r\n\r\n", 413),
    FORM(CHUNKED "4e21\r\n", 413),
    FORM(CHUNKED "2\r\nhi\r\n4e1f\r\n", 413),
};

static void test_http_server_malformed_request_refused_in_json_and_closed(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        struct client *c = client_new(f);
        client_send(c, malformed[i].bytes);
        client_expect_refusal(c, malformed[i].status, malformed[i].bytes.ptr);
        client_free(c);
    }
    assert_int_equal(atomic_load(&f->refused_head), ARRAY_LEN(malformed));
    assert_int_equal(stats_of(f).refused_heads, ARRAY_LEN(malformed));
    assert_int_equal(atomic_load(&f->handled), 0);
    WAIT_UNTIL(stats_of(f).connections == 0);
}

static void test_http_server_malformed_request_byte_by_byte_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i += 3) {
        struct client *c = client_new(f);
        for (size_t at = 0; at < malformed[i].bytes.len; at++)
            client_send(c, str_n(malformed[i].bytes.ptr + at, 1));
        client_expect_refusal(c, malformed[i].status, malformed[i].bytes.ptr);
        client_free(c);
    }
    assert_int_equal(atomic_load(&f->handled), 0);
}

static void test_http_server_malformed_after_good_request_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        struct client *c = client_new(f);
        /* Every other time in one segment, so that the check runs ahead of evhttp. */
        SEND(c, GET_ECHO);
        if (i % 2)
            assert_int_equal(client_reply(c).status, 200);
        client_send(c, malformed[i].bytes);
        if (i % 2 == 0)
            assert_int_equal(client_reply(c).status, 200);
        client_expect_refusal(c, malformed[i].bytes.ptr[0] == '\r' ? 400 : malformed[i].status,
                              malformed[i].bytes.ptr);
        client_free(c);
    }
}

static void test_http_server_malformed_in_same_segment_waits_for_its_turn(void **state)
{
    struct fixture *f = *state;
    struct client *c = client_new(f);
    SEND(c, "GET /gate HTTP/1.1\r\n" HOST "\r\n" GET_ECHO "GET /health HTTP/1.1\r\n" HOST
            "\r\n" POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nGET /echo HTTP/1.1\r\n");
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    gate_set(f, true);
    struct reply r = client_reply(c);
    assert_body_has(&r, "/gate");
    r = client_reply(c);
    assert_body_has(&r, "/echo");
    r = client_reply(c);
    assert_body_has(&r, "ok");
    client_expect_refusal(c, 400, "two lengths");
    client_free(c);
    assert_int_equal(atomic_load(&f->handled), 2);
}

static void test_http_server_oversized_heads_refused(void **state)
{
    struct fixture *f = *state;
    static char long_text[HTTP_HEAD_MAX_BYTES];
    memset(long_text, 'a', sizeof(long_text));
    for (int form = 0; form < 3; form++) {
        struct client *c = client_new(f);
        client_send(c, form == 0 ? STR("GET /") : STR("GET / HTTP/1.1\r\n" HOST));
        if (form == 1)
            client_send(c, STR("X: "));
        if (form < 2)
            client_send(c, str_n(long_text, sizeof(long_text)));
        for (int i = 0; form == 2 && i < HTTP_HEADERS_MAX; i++)
            client_send(c, STR("X: y\r\n"));
        client_expect_refusal(c, 431, "oversized head");
        client_free(c);
    }
}

static const struct {
    struct str bytes;
    const char *in_body;
} valid[] = {
    {{GET_ECHO, sizeof(GET_ECHO) - 1}, "\"method\":\"GET\",\"path\":\"/echo\",\"query\":\"\""},
#define VALID(literal, in_body)                                                                    \
    {                                                                                              \
        {literal, sizeof(literal) - 1}, in_body                                                    \
    }
    VALID("\r\n" GET_ECHO, "\"method\":\"GET\""),
    VALID("GET /a%2Fb/?x=1&y=%C3%A1? HTTP/1.1\r\n" HOST "\r\n",
          "\"path\":\"/a%2Fb/\",\"query\":\"x=1&y=%C3%A1?\""),
    VALID("GET /a:b HTTP/1.1\r\n" HOST "\r\n", "\"path\":\"/a:b\""),
    VALID("GET /http://x HTTP/1.1\r\n" HOST "\r\n", "\"path\":\"/http://x\""),
    VALID("GET /? HTTP/1.1\r\n" HOST "\r\n", "\"path\":\"/\",\"query\":\"\""),
    VALID("GET /echo HTTP/1.1\r\n" HOST "X: \t v w \t\r\nx: second\r\n\r\n",
          "\"headers\":3,\"length\":0,\"x\":\"v w\",\"peer\":\"127.0.0.1\""),
    VALID("OPTIONS /echo HTTP/1.1\r\n" HOST "\r\n", "\"method\":\"OPTIONS\""),
    VALID("PATCH /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "\"method\":\"PATCH\""),
    VALID("DELETE /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "\"body\":\"hi\""),
    VALID("GET /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi", "\"body\":\"hi\""),
    VALID("PUT /echo HTTP/1.1\r\n" HOST "content-length: 0\r\n\r\n", "\"method\":\"PUT\""),
    VALID(POST "Content-Length: 5\r\n\r\nhello", "\"length\":5,\"x\":\"\""),
    VALID(POST "\r\n", "\"length\":0"),
    VALID(CHUNKED "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "\"body\":\"hello\""),
    VALID(CHUNKED "0\r\n\r\n", "\"length\":0"),
    VALID(POST "transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
    VALID("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\"method\":\"GET\""),
};

static void test_http_server_valid_requests_answered_on_one_connection(void **state)
{
    struct fixture *f = *state;
    struct client *c = client_new(f);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(valid); i++) {
            if (round == 1) {
                for (size_t at = 0; at < valid[i].bytes.len; at++)
                    client_send(c, str_n(valid[i].bytes.ptr + at, 1));
            } else {
                client_send(c, valid[i].bytes);
            }
            struct reply r = client_reply(c);
            assert_int_equal(r.status, 200);
            assert_body_has(&r, valid[i].in_body);
        }
    }
    assert_int_equal(stats_of(f).connections_total, 1);
    assert_int_equal(stats_of(f).connections, 1);
    client_free(c);
}

static void test_http_server_pipelined_requests_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct client *c = client_new(f);
    SEND(c, "GET /gate?n=0 HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 1; i < 50; i++) {
        char text[128];
        snprintf(text, sizeof(text), "%s?n=%d HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
                 i % 5 ? "POST /echo" : "GET /gate", i);
        client_send(c, str_from(text));
    }
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    gate_set(f, true);
    for (int i = 0; i < 50; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "\"query\":\"n=%d\"", i);
        struct reply r = client_reply(c);
        assert_int_equal(r.status, 200);
        assert_body_has(&r, expected);
    }
    client_free(c);
}

static void test_http_server_replies_have_length_date_and_type(void **state)
{
    struct client *c = client_new(*state);
    SEND(c, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    struct reply r = client_reply(c);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, BIG_BYTES);
    assert_non_null(reply_header(&r, "Date").ptr);
    assert_true(str_eq_text(reply_header(&r, "Content-Type"), "application/json"));
    assert_null(reply_header(&r, "Connection").ptr);
    assert_null(strstr(r.head, "chunked"));
    SEND(c, "HEAD /big HTTP/1.1\r\n" HOST "\r\n");
    r = client_reply_to(c, true);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_len, BIG_BYTES);
    SEND(c, "GET /empty HTTP/1.1\r\n" HOST "\r\n");
    r = client_reply(c);
    assert_int_equal(r.status, 204);
    assert_null(reply_header(&r, "Content-Length").ptr);
    assert_null(reply_header(&r, "Content-Type").ptr);
    SEND(c, "HEAD /health HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_reply_to(c, true).body_len, 11);
    SEND(c, "GET /overflow HTTP/1.1\r\n" HOST "\r\n");
    r = client_reply(c);
    assert_int_equal(r.status, 500);
    assert_body_has(&r, "{\"error\":\"Internal Server Error\"}");
    SEND(c, GET_ECHO);
    assert_int_equal(client_reply(c).status, 200);
    client_free(c);
}

static void test_http_server_connection_close_honoured(void **state)
{
    static const char *const closing[] = {
        "GET /echo HTTP/1.0\r\n\r\n",
        "GET /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "GET /close HTTP/1.1\r\n" HOST "\r\n",
        /* What comes behind the last request is never looked at. */
        "GET /close HTTP/1.1\r\n" HOST "\r\n\x01garbage",
    };
    for (size_t i = 0; i < ARRAY_LEN(closing); i++) {
        struct client *c = client_new(*state);
        client_send(c, str_from(closing[i]));
        assert_int_equal(client_reply(c).status, 200);
        client_expect_closed(c);
        client_free(c);
    }
}

static void test_http_server_expect_continue_answered_before_body(void **state)
{
    struct client *c = client_new(*state);
    struct reply r;
    SEND(c, POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(c).status, 100);
    SEND(c, "hello");
    r = client_reply(c);
    assert_int_equal(r.status, 200);
    assert_body_has(&r, "hello");
    SEND(c, POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(c).status, 100);
    SEND(c, "5\r\nhello\r\n0\r\n\r\n");
    r = client_reply(c);
    assert_body_has(&r, "hello");
    /* Refused after the 100: the chunk does not fit. */
    SEND(c, POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(c).status, 100);
    SEND(c, "ffff\r\n");
    client_expect_refusal(c, 413, "chunk after 100-continue");
    client_free(c);
}

static void test_http_server_body_at_limit_passes_one_more_is_refused(void **state)
{
    static char body[BODY_MAX + 1];
    memset(body, 'b', sizeof(body));
    struct client *c = client_new(*state);
    struct reply r;
    SEND(c, POST "Content-Length: 20000\r\n\r\n");
    client_send(c, str_n(body, BODY_MAX));
    r = client_reply(c);
    assert_body_has(&r, "\"length\":20000");
    SEND(c, CHUNKED "1\r\nb\r\n4e1f\r\n");
    client_send(c, str_n(body, BODY_MAX - 1));
    SEND(c, "\r\n0\r\n\r\n");
    r = client_reply(c);
    assert_body_has(&r, "\"length\":20000");
    /* Nobody waits for the body that is too long, and the client can read the answer although it
     * sends it. */
    SEND(c, POST "Content-Length: 20001\r\n\r\n");
    client_send(c, str_n(body, BODY_MAX + 1));
    client_expect_refusal(c, 413, "body too long");
    client_free(c);
}

static void test_http_server_half_closed_client_gets_its_reply(void **state)
{
    struct fixture *f = *state;
    struct client *c = client_new(f);
    SEND(c, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    WAIT_UNTIL(atomic_load(&f->entered) == 1);
    gate_set(f, true);
    assert_int_equal(client_reply(c).status, 200);
    client_expect_closed(c);
    client_free(c);
    c = client_new(f);
    SEND(c, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    assert_int_equal(client_reply(c).body_len, BIG_BYTES);
    client_expect_closed(c);
    client_free(c);
    c = client_new(f);
    SEND(c, "GET // HTTP/1.1\r\n");
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    client_expect_refusal(c, 400, "half-closed after a bad head");
    client_free(c);
}

static uint32_t next_random(uint32_t *seed, size_t bound)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 10) % (uint32_t)bound;
}

/* Requests made of random edits of good ones: whatever comes back is an answer of ours. */
static void test_http_server_mutated_requests_never_answered_by_libevent(void **state)
{
    static const char alphabet[] = "\r\n\t :/?#%0129aAfF,;+-\0\x7F\x80GETPOSHDhtcu.*";
    struct fixture *f = *state;
    uint32_t seed = 20260101;
    for (int round = 0; round < 3000; round++) {
        char text[256];
        struct str from = valid[next_random(&seed, ARRAY_LEN(valid))].bytes;
        memcpy(text, from.ptr, from.len);
        for (uint32_t edits = 1 + next_random(&seed, 3); edits > 0; edits--)
            text[next_random(&seed, from.len)] = alphabet[next_random(&seed, sizeof(alphabet) - 1)];
        struct client *c = client_new(f);
        client_send(c, str_n(text, from.len));
        assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
        while (client_more(c))
            ;
        bool is_head = str_starts_with(str_n(text, from.len), STR("HEAD "));
        for (; c->len > 0; is_head = false) {
            struct reply r = client_reply_to(c, is_head);
            assert_true(r.status == 200 || r.status == 204 || r.status == 400 || r.status == 413 ||
                        r.status == 501);
            assert_int_not_equal(r.body[0], '<');
        }
        client_free(c);
    }
    WAIT_UNTIL(stats_of(f).connections == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SERVED(test) cmocka_unit_test_setup_teardown(test, start, end)
        SERVED(test_http_server_malformed_request_refused_in_json_and_closed),
        SERVED(test_http_server_malformed_request_byte_by_byte_refused),
        SERVED(test_http_server_malformed_after_good_request_refused),
        SERVED(test_http_server_malformed_in_same_segment_waits_for_its_turn),
        SERVED(test_http_server_oversized_heads_refused),
        SERVED(test_http_server_valid_requests_answered_on_one_connection),
        SERVED(test_http_server_pipelined_requests_answered_in_order),
        SERVED(test_http_server_replies_have_length_date_and_type),
        SERVED(test_http_server_connection_close_honoured),
        SERVED(test_http_server_expect_continue_answered_before_body),
        SERVED(test_http_server_body_at_limit_passes_one_more_is_refused),
        SERVED(test_http_server_half_closed_client_gets_its_reply),
        SERVED(test_http_server_mutated_requests_never_answered_by_libevent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
