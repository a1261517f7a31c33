#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "base/str.h"

static const struct str nothing = {NULL, 0};

static void test_str_eq_null_and_empty_are_the_same(void **state)
{
    (void)state;
    assert_true(str_eq(nothing, STR("")));
    assert_true(str_eq_text(nothing, NULL));
    assert_true(str_is_empty(str_from(NULL)));
    assert_true(str_eq(STR("a\0b"), str_n("a\0b", 3)));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_false(str_eq(STR("a"), STR("ab")));
    assert_true(str_eq_text(STR("abc"), "abc"));
    assert_false(str_eq_text(STR("abc\0"), "abc"));
}

static void test_str_eq_ci_only_ascii_letters_fold(void **state)
{
    (void)state;
    assert_true(str_eq_ci(STR("Content-Type"), STR("cONTENT-tYPE")));
    assert_false(str_eq_ci(STR("a"), STR("ab")));
    assert_false(str_eq_ci(STR("@["), STR("`{"))); /* 32 apart, but no letters */
    assert_false(str_eq_ci(STR("\xC3\x81"), STR("\xC3\xA1")));
    assert_true(str_eq_ci(nothing, nothing));
}

static void test_str_cmp_is_bytewise_and_shorter_first(void **state)
{
    (void)state;
    assert_int_equal(str_cmp(STR("a"), STR("b")), -1);
    assert_int_equal(str_cmp(STR("b"), STR("a")), 1);
    assert_int_equal(str_cmp(STR("a"), STR("ab")), -1);
    assert_int_equal(str_cmp(STR("\xC3"), STR("a")), 1);
    assert_int_equal(str_cmp(nothing, STR("")), 0);
    assert_int_equal(str_cmp(nothing, STR("a")), -1);
}

static void test_str_search_at_edges_finds_or_not(void **state)
{
    (void)state;
    assert_true(str_starts_with(STR("abc"), STR("ab")));
    assert_true(str_starts_with(STR("abc"), nothing));
    assert_false(str_starts_with(STR("ab"), STR("abc")));
    assert_true(str_ends_with(STR("abc"), STR("bc")));
    assert_false(str_ends_with(nothing, STR("c")));
    assert_int_equal(str_find_char(STR("abc"), 'c'), 2);
    assert_int_equal(str_find_char(STR("abc"), 'x'), 3);
    assert_int_equal(str_find_char(nothing, 'x'), 0);
    assert_int_equal(str_find_char(STR("a\0b"), 'b'), 2);
    assert_true(str_contains(STR("a\0bc"), STR("\0b")));
    assert_true(str_contains(nothing, nothing));
    assert_false(str_contains(STR("ab"), STR("abc")));
}

static void test_str_skip_and_take_are_clamped(void **state)
{
    (void)state;
    assert_true(str_eq_text(str_skip(STR("abc"), 1), "bc"));
    assert_int_equal(str_skip(STR("abc"), SIZE_MAX).len, 0);
    assert_int_equal(str_skip(nothing, 5).len, 0);
    assert_true(str_eq_text(str_take(STR("abc"), 2), "ab"));
    assert_true(str_eq_text(str_take(STR("abc"), SIZE_MAX), "abc"));
}

static void test_str_trim_takes_only_ascii_blanks(void **state)
{
    (void)state;
    assert_true(str_eq_text(str_trim(STR(" \t\r\n a b \n")), "a b"));
    assert_int_equal(str_trim(STR(" \t ")).len, 0);
    assert_int_equal(str_trim(nothing).len, 0);
    assert_true(str_eq_text(str_trim(STR("\va\f")), "\va\f"));
    assert_true(str_eq_text(str_trim(STR("\xC2\xA0")), "\xC2\xA0"));
}

static void test_str_split_every_part_is_given_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t parts;
        const char *last;
    } cases[] = {{"", 1, ""},     {"a", 1, "a"}, {"a,b", 2, "b"},
                 {"a,b,", 3, ""}, {",", 2, ""},  {",,x", 3, "x"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str rest = str_from(cases[i].text);
        struct str part = nothing;
        size_t parts = 0;
        while (str_split(&rest, ',', &part))
            parts++;
        assert_int_equal(parts, cases[i].parts);
        assert_true(str_eq_text(part, cases[i].last));
        assert_null(rest.ptr);
    }
    struct str rest = nothing;
    struct str part = STR("kept");
    assert_false(str_split(&rest, ',', &part));
    assert_true(str_eq_text(part, "kept"));
}

static void test_str_classes_empty_is_none(void **state)
{
    (void)state;
    assert_true(str_only(STR("aab"), "ab"));
    assert_false(str_only(STR("a\0"), "ab")); /* the end of the set is not in it */
    assert_false(str_only(nothing, "ab"));
    assert_true(str_is_digits(STR("0123456789")));
    assert_false(str_is_digits(STR("12 ")));
    assert_false(str_is_digits(STR("\xD9\xA1")));
    assert_false(str_is_digits(nothing));
    assert_true(str_is_lower_hex(STR("09af")));
    assert_false(str_is_lower_hex(STR("09AF")));
}

