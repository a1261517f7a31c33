#include "auth/testing.h"

#include "auth/client_address.h"

static struct http_request *request_with(struct arena *a, const char *peer,
                                         const char *const *forwarded, size_t count)
{
    struct http_request *req = ARENA_NEW(a, struct http_request);
    assert_true(str_copy(str_from(peer), req->peer, sizeof(req->peer)));
    for (size_t i = 0; i < count; i++)
        req->headers[req->header_count++] =
            (struct http_header){STR("x-forwarded-for"), str_from(forwarded[i])};
    req->arena = a;
    return req;
}

static void test_client_address_table(void **state)
{
    struct arena *a = *state;
    static const struct {
        unsigned hops;
        const char *forwarded;
        const char *want;
    } cases[] = {
        /* one proxy appends the caller: the right-most entry is the only true one */
        {1, "198.51.100.7", "198.51.100.7"},
        {1, "1.2.3.4, 198.51.100.7", "198.51.100.7"},
        {1, "evil, 1.2.3.4,198.51.100.7", "198.51.100.7"},
        {1, "1.2.3.4,\t198.51.100.7 ", "198.51.100.7"},
        {1, ",,,198.51.100.7", "198.51.100.7"},
        /* a load balancer in front adds its own */
        {2, "198.51.100.7, 203.0.113.1", "198.51.100.7"},
        {2, "1.2.3.4, 198.51.100.7, 203.0.113.1", "198.51.100.7"},
        {3, "9.9.9.9, 1.2.3.4, 198.51.100.7, 203.0.113.1", "1.2.3.4"},
        /* fewer entries than trusted hops: somebody went around the proxies */
        {2, "198.51.100.7", "192.0.2.1"},
        {5, "1.2.3.4, 198.51.100.7", "192.0.2.1"},
        /* not believed at all */
        {0, "198.51.100.7", "192.0.2.1"},
        {0, "", "192.0.2.1"},
        /* IPv6, mapped, ports */
        {1, "2001:db8::7", "2001:db8::7"},
        {1, "2001:DB8:0:0:0:0:0:7", "2001:db8::7"},
        {1, "[2001:db8::7]", "2001:db8::7"},
        {1, "[2001:db8::7]:443", "2001:db8::7"},
        {1, "::ffff:198.51.100.7", "198.51.100.7"},
        {1, "[::ffff:198.51.100.7]:80", "198.51.100.7"},
        {1, "::FFFF:c633:6407", "198.51.100.7"},
        {1, "198.51.100.7:51234", "198.51.100.7"},
        {1, "198.51.100.7:0", "198.51.100.7"},
        /* no address: the peer, never the next entry */
        {1, "", "192.0.2.1"},
        {1, "198.51.100.7,", "192.0.2.1"},
        {1, "198.51.100.7, unknown", "192.0.2.1"},
        {1, "198.51.100.7, _hidden", "192.0.2.1"},
        {1, "198.51.100.7, 256.1.1.1", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3.4.5", "192.0.2.1"},
        {1, "198.51.100.7, 01.2.3.4", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3.4 5.6.7.8", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3.4:", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3.4:70000", "192.0.2.1"},
        {1, "198.51.100.7, 1.2.3.4:80:80", "192.0.2.1"},
        {1, "198.51.100.7, [1.2.3.4]:80", "192.0.2.1"},
        {1, "198.51.100.7, [2001:db8::7", "192.0.2.1"},
        {1, "198.51.100.7, [2001:db8::7]x", "192.0.2.1"},
        {1, "198.51.100.7, [2001:db8::7]:", "192.0.2.1"},
        {1, "198.51.100.7, []", "192.0.2.1"},
        {1, "198.51.100.7, [", "192.0.2.1"},
        {1, "198.51.100.7, fe80::1%eth0", "192.0.2.1"},
        {1, "198.51.100.7, 2001:db8::7::1", "192.0.2.1"},
        {1, "198.51.100.7, \"1.2.3.4\"", "192.0.2.1"},
        {1, "for=1.2.3.4", "192.0.2.1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[CLIENT_ADDRESS_SIZE];
        client_address(request_with(a, "192.0.2.1", &cases[i].forwarded, 1), cases[i].hops, out);
        if (strcmp(out, cases[i].want) != 0)
            fail_msg("%u hops of '%s': %s", cases[i].hops, cases[i].forwarded, out);
    }
}

static void test_client_address_peer_forms(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *peer;
        const char *want;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"}, {"::1", "::1"},  {"::ffff:192.0.2.1", "192.0.2.1"},
        {"unix", "unknown"},        {"", "unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[CLIENT_ADDRESS_SIZE];
        client_address(request_with(a, cases[i].peer, NULL, 0), 1, out);
        assert_string_equal(out, cases[i].want);
    }
}

/* Several lines of one name are one list, in order (RFC 9110 §5.3). */
static void test_client_address_header_twice_counts_from_the_last(void **state)
{
    struct arena *a = *state;
    static const char *const lines[] = {"1.2.3.4, 198.51.100.7", "203.0.113.1"};
    char out[CLIENT_ADDRESS_SIZE];
    client_address(request_with(a, "192.0.2.1", lines, 2), 1, out);
    assert_string_equal(out, "203.0.113.1");
    client_address(request_with(a, "192.0.2.1", lines, 2), 2, out);
    assert_string_equal(out, "198.51.100.7");
    client_address(request_with(a, "192.0.2.1", lines, 2), 3, out);
    assert_string_equal(out, "1.2.3.4");
    client_address(request_with(a, "192.0.2.1", lines, 2), 4, out);
    assert_string_equal(out, "192.0.2.1");
}

static void test_client_address_other_headers_mean_nothing(void **state)
{
    struct arena *a = *state;
    static const char *const names[] = {"X-Real-IP",        "Forwarded",
                                        "CF-Connecting-IP", "True-Client-IP",
                                        "X-Client-IP",      "X-Forwarded-For-Original",
                                        "X-Forwarded",      "X-Appengine-User-Ip"};
    struct http_request *req = request_with(a, "192.0.2.1", NULL, 0);
    char out[CLIENT_ADDRESS_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        req->headers[req->header_count++] =
            (struct http_header){str_from(names[i]), STR("198.51.100.7")};
    client_address(req, 1, out);
    assert_string_equal(out, "192.0.2.1");
}

static void test_client_address_ten_kilobytes_change_nothing(void **state)
{
    struct arena *a = *state;
    struct buf b;
    buf_init(&b, 20000);
    while (b.len < 10240)
        buf_add_text(&b, "1.2.3.4, ");
    buf_add_text(&b, "198.51.100.7");
    const char *line = arena_text(a, buf_str(&b));
    char out[CLIENT_ADDRESS_SIZE];
    client_address(request_with(a, "192.0.2.1", &line, 1), 1, out);
    assert_string_equal(out, "198.51.100.7");

    buf_clear(&b);
    while (b.len < 10240)
        buf_add_char(&b, '7');
    line = arena_text(a, buf_str(&b));
    client_address(request_with(a, "192.0.2.1", &line, 1), 1, out);
    assert_string_equal(out, "192.0.2.1");

    buf_clear(&b);
    while (b.len < 10240)
        buf_add_char(&b, ',');
    line = arena_text(a, buf_str(&b));
    client_address(request_with(a, "192.0.2.1", &line, 1), 9999, out);
    assert_string_equal(out, "192.0.2.1");
    buf_done(&b);
}

static void test_client_address_nul_in_entry_is_no_address(void **state)
{
    struct arena *a = *state;
    struct http_request *req = request_with(a, "192.0.2.1", NULL, 0);
    req->headers[req->header_count++] =
        (struct http_header){STR("X-Forwarded-For"), STR("198.51.100.7\0x")};
    char out[CLIENT_ADDRESS_SIZE];
    client_address(req, 1, out);
    assert_string_equal(out, "192.0.2.1");
}

static void test_client_address_key_table(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        const char *want;
    } cases[] = {
        {"198.51.100.7", "198.51.100.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"},
        {"2001:db8:1:3::1", "2001:db8:1:3::/64"},
        {"2001:db8::1", "2001:db8::/64"},
        {"::1", "::/64"},
        {"0:0:1:2:3::1", "0:0:1:2::/64"},
        {"x:y", "unknown"},
        {"::ffff:198.51.100.7", "198.51.100.7"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::/64"},
        {"unknown", "unknown"},
        {"", "unknown"},
        {"rubbish", "unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[CLIENT_ADDRESS_SIZE];
        client_address_key(cases[i].address, out);
        assert_string_equal(out, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_client_address_table),
        ARENA_TEST(test_client_address_peer_forms),
        ARENA_TEST(test_client_address_header_twice_counts_from_the_last),
        ARENA_TEST(test_client_address_other_headers_mean_nothing),
        ARENA_TEST(test_client_address_ten_kilobytes_change_nothing),
        ARENA_TEST(test_client_address_nul_in_entry_is_no_address),
        cmocka_unit_test(test_client_address_key_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
