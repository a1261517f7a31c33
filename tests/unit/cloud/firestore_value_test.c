#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "auth/testing.h"
#include "base/aborts.h"
#include "cloud/firestore_value.h"

static const cJSON *parsed(struct arena *a, const char *text)
{
    struct error e = {0};
    const cJSON *tree = json_parse(a, str_from(text), &e);
    if (!tree)
        fail_msg("%s: %s", text, e.detail);
    return tree;
}

static void assert_json(struct arena *a, const cJSON *tree, const char *text)
{
    assert_string_equal(print_json(a, tree).ptr, text);
}

/* ---- Builders ---- */

static void test_fs_add_each_type_has_the_wire_form(void **state)
{
    struct arena *a = *state;
    cJSON *f = fs_fields(a);
    fs_add_str(f, "s", STR("þ\"\n"));
    fs_add_text(f, "t", "x");
    fs_add_text(f, "none", NULL);
    fs_add_i64(f, "i", INT64_MIN);
    fs_add_i64(f, "j", INT64_MAX);
    fs_add_double(f, "d", 0.5);
    fs_add_bool(f, "b", true);
    fs_add_null(f, "n");
    fs_add_time_ms(f, "at", 1700000000123);
    assert_json(a, f,
                "{\"s\":{\"stringValue\":\"þ\\\"\\n\"},\"t\":{\"stringValue\":\"x\"},"
                "\"none\":{\"nullValue\":null},"
                "\"i\":{\"integerValue\":\"-9223372036854775808\"},"
                "\"j\":{\"integerValue\":\"9223372036854775807\"},"
                "\"d\":{\"doubleValue\":0.5},\"b\":{\"booleanValue\":true},"
                "\"n\":{\"nullValue\":null},"
                "\"at\":{\"timestampValue\":\"2023-11-14T22:13:20.123Z\"}}");
}

static void test_fs_add_double_without_a_number_is_named(void **state)
{
    struct arena *a = *state;
    cJSON *f = fs_fields(a);
    fs_add_double(f, "n", (double)NAN);
    fs_add_double(f, "p", (double)INFINITY);
    fs_add_double(f, "m", -(double)INFINITY);
    assert_json(a, f,
                "{\"n\":{\"doubleValue\":\"NaN\"},\"p\":{\"doubleValue\":\"Infinity\"},"
                "\"m\":{\"doubleValue\":\"-Infinity\"}}");
    double d = 0;
    assert_true(fs_get_double(f, "n", &d) && isnan(d));
    assert_true(fs_get_double(f, "p", &d) && isinf(d) && d > 0);
    assert_true(fs_get_double(f, "m", &d) && isinf(d) && d < 0);
}

static void test_fs_add_map_and_array_nest(void **state)
{
    struct arena *a = *state;
    cJSON *f = fs_fields(a);
    cJSON *inner = fs_add_map(f, "m");
    fs_add_i64(fs_add_map(inner, "k"), "x", 1);
    cJSON *list = fs_add_array(f, "l");
    fs_push_str(list, STR("a"));
    fs_add_str(fs_push_map(list), "n", STR("b"));
    (void)fs_add_map(f, "e");
    (void)fs_add_array(f, "o");
    assert_json(a, f,
                "{\"m\":{\"mapValue\":{\"fields\":{\"k\":{\"mapValue\":{\"fields\":{\"x\":{"
                "\"integerValue\":\"1\"}}}}}}},"
                "\"l\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},"
                "{\"mapValue\":{\"fields\":{\"n\":{\"stringValue\":\"b\"}}}}]}},"
                "\"e\":{\"mapValue\":{\"fields\":{}}},\"o\":{\"arrayValue\":{\"values\":[]}}}");
}

static void add_twice(void *arg)
{
    fs_add_bool(arg, "a", true);
    fs_add_i64(arg, "a", 1);
}

static void test_fs_add_same_name_twice_aborts(void **state)
{
    assert_true(aborts(add_twice, fs_fields(*state)));
}

/* ---- Plain JSON ---- */

static void test_fs_add_json_round_trip_is_the_same(void **state)
{
    struct arena *a = *state;
    static const char text[] = "{\"a\":{\"s\":\"x\",\"i\":-3,\"d\":1.5,\"t\":true,\"f\":false,"
                               "\"n\":null,\"l\":[1,\"b\",{\"c\":[]}],\"o\":{}}}";
    cJSON *f = fs_fields(a);
    assert_true(fs_add_json(f, "a", json_get(parsed(a, text), "a")));
    int64_t i = 0;
    assert_true(fs_get_i64(f, "a.i", &i));
    assert_int_equal(i, -3);
    assert_json(a, fs_to_plain(a, f), text);
}

