#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/http.h"

static int make_arena(void **state)
{
    *state = arena_new(ARENA_MAX_BYTES);
    return 0;
}

static int free_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static void assert_str(struct str s, const char *text)
{
    if (!str_eq_text(s, text))
        fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s), text);
}

static void test_http_method_parse_names_round_trip(void **state)
{
    static const enum http_method all[] = {HTTP_GET,   HTTP_HEAD,   HTTP_POST,   HTTP_PUT,
                                           HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        assert_int_equal(http_method_parse(str_from(http_method_name(all[i]))), all[i]);
    assert_int_equal(http_method_parse(STR("get")), HTTP_OTHER);
    assert_int_equal(http_method_parse(STR("TRACE")), HTTP_OTHER);
    assert_int_equal(http_method_parse(STR("")), HTTP_OTHER);
    assert_string_equal(http_method_name(HTTP_OTHER), "OTHER");
}

static void test_http_status_text_knows_every_status_of_the_error_table(void **state)
{
    (void)state;
    for (int code = 0; code < ERROR_CODE_COUNT; code++)
        assert_string_not_equal(http_status_text(error_http_status((enum error_code)code)),
                                "Other");
    assert_string_equal(http_status_text(299), "Other");
}

static void test_http_header_get_ignores_case_and_gives_the_first(void **state)
{
    struct http_request req = {.header_count = 3};
    (void)state;
    req.headers[0] = (struct http_header){STR("X-One"), STR("1")};
    req.headers[1] = (struct http_header){STR("x-two"), STR("2")};
    req.headers[2] = (struct http_header){STR("X-TWO"), STR("3")};
    assert_str(http_header_get(&req, "x-ONE"), "1");
    assert_str(http_header_get(&req, "X-Two"), "2");
    assert_null(http_header_get(&req, "x").ptr);
    assert_int_equal(http_header_count(&req, "X-two"), 2);
    assert_int_equal(http_header_count(&req, "X-three"), 0);
}

static void test_http_url_decode_table(void **state)
{
    static const struct {
        const char *text;
        bool plus;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"", false, ""},
        {"abc", false, "abc"},
        {"a+b", false, "a+b"},
        {"a+b", true, "a b"},
        {"a%2Bb", true, "a+b"},
        {"%C3%a1", false, "\xC3\xA1"},
        {"%2F%2e%2e", false, "/.."},
        {"%25%34%31", false, "%41"}, /* once only */
        {"%", false, NULL},
        {"%4", false, NULL},
        {"%zz", false, NULL},
        {"%4g", false, NULL},
        {"a%00b", false, NULL},
        {"%C3", false, NULL},
        {"%C0%AF", false, NULL},
        {"%ED%A0%80", false, NULL},
        {"\xFF", false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str got = STR("untouched");
        bool good = http_url_decode(*state, str_from(cases[i].text), cases[i].plus, &got);
        assert_int_equal(good, cases[i].expected != NULL);
        assert_str(got, good ? cases[i].expected : "untouched");
    }
    struct str got;
    assert_false(http_url_decode(*state, STR("a\0b"), false, &got));
}

static void test_http_query_parse_keeps_order_and_repeats(void **state)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    size_t count = 99;
    assert_true(http_query_parse(*state, STR("q=&limit=5&&flag&q=a%26b=c+d&=x"), params, &count));
    assert_int_equal(count, 5);
    assert_str(params[0].name, "q");
    assert_str(params[0].value, "");
    assert_str(params[1].name, "limit");
    assert_str(params[1].value, "5");
    assert_str(params[2].name, "flag");
    assert_str(params[2].value, "");
    assert_str(params[3].name, "q");
    assert_str(params[3].value, "a&b=c d");
    assert_str(params[4].name, "");
    assert_str(params[4].value, "x");
    assert_true(http_query_parse(*state, (struct str){NULL, 0}, params, &count));
    assert_int_equal(count, 0);
}

static void test_http_query_parse_bad_escape_or_too_many_is_refused(void **state)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    size_t count;
    char text[2 * HTTP_QUERY_PARAMS_MAX + 4];
    assert_false(http_query_parse(*state, STR("a=%zz"), params, &count));
    assert_false(http_query_parse(*state, STR("%00=a"), params, &count));
    assert_false(http_query_parse(*state, STR("a=\xFF"), params, &count));
    for (size_t i = 0; i <= HTTP_QUERY_PARAMS_MAX; i++)
        memcpy(text + 2 * i, "a&", 2);
    assert_true(http_query_parse(*state, str_n(text, 2 * HTTP_QUERY_PARAMS_MAX), params, &count));
    assert_int_equal(count, HTTP_QUERY_PARAMS_MAX);
    assert_false(
        http_query_parse(*state, str_n(text, 2 * HTTP_QUERY_PARAMS_MAX + 1), params, &count));
}

