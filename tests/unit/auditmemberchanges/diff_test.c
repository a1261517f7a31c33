/* diff_test.c - applying a diff to `before` gives `after`, whatever the documents hold (M-T5) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auditmemberchanges.h"

#define ROUNDS 300

static const cJSON *fields_of(struct arena *a, const char *text)
{
    const cJSON *fields = json_parse(a, str_from(text), NULL);

    assert_non_null(fields);
    return fields;
}

static void one_change(const char *before, const char *after, const char *path)
{
    struct arena *a = arena_new(1U << 20);
    struct diff diff;

    diff_make(a, before ? fields_of(a, before) : NULL, after ? fields_of(a, after) : NULL, &diff);
    assert_int_equal(diff.count, 1);
    assert_true(str_eq_text(diff.changes[0].path, path));
    arena_free(a);
}

static void no_change(const char *before, const char *after)
{
    struct arena *a = arena_new(1U << 20);
    struct diff diff;

    diff_make(a, fields_of(a, before), fields_of(a, after), &diff);
    assert_int_equal(diff.count, 0);
    arena_free(a);
}

static void test_diff_make_nested_value_names_its_path(void **state)
{
    (void)state;
    one_change("{\"profile\":{\"mapValue\":{\"fields\":{\"name\":{\"stringValue\":\"A\"},"
               "\"email\":{\"stringValue\":\"e\"}}}}}",
               "{\"profile\":{\"mapValue\":{\"fields\":{\"name\":{\"stringValue\":\"B\"},"
               "\"email\":{\"stringValue\":\"e\"}}}}}",
               "profile.name");
    one_change("{}", "{\"odd.name\":{\"nullValue\":null}}", "`odd.name`");
    one_change("{\"a\":{\"mapValue\":{}}}", "{}", "a");
    one_change("{\"a\":{\"integerValue\":\"1\"}}", "{\"a\":{\"stringValue\":\"1\"}}", "a");
    one_change("{\"a\":{\"stringValue\":\"1\"}}",
               "{\"A\":{\"stringValue\":\"1\"},"
               "\"a\":{\"stringValue\":\"1\"}}",
               "A");
}

static void test_diff_make_equal_values_differ_not(void **state)
{
    (void)state;
    no_change("{\"t\":{\"timestampValue\":\"2026-01-01T00:00:00.120Z\"}}",
              "{\"t\":{\"timestampValue\":\"2026-01-01T00:00:00.12Z\"}}");
    no_change("{\"n\":{\"integerValue\":\"7\"}}", "{\"n\":{\"integerValue\":7}}");
    no_change("{\"a\":{\"mapValue\":{}}}", "{\"a\":{\"mapValue\":{\"fields\":{}}}}");
}

/* --- property --- */

static void add_random(cJSON *fields, unsigned depth)
{
    static const char *const names[] = {"a", "b", "c", "odd name", "x.y", "`", "\\"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        switch (random_below(depth < 3 ? 6 : 4)) {
        case 0:
            fs_add_i64(fields, names[i], (int64_t)random_below(3));
            break;
        case 1:
            fs_add_text(fields, names[i], random_below(2) ? "x" : "y");
            break;
        case 2:
            fs_push_str(fs_add_array(fields, names[i]), random_below(2) ? STR("1") : STR("2"));
            break;
        case 4:
            add_random(fs_add_map(fields, names[i]), depth + 1);
            break;
        default:
            break;
        }
    }
}

/* The next name of a path, without its backticks. */
static bool next_name(struct arena *a, struct str *rest, const char **ret)
{
    struct buf name;
    bool quoted = rest->len > 0 && rest->ptr[0] == '`';
    size_t i = quoted ? 1 : 0;

    if (rest->len == 0)
        return false;
    buf_init(&name, 4096);
    for (; i < rest->len && rest->ptr[i] != (quoted ? '`' : '.'); i++) {
        if (quoted && rest->ptr[i] == '\\')
            i++;
        buf_add_char(&name, rest->ptr[i]);
    }
    *ret = arena_text(a, buf_str(&name));
    buf_done(&name);
    *rest = str_skip(*rest, i + (quoted ? 2 : 1));
    return true;
}