static void test_fs_add_json_numbers_are_integers_when_whole(void **state)
{
    struct arena *a = *state;
    cJSON *f = fs_fields(a);
    const cJSON *n = parsed(a, "[1.0, 9007199254740992, 1e300, -0.25, 1e15]");
    assert_true(fs_add_json(f, "n", n));
    assert_json(a, fs_get(f, "n"),
                "{\"arrayValue\":{\"values\":[{\"integerValue\":\"1\"},"
                "{\"integerValue\":\"9007199254740992\"},{\"doubleValue\":1e+300},"
                "{\"doubleValue\":-0.25},{\"integerValue\":\"1000000000000000\"}]}}");
}

static void test_fs_add_json_what_firestore_refuses_is_refused(void **state)
{
    struct arena *a = *state;
    static const char *const bad[] = {
        "[[1]]",
        "{\"a\":[1,[2]]}",
        "{\"\":1}",
        "{\"__x__\":1}",
        "[{\"a\":{\"\":null}}]",
        "{\"a\":{\"____\":1}}",
        "{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":{}}}}}}}}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cJSON *f = fs_fields(a);
        assert_false(fs_add_json(f, "v", parsed(a, bad[i])));
        assert_null(f->child);
    }
    cJSON *list = fs_add_array(fs_fields(a), "l");
    assert_false(fs_add_json(list, NULL, parsed(a, "[]")));
    assert_true(fs_add_json(list, NULL, parsed(a, "{}")));
}

static void test_fs_add_json_deepest_allowed_can_be_read_back(void **state)
{
    struct arena *a = *state;
    const cJSON *deep =
        parsed(a, "{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":1}}}}}}}}");
    cJSON *f = fs_fields(a);
    assert_true(fs_add_json(f, "v", deep));
    struct str answer = arena_printf(a, "[{\"document\":{\"fields\":%s}}]", print_json(a, f).ptr);
    assert_non_null(json_parse(a, answer, NULL));
}

static void test_fs_to_plain_values_of_all_types(void **state)
{
    struct arena *a = *state;
    const cJSON *f = parsed(
        a, "{\"t\":{\"timestampValue\":\"2023-11-14T22:13:20.123456Z\"},"
           "\"b\":{\"bytesValue\":\"AAE=\"},\"r\":{\"referenceValue\":\"projects/p/x\"},"
           "\"g\":{\"geoPointValue\":{\"latitude\":64.1,\"longitude\":-21.9}},"
           "\"big\":{\"integerValue\":\"9223372036854775807\"},\"i\":{\"integerValue\":\"12\"},"
           "\"m\":{\"mapValue\":{}},\"l\":{\"arrayValue\":{}},\"d\":{\"doubleValue\":\"NaN\"},"
           "\"junk\":{}}");
    assert_json(a, fs_to_plain(a, f),
                "{\"t\":\"2023-11-14T22:13:20.123456Z\",\"b\":\"AAE=\",\"r\":\"projects/p/x\","
                "\"g\":{\"latitude\":64.1,\"longitude\":-21.9},\"big\":\"9223372036854775807\","
                "\"i\":12,\"m\":{},\"l\":[],\"d\":\"NaN\",\"junk\":null}");
}