static void test_http_response_header_replaces_and_copies(void **state)
{
    struct http_response res = {.arena = *state};
    char value[] = "one";
    http_response_header(&res, "X-A", str_from(value));
    value[0] = '?';
    assert_str(http_response_header_get(&res, "x-a"), "one");
    http_response_header(&res, "x-a", STR("two"));
    http_response_header(&res, "X-B", STR(""));
    assert_int_equal(res.header_count, 2);
    assert_str(http_response_header_get(&res, "X-A"), "two");
    assert_str(http_response_header_get(&res, "X-B"), "");
    assert_non_null(http_response_header_get(&res, "X-B").ptr);
    assert_null(http_response_header_get(&res, "X-C").ptr);
}

static void test_http_is_token_and_field_value_table(void **state)
{
    (void)state;
    assert_true(http_is_token(STR("X-Signature!#$%&'*+-.^_`|~09")));
    assert_false(http_is_token(STR("")));
    assert_false(http_is_token(STR("a b")));
    assert_false(http_is_token(STR("a:")));
    assert_false(http_is_token(STR("a\0")));
    assert_false(http_is_token(STR("\xC3\xA1")));
    assert_true(http_is_field_value(STR("")));
    assert_true(http_is_field_value(STR("a\tb \xFF")));
    assert_false(http_is_field_value(STR("a\r")));
    assert_false(http_is_field_value(STR("a\n")));
    assert_false(http_is_field_value(STR("a\0")));
    assert_false(http_is_field_value(STR("a\x7F")));
}

static void test_http_media_type_is_ignores_case_and_parameters(void **state)
{
    (void)state;
    assert_true(http_media_type_is(STR("application/json"), "application/json"));
    assert_true(http_media_type_is(STR(" Application/JSON ; charset=utf-8"), "application/json"));
    assert_false(http_media_type_is(STR("application/jsonp"), "application/json"));
    assert_false(http_media_type_is(STR("text/plain; application/json"), "application/json"));
    assert_false(http_media_type_is((struct str){NULL, 0}, "application/json"));
}

static void test_http_media_type_param_table(void **state)
{
    static const struct {
        const char *text;
        const char *expected; /* NULL: absent */
    } cases[] = {
        {"a/b; charset=utf-8", "utf-8"},
        {"a/b;CHARSET=\"utf-8\"", "utf-8"},
        {"a/b; x=1; charset=x", "x"},
        {"a/b; x=\"; charset=no\" ; charset=yes", "yes"},
        {"a/b;; charset=x;", "x"},
        {"a/b; charset=\"\"", ""},
        {"a/b; charset=first; charset=second", "first"},
        {"a/b", NULL},
        {"a/b;", NULL},
        {"a/b; xcharset=1", NULL},
        {"a/b; charset", NULL},
        {"a/b; charset=", NULL},
        {"a/b; charset=\"x", NULL},
        {"a/b; charset=\"\\x\"", NULL},
        {"a/b; x=1 charset=2", NULL},
        {"a/b; charset =x", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str got = STR("untouched");
        bool found = http_media_type_param(str_from(cases[i].text), "charset", &got);
        assert_int_equal(found, cases[i].expected != NULL);
        assert_str(got, found ? cases[i].expected : "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_method_parse_names_round_trip),
        cmocka_unit_test(test_http_status_text_knows_every_status_of_the_error_table),
        cmocka_unit_test(test_http_header_get_ignores_case_and_gives_the_first),
        cmocka_unit_test_setup_teardown(test_http_url_decode_table, make_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_http_query_parse_keeps_order_and_repeats, make_arena,
                                        free_arena),
        cmocka_unit_test_setup_teardown(test_http_query_parse_bad_escape_or_too_many_is_refused,
                                        make_arena, free_arena),
        cmocka_unit_test_setup_teardown(test_http_response_header_replaces_and_copies, make_arena,
                                        free_arena),
        cmocka_unit_test(test_http_is_token_and_field_value_table),
        cmocka_unit_test(test_http_media_type_is_ignores_case_and_parameters),
        cmocka_unit_test(test_http_media_type_param_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
