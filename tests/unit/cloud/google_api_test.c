#include "fake_google.h"

#include "cloud/google_api.h"

static struct google_answer answer;

static struct google_call call_of(bool repeatable)
{
    return (struct google_call){
        .what = "thing",
        .url = arena_printf(fake.arena, "http://%s/v1/thing:do", fake.host),
        .body = STR("{\"a\":1}"),
        .repeatable = repeatable,
        .deadline_ms = soon(),
    };
}

static bool run(const struct google_call *call)
{
    const struct google_api api = {.client = fake.client, .tokens = fake.tokens};
    fake.error = (struct error){.code = ERR_NONE};
    return google_call(&api, call, fake.arena, &answer, &fake.error);
}

static bool ask(bool repeatable)
{
    struct google_call call = call_of(repeatable);
    return run(&call);
}

/* ---- Tables ---- */

static void test_google_may_repeat_table(void **state)
{
    (void)state;
    static const struct {
        enum rpc_code code;
        bool sent, repeatable, in_transaction, expected;
    } rows[] = {
        {RPC_OK, true, true, false, false},
        {RPC_INVALID_ARGUMENT, true, true, false, false},
        {RPC_NOT_FOUND, true, true, false, false},
        {RPC_ALREADY_EXISTS, true, true, false, false},
        {RPC_FAILED_PRECONDITION, true, true, false, false},
        {RPC_PERMISSION_DENIED, true, true, false, false},
        {RPC_UNKNOWN, true, true, false, false},
        {RPC_UNKNOWN, false, true, false, false},
        {RPC_DATA_LOSS, true, true, false, false},
        {RPC_ABORTED, true, false, false, true},
        {RPC_ABORTED, true, true, true, false},
        {RPC_RESOURCE_EXHAUSTED, true, false, false, true},
        {RPC_RESOURCE_EXHAUSTED, true, false, true, true},
        {RPC_UNAVAILABLE, true, true, false, true},
        {RPC_UNAVAILABLE, true, false, false, false},
        {RPC_UNAVAILABLE, false, false, false, true},
        {RPC_UNAVAILABLE, false, false, true, true},
        {RPC_INTERNAL, true, true, false, true},
        {RPC_INTERNAL, true, false, false, false},
        {RPC_DEADLINE_EXCEEDED, true, true, false, true},
        {RPC_DEADLINE_EXCEEDED, true, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (google_may_repeat(rows[i].code, rows[i].sent, rows[i].repeatable,
                              rows[i].in_transaction) != rows[i].expected)
            fail_msg("row %zu, %s", i, rpc_name(rows[i].code));
    }
}

static void test_rpc_code_names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(rpc_code_of_name(STR("ABORTED")), RPC_ABORTED);
    assert_int_equal(rpc_code_of_name(STR("aborted")), RPC_UNKNOWN);
    assert_int_equal(rpc_code_of_name(STR("")), RPC_UNKNOWN);
    assert_int_equal(rpc_code_of_number(5), RPC_NOT_FOUND);
    assert_int_equal(rpc_code_of_number(-1), RPC_UNKNOWN);
    assert_int_equal(rpc_code_of_number(17), RPC_UNKNOWN);
    assert_int_equal(rpc_code_of_number(INT64_MAX), RPC_UNKNOWN);
}

/* ---- Good answers ---- */

static void test_google_call_sends_token_and_body(void **state)
{
    (void)state;
    fake_says(200, "{\"ok\":true}");
    assert_ok(ask(false));
    bool ok = false;
    assert_true(json_bool(answer.json, "ok", &ok) && ok);
    assert_int_equal(answer.attempts, 1);
    assert_false(answer.unsure);
    assert_asked(0, "POST /v1/thing:do HTTP/1.1\r\n");
    assert_asked(0, "\r\nAuthorization: Bearer owner\r\n");
    assert_asked(0, "\r\nContent-Type: application/json\r\n");
    assert_string_equal(fake_asked_body(0), "{\"a\":1}");
}

static void test_google_call_stored_nul_becomes_a_replacement(void **state)
{
    (void)state;
    struct str text;
    fake_says(200, "{\"a\":\"x\\u0000y\\\\u0000\\\\\\u0000\",\"b\\u0000\":\"\\u00001\"}");
    assert_ok(ask(false));
    assert_true(json_str(answer.json, "a", &text));
    assert_string_equal(text.ptr, "x\xEF\xBF\xBDy\\u0000\\\xEF\xBF\xBD");
    assert_true(json_str(answer.json, "b\xEF\xBF\xBD", &text));
    assert_string_equal(text.ptr, "\xEF\xBF\xBD"
                                  "1");
}

/* ---- Errors ---- */

