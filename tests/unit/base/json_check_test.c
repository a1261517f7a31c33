#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/limits.h"

struct json_case {
    const char *text;
    size_t len; /* 0: strlen(text) */
    bool good;
    const char *rule; /* a part of the detail, for refused ones */
};

#define GOOD(text_)                                                                                \
    {                                                                                              \
        text_, sizeof(text_) - 1, true, NULL                                                       \
    }
#define BAD(text_, rule_)                                                                          \
    {                                                                                              \
        text_, sizeof(text_) - 1, false, rule_                                                     \
    }

static const struct json_case json_cases[] = {
    /* values and blanks */
    GOOD("0"),
    GOOD("-0"),
    GOOD("null"),
    GOOD("true"),
    GOOD("false"),
    GOOD("\"\""),
    GOOD("{}"),
    GOOD("[]"),
    GOOD(" \t\r\n{ \"a\" : [ 1 , 2 ] } \n"),
    GOOD("[null,true,false,\"x\",1,{},[]]"),
    BAD("", "nothing"),
    BAD(" ", "value expected"),
    BAD("\xEF\xBB\xBF{}", "value expected"),
    BAD("\f{}", "value expected"),
    BAD("\xC2\xA0{}", "value expected"),
    BAD("{}\0", "more behind"),
    BAD("{} {}", "more behind"),
    BAD("1 2", "more behind"),
    BAD("null,", "more behind"),
    BAD("nul", "value expected"),
    BAD("NULL", "value expected"),
    BAD("True", "value expected"),
    BAD("nulll", "more behind"),
    BAD("NaN", "value expected"),
    BAD("Infinity", "value expected"),
    BAD("-Infinity", "value expected"),
    BAD("undefined", "value expected"),
    BAD("'a'", "value expected"),
    BAD("// c\n1", "value expected"),
    BAD("/* c */ 1", "value expected"),
    /* numbers */
    GOOD("10"),
    GOOD("-10.25"),
    GOOD("1e5"),
    GOOD("1E+5"),
    GOOD("1.5e-7"),
    GOOD("0.0"),
    GOOD("0e0"),
    GOOD("1e308"),
    GOOD("1e-999"),
    GOOD("9007199254740993"),
    GOOD("123456789012345678901234567890123456789012345678901234567890123"),
    BAD("1234567890123456789012345678901234567890123456789012345678901234", "too long"),
    BAD("1e0000000000000000000000000000000000000000000000000000000000000005", "too long"),
    BAD("01", "leading zero"),
    BAD("-01", "leading zero"),
    BAD("00", "leading zero"),
    BAD("+1", "value expected"),
    BAD("-", "value expected"),
    BAD("--1", "value expected"),
    BAD(".5", "value expected"),
    BAD("5.", "digit expected"),
    BAD("1.e5", "digit expected"),
    BAD("1e", "digit expected"),
    BAD("1e+", "digit expected"),
    BAD("1e+-5", "digit expected"),
    BAD("1e999", "out of range"),
    BAD("-1e999", "out of range"),
    BAD("[1e309]", "out of range"),
    BAD("0x10", "more behind"),
    BAD("1_000", "more behind"),
    BAD("1,5", "more behind"),
    BAD("\xD9\xA1", "value expected"),
    /* strings */
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e6\""),
    GOOD("\"\\uD83D\\uDE00\""),
    GOOD("\"\\ud83d\\ude00\""),
    GOOD("\"\xC3\xBE\xC3\xB3r\""),
    GOOD("\"\x7F\""),
    GOOD("\"\xF4\x8F\xBF\xBF\""),
    GOOD("\"\\uFFFF\""),
    BAD("\"", "without an end"),
    BAD("\"abc", "without an end"),
    BAD("\"abc\\", "escape"),
    BAD("\"abc\\\"", "without an end"),
    BAD("\"\\x41\"", "escape"),
    BAD("\"\\'\"", "escape"),
    BAD("\"\\U0041\"", "escape"),
    BAD("\"\\u004\"", "escape"),
    BAD("\"\\u00g0\"", "escape"),
    BAD("\"\\u+041\"", "escape"),
    BAD("\"\\u0000\"", "escape"),
    BAD("\"admin\\u0000x\"", "escape"),
    BAD("\"\\ud800\"", "escape"),
    BAD("\"\\ud800x\"", "escape"),
    BAD("\"\\ud800\\n\"", "escape"),
    BAD("\"\\ud800\\u0041\"", "escape"),
    BAD("\"\\ud800\\ud800\"", "escape"),
    BAD("\"\\udc00\"", "escape"),
    BAD("\"\\udc00\\ud800\"", "escape"),
    BAD("\"\\ud83d\\ude0\"", "escape"),
    BAD("\"a\nb\"", "control"),
    BAD("\"a\tb\"", "control"),
    BAD("\"a\0b\"", "control"),
    BAD("\"\x1F\"", "control"),
    BAD("\"\x80\"", "UTF-8"),
    BAD("\"\xC3\"", "UTF-8"),
    BAD("\"\xC3(\"", "UTF-8"),
    BAD("\"\xC0\xAF\"", "UTF-8"),
    BAD("\"\xE0\x80\xAF\"", "UTF-8"),
    BAD("\"\xED\xA0\x80\"", "UTF-8"),
    BAD("\"\xF4\x90\x80\x80\"", "UTF-8"),
    BAD("\"\xF8\x88\x80\x80\x80\"", "UTF-8"),
    BAD("\"\xFF\xFE\"", "UTF-8"),
    BAD("\"\xE2\x82", "UTF-8"),
    /* arrays */
    BAD("[", "value expected"),
    BAD("[1", "',' or ']'"),
    BAD("[1,", "value expected"),
    BAD("[1,]", "value expected"),
    BAD("[,1]", "value expected"),
    BAD("[1 2]", "',' or ']'"),
    BAD("[1}", "',' or ']'"),
    BAD("]", "value expected"),
    BAD("[1]]", "more behind"),
    /* objects */
    GOOD("{\"a\":{\"a\":{\"a\":1}}}"),
    GOOD("[{\"a\":1},{\"a\":2}]"),
    GOOD("{\"uid\":1,\"UID\":2,\"Uid\":3}"),
    GOOD("{\"\":1}"),
    GOOD("{\"a\":1,\"a \":2,\" a\":3}"),
    GOOD("{\"ab\":1,\"a\":2,\"abc\":3}"),
    BAD("{", "name expected"),
    BAD("{\"a\"", "':'"),
    BAD("{\"a\":", "value expected"),
    BAD("{\"a\":1", "',' or '}'"),
    BAD("{\"a\":1,", "name expected"),
    BAD("{\"a\":1,}", "name expected"),
    BAD("{,}", "name expected"),
    BAD("{a:1}", "name expected"),
    BAD("{1:1}", "name expected"),
    BAD("{\"a\" 1}", "':'"),
    BAD("{\"a\"::1}", "value expected"),
    BAD("{\"a\":1 \"b\":2}", "',' or '}'"),
    BAD("{\"a\":1]", "',' or '}'"),
    BAD("{\"a\":1,\"a\":1}", "twice"),
    BAD("{\"a\":1,\"b\":2,\"a\":3}", "twice"),
    BAD("{\"a\":1,\"\\u0061\":2}", "twice"),
    BAD("{\"\\u0061\":1,\"a\":2}", "twice"),
    BAD("{\"\\/\":1,\"/\":2}", "twice"),
    BAD("{\"\":1,\"\":2}", "twice"),
    BAD("{\"\xC3\xA1\":1,\"\\u00e1\":2}", "twice"),
    BAD("{\"\xF0\x9F\x98\x80\":1,\"\\uD83D\\uDE00\":2}", "twice"),
    BAD("[{\"x\":{\"b\":1,\"b\":1}}]", "twice"),
    BAD("{\"a\\u0000\":1}", "escape"),
};