static void apply(struct arena *a, cJSON *fields, const struct diff_change *change)
{
    struct str rest = change->path;
    const char *name = NULL;

    while (next_name(a, &rest, &name) && rest.len > 0) {
        cJSON *map = cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(fields, name), "mapValue");

        fields = cJSON_GetObjectItemCaseSensitive(map, "fields");
        assert_non_null(fields);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(fields, name);
    if (change->after)
        json_add_copy(fields, name, change->after);
}

static const cJSON *as_value(struct arena *a, const cJSON *fields)
{
    cJSON *value = json_object(a);

    json_add_copy(json_add_object(value, "mapValue"), "fields", fields);
    return value;
}

static void test_diff_make_random_documents_apply_to_each_other(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct arena *a = arena_new(8U << 20);
        cJSON *before = fs_fields(a), *after = fs_fields(a), *patched = json_object(a);
        const cJSON *field;
        struct diff diff;

        add_random(before, 0);
        add_random(after, 0);
        cJSON_ArrayForEach(field, before)
        {
            json_add_copy(patched, field->string, field);
        }
        diff_make(a, before, after, &diff);
        for (size_t i = 0; i < diff.count && !diff.is_whole; i++)
            apply(a, patched, &diff.changes[i]);
        if (!diff.is_whole)
            assert_true(str_eq(audit_canonical(a, as_value(a, patched)),
                               audit_canonical(a, as_value(a, after))));
        arena_free(a);
    }
}

/* The memory of a request does not hold the path of each of many fields with long names. */
static void test_diff_make_long_names_cost_memory_where_something_changed(void **state)
{
    struct arena *a = arena_new(8U << 20), *names = arena_new(1U << 20);
    cJSON *before = fs_fields(a), *inner = before, *after;
    char name[1400 + 1] = "";
    struct diff diff;

    (void)state;
    memset(name, 'n', sizeof name - 1);
    for (int depth = 0; depth < 4; depth++)
        inner = fs_add_map(inner, name);
    for (int i = 0; i < 4000; i++)
        fs_add_i64(inner, arena_printf(names, "f%d", i).ptr, i);
    after = json_object(a);
    json_add_copy(after, name, before->child);
    diff_make(a, before, after, &diff);
    assert_int_equal(diff.count, 0);

    fs_add_i64(inner, "one_more", 1);
    diff_make(a, after, before, &diff);
    assert_int_equal(diff.count, 1);
    assert_false(diff.is_whole);
    assert_int_equal(diff.changes[0].path.len, 4 * sizeof name + strlen("one_more"));

    /* A path longer than Firestore has any. */
    fs_add_i64(inner, name, 1);
    diff_make(a, after, before, &diff);
    assert_true(diff.is_whole);
    arena_free(names);
    arena_free(a);
}

static void test_diff_make_too_many_changes_gives_the_whole(void **state)
{
    struct arena *a = arena_new(8U << 20);
    cJSON *after = fs_fields(a);
    struct diff diff;

    (void)state;
    for (int i = 0; i < DIFF_CHANGES_MAX + 1; i++)
        fs_add_i64(after, arena_printf(a, "f%d", i).ptr, i);
    diff_make(a, NULL, after, &diff);
    assert_true(diff.is_whole);
    assert_int_equal(diff.count, 1);
    assert_null(diff.changes[0].before);
    assert_non_null(json_get(diff.changes[0].after, "mapValue"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff_make_nested_value_names_its_path),
        cmocka_unit_test(test_diff_make_equal_values_differ_not),
        cmocka_unit_test(test_diff_make_random_documents_apply_to_each_other),
        cmocka_unit_test(test_diff_make_long_names_cost_memory_where_something_changed),
        cmocka_unit_test(test_diff_make_too_many_changes_gives_the_whole),
    };

    encode_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