static void test_str_parse_i64_strict_decimal_in_range_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {"42", true, 42},
        {"-42", true, -42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"0x1", false, 0},
        {"1_0", false, 0},
    };
    int64_t value;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        value = 0;
        if (str_parse_i64(str_from(cases[i].text), INT64_MIN, INT64_MAX, &value) != cases[i].good ||
            value != cases[i].value)
            fail_msg("<%s>", cases[i].text);
    }
    value = 5;
    assert_false(str_parse_i64(STR("0"), 1, 10, &value));
    assert_false(str_parse_i64(STR("11"), 1, 10, &value));
    assert_int_equal(value, 5);
    assert_true(str_parse_i64(STR("10"), 1, 10, &value));
    assert_int_equal(value, 10);
}

static void test_str_parse_double_json_fraction_without_exponent_only(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        double value;
    } cases[] = {
        {"0", true, 0},
        {"-21.9426", true, -21.9426},
        {"64.1466", true, 64.1466},
        {"10.50", true, 10.5},
        {"-0.5", true, -0.5},
        {"01", false, 0},
        {"1.", false, 0},
        {".5", false, 0},
        {"1e5", false, 0},
        {"1,5", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
        {"0x10", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"1.2.3", false, 0},
        {"1.-2", false, 0},
        {"0.00000000000000000000000000000000000000000000000000000000000001", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double value = 0;
        bool good = str_parse_double(str_from(cases[i].text), &value);
        if (good != cases[i].good || value < cases[i].value || value > cases[i].value)
            fail_msg("<%s>", cases[i].text);
    }
}

static void test_str_is_utf8_table_of_rfc3629(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bad_len; /* 0: good */
    } cases[] = {
        {"plain ascii text of more than eight bytes", 0},
        {"\xC3\xA6\xC3\xB0\xC3\xBE", 0},
        {"12345678\xE2\x82\xAC", 0},
        {"\xEF\xBF\xBD", 0},
        {"\xF0\x90\x80\x80", 0},
        {"\xF4\x8F\xBF\xBF", 0},
        {"\xED\x9F\xBF\xEE\x80\x80", 0},
        {"\x80", 1},
        {"\xBF", 1},
        {"\xC0\x80", 2},
        {"\xC1\xBF", 2},
        {"\xC3", 1},
        {"\xC3\x28", 2},
        {"\xE0\x9F\xBF", 3},
        {"\xE2\x82", 2},
        {"\xED\xA0\x80", 3},
        {"\xED\xBF\xBF", 3},
        {"\xF0\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 4},
        {"\xF5\x80\x80\x80", 4},
        {"\xFE", 1},
        {"\xFF", 1},
        {"12345678\xFF", 9},
        {"1234567\xE2\x82", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str s = str_from(cases[i].text);
        if (str_is_utf8(s) != (cases[i].bad_len == 0))
            fail_msg("case %zu", i);
    }
    assert_true(str_is_utf8(nothing));
    assert_true(str_is_utf8(STR("a\0b")));
}

static void test_str_utf8_next_gives_character_and_length(void **state)
{
    (void)state;
    uint32_t c = 0;
    assert_int_equal(str_utf8_next(STR("a"), &c), 1);
    assert_int_equal(c, 'a');
    assert_int_equal(str_utf8_next(STR("\xC3\xBEx"), &c), 2);
    assert_int_equal(c, 0xFE);
    assert_int_equal(str_utf8_next(STR("\xE2\x82\xAC"), &c), 3);
    assert_int_equal(c, 0x20AC);
    assert_int_equal(str_utf8_next(STR("\xF0\x9F\x98\x80"), &c), 4);
    assert_int_equal(c, 0x1F600);
    assert_int_equal(str_utf8_next(STR("\0"), &c), 1);
    assert_int_equal(c, 0);
    assert_int_equal(str_utf8_next(nothing, &c), 0);
    assert_int_equal(str_utf8_next(STR("\xFF"), &c), 0);
}

static void test_str_copy_too_long_is_cut_and_told(void **state)
{
    (void)state;
    char out[4];
    assert_true(str_copy(STR("abc"), out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_false(str_copy(STR("abcd"), out, sizeof(out)));
    assert_string_equal(out, "abc");
    assert_true(str_copy(nothing, out, 1));
    assert_string_equal(out, "");
    assert_false(str_copy(STR("a"), out, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_eq_null_and_empty_are_the_same),
        cmocka_unit_test(test_str_eq_ci_only_ascii_letters_fold),
        cmocka_unit_test(test_str_cmp_is_bytewise_and_shorter_first),
        cmocka_unit_test(test_str_search_at_edges_finds_or_not),
        cmocka_unit_test(test_str_skip_and_take_are_clamped),
        cmocka_unit_test(test_str_trim_takes_only_ascii_blanks),
        cmocka_unit_test(test_str_split_every_part_is_given_once),
        cmocka_unit_test(test_str_classes_empty_is_none),
        cmocka_unit_test(test_str_parse_i64_strict_decimal_in_range_only),
        cmocka_unit_test(test_str_parse_double_json_fraction_without_exponent_only),
        cmocka_unit_test(test_str_is_utf8_table_of_rfc3629),
        cmocka_unit_test(test_str_utf8_next_gives_character_and_length),
        cmocka_unit_test(test_str_copy_too_long_is_cut_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