static void test_fs_to_plain_tells_a_value_from_a_map(void **state)
{
    struct arena *a = *state;
    static const char *const rows[][2] = {
        {"{\"stringValue\":\"x\"}", "\"x\""},
        {"{\"stringValue\":{\"stringValue\":\"x\"}}", "{\"stringValue\":\"x\"}"},
        {"{\"mapValue\":{\"fields\":{\"a\":{\"booleanValue\":true}}}}", "{\"a\":true}"},
        {"{\"mapValue\":{\"mapValue\":{}}}", "{\"mapValue\":{}}"},
        {"{\"arrayValue\":{\"values\":[{\"integerValue\":\"1\"}]}}", "[1]"},
        {"{\"arrayValue\":{\"integerValue\":\"1\"}}", "{\"arrayValue\":1}"},
        {"{\"geoPointValue\":{\"latitude\":1}}", "{\"latitude\":1}"},
        {"{\"geoPointValue\":{\"booleanValue\":true}}", "{\"geoPointValue\":true}"},
        {"{\"nullValue\":null}", "null"},
        {"{}", "{}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_json(a, fs_to_plain(a, parsed(a, rows[i][0])), rows[i][1]);
}

/* ---- Readers ---- */

static const cJSON *sample(struct arena *a)
{
    return parsed(a, "{\"s\":{\"stringValue\":\"x\"},\"i\":{\"integerValue\":\"-7\"},"
                     "\"n\":{\"integerValue\":8},\"bad\":{\"integerValue\":\"8x\"},"
                     "\"d\":{\"doubleValue\":3},\"b\":{\"booleanValue\":false},"
                     "\"t\":{\"timestampValue\":\"2023-11-14T22:13:20.123456789Z\"},"
                     "\"m\":{\"mapValue\":{\"fields\":{\"k\":{\"stringValue\":\"in\"}}}},"
                     "\"e\":{\"mapValue\":{}},\"o\":{\"arrayValue\":{}},"
                     "\"l\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"1\"},"
                     "{\"integerValue\":\"2\"}]}},\"S\":{\"stringValue\":\"upper\"}}");
}

static void test_fs_get_values_of_the_right_type(void **state)
{
    struct arena *a = *state;
    const cJSON *f = sample(a);
    struct str s;
    int64_t i = 0;
    double d = 0;
    bool b = true;
    assert_true(fs_get_str(f, "s", &s) && str_eq(s, STR("x")));
    assert_true(fs_get_str(f, "S", &s) && str_eq(s, STR("upper")));
    assert_true(fs_get_str(f, "m.k", &s) && str_eq(s, STR("in")));
    assert_true(fs_get_i64(f, "i", &i) && i == -7);
    assert_true(fs_get_i64(f, "n", &i) && i == 8);
    assert_true(fs_get_double(f, "d", &d) && d > 2.9 && d < 3.1);
    assert_true(fs_get_double(f, "i", &d) && d < -6.9 && d > -7.1);
    assert_true(fs_get_bool(f, "b", &b) && !b);
    assert_true(fs_get_time_ms(f, "t", &i) && i == 1700000000123);
    assert_int_equal(cJSON_GetArraySize(fs_get_array(f, "l")), 2);
    assert_true(str_eq(fs_value_str(cJSON_GetArrayItem(fs_get_array(f, "l"), 0)), STR("1")));
    assert_true(str_is_empty(fs_value_str(cJSON_GetArrayItem(fs_get_array(f, "l"), 1))));
    assert_non_null(json_get(fs_get_map(f, "m"), "k"));
}

static void test_fs_get_empty_map_and_array_are_empty_not_absent(void **state)
{
    const cJSON *f = sample(*state);
    assert_non_null(fs_get_map(f, "e"));
    assert_null(fs_get_map(f, "e")->child);
    assert_int_equal(cJSON_GetArraySize(fs_get_array(f, "o")), 0);
    assert_non_null(fs_get_array(f, "o"));
}

static void test_fs_get_absent_or_wrong_type_is_false(void **state)
{
    const cJSON *f = sample(*state);
    struct str s = STR("untouched");
    int64_t i = 42;
    double d = 0;
    bool b = true;
    assert_false(fs_get_str(f, "i", &s) || fs_get_str(f, "nope", &s) || fs_get_str(f, "m", &s));
    assert_false(fs_get_str(f, "s.k", &s) || fs_get_str(f, "m.k.x", &s) || fs_get_str(f, "", &s));
    assert_false(fs_get_str(f, "M.k", &s) || fs_get_str(NULL, "s", &s) || fs_get_str(f, ".s", &s));
    assert_false(fs_get_i64(f, "s", &i) || fs_get_i64(f, "bad", &i) || fs_get_i64(f, "d", &i));
    assert_false(fs_get_double(f, "s", &d) || fs_get_bool(f, "s", &b));
    assert_false(fs_get_time_ms(f, "s", &i));
    assert_null(fs_get_map(f, "l"));
    assert_null(fs_get_array(f, "m"));
    assert_true(str_eq(s, STR("untouched")) && i == 42 && b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_fs_add_each_type_has_the_wire_form),
        ARENA_TEST(test_fs_add_double_without_a_number_is_named),
        ARENA_TEST(test_fs_add_map_and_array_nest),
        ARENA_TEST(test_fs_add_same_name_twice_aborts),
        ARENA_TEST(test_fs_add_json_round_trip_is_the_same),
        ARENA_TEST(test_fs_add_json_numbers_are_integers_when_whole),
        ARENA_TEST(test_fs_add_json_what_firestore_refuses_is_refused),
        ARENA_TEST(test_fs_add_json_deepest_allowed_can_be_read_back),
        ARENA_TEST(test_fs_to_plain_values_of_all_types),
        ARENA_TEST(test_fs_to_plain_tells_a_value_from_a_map),
        ARENA_TEST(test_fs_get_values_of_the_right_type),
        ARENA_TEST(test_fs_get_empty_map_and_array_are_empty_not_absent),
        ARENA_TEST(test_fs_get_absent_or_wrong_type_is_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
