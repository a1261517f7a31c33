#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/error.h"
#include "base/str.h"

static void test_error_set_long_detail_is_cut(void **state)
{
    (void)state;
    struct error e;
    assert_false(error_set(&e, ERR_CONFLICT, "slot %d of %s", 7, "this"));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_string_equal(e.detail, "slot 7 of this");
    assert_false(error_set(&e, ERR_GONE, "%1000d", 1));
    assert_int_equal(e.code, ERR_GONE);
    assert_int_equal(strlen(e.detail), sizeof(e.detail) - 1);
    assert_false(error_set(NULL, ERR_GONE, "nobody asks"));
}

static void test_error_table_every_code_has_all_columns(void **state)
{
    (void)state;
    static const char *const grpc_names[] = {
        "OK",
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
        "UNAUTHENTICATED",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "DEADLINE_EXCEEDED",
        "ALREADY_EXISTS",
        "ABORTED",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
        "UNIMPLEMENTED",
        "UNAVAILABLE",
    };
    for (int i = 0; i < ERROR_CODE_COUNT; i++) {
        enum error_code code = (enum error_code)i;
        size_t known = 0;
        assert_in_range(error_http_status(code), 200, 504);
        assert_true(strlen(error_text(code)) > 0);
        assert_true(strncmp(error_name(code), "ERR_", 4) == 0);
        while (known < ARRAY_LEN(grpc_names) &&
               strcmp(grpc_names[known], error_callable_status(code)) != 0)
            known++;
        assert_true(known < ARRAY_LEN(grpc_names));
        int http = error_http_status(code);
        assert_int_equal(error_is_retryable(code),
                         http == 408 || http == 429 || http >= 502 || code == ERR_ABORTED);
    }
    assert_string_equal(error_name(ERR_RATE_LIMITED), "ERR_RATE_LIMITED");
    assert_string_equal(error_text(ERR_RATE_LIMITED), "RATE_LIMIT_EXCEEDED");
    assert_int_equal(error_http_status(ERR_UNAVAILABLE), 503);
    assert_true(error_is_retryable(ERR_UNAVAILABLE));
    assert_false(error_is_retryable(ERR_BAD_REQUEST));
}

static void ask_unknown_code(void *arg)
{
    error_text((enum error_code) * (const int *)arg);
}

static void test_error_text_code_outside_the_table_aborts(void **state)
{
    (void)state;
    int outside[] = {ERROR_CODE_COUNT, -1, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        assert_true(aborts(ask_unknown_code, &outside[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_long_detail_is_cut),
        cmocka_unit_test(test_error_table_every_code_has_all_columns),
        cmocka_unit_test(test_error_text_code_outside_the_table_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
