#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"

static void test_buf_add_up_to_the_limit_then_overflow_sticks(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    assert_true(buf_add_text(&b, "abc"));
    assert_false(buf_add_text(&b, "def"));
    assert_true(b.overflow);
    assert_string_equal(b.ptr, "abc");
    /* These would fit, but something before them is missing. */
    assert_false(buf_add_char(&b, 'd'));
    assert_false(buf_add(&b, STR("")));
    assert_false(buf_printf(&b, "%d", 1));
    assert_false(buf_add_json_string(&b, STR("")));
    assert_false(buf_add_url(&b, STR("d")));
    assert_string_equal(b.ptr, "abc");
    buf_clear(&b);
    assert_false(b.overflow);
    assert_true(buf_add_text(&b, "12345"));
    assert_string_equal(b.ptr, "12345");
    buf_done(&b);
}

static void test_buf_add_any_bytes_are_kept(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX);
    assert_true(buf_add(&b, STR("a\0b")));
    assert_true(buf_add(&b, (struct str){NULL, 0}));
    assert_true(str_eq(buf_str(&b), STR("a\0b")));
    for (int i = 0; i < 100000; i++)
        buf_add_char(&b, (char)i);
    assert_int_equal(b.len, 100003);
    assert_int_equal(b.ptr[b.len], '\0');
    assert_false(b.overflow);
    buf_done(&b);
    assert_null(b.ptr);
}

static void test_buf_printf_every_length_around_growth_fits(void **state)
{
    (void)state;
    for (int len = 0; len < 600; len++) {
        struct buf b;
        buf_init(&b, 600);
        assert_true(buf_printf(&b, "%s", ""));
        assert_true(buf_printf(&b, "%*s", len, ""));
        assert_int_equal(b.len, len);
        assert_int_equal(strlen(b.ptr), len);
        assert_int_equal(buf_printf(&b, "%*s", 601 - len, ""), false);
        assert_int_equal(b.len, len);
        assert_int_equal(strlen(b.ptr), len);
        buf_done(&b);
    }
}

static void test_buf_add_i64_every_length_and_the_ends(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0,         1,        -1, 9, 10, -10, 1234567890123456789,
                                      INT64_MAX, INT64_MIN};
    struct buf b;
    buf_init(&b, 400);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "%lld", (long long)numbers[i]);
        buf_clear(&b);
        assert_true(buf_add_i64(&b, numbers[i]));
        assert_string_equal(b.ptr, expected);
    }
    buf_done(&b);
}

static void test_buf_add_json_string_hostile_bytes_become_valid_json(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        {{NULL, 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"\"\\/", 3}, "\"\\\"\\\\/\""},
        {{"\n\r\t\b\f", 5}, "\"\\n\\r\\t\\u0008\\u000c\""},
        {{"\0\x01\x1F\x7F", 4}, "\"\\u0000\\u0001\\u001f\\u007f\""},
        {{"\xC3\xBE\xF0\x9F\x98\x80", 6}, "\"\xC3\xBE\xF0\x9F\x98\x80\""},
        {{"a\xFF\xC3", 3}, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {{"\xC0\x80", 2}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        buf_init(&b, 1000);
        assert_true(buf_add_json_string(&b, cases[i].in));
        assert_string_equal(b.ptr, cases[i].out);
        buf_done(&b);
    }
}

static void test_buf_add_json_string_any_two_bytes_pass_the_strict_reader(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)(pair & 0xFF)};
        buf_clear(&b);
        buf_add_json_string(&b, str_n(bytes, 2));
        bool nul = bytes[0] == 0 || bytes[1] == 0;
        if (!str_is_utf8(buf_str(&b)) || json_check(buf_str(&b), NULL) == nul)
            fail_msg("%04x: %s", pair, b.ptr);
    }
    buf_done(&b);
}

static void test_buf_add_json_string_without_room_adds_nothing(void **state)
{
    (void)state;
    static const char written[] = "\"x\\n\\u0001\xEF\xBF\xBDyz12\"";
    for (size_t room = 0; room < 40; room++) {
        struct buf b;
        buf_init(&b, 3 + room);
        buf_add_text(&b, "abc");
        bool added = buf_add_json_string(&b, STR("x\n\x01\xFFyz12"));
        assert_int_equal(added, room >= sizeof(written) - 1);
        assert_string_equal(b.ptr + 3, added ? written : "");
        buf_done(&b);
    }
}

static void test_buf_add_url_only_unreserved_stay(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_true(buf_add_url(&b, STR("aZ09-._~ /?&=%+\xC3\xBE\0")));
    assert_string_equal(b.ptr, "aZ09-._~%20%2F%3F%26%3D%25%2B%C3%BE%00");
    buf_done(&b);
    buf_init(&b, 4);
    assert_false(buf_add_url(&b, STR("ab ")));
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void test_buf_take_memory_is_the_callers(void **state)
{
    (void)state;
    struct buf b;
    size_t len = 99;
    buf_init(&b, 100);
    char *text = buf_take(&b, &len);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
    buf_add_text(&b, "abc");
    text = buf_take(&b, &len);
    assert_string_equal(text, "abc");
    assert_int_equal(len, 3);
    assert_int_equal(b.len, 0);
    assert_true(str_is_empty(buf_str(&b)));
    assert_true(buf_add_text(&b, "next"));
    assert_string_equal(text, "abc");
    free(text);
    free(buf_take(&b, NULL));
    buf_done(&b);
}

static void test_buf_init_fixed_never_leaves_its_memory(void **state)
{
    (void)state;
    char memory[8];
    struct buf b;
    size_t len;
    buf_init_fixed(&b, memory, sizeof(memory));
    assert_true(buf_add_text(&b, "1234567"));
    assert_ptr_equal(b.ptr, memory);
    assert_false(buf_printf(&b, "%s", "8"));
    assert_string_equal(memory, "1234567");
    char *copy = buf_take(&b, &len);
    assert_string_equal(copy, "1234567");
    free(copy);
    assert_true(buf_printf(&b, "%d", 12));
    assert_string_equal(memory, "12");
    buf_done(&b);
    assert_null(b.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_add_up_to_the_limit_then_overflow_sticks),
        cmocka_unit_test(test_buf_add_any_bytes_are_kept),
        cmocka_unit_test(test_buf_printf_every_length_around_growth_fits),
        cmocka_unit_test(test_buf_add_i64_every_length_and_the_ends),
        cmocka_unit_test(test_buf_add_json_string_hostile_bytes_become_valid_json),
        cmocka_unit_test(test_buf_add_json_string_any_two_bytes_pass_the_strict_reader),
        cmocka_unit_test(test_buf_add_json_string_without_room_adds_nothing),
        cmocka_unit_test(test_buf_add_url_only_unreserved_stay),
        cmocka_unit_test(test_buf_take_memory_is_the_callers),
        cmocka_unit_test(test_buf_init_fixed_never_leaves_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
