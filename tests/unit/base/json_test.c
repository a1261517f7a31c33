#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/json.h"
#include "base/limits.h"

static void test_json_parse_refused_text_names_position_but_no_content(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    assert_null(json_parse(a, STR("{\"kennitala\":\"0101302989\",\"kennitala\":1}"), &e));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
    assert_null(strstr(e.detail, "0101302989"));
    assert_null(strstr(e.detail, "kennitala"));
    assert_non_null(strstr(e.detail, "at byte 40"));
    arena_free(a);
}

static void test_json_get_other_case_is_another_member(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    struct str uid = STR("before");
    const cJSON *tree = json_parse(a, STR("{\"UID\":\"evil\",\"uid\":\"good\",\"n\":null}"), &e);
    assert_true(json_str(tree, "uid", &uid));
    assert_true(str_eq_text(uid, "good"));
    assert_false(json_str(tree, "Uid", &uid));
    assert_null(json_get(tree, "N"));
    assert_true(cJSON_IsNull(json_get(tree, "n")));
    assert_null(json_get(NULL, "n"));
    assert_null(json_get(json_parse(a, STR("[{\"n\":1}]"), &e), "n"));
    assert_null(json_get(json_get(tree, "uid"), "n"));
    arena_free(a);
}

static void test_json_readers_other_type_leaves_value_untouched(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    const cJSON *tree = json_parse(
        a, STR("{\"s\":\"x\",\"t\":true,\"f\":false,\"n\":1,\"z\":null,\"o\":{},\"a\":[]}"), &e);
    static const char *const names[] = {"s", "t", "f", "n", "z", "o", "a", "absent"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str text = STR("kept");
        bool yes = i % 2 == 0;
        int64_t number = 77;
        assert_int_equal(json_str(tree, names[i], &text), i == 0);
        assert_true(str_eq_text(text, i == 0 ? "x" : "kept"));
        assert_int_equal(json_bool(tree, names[i], &yes), i == 1 || i == 2);
        assert_int_equal(yes, i == 1 ? true : i == 2 ? false : i % 2 == 0);
        assert_int_equal(json_i64(tree, names[i], &number), i == 3);
        assert_int_equal(number, i == 3 ? 1 : 77);
        assert_int_equal(json_str_value(json_get(tree, names[i])).len, i == 0 ? 1 : 0);
    }
    arena_free(a);
}

static void test_json_i64_only_exact_whole_numbers_pass(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        {"{\"n\":0}", true, 0},
        {"{\"n\":-0}", true, 0},
        {"{\"n\":1.0}", true, 1},
        {"{\"n\":1e3}", true, 1000},
        {"{\"n\":2147483648}", true, 2147483648},
        {"{\"n\":9007199254740991}", true, 9007199254740991},
        {"{\"n\":-9007199254740991}", true, -9007199254740991},
        {"{\"n\":9007199254740992}", false, 0},
        {"{\"n\":9007199254740993}", false, 0},
        {"{\"n\":-9007199254740993}", false, 0},
        {"{\"n\":1.5}", false, 0},
        {"{\"n\":-0.5}", false, 0},
        {"{\"n\":1e-9}", false, 0},
        {"{\"n\":1e300}", false, 0},
        {"{\"n\":\"1\"}", false, 0},
        {"{\"n\":true}", false, 0},
    };
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e;
        int64_t value = 0;
        const cJSON *tree = json_parse(a, str_from(cases[i].text), &e);
        assert_non_null(tree);
        assert_int_equal(json_i64(tree, "n", &value), cases[i].good);
        assert_int_equal(value, cases[i].value);
    }
    arena_free(a);
}

static void test_json_unknown_member_names_the_first_one(void **state)
{
    (void)state;
    static const char *const allowed[] = {"a", "b", NULL};
    static const char *const none[] = {NULL};
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    const cJSON *good = json_parse(a, STR("{\"b\":1,\"a\":2}"), &e);
    const cJSON *bad = json_parse(a, STR("{\"a\":1,\"A\":2,\"c\":3}"), &e);
    assert_null(json_unknown_member(good, allowed));
    assert_string_equal(json_unknown_member(bad, allowed), "A");
    assert_string_equal(json_unknown_member(good, none), "b");
    assert_null(json_unknown_member(NULL, allowed));
    assert_null(json_unknown_member(json_parse(a, STR("[1]"), &e), none));
    arena_free(a);
}

