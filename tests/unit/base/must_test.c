#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/json.h"
#include "base/must.h"

static void fail_with(void *expression)
{
    must_fail(expression, "/somewhere/deep/file \"x\".c", 42);
}

static void compare(void *arg)
{
    must(strcmp(arg, "good") == 0);
}

static void test_must_false_aborts_and_true_does_not(void **state)
{
    (void)state;
    char good[] = "good";
    char bad[] = "bad";
    assert_true(aborts(compare, bad));
    assert_false(aborts(compare, good));
}

static void test_must_fail_whatever_the_expression_writes_one_json_line(void **state)
{
    (void)state;
    static char endless[3000];
    char quotes[] = "a[\"x\\n\"] == '\t\xC3\xBE\xFF'";
    char *expressions[] = {quotes, endless};
    memset(endless, '"', sizeof(endless) - 1);
    must_set_service("elections");
    for (size_t i = 0; i < ARRAY_LEN(expressions); i++) {
        char text[4096];
        struct error e;
        struct str value;
        int64_t line = 0;
        assert_true(aborts_with(fail_with, expressions[i], text, sizeof(text)));
        struct str written = str_from(text);
        assert_int_equal(str_find_char(written, '\n'), written.len - 1);
        struct arena *a = arena_new(1U << 20);
        const cJSON *tree = json_parse(a, written, &e);
        assert_non_null(tree);
        assert_true(json_str(tree, "severity", &value) && str_eq_text(value, "CRITICAL"));
        assert_true(json_str(tree, "service", &value) && str_eq_text(value, "elections"));
        assert_true(json_str(tree, "message", &value) && str_eq_text(value, "must failed"));
        assert_true(json_str(tree, "file", &value) && str_eq_text(value, "file \"x\".c"));
        assert_true(json_i64(tree, "line", &line) && line == 42);
        assert_true(json_str(tree, "ts", &value) && value.len == 24);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_must_false_aborts_and_true_does_not),
        cmocka_unit_test(test_must_fail_whatever_the_expression_writes_one_json_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
