#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/head_check.h"
#include "net/http_bytes.h"

#define BODY_MAX 100
#define H        "Host: a\r\n"
#define GET      "GET / HTTP/1.1\r\n"
#define POST     "POST / HTTP/1.1\r\n" H
#define CHUNKED  POST "Transfer-Encoding: chunked\r\n\r\n"

struct head_case {
    const char *bytes;
    size_t len;
    enum error_code verdict;
    unsigned begun, passed;
};

#define CASE(bytes, verdict, begun, passed)                                                        \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, verdict, begun, passed                                           \
    }
#define GOOD(bytes) CASE(bytes, ERR_NONE, 1, 1)
#define BAD(bytes)  CASE(bytes, ERR_BAD_REQUEST, 1, 0)

static const struct head_case cases[] = {
    /* what has to pass */
    GOOD(GET H "\r\n"),
    GOOD("GET /a/b?c=d&e=%C3%A1 HTTP/1.1\r\n" H "\r\n"),
    GOOD("GET /\"{}|^`<>[]\\ HTTP/1.1\r\n" H "\r\n"),
    GOOD("HEAD / HTTP/1.1\r\n" H "\r\n"),
    GOOD("HEAD / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
    GOOD("OPTIONS /x HTTP/1.1\r\n" H "\r\n"),
    GOOD("PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi"),
    GOOD("PATCH / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi"),
    GOOD("DELETE / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi"),
    GOOD("GET / HTTP/1.0\r\n\r\n"),
    GOOD("GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n"),
    GOOD(GET "host:a\r\n\r\n"),
    GOOD(GET "Host: \t a.example.is:8080 \t \r\n\r\n"),
    GOOD(GET "Host: [::1]:80\r\n\r\n"),
    GOOD(GET H "X:\r\n\r\n"),
    GOOD(GET H "X: \xC3\xA1 \x80\xFF\r\n\r\n"),
    GOOD(GET H "X: a\tb  c \r\n\r\n"),
    GOOD(GET H "!#$%&'*+-.^_`|~09az: x\r\n\r\n"),
    GOOD(GET H "content-lengthy: +5\r\nx-transfer-encoding: gzip\r\n\r\n"),
    GOOD(POST "Content-Length: 100\r\n\r\n"),
    GOOD(POST "cOnTeNt-LeNgTh: 3 \t\r\n\r\nabc"),
    GOOD(POST "Content-Length: 003\r\n\r\nabc"),
    GOOD(POST "Content-Length: 000000000000000003\r\n\r\nabc"),
    GOOD(POST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
    GOOD(POST "expect: 100-CONTINUE\r\nContent-Length: 3\r\n\r\n"),
    GOOD(CHUNKED "0\r\n\r\n"),
    GOOD(CHUNKED "3\r\nabc\r\n0\r\n\r\n"),
    GOOD(CHUNKED "a\r\n0123456789\r\nA\r\n0123456789\r\n00000000\r\n\r\n"),
    GOOD(POST "transfer-encoding:\tCHUNKED \r\n\r\n0\r\n\r\n"),
    GOOD(POST "Connection: close, TE\r\n\r\n"),
    CASE("\r\n" GET H "\r\n", ERR_NONE, 1, 1),
    CASE(GET H "\r\n" GET H "\r\n", ERR_NONE, 2, 2),
    CASE(POST "Content-Length: 2\r\n\r\nhi" GET H "\r\n", ERR_NONE, 2, 2),
    CASE(CHUNKED "3\r\nabc\r\n0\r\n\r\n" GET H "\r\n", ERR_NONE, 2, 2),
    /* not complete */
    CASE("", ERR_NONE, 0, 0),
    CASE("\r", ERR_NONE, 0, 0),
    CASE("\r\n", ERR_NONE, 0, 0),
    CASE("G", ERR_NONE, 1, 0),
    CASE(GET H "\r", ERR_NONE, 1, 0),
    /* request line */
    BAD("\n" GET H "\r\n"),
    BAD("\r\r\n"),
    BAD("\r\n\r\n"),
    BAD(" GET / HTTP/1.1\r\n"),
    BAD("\x16\x03\x01\x02"),
    BAD("G\0T / HTTP/1.1\r\n"),
    BAD("GET\t/ HTTP/1.1\r\n"),
    BAD("GET  / HTTP/1.1\r\n"),
    BAD("GET /  HTTP/1.1\r\n"),
    BAD("GET / HTTP/1.1 \r\n"),
    BAD("GET /\r\n"),
    BAD("GET\r\n"),
    BAD("GET / \r\n"),
    BAD("GET / HTTP/1.\r\n"),
    BAD("GET / HTTP/1.2\r\n"),
    BAD("GET / HTTP/1.9\r\n"),
    BAD("GET / HTTP/1.10\r\n"),
    BAD("GET / HTTP/2.0\r\n"),
    BAD("GET / HTTP/0.9\r\n"),
    BAD("GET / http/1.1\r\n"),
    BAD("GET / HTTP/1.1\n"),
    BAD("GET / HTTP/1.1\rX"),
    BAD("OPTIONS * HTTP/1.1\r\n"),
    BAD("GET http://a/ HTTP/1.1\r\n"),
    BAD("GET a HTTP/1.1\r\n"),
    BAD("GET //evil/x HTTP/1.1\r\n"),
    BAD("GET /a b HTTP/1.1\r\n"),
    BAD("GET /\xC3\xA1 HTTP/1.1\r\n"),
    BAD("GET /\x7F HTTP/1.1\r\n"),
    BAD("GET /\x01 HTTP/1.1\r\n"),
    BAD("GET /\0 HTTP/1.1\r\n"),
    BAD("GET /a#b HTTP/1.1\r\n"),
    BAD("GET /%zz HTTP/1.1\r\n"),
    BAD("GET /%4 HTTP/1.1\r\n"),
    BAD("GET /% HTTP/1.1\r\n"),
    BAD("GET /a%00b HTTP/1.1\r\n"),
    BAD("GET /?q=%00 HTTP/1.1\r\n"),
    CASE("get / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED, 1, 0),
    CASE("TRACE / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED, 1, 0),
    CASE("CONNECT a:443 HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED, 1, 0),
    CASE("PRI * HTTP/2.0\r\n\r\n", ERR_NOT_IMPLEMENTED, 1, 0),
    CASE("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED,
         1, 0),
    /* header fields */
    BAD(GET H "X : y\r\n\r\n"),
    BAD(GET H ": y\r\n\r\n"),
    BAD(GET H "X\r\n\r\n"),
    BAD(GET H "a b: y\r\n\r\n"),
    BAD(GET H "a\xC3\xA1: y\r\n\r\n"),
    BAD(GET H "a(b): y\r\n\r\n"),
    BAD(GET H " folded\r\n\r\n"),
    BAD(GET " X: y\r\n" H "\r\n"),
    BAD(GET H "X: a\r\n\tb\r\n\r\n"),
    BAD(GET H "X: a\0b\r\n\r\n"),
    BAD(GET H "X: a\x01\r\n\r\n"),
    BAD(GET H "X: a\x7F\r\n\r\n"),
    BAD(GET H "X: a\n\r\n"),
    BAD(GET H "X: a\rb\r\n\r\n"),
    BAD(GET H "\n"),
    BAD(GET H "\rX"),
    BAD(GET "\r\n"),
    BAD(GET "X: y\r\n\r\n"),
    BAD(GET H H "\r\n"),
    BAD(GET H "host: b\r\n\r\n"),
    BAD("GET / HTTP/1.0\r\n" H H "\r\n"),
    BAD(GET "Host:\r\n\r\n"),
    BAD(GET "Host:  \t\r\n\r\n"),
    BAD(GET "Host: a b\r\n\r\n"),
    BAD(GET "Host: a.example.with-a-name-longer-than-the-word-kept b\r\n\r\n"),
    BAD(GET "Host: a/b\r\n\r\n"),
    BAD(GET "Host: a,b\r\n\r\n"),
    BAD(GET "Host: u@a\r\n\r\n"),
    BAD(GET H "Expect: 200-ok\r\n\r\n"),
    BAD(GET H "Expect:\r\n\r\n"),
    BAD(GET H "Expect: 100-continue, x\r\n\r\n"),
    /* framing */
    BAD(POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n"),
    BAD(POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"),
    BAD(POST "Content-Length: 2, 2\r\n\r\n"),
    BAD(POST "Content-Length: +2\r\n\r\n"),
    BAD(POST "Content-Length: -2\r\n\r\n"),
    BAD(POST "Content-Length: 0x2\r\n\r\n"),
    BAD(POST "Content-Length: 2.0\r\n\r\n"),
    BAD(POST "Content-Length:\r\n\r\n"),
    BAD(POST "Content-Length: 1 2\r\n\r\n"),
    BAD(POST "Content-Length: 0000000000000000002\r\n\r\n"),
    BAD(POST "Content-Length: 99999999999999999999999999999999999999999\r\n\r\n"),
    BAD(POST "Content-Length : 2\r\n\r\n"),
    BAD(POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: identity\r\n\r\n"),
    BAD(POST "Transfer-Encoding: xchunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    BAD(POST "Transfer-Encoding:\r\n\r\n"),
    BAD(POST "Transfer-Encoding : chunked\r\n\r\n"),
    BAD(POST "Transfer-Encoding: \x0B chunked\r\n\r\n"),
    BAD("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
    BAD("HEAD / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi"),
    BAD("HEAD / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    CASE(POST "Content-Length: 101\r\n\r\n", ERR_TOO_LARGE, 1, 0),
    CASE(POST "Content-Length: 999999999999999999\r\n\r\n", ERR_TOO_LARGE, 1, 0),
    CASE(POST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n", ERR_TOO_LARGE, 1, 0),
    /* chunks */
    CASE(CHUNKED "\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "x\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "0x2\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "+2\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED " 2\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2 \r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2;a=b\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2\nhi\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2\rhi", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "000000002\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2\r\nhi!\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2\r\nhi\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "2\r\nhi\rX", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "0\r\nX: y\r\n\r\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "0\r\n\rX", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "0\r\n\n", ERR_BAD_REQUEST, 1, 1),
    CASE(CHUNKED "65\r\n", ERR_TOO_LARGE, 1, 1),
    CASE(CHUNKED "ffffffff\r\n", ERR_TOO_LARGE, 1, 1),
    CASE(CHUNKED "2\r\nhi\r\n63\r\n", ERR_TOO_LARGE, 1, 1),
    /* the second of two */
    CASE(GET H "\r\n\r\n" GET H "\r\n", ERR_BAD_REQUEST, 2, 1),
    CASE(GET H "\r\n" GET "\r\n", ERR_BAD_REQUEST, 2, 1),
    CASE(POST "Content-Length: 2\r\n\r\nhi GET / HTTP/1.1\r\n", ERR_BAD_REQUEST, 2, 1),
    CASE(POST "Content-Length: 2\r\n\r\nhibad / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED, 2, 1),
    CASE(CHUNKED "0\r\n\r\n\0", ERR_BAD_REQUEST, 2, 1),
};

static void feed_slices(struct head_check *h, struct str bytes, size_t slice_max, uint32_t seed)
{
    head_check_init(h, BODY_MAX);
    while (bytes.len > 0) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = slice_max == 1 ? 1 : 1 + (seed >> 8) % slice_max;
        /* Of its own size, so that ASan sees a read past the slice. */
        struct str slice = str_take(bytes, n);
        char *copy = malloc(slice.len);
        assert_non_null(copy);
        memcpy(copy, slice.ptr, slice.len);
        bool good = head_check_feed(h, str_n(copy, slice.len));
        free(copy);
        assert_int_equal(good, h->verdict == ERR_NONE);
        bytes = str_skip(bytes, n);
    }
}

static void expect(const struct head_check *h, enum error_code verdict, unsigned begun,
                   unsigned passed, const char *text)
{
    if (h->verdict != verdict || h->requests_begun != begun || h->requests_passed != passed)
        fail_msg("%s: verdict %s (%s), begun %u, passed %u", text, error_name(h->verdict),
                 h->reason ? h->reason : "-", h->requests_begun, h->requests_passed);
    assert_int_equal(h->reason == NULL, verdict == ERR_NONE);
}

static void test_head_check_feed_table_whole_gives_verdict(void **state)
{
    (void)state;
    assert_true(ARRAY_LEN(cases) >= 80);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct head_check h;
        head_check_init(&h, BODY_MAX);
        head_check_feed(&h, str_n(cases[i].bytes, cases[i].len));
        expect(&h, cases[i].verdict, cases[i].begun, cases[i].passed, cases[i].bytes);
    }
}

static void test_head_check_feed_table_sliced_gives_same_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (uint32_t round = 0; round < 50; round++) {
            struct head_check h;
            feed_slices(&h, str_n(cases[i].bytes, cases[i].len), round == 0 ? 1 : 2 + round, round);
            expect(&h, cases[i].verdict, cases[i].begun, cases[i].passed, cases[i].bytes);
        }
    }
}

/* Sizes: exactly at the limit passes, one more does not; whole and byte by byte. */
static void expect_both(struct str bytes, enum error_code verdict, unsigned passed)
{
    struct head_check h;
    head_check_init(&h, BODY_MAX);
    head_check_feed(&h, bytes);
    expect(&h, verdict, 1, passed, "sized head, whole");
    feed_slices(&h, bytes, 1, 0);
    expect(&h, verdict, 1, passed, "sized head, byte by byte");
    feed_slices(&h, bytes, 4096, 7);
    expect(&h, verdict, 1, passed, "sized head, sliced");
}

static struct str repeat(char *out, const char *before, char fill, size_t count, const char *after)
{
    size_t len = strlen(before);
    memcpy(out, before, len);
    memset(out + len, fill, count);
    memcpy(out + len + count, after, strlen(after));
    return str_n(out, len + count + strlen(after));
}

static void test_head_check_feed_target_size_bounded(void **state)
{
    static char text[2 * HTTP_HEAD_MAX_BYTES];
    const char *end = " HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)state;
    expect_both(repeat(text, "GET /", 'a', HTTP_TARGET_MAX_BYTES - 1, end), ERR_NONE, 1);
    expect_both(repeat(text, "GET /", 'a', HTTP_TARGET_MAX_BYTES, end), ERR_HEAD_TOO_LARGE, 0);
    expect_both(repeat(text, "GET /", 'a', HTTP_TARGET_MAX_BYTES - 4, "%41 HTTP/1.0\r\n\r\n"),
                ERR_NONE, 1);
    for (size_t over = 0; over < 3; over++)
        expect_both(
            repeat(text, "GET /", 'a', HTTP_TARGET_MAX_BYTES - 3 + over, "%41 HTTP/1.0\r\n\r\n"),
            ERR_HEAD_TOO_LARGE, 0);
}

static void test_head_check_feed_head_size_bounded(void **state)
{
    static char text[2 * HTTP_HEAD_MAX_BYTES];
    const char *before = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    const char *end = "\r\n\r\n";
    size_t fill = HTTP_HEAD_MAX_BYTES - strlen(before) - strlen(end);
    (void)state;
    expect_both(repeat(text, before, 'a', fill, end), ERR_NONE, 1);
    expect_both(repeat(text, before, 'a', fill + 1, end), ERR_HEAD_TOO_LARGE, 0);
    /* What is wrong behind the limit is never looked at. */
    expect_both(repeat(text, before, 'a', fill + 4, "\n\n"), ERR_HEAD_TOO_LARGE, 0);
    expect_both(repeat(text, before, 'a', fill + 3, "\n\n"), ERR_BAD_REQUEST, 0);
    /* A leading empty line does not count. */
    expect_both(repeat(text, "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: ", 'a', fill, end), ERR_NONE, 1);
}

static void test_head_check_feed_header_count_bounded(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        char text[2048];
        size_t len = strlen("GET / HTTP/1.1\r\nHost: a\r\n");
        memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\n", len);
        for (unsigned i = 1; i < HTTP_HEADERS_MAX + more; i++) {
            memcpy(text + len, "X: y\r\n", 6);
            len += 6;
        }
        memcpy(text + len, "\r\n", 2);
        expect_both(str_n(text, len + 2), more ? ERR_HEAD_TOO_LARGE : ERR_NONE, more ? 0 : 1);
    }
}

static void test_head_check_feed_in_message_follows_body(void **state)
{
    struct head_check h;
    (void)state;
    head_check_init(&h, BODY_MAX);
    assert_false(h.in_message);
    head_check_feed(&h, STR("P"));
    assert_true(h.in_message);
    head_check_feed(&h, STR("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"));
    assert_true(h.in_message);
    assert_int_equal(h.requests_passed, 1);
    head_check_feed(&h, STR("i"));
    assert_false(h.in_message);
}

static void test_head_check_feed_blank_line_only_where_allowed(void **state)
{
    struct head_check h;
    (void)state;
    head_check_init(&h, BODY_MAX);
    assert_true(head_check_feed(&h, STR("\r\nGET / HTTP/1.0\r\n\r\n")));
    assert_true(h.blank_line_seen);
    h.blank_line_seen = false;
    h.blank_line_ok = true;
    assert_true(head_check_feed(&h, STR("\r")));
    assert_false(h.blank_line_seen);
    assert_true(head_check_feed(&h, STR("\nGET / HTTP/1.0\r\n\r\n")));
    assert_true(h.blank_line_seen);
    assert_int_equal(h.requests_passed, 2);
    assert_false(head_check_feed(&h, STR("\r\nGET / HTTP/1.0\r\n\r\n")));
    assert_int_equal(h.requests_passed, 2);
}

static void test_head_check_feed_after_verdict_reads_nothing(void **state)
{
    struct head_check h;
    (void)state;
    head_check_init(&h, BODY_MAX);
    assert_false(head_check_feed(&h, STR("\n")));
    assert_false(head_check_feed(&h, STR("GET / HTTP/1.0\r\n\r\n")));
    assert_int_equal(h.requests_begun, 1);
    assert_int_equal(h.requests_passed, 0);
    assert_false(head_check_feed(&h, (struct str){NULL, 0}));
}

static void test_http_byte_class_agrees_with_the_grammar(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool alnum = c < 128 && isalnum(c);
        assert_int_equal(http_byte_is((char)c, IN_TOKEN),
                         alnum || (c && strchr("!#$%&'*+-.^_`|~", c)));
        assert_int_equal(http_byte_is((char)c, IN_TARGET),
                         c > 0x20 && c < 0x7F && c != '#' && c != '%');
        assert_int_equal(http_byte_is((char)c, IN_VALUE), c == '\t' || (c >= 0x20 && c != 0x7F));
        assert_int_equal(http_byte_is((char)c, IN_HOST),
                         alnum || (c && strchr("-._~!$&'()*+;=:[]%", c)));
        assert_int_equal(http_hex_value((char)c) >= 0, c < 128 && isxdigit(c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_check_feed_table_whole_gives_verdict),
        cmocka_unit_test(test_head_check_feed_table_sliced_gives_same_verdict),
        cmocka_unit_test(test_head_check_feed_target_size_bounded),
        cmocka_unit_test(test_head_check_feed_head_size_bounded),
        cmocka_unit_test(test_head_check_feed_header_count_bounded),
        cmocka_unit_test(test_head_check_feed_in_message_follows_body),
        cmocka_unit_test(test_head_check_feed_blank_line_only_where_allowed),
        cmocka_unit_test(test_head_check_feed_after_verdict_reads_nothing),
        cmocka_unit_test(test_http_byte_class_agrees_with_the_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