static void test_json_write_built_tree_is_compact_and_exact(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    struct buf b;
    cJSON *tree = json_object(a);
    json_add_str(tree, "s", STR("\"\\\n\x7F \xC3\xA6"));
    json_add_text(tree, "t", NULL);
    json_add_i64(tree, "big", 9007199254740992);
    json_add_i64(tree, "round", -1000000000000000);
    json_add_i64(tree, "ms", 1763764354657);
    json_add_double(tree, "lat", 64.1466);
    json_add_double(tree, "third", 1.0 / 3.0);
    json_add_double(tree, "huge", 1e300);
    json_add_bool(tree, "yes", true);
    json_add_null(tree, "none");
    json_add_bool(json_add_object(tree, "o"), "no", false);
    cJSON *list = json_add_array(tree, "l");
    json_add_i64(list, NULL, 1);
    json_add_text(list, NULL, "two");
    json_add_array(list, NULL);
    json_add_copy(list, NULL, json_parse(a, STR("{\"p\":[0.1]}"), &e));
    json_add_item(list, NULL, cJSON_CreateTrue());
    buf_init(&b, 4096);
    assert_true(json_write(&b, tree));
    assert_string_equal(b.ptr, "{\"s\":\"\\\"\\\\\\n\\u007f \xC3\xA6\",\"t\":null,"
                               "\"big\":9007199254740992,\"round\":-1000000000000000,"
                               "\"ms\":1763764354657,\"lat\":64.1466,\"third\":0.33333333333333331,"
                               "\"huge\":1e+300,\"yes\":true,\"none\":null,\"o\":{\"no\":false},"
                               "\"l\":[1,\"two\",[],{\"p\":[0.1]},true]}");
    assert_true(json_check(buf_str(&b), NULL));
    buf_done(&b);
    buf_init(&b, 100);
    assert_false(json_write(&b, tree));
    assert_true(b.overflow);
    buf_done(&b);
    arena_free(a);
}

static void test_json_write_parsed_text_comes_back_the_same(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,-2.5,1e+20,true,false,null,\"\\u0001\"],\"\":{}}";
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error e;
    struct buf b;
    buf_init(&b, 4096);
    assert_true(json_write(&b, json_parse(a, STR(text), &e)));
    assert_string_equal(b.ptr, text);
    buf_done(&b);
    arena_free(a);
}

static void add_nul(void *arg)
{
    json_add_str(arg, "s", str_n("a\0b", 3));
}

static void add_bad_utf8(void *arg)
{
    json_add_str(arg, "s", STR("\xFF"));
}

static void add_too_large(void *arg)
{
    json_add_i64(arg, "n", 9007199254740993);
}

static void add_infinite(void *arg)
{
    json_add_double(arg, "n", __builtin_inf());
}

static void add_root(void *arg)
{
    json_add_item(arg, "o", arg);
}

static void add_without_name(void *arg)
{
    json_add_null(arg, NULL);
}

static void test_json_adders_our_own_mistakes_abort(void **state)
{
    (void)state;
    static void (*const calls[])(void *) = {add_nul,      add_bad_utf8, add_too_large,
                                            add_infinite, add_root,     add_without_name};
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    cJSON *tree = json_object(a);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        assert_true(aborts(calls[i], tree));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse_refused_text_names_position_but_no_content),
        cmocka_unit_test(test_json_get_other_case_is_another_member),
        cmocka_unit_test(test_json_readers_other_type_leaves_value_untouched),
        cmocka_unit_test(test_json_i64_only_exact_whole_numbers_pass),
        cmocka_unit_test(test_json_unknown_member_names_the_first_one),
        cmocka_unit_test(test_json_write_built_tree_is_compact_and_exact),
        cmocka_unit_test(test_json_write_parsed_text_comes_back_the_same),
        cmocka_unit_test(test_json_adders_our_own_mistakes_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
