/* coded_shape_test.c - the error bodies of handlekenniauth and healthz; contract members.md §3.1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encode.h"
#include "service/service.h"

static int setup(void **state)
{
    encode_init();
    *state = arena_new(1U << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static void assert_body(struct arena *a, enum error_code code, unsigned retry_after_s,
                        const cJSON *extra, const char *expected)
{
    struct request req = {.arena = a, .correlation_id = STR("c-1")};
    struct buf out;

    buf_init(&out, 4096);
    error_shape_coded.write(&out, &req, code, "Text.", retry_after_s, extra);
    assert_string_equal(out.ptr, expected);
    buf_done(&out);
}

static void test_coded_shape_every_code_has_a_word_and_no_other_text(void **state)
{
    for (int code = ERR_BAD_REQUEST; code < ERROR_CODE_COUNT; code++) {
        struct buf out;
        struct error e;
        struct str word;

        buf_init(&out, 4096);
        error_shape_coded.write(&out, NULL, (enum error_code)code, "Text.", 0, NULL);
        assert_true(json_str(json_parse(*state, buf_str(&out), &e), "error", &word));
        assert_true(str_only(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"));
        assert_null(strstr(out.ptr, "correlationId"));
        buf_done(&out);
    }
}

static void test_coded_shape_words_of_the_contract(void **state)
{
    assert_body(
        *state, ERR_METHOD_NOT_ALLOWED, 0, NULL,
        "{\"error\":\"METHOD_NOT_ALLOWED\",\"message\":\"Text.\",\"correlationId\":\"c-1\"}");
    assert_body(*state, ERR_RATE_LIMITED, 600, NULL,
                "{\"error\":\"RATE_LIMITED\",\"message\":\"Text.\",\"correlationId\":\"c-1\","
                "\"retryAfter\":600}");
    assert_body(*state, ERR_INTERNAL, 0, NULL,
                "{\"error\":\"INTERNAL\",\"message\":\"Text.\",\"correlationId\":\"c-1\"}");
}

static void test_coded_shape_extra_names_the_code_and_adds_texts(void **state)
{
    cJSON *extra = json_object(*state);

    json_add_text(extra, "error", "TOKEN_EXCHANGE_FAILED");
    json_add_text(extra, "reason", "a \"b\"");
    json_add_bool(extra, "left_out", true);
    assert_body(
        *state, ERR_BAD_GATEWAY, 0, extra,
        "{\"error\":\"TOKEN_EXCHANGE_FAILED\",\"message\":\"Text.\",\"correlationId\":\"c-1\","
        "\"reason\":\"a \\\"b\\\"\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_coded_shape_every_code_has_a_word_and_no_other_text,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_coded_shape_words_of_the_contract, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coded_shape_extra_names_the_code_and_adds_texts, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
