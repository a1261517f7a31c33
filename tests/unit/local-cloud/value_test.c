/* value_test.c - the local cloud's values: canonical form, order, paths */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "value.h"

static struct arena *a;

static int set_up(void **state)
{
    (void)state;
    a = arena_new(ARENA_MAX_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static const cJSON *json(const char *text)
{
    struct error e = {0};
    const cJSON *tree = json_parse(a, str_from(text), &e);

    assert_non_null(tree);
    return tree;
}

static const cJSON *value(const char *text)
{
    cJSON *holder = json_array(a);
    struct refusal r = {0};

    assert_true(value_read(json(text), holder, NULL, &r));
    return holder->child;
}

static const char *written(const cJSON *tree)
{
    struct buf b;
    struct str copy;

    buf_init(&b, 65536);
    assert_true(json_write(&b, tree));
    copy = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return copy.ptr;
}

static void test_value_read_gives_the_canonical_form(void **state)
{
    static const char *const rows[][2] = {
        {"{\"integerValue\":7}", "{\"integerValue\":\"7\"}"},
        {"{\"integerValue\":\"-0\"}", "{\"integerValue\":\"0\"}"},
        {"{\"doubleValue\":\"NaN\"}", "{\"doubleValue\":\"NaN\"}"},
        {"{\"nullValue\":\"NULL_VALUE\"}", "{\"nullValue\":null}"},
        {"{\"mapValue\":{\"fields\":{}}}", "{\"mapValue\":{}}"},
        {"{\"arrayValue\":{\"values\":[]}}", "{\"arrayValue\":{}}"},
        {"{\"bytesValue\":\"_-8\"}", "{\"bytesValue\":\"/+8=\"}"},
        {"{\"geoPointValue\":{\"latitude\":0,\"longitude\":1.5}}",
         "{\"geoPointValue\":{\"longitude\":1.5}}"},
        {"{\"timestampValue\":\"2019-01-01T02:00:00.1234567+02:00\"}",
         "{\"timestampValue\":\"2019-01-01T00:00:00.123456Z\"}"},
        {"{\"timestampValue\":\"1969-12-31T23:59:59.5Z\"}",
         "{\"timestampValue\":\"1969-12-31T23:59:59.500Z\"}"},
        {"{\"timestampValue\":\"0001-01-01T00:00:00Z\"}",
         "{\"timestampValue\":\"0001-01-01T00:00:00Z\"}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(written(value(rows[i][0])), rows[i][1]);
}

static void test_value_read_refuses_what_is_none(void **state)
{
    static const char *const texts[] = {
        "{}",
        "7",
        "{\"bogus\":1}",
        "{\"integerValue\":\"1\",\"doubleValue\":1}",
        "{\"integerValue\":\"9223372036854775808\"}",
        "{\"integerValue\":1.5}",
        "{\"booleanValue\":\"true\"}",
        "{\"stringValue\":7}",
        "{\"timestampValue\":\"2019-02-30T00:00:00Z\"}",
        "{\"timestampValue\":\"2019-01-01T00:00:00.Z\"}",
        "{\"bytesValue\":\"@\"}",
        "{\"referenceValue\":\"members/1\"}",
        "{\"geoPointValue\":{\"latitude\":90.1}}",
        "{\"arrayValue\":{\"values\":[{\"arrayValue\":{}}]}}",
        "{\"mapValue\":{\"fields\":{\"\":{\"nullValue\":null}}}}",
        "{\"mapValue\":{\"fields\":{\"__x__\":{\"nullValue\":null}}}}",
        "{\"mapValue\":{\"bogus\":{}}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct refusal r = {0};

        assert_false(value_read(json(texts[i]), json_array(a), NULL, &r));
        assert_int_equal(r.status, GSTATUS_INVALID_ARGUMENT);
    }
}

/* firebase.google.com/docs/firestore/manage-data/data-types#value_type_ordering, each before the
 * next. */
static const char *const ordered[] = {
    "{\"nullValue\":null}",
    "{\"booleanValue\":false}",
    "{\"booleanValue\":true}",
    "{\"doubleValue\":\"NaN\"}",
    "{\"doubleValue\":\"-Infinity\"}",
    "{\"integerValue\":\"-9223372036854775808\"}",
    "{\"doubleValue\":-1.5}",
    "{\"integerValue\":\"3\"}",
    "{\"doubleValue\":3.5}",
    "{\"integerValue\":\"9007199254740992\"}",
    "{\"integerValue\":\"9007199254740993\"}",
    "{\"integerValue\":\"9223372036854775807\"}",
    "{\"doubleValue\":9223372036854775808}",
    "{\"doubleValue\":\"Infinity\"}",
    "{\"timestampValue\":\"1900-01-01T00:00:00Z\"}",
    "{\"timestampValue\":\"2019-01-01T00:00:00.123456Z\"}",
    "{\"timestampValue\":\"2019-01-01T00:00:00.123457Z\"}",
    "{\"stringValue\":\"\"}",
    "{\"stringValue\":\"a\"}",
    "{\"stringValue\":\"aa\"}",
    "{\"stringValue\":\"b\"}",
    "{\"stringValue\":\"\u00e6\"}",
    "{\"bytesValue\":\"\"}",
    "{\"bytesValue\":\"AQ==\"}",
    "{\"bytesValue\":\"AQA=\"}",
    "{\"bytesValue\":\"Ag==\"}",
    "{\"referenceValue\":\"projects/p/databases/d/documents/c/__id7__\"}",
    "{\"referenceValue\":\"projects/p/databases/d/documents/c/__id10__\"}",
    "{\"referenceValue\":\"projects/p/databases/d/documents/c/1\"}",
    "{\"referenceValue\":\"projects/p/databases/d/documents/c/1/x/y\"}",
    "{\"referenceValue\":\"projects/p/databases/d/documents/c/1-\"}",
    "{\"geoPointValue\":{\"latitude\":-1}}",
    "{\"geoPointValue\":{}}",
    "{\"geoPointValue\":{\"longitude\":1}}",
    "{\"arrayValue\":{}}",
    "{\"arrayValue\":{\"values\":[{\"integerValue\":\"1\"}]}}",
    "{\"arrayValue\":{\"values\":[{\"integerValue\":\"1\"},{\"nullValue\":null}]}}",
    "{\"arrayValue\":{\"values\":[{\"integerValue\":\"2\"}]}}",
    "{\"mapValue\":{}}",
    "{\"mapValue\":{\"fields\":{\"b\":{\"integerValue\":\"1\"},\"a\":{\"integerValue\":\"1\"}}}}",
    "{\"mapValue\":{\"fields\":{\"a\":{\"integerValue\":\"2\"}}}}",
    "{\"mapValue\":{\"fields\":{\"b\":{\"integerValue\":\"0\"}}}}",
};

static void test_value_compare_follows_the_documented_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ordered); i++) {
        for (size_t j = 0; j < ARRAY_LEN(ordered); j++) {
            int order = value_compare(value(ordered[i]), value(ordered[j]));

            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void test_value_same_tells_what_compare_does_not(void **state)
{
    const cJSON *whole = value("{\"integerValue\":\"3\"}"),
                *fraction = value("{\"doubleValue\":3}");

    (void)state;
    assert_int_equal(value_compare(whole, fraction), 0);
    assert_false(value_same(whole, fraction));
    assert_true(value_same(value("{\"mapValue\":{\"fields\":{\"a\":{\"nullValue\":null},\"b\":{"
                                 "\"stringValue\":\"\"}}}}"),
                           value("{\"mapValue\":{\"fields\":{\"b\":{\"stringValue\":\"\"},\"a\":{"
                                 "\"nullValue\":null}}}}")));
    assert_false(value_same(value("{\"arrayValue\":{\"values\":[{\"nullValue\":null}]}}"),
                            value("{\"arrayValue\":{}}")));
}

static struct field_path path(const char *text)
{
    struct field_path ret;
    struct refusal r;

    assert_true(field_path_read(a, str_from(text), &ret, &r));
    return ret;
}

static void test_field_path_read_takes_quotes_and_refuses_the_rest(void **state)
{
    static const char too_deep[] = "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q";
    static const char *const bad[] = {"",   ".",    "a.",  "a..b",  "1a",  "a b",    "`a",
                                      "``", "`a`b", "a.`", "`a\\`", "a-b", "\u00e6", too_deep};
    struct field_path p = path("a_1.`x.y \\` \\\\`.B");

    (void)state;
    assert_int_equal(p.count, 3);
    assert_true(str_eq(p.parts[0], STR("a_1")) && str_eq(p.parts[1], STR("x.y ` \\")) &&
                str_eq(p.parts[2], STR("B")));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct refusal r;

        assert_false(field_path_read(a, str_from(bad[i]), &p, &r));
    }
}

static void test_field_set_makes_way_and_remove_leaves_no_trace(void **state)
{
    cJSON *fields = json_object(a);
    struct field_path deep = path("a.b"), scalar = path("a.b.c");
    struct refusal r;

    (void)state;
    assert_true(field_set(fields, &deep, value("{\"integerValue\":\"1\"}"), &r));
    assert_true(field_set(fields, &scalar, value("{\"integerValue\":\"2\"}"), &r));
    assert_string_equal(written(field_get(fields, &scalar)), "{\"integerValue\":\"2\"}");
    field_remove(fields, &scalar);
    assert_string_equal(written(fields),
                        "{\"a\":{\"mapValue\":{\"fields\":{\"b\":{\"mapValue\":{}}}}}}");
    field_remove(fields, &scalar);
    field_remove(fields, &deep);
    assert_string_equal(written(fields), "{\"a\":{\"mapValue\":{}}}");
}

static void test_field_set_too_deep_is_refused(void **state)
{
    cJSON *fields = json_object(a);
    struct field_path p = path("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p");
    struct refusal r = {0};

    (void)state;
    assert_true(field_set(fields, &p, value("{\"nullValue\":null}"), &r));
    assert_false(field_set(fields, &p,
                           value("{\"mapValue\":{\"fields\":{\"x\":{\"nullValue\":null}}}}"), &r));
    assert_int_equal(r.status, GSTATUS_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_value_read_gives_the_canonical_form, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_value_read_refuses_what_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_value_compare_follows_the_documented_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_value_same_tells_what_compare_does_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_field_path_read_takes_quotes_and_refuses_the_rest,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_field_set_makes_way_and_remove_leaves_no_trace, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_field_set_too_deep_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
