/* login_input_test.c - what a browser may send; contract §3.1, M-F07, M-F42 */
#include "auth/testing.h"

#include "handlekenniauth.h"
#include "service/state.h"

#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" /* RFC 7636 appendix B */

struct call {
    struct service_state state;
    struct login_service service;
    struct http_request http;
    struct request req;
    struct login_input input;
    struct login_failure failure;
};

static bool read_body_as(struct arena *a, struct call *c, const char *content_type, struct str body)
{
    *c = (struct call){.service.settings.redirect_uri = "https://portal.example.is"};
    c->state.cors_origins[0] = STR("https://other.example.is");
    c->state.cors_origins[1] = STR("*");
    c->state.cors_origin_count = 2;
    c->http = (struct http_request){.method = HTTP_POST, .arena = a, .body = body};
    if (content_type)
        c->http.headers[c->http.header_count++] =
            (struct http_header){STR("content-type"), str_from(content_type)};
    c->req = (struct request){.http = &c->http, .arena = a, .state = &c->state, .own = &c->service};
    return login_input_read(&c->req, &c->input, &c->failure);
}

static bool read_body(struct arena *a, struct call *c, const char *body)
{
    return read_body_as(a, c, "application/json", str_from(body));
}

static void test_login_input_read_all_fields_are_taken(void **state)
{
    struct call c;

    assert_true(read_body(*state, &c,
                          "{\"kenniAuthCode\":\"code\",\"pkceCodeVerifier\":\"" VERIFIER
                          "\",\"state\":\"s\",\"nonce\":\"n\",\"other\":[1],"
                          "\"redirectUri\":\"https://other.example.is\"}"));
    assert_true(str_eq_text(c.input.code, "code"));
    assert_true(str_eq_text(c.input.verifier, VERIFIER));
    assert_true(str_eq_text(c.input.state, "s") && str_eq_text(c.input.nonce, "n"));
    assert_true(str_eq_text(c.input.redirect_uri, "https://other.example.is"));
}

static void test_login_input_read_null_counts_as_absent(void **state)
{
    struct call c;

    assert_true(read_body(*state, &c,
                          "{\"kenniAuthCode\":\"code\",\"pkceCodeVerifier\":\"" VERIFIER
                          "\",\"state\":null,\"nonce\":null,\"redirectUri\":null}"));
    assert_true(str_eq_text(c.input.redirect_uri, "https://portal.example.is"));
    assert_int_equal(c.input.nonce.len, 0);
}

static void test_login_input_read_bad_bodies_get_the_contracts_code(void **state)
{
    static const struct {
        const char *body, *code;
    } rows[] = {
        {"", "INVALID_JSON"},
        {"{", "INVALID_JSON"},
        {"[]", "INVALID_JSON"},
        {"null", "INVALID_JSON"},
        {"\"x\"", "INVALID_JSON"},
        {"{} {}", "INVALID_JSON"},
        {"{\"kenniAuthCode\":\"a\",\"kenniAuthCode\":\"b\"}", "INVALID_JSON"},
        {"{\"kenniAuthCode\":5,\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_JSON"},
        {"{\"kenniAuthCode\":[\"a\"],\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_JSON"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":true}", "INVALID_JSON"},
        {"{\"kenniAuthCode\":\"a\\u0000b\",\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_JSON"},
        {"{}", "INVALID_INPUT"},
        {"{\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"\",\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":null,\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"KenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\\n\",\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"\xC3\xA1\",\"pkceCodeVerifier\":\"" VERIFIER "\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"short\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER "+\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER "=\"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER " \"}", "INVALID_INPUT"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER
         "\",\"redirectUri\":\"https://evil.example\"}",
         "INVALID_REDIRECT_URI"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER "\",\"redirectUri\":\"*\"}",
         "INVALID_REDIRECT_URI"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER
         "\",\"redirectUri\":\"https://other.example.is/\"}",
         "INVALID_REDIRECT_URI"},
        {"{\"kenniAuthCode\":\"a\",\"pkceCodeVerifier\":\"" VERIFIER "\",\"redirectUri\":7}",
         "INVALID_REDIRECT_URI"},
    };
    struct call c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (read_body(*state, &c, rows[i].body))
            fail_msg("taken: %s", rows[i].body);
        if (!str_eq_text(str_from(c.failure.wire_code), rows[i].code))
            fail_msg("%s gave %s", rows[i].body, c.failure.wire_code);
        assert_int_equal(c.failure.code, ERR_BAD_REQUEST);
        assert_true(str_from(c.failure.message).len > 0);
    }
}

static struct str body_with(struct arena *a, size_t code_len, size_t verifier_len)
{
    char *code = arena_alloc(a, code_len + 1), *verifier = arena_alloc(a, verifier_len + 1);

    memset(code, 'c', code_len);
    memset(verifier, 'v', verifier_len);
    return arena_printf(a, "{\"kenniAuthCode\":\"%s\",\"pkceCodeVerifier\":\"%s\"}", code,
                        verifier);
}

static void test_login_input_read_lengths_are_exact(void **state)
{
    static const struct {
        size_t code, verifier;
        bool good;
    } rows[] = {{1, 43, true},  {500, 128, true}, {501, 43, false},
                {1, 42, false}, {1, 129, false},  {10000, 43, false},
                {0, 43, false}, {1, 0, false},    {500, 43, true}};
    struct call c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(read_body_as(*state, &c, "application/json",
                                      body_with(*state, rows[i].code, rows[i].verifier)),
                         rows[i].good);
}

static void test_login_input_read_media_types(void **state)
{
    static const struct {
        const char *type;
        bool good;
    } rows[] = {{"application/json", true},
                {"Application/JSON; charset=UTF-8", true},
                {"application/json;charset=utf-8", true},
                {"application/json; charset=latin1", false},
                {"text/plain", false},
                {"application/x-www-form-urlencoded", false},
                {"application/jsonp", false},
                {NULL, false}};
    struct call c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(read_body_as(*state, &c, rows[i].type, body_with(*state, 4, 43)),
                         rows[i].good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_login_input_read_all_fields_are_taken),
        ARENA_TEST(test_login_input_read_null_counts_as_absent),
        ARENA_TEST(test_login_input_read_bad_bodies_get_the_contracts_code),
        ARENA_TEST(test_login_input_read_lengths_are_exact),
        ARENA_TEST(test_login_input_read_media_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