static void test_google_call_error_mapping_table(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum error_code code;
    } rows[] = {
        {404, "{\"error\":{\"code\":404,\"status\":\"NOT_FOUND\"}}", ERR_NOT_FOUND},
        {409, "{\"error\":{\"code\":409,\"status\":\"ALREADY_EXISTS\"}}", ERR_CONFLICT},
        {400, "{\"error\":{\"code\":400,\"status\":\"FAILED_PRECONDITION\"}}",
         ERR_FAILED_PRECONDITION},
        {400, "[{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\"}}]", ERR_BAD_REQUEST},
        {403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\"}}", ERR_INTERNAL},
        {401, "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\"}}", ERR_INTERNAL},
        {503, "[{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]", ERR_UNAVAILABLE},
        {500, "{\"error\":{\"code\":500,\"status\":\"INTERNAL\"}}", ERR_UNAVAILABLE},
        {504, "{\"error\":{\"code\":504,\"status\":\"DEADLINE_EXCEEDED\"}}", ERR_GATEWAY_TIMEOUT},
        {400, "{\"error\":{\"code\":400,\"message\":\"INVALID_ID\"}}", ERR_BAD_REQUEST},
        {404, "{\"error\":{\"code\":404}}", ERR_NOT_FOUND},
        {200, "[{\"found\":1},{\"error\":{\"code\":13,\"status\":\"INTERNAL\"}}]", ERR_UNAVAILABLE},
        {200, "[{\"error\":{\"status\":\"OK\"}}]", ERR_BAD_GATEWAY},
        {409, "{\"error\":\"conflict\"}", ERR_BAD_GATEWAY},
        {404, "<html>no such page</html>", ERR_BAD_GATEWAY},
        {409, "{}", ERR_BAD_GATEWAY},
        {301, "{}", ERR_BAD_GATEWAY},
        {502, "<html>bad gateway</html>", ERR_UNAVAILABLE},
        {503, "", ERR_UNAVAILABLE},
        {401, "no", ERR_INTERNAL},
        {200, "<html></html>", ERR_BAD_GATEWAY},
        {200, "{\"a\":", ERR_BAD_GATEWAY},
        {200, "", ERR_BAD_GATEWAY},
        {200, "{\"a\":1,\"a\":2}", ERR_BAD_GATEWAY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_forget();
        fake_says(rows[i].status, rows[i].body);
        bool ok = ask(false);
        if (ok || fake.error.code != rows[i].code)
            fail_msg("row %zu: %s", i, error_name(fake.error.code));
        assert_int_equal(fake_asked_count(), 1);
        assert_non_null(strstr(fake.error.detail, "thing: status "));
    }
}

static void test_google_call_message_gives_its_first_word_only(void **state)
{
    (void)state;
    fake_says(400, "{\"error\":{\"code\":400,\"message\":\"DUPLICATE_LOCAL_ID : 0101302989\"}}");
    assert_error(ask(false), ERR_BAD_REQUEST);
    assert_string_equal(answer.reason, "DUPLICATE_LOCAL_ID");
    assert_null(strstr(fake.error.detail, "0101302989"));

    fake_forget();
    fake_says(404, "{\"error\":{\"status\":\"NOT_FOUND\",\"message\":\"Jón documents/members/"
                   "0101302989 not found\"}}");
    assert_error(ask(false), ERR_NOT_FOUND);
    assert_string_equal(answer.reason, "");
    assert_null(strstr(fake.error.detail, "0101302989"));
    assert_null(strstr(fake.error.detail, "J"));
}

/* ---- Trying again ---- */

static void assert_repeated(bool repeatable, bool expected)
{
    assert_int_equal(ask(repeatable), expected);
    assert_int_equal(fake_asked_count(), expected ? 2 : 1);
    fake_forget();
}

static void test_google_call_failed_once_is_repeated_when_harmless(void **state)
{
    (void)state;
    static const enum fake_fault faults[] = {FAKE_CLOSES, FAKE_CUTS};
    static const struct {
        int status;
        const char *body;
        bool always;
    } answers[] = {
        {429, "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\"}}", true},
        {409, "{\"error\":{\"status\":\"ABORTED\"}}", true},
        {503, "busy", false},
        {500, "{\"error\":{\"status\":\"INTERNAL\"}}", false},
        {200, "{\"cut", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers) * 2; i++) {
        bool repeatable = i % 2 == 0;
        fake_says(answers[i / 2].status, answers[i / 2].body);
        fake_says(200, "{}");
        assert_repeated(repeatable, repeatable || answers[i / 2].always);
    }
    for (size_t i = 0; i < ARRAY_LEN(faults) * 2; i++) {
        fake_fails(faults[i / 2]);
        fake_says(200, "{}");
        assert_repeated(i % 2 == 0, i % 2 == 0);
    }
}

static void test_google_call_failing_on_ends_after_some_attempts(void **state)
{
    (void)state;
    fake_says(503, "busy");
    assert_error(ask(true), ERR_UNAVAILABLE);
    assert_int_equal(fake_asked_count(), GOOGLE_ATTEMPTS_MAX);
    assert_int_equal(answer.attempts, GOOGLE_ATTEMPTS_MAX);
    assert_true(answer.unsure);
}