static void test_json_check_many_texts_gives_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(json_cases); i++) {
        const struct json_case *c = &json_cases[i];
        struct error e = {0};
        /* Its own memory, so that a read past the end is seen. */
        char *copy = malloc(c->len ? c->len : 1);
        assert_non_null(copy);
        memcpy(copy, c->text, c->len);
        bool good = json_check(str_n(copy, c->len), &e);
        free(copy);
        if (good != c->good || (!good && !strstr(e.detail, c->rule)))
            fail_msg("case %zu <%s>: %s %s", i, c->text, good ? "accepted" : "refused", e.detail);
        if (!good)
            assert_int_equal(e.code, ERR_BAD_REQUEST);
    }
    assert_true(ARRAY_LEN(json_cases) >= 80);
}

static void test_json_check_any_prefix_of_a_good_text_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1.5e3,true,null,\"\\ud83d\\ude00\xC3\xA6\"],\"b\":{\"c\":false}}";
    assert_true(json_check(STR(text), NULL));
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        char *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, text, len);
        assert_false(json_check(str_n(copy, len), NULL));
        free(copy);
    }
}

static void test_json_parse_whatever_passes_the_check_is_parsed_by_cjson(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(json_cases); i++) {
        struct error e;
        struct str text = str_n(json_cases[i].text, json_cases[i].len);
        const cJSON *tree = json_parse(a, text, &e);
        assert_int_equal(tree != NULL, json_cases[i].good);
    }
    arena_free(a);
}

/* Every single-byte change of a text must be either refused or understood by cJSON too. */
static void test_json_parse_changed_bytes_never_disagrees_with_cjson(void **state)
{
    (void)state;
    char text[] = "{\"name\":\"J\\u00f3n \xC3\x9E\",\"n\":[-1.5e+3,0],\"ok\":true,\"x\":null}";
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    int accepted = 0;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char kept = text[i];
        for (int byte = 0; byte < 256; byte++) {
            struct error e;
            text[i] = (char)byte;
            accepted += json_parse(a, str_n(text, sizeof(text) - 1), &e) != NULL;
            arena_reset(a);
        }
        text[i] = kept;
    }
    assert_true(accepted > 1000);
    arena_free(a);
}

static void nest(struct buf *b, int depth, const char *open, const char *core, const char *close)
{
    buf_clear(b);
    for (int i = 0; i < depth; i++)
        buf_add_text(b, open);
    buf_add_text(b, core);
    for (int i = 0; i < depth; i++)
        buf_add_text(b, close);
}

static void test_json_check_depth_at_limit_passes_and_one_more_is_refused(void **state)
{
    (void)state;
    struct buf b;
    struct error e;
    buf_init(&b, 1U << 22);
    nest(&b, JSON_DEPTH_MAX, "[", "1", "]");
    assert_true(json_check(buf_str(&b), NULL));
    nest(&b, JSON_DEPTH_MAX, "{\"a\":", "1", "}");
    assert_true(json_check(buf_str(&b), NULL));
    nest(&b, JSON_DEPTH_MAX + 1, "[", "1", "]");
    assert_false(json_check(buf_str(&b), &e));
    assert_non_null(strstr(e.detail, "too deep"));
    nest(&b, JSON_DEPTH_MAX + 1, "{\"a\":", "1", "}");
    assert_false(json_check(buf_str(&b), NULL));
    nest(&b, 1000000, "[", "", "");
    assert_false(json_check(buf_str(&b), NULL));
    buf_done(&b);
}

static void make_members(struct buf *b, size_t count, const char *extra)
{
    buf_clear(b);
    buf_add_char(b, '{');
    for (size_t i = 0; i < count; i++)
        buf_printf(b, "%s\"member%zu\":{\"a\":%zu}", i ? "," : "", i, i);
    buf_add_text(b, extra);
    buf_add_char(b, '}');
}

static void test_json_check_member_count_is_bounded(void **state)
{
    (void)state;
    struct buf b;
    struct error e;
    buf_init(&b, 1U << 20);
    make_members(&b, JSON_MEMBERS_MAX, "");
    assert_true(json_check(buf_str(&b), NULL));
    make_members(&b, JSON_MEMBERS_MAX + 1, "");
    assert_false(json_check(buf_str(&b), &e));
    assert_non_null(strstr(e.detail, "too many members"));
    buf_done(&b);
}

static void test_json_check_equal_names_found_in_objects_of_any_size(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1U << 20);
    for (size_t count = 1; count < 200; count++) {
        make_members(&b, count, ",\"member\\u0030\":1");
        assert_false(json_check(buf_str(&b), NULL));
        make_members(&b, count, ",\"member\\u0030 \":1");
        assert_true(json_check(buf_str(&b), NULL));
    }
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_check_many_texts_gives_rule),
        cmocka_unit_test(test_json_check_any_prefix_of_a_good_text_is_refused),
        cmocka_unit_test(test_json_parse_whatever_passes_the_check_is_parsed_by_cjson),
        cmocka_unit_test(test_json_parse_changed_bytes_never_disagrees_with_cjson),
        cmocka_unit_test(test_json_check_depth_at_limit_passes_and_one_more_is_refused),
        cmocka_unit_test(test_json_check_member_count_is_bounded),
        cmocka_unit_test(test_json_check_equal_names_found_in_objects_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