static void test_google_call_retry_after_beyond_the_deadline_ends_it(void **state)
{
    (void)state;
    fake_says_step(
        (struct fake_step){.status = 429, .body = "{}", .headers = "Retry-After: 600\r\n"});
    assert_error(ask(true), ERR_UNAVAILABLE);
    assert_int_equal(fake_asked_count(), 1);
    assert_false(answer.unsure);
}

static void test_google_call_aborted_in_a_transaction_is_not_repeated(void **state)
{
    (void)state;
    fake_says(409, "{\"error\":{\"status\":\"ABORTED\"}}");
    struct google_call call = call_of(true);
    call.in_transaction = true;
    assert_error(run(&call), ERR_ABORTED);
    assert_int_equal(fake_asked_count(), 1);
}

static void test_google_call_unsure_survives_a_later_refusal(void **state)
{
    (void)state;
    fake_fails(FAKE_CLOSES);
    fake_says(400, "{\"error\":{\"status\":\"INVALID_ARGUMENT\"}}");
    assert_error(ask(true), ERR_BAD_REQUEST);
    assert_true(answer.unsure);
}

/* ---- M-T3 ---- */

static void assert_ends_in_time(enum fake_fault fault, enum error_code code)
{
    fake_forget();
    fake_fails(fault);
    struct google_call call = call_of(false);
    call.deadline_ms = clock_mono_ms() + 300;
    assert_error(run(&call), code);
    assert_true(clock_mono_ms() < call.deadline_ms + PATIENCE_MS / 2);
    assert_int_equal(fake_asked_count(), 1);
}

static void test_google_call_hanging_or_dripping_ends_at_the_deadline(void **state)
{
    (void)state;
    assert_ends_in_time(FAKE_HANGS, ERR_GATEWAY_TIMEOUT);
    assert_ends_in_time(FAKE_DRIPS, ERR_GATEWAY_TIMEOUT);
}

static void test_google_call_huge_or_no_http_is_bad_gateway(void **state)
{
    (void)state;
    fake_fails(FAKE_FLOODS);
    assert_error(ask(true), ERR_BAD_GATEWAY);
    assert_int_equal(fake_asked_count(), 1);
    fake_forget();
    fake_fails(FAKE_BABBLES);
    assert_error(ask(true), ERR_BAD_GATEWAY);
}

static void test_google_call_refused_connection_is_unavailable(void **state)
{
    (void)state;
    uint16_t port;
    int fd = raw_bind(&port); /* bound and not listening */
    struct google_call call = call_of(false);
    call.url = arena_printf(fake.arena, "http://127.0.0.1:%u/", (unsigned)port);
    assert_error(run(&call), ERR_UNAVAILABLE);
    assert_int_equal(answer.attempts, GOOGLE_ATTEMPTS_MAX); /* nothing left: safe for any call */
    assert_false(answer.unsure);
    (void)close(fd);
}

static void test_google_call_open_breaker_ends_the_repeats(void **state)
{
    (void)state;
    const struct http_client_config config = {.name = "google",
                                              .allow_http = true,
                                              .parallel_max = 1,
                                              .connect_timeout_ms = 2000,
                                              .breaker_failures = 2,
                                              .breaker_open_ms = 60000};
    http_client_free(fake.client);
    fake.client = http_client_new(&config);
    fake_says(503, "busy");
    assert_error(ask(true), ERR_UNAVAILABLE);
    assert_error(ask(true), ERR_UNAVAILABLE);
    assert_int_equal(fake_asked_count(), 2);
}

static void test_google_base_url_table(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool in_path;
        const char *url;
    } rows[] = {
        {"", false, "https://a.example.is/"},
        {NULL, true, "https://a.example.is/"},
        {"127.0.0.1:80", false, "http://127.0.0.1:80/"},
        {"127.0.0.1:80", true, "http://127.0.0.1:80/a.example.is/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *url = google_base_url("a.example.is", rows[i].host, rows[i].in_path);
        assert_string_equal(url, rows[i].url);
        free(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_google_may_repeat_table),
        cmocka_unit_test(test_rpc_code_names_and_numbers),
        cmocka_unit_test(test_google_base_url_table),
        FAKE_TEST(test_google_call_sends_token_and_body),
        FAKE_TEST(test_google_call_stored_nul_becomes_a_replacement),
        FAKE_TEST(test_google_call_error_mapping_table),
        FAKE_TEST(test_google_call_message_gives_its_first_word_only),
        FAKE_TEST(test_google_call_failed_once_is_repeated_when_harmless),
        FAKE_TEST(test_google_call_failing_on_ends_after_some_attempts),
        FAKE_TEST(test_google_call_retry_after_beyond_the_deadline_ends_it),
        FAKE_TEST(test_google_call_aborted_in_a_transaction_is_not_repeated),
        FAKE_TEST(test_google_call_unsure_survives_a_later_refusal),
        FAKE_TEST(test_google_call_hanging_or_dripping_ends_at_the_deadline),
        FAKE_TEST(test_google_call_huge_or_no_http_is_bad_gateway),
        FAKE_TEST(test_google_call_refused_connection_is_unavailable),
        FAKE_TEST(test_google_call_open_breaker_ends_the_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
