/*
 * pipeline_test.c - the steps of a request, on a made-up service without socket, database or clock
 *
 * Requests are plain data, so the whole pipeline but for signatures and SQL runs here; those have
 * their own tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "service/state.h"

static void answer_echo(const struct request *req, struct response *res)
{
    respond_json(res, 200, req->body);
}

static void answer_param(const struct request *req, struct response *res)
{
    cJSON *body = json_object(req->arena);

    json_add_str(body, "id", req->params[0]);
    json_add_str(body, "what", req->params[1]);
    respond_json(res, 200, body);
}

static void answer_fail(const struct request *req, struct response *res)
{
    (void)req;
    respond_error(res, ERR_NOT_FOUND, "nothing here");
}

static const struct limit three = {.name = "three", .per_window = 3, .window_s = 60};
static const struct limit three_failures = {
    .name = "three_failures", .per_window = 3, .window_s = 60, .counts = LIMIT_FAILURES};

static const struct route routes[] = {
    {HTTP_POST, "/echo", AUTH_PUBLIC, BODY_JSON, NULL, IDEMPOTENCY_NONE, 0, answer_echo, ""},
    {HTTP_POST, "/call", AUTH_PUBLIC, BODY_CALLABLE, NULL, IDEMPOTENCY_NONE, 0, answer_echo, ""},
    {HTTP_GET, "/things/{id}/{what}", AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0,
     answer_param, ""},
    {HTTP_GET, "/limited", AUTH_PUBLIC, BODY_NONE, &three, IDEMPOTENCY_NONE, 0, answer_param, ""},
    {HTTP_POST, "/failing", AUTH_PUBLIC, BODY_JSON, &three_failures, IDEMPOTENCY_NONE, 0,
     answer_fail, ""},
    {HTTP_POST, "/mine", AUTH_USER, BODY_JSON, NULL, IDEMPOTENCY_NONE, 0, answer_echo, ""},
    {HTTP_POST, "/token", AUTH_VOTING_TOKEN, BODY_JSON, NULL, IDEMPOTENCY_NONE, ROUTE_NO_STORE,
     answer_echo, ""},
    {HTTP_POST, "/keyed", AUTH_PUBLIC, BODY_JSON, NULL, IDEMPOTENCY_IN_HANDLER, 0, answer_echo, ""},
};

static const struct service voting = {
    .name = "made-up",
    .wire_name = "made-up",
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_voting,
    .cors = &cors_voting,
};
static const struct service callable = {
    .name = "made-up",
    .wire_name = "made-up",
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_callable,
    .cors = &cors_callable,
};

struct fixture {
    struct service_state state;
    struct arena *arena;
    struct http_request req;
    struct http_response res;
};

static int set_up(void **context, const struct service *service)
{
    struct fixture *f = test_calloc(1, sizeof *f);

    encode_init();
    log_init("made-up", LOG_CRITICAL, STR("salt"), STDERR_FILENO);
    f->arena = arena_new(1U << 20);
    f->state.service = service;
    f->state.arena = arena_new(1U << 20);
    f->state.server.request_budget_ms = 1000;
    f->state.server.address_failures_max = 1000;
    f->state.server.org_id = "00000000-0000-4000-8000-000000000001";
    f->state.server.org_slug = "default";
    f->state.server.gcp_project = "p";
    f->state.server.trusted_hops = 1;
    f->state.cors_origins[0] = STR("https://good.example");
    f->state.cors_origin_count = 1;
    f->state.metrics = metrics_new("made-up");
    tenants_start(&f->state);
    assert_true(limits_start(&f->state));
    assert_true(report_start(&f->state));
    *context = f;
    return 0;
}

static int set_up_voting(void **context)
{
    return set_up(context, &voting);
}

static int set_up_callable(void **context)
{
    return set_up(context, &callable);
}

static int tear_down(void **context)
{
    struct fixture *f = *context;

    for (size_t i = 0; i < f->state.limiter_count; i++)
        rate_limiter_free(f->state.limiters[i]);
    rate_limiter_free(f->state.address_failures);
    metrics_free(f->state.metrics);
    arena_free(f->state.arena);
    buf_done(&f->res.body);
    arena_free(f->arena);
    test_free(f);
    return 0;
}

static void header(struct fixture *f, const char *name, const char *value)
{
    f->req.headers[f->req.header_count++] = (struct http_header){str_from(name), str_from(value)};
}

static void request(struct fixture *f, enum http_method method, const char *path, const char *body)
{
    buf_done(&f->res.body);
    arena_reset(f->arena);
    f->req = (struct http_request){
        .method = method,
        .target = str_from(path),
        .path = str_from(path),
        .body = str_from(body),
        .peer = "192.0.2.1",
        .arrived_us = clock_mono_us(),
        .arrived_unix_ms = clock_unix_ms(),
        .arena = f->arena,
    };
    f->res = (struct http_response){.arena = f->arena};
    buf_init(&f->res.body, 1U << 20);
}

static int run(struct fixture *f)
{
    pipeline_handle(&f->state, &f->req, &f->res, 0);
    return f->res.status;
}

static int post_json(struct fixture *f, const char *path, const char *body)
{
    request(f, HTTP_POST, path, body);
    header(f, "Content-Type", "application/json");
    return run(f);
}

static const char *response_header(struct fixture *f, const char *name)
{
    return arena_text(f->arena, http_response_header_get(&f->res, name));
}

static void test_body_forms_get_their_status(void **context)
{
    struct fixture *f = *context;
    static const struct {
        const char *type, *encoding, *body;
        int status;
        const char *reply;
    } cases[] = {
        {"application/json", NULL, "{\"a\":1}", 200, "{\"a\":1}"},
        {"APPLICATION/JSON; charset=UTF-8", NULL, "{\"a\":1}", 200, "{\"a\":1}"},
        {"application/json; charset=\"utf-8\"", NULL, "[]", 200, "[]"},
        {"application/json", NULL, "", 200, "{}"},
        {"text/plain", NULL, "not json", 200, "{}"},
        {NULL, NULL, "{\"a\":1}", 200, "{}"},
        {"application/json", "identity", "{}", 200, "{}"},
        {"application/json", "gzip", "{}", 415, NULL},
        {"application/json; charset=latin1", NULL, "{}", 415, NULL},
        {"application/json", NULL, "{", 400, NULL},
        {"application/json", NULL, "\"text\"", 400, NULL},
        {"application/json", NULL, "7", 400, NULL},
        {"application/json", NULL, "null", 400, NULL},
        {"application/json", NULL, "{\"a\":1,\"a\":2}", 400, NULL},
        {"application/json", NULL, "{\"a\":\"\\u0000\"}", 400, NULL},
        {"application/json", NULL, "{} x", 400, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        request(f, HTTP_POST, "/echo", cases[i].body);
        if (cases[i].type)
            header(f, "Content-Type", cases[i].type);
        if (cases[i].encoding)
            header(f, "Content-Encoding", cases[i].encoding);
        assert_int_equal(run(f), cases[i].status);
        if (cases[i].reply)
            assert_string_equal(f->res.body.ptr, cases[i].reply);
        else
            assert_non_null(strstr(f->res.body.ptr, "\"error\":"));
    }
}

static void test_route_unknown_or_wrong_method_answers_404_in_voting_shape(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_GET, "/nowhere", "");
    assert_int_equal(run(f), 404);
    assert_non_null(strstr(f->res.body.ptr, "Route GET /nowhere not found"));
    request(f, HTTP_DELETE, "/echo", "");
    assert_int_equal(run(f), 404);
    request(f, HTTP_GET, "/things/a", "");
    assert_int_equal(run(f), 404);
    request(f, HTTP_GET, "/things/a/b/c", "");
    assert_int_equal(run(f), 404);
    request(f, HTTP_GET, "/things//b", "");
    assert_int_equal(run(f), 404);
}

static void test_route_case_and_trailing_slash_are_forgiven(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_GET, "/THINGS/Ab%20c/d/", "");
    assert_int_equal(run(f), 200);
    assert_string_equal(f->res.body.ptr, "{\"id\":\"Ab c\",\"what\":\"d\"}");
    request(f, HTTP_GET, "/things/%00/d", "");
    assert_int_equal(run(f), 404);
}

static void test_correlation_id_is_taken_only_when_well_formed(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_GET, "/things/a/b", "");
    header(f, "X-Correlation-ID", "abc-1:2.3_4");
    run(f);
    assert_string_equal(response_header(f, "X-Correlation-ID"), "abc-1:2.3_4");
    request(f, HTTP_GET, "/things/a/b", "");
    header(f, "X-Correlation-ID", "bad id {}");
    header(f, "X-Request-ID", "0123456789abcdef0123456789abcdef");
    run(f);
    assert_string_equal(response_header(f, "X-Correlation-ID"), "0123456789abcdef0123456789abcdef");
    request(f, HTTP_GET, "/nowhere", "");
    header(f, "X-Correlation-ID", "\"><script>");
    run(f);
    assert_true(uuid_is_valid(http_response_header_get(&f->res, "X-Correlation-ID")));
}

static void test_cors_listed_origin_is_echoed_and_unknown_one_is_not(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_GET, "/things/a/b", "");
    header(f, "Origin", "https://good.example");
    run(f);
    assert_string_equal(response_header(f, "Access-Control-Allow-Origin"), "https://good.example");
    assert_string_equal(response_header(f, "Access-Control-Allow-Credentials"), "true");
    assert_string_equal(response_header(f, "Vary"), "Origin");
    request(f, HTTP_GET, "/things/a/b", "");
    header(f, "Origin", "https://evil.example");
    run(f);
    assert_null(http_response_header_get(&f->res, "Access-Control-Allow-Origin").ptr);
    assert_string_equal(response_header(f, "Vary"), "Origin");
}

static void test_cors_preflight_answers_204_with_the_headers_asked_for(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_OPTIONS, "/echo", "");
    header(f, "Origin", "https://good.example");
    header(f, "Access-Control-Request-Method", "POST");
    header(f, "Access-Control-Request-Headers", "authorization,content-type");
    assert_int_equal(run(f), 204);
    assert_int_equal(f->res.body.len, 0);
    assert_string_equal(response_header(f, "Access-Control-Allow-Headers"),
                        "authorization,content-type");
    assert_string_equal(response_header(f, "Access-Control-Allow-Methods"),
                        "GET,HEAD,PUT,PATCH,POST,DELETE");
}

static void test_etag_same_bytes_give_304(void **context)
{
    struct fixture *f = *context;
    char tag[64];

    request(f, HTTP_GET, "/things/a/b", "");
    assert_int_equal(run(f), 200);
    assert_true(str_copy(http_response_header_get(&f->res, "ETag"), tag, sizeof tag));
    assert_int_equal(strncmp(tag, "W/\"", 3), 0);
    request(f, HTTP_GET, "/things/a/b", "");
    header(f, "If-None-Match", tag);
    assert_int_equal(run(f), 304);
    assert_int_equal(f->res.body.len, 0);
    request(f, HTTP_GET, "/things/a/c", "");
    header(f, "If-None-Match", tag);
    assert_int_equal(run(f), 200);
}

static void test_limit_counts_per_address_and_says_when_to_come_back(void **context)
{
    struct fixture *f = *context;

    for (int i = 0; i < 3; i++) {
        request(f, HTTP_GET, "/limited", "");
        header(f, "X-Forwarded-For", "6.6.6.6, 203.0.113.9");
        assert_int_equal(run(f), 200);
        assert_string_equal(response_header(f, "RateLimit-Limit"), "3");
    }
    /* What the client itself writes to the left changes nothing. */
    request(f, HTTP_GET, "/limited", "");
    header(f, "X-Forwarded-For", "7.7.7.7, 203.0.113.9");
    assert_int_equal(run(f), 429);
    assert_non_null(http_response_header_get(&f->res, "Retry-After").ptr);
    assert_non_null(strstr(f->res.body.ptr, "RATE_LIMIT_EXCEEDED"));
    assert_non_null(strstr(f->res.body.ptr, "\"retryAfter\":\"1 minute\""));
    request(f, HTTP_GET, "/limited", "");
    header(f, "X-Forwarded-For", "203.0.113.10");
    assert_int_equal(run(f), 200);
}

static void test_limit_on_failures_stops_after_the_declared_number(void **context)
{
    struct fixture *f = *context;

    for (int i = 0; i < 3; i++)
        assert_int_equal(post_json(f, "/failing", "{}"), 404);
    assert_int_equal(post_json(f, "/failing", "{}"), 429);
}

static void test_auth_missing_or_malformed_header_is_401(void **context)
{
    struct fixture *f = *context;
    static const char *const values[] = {
        "", "Bearer", "Bearer ", "bearer abc", "Bearer  abc", "Basic abc", "abc"};

    assert_int_equal(post_json(f, "/mine", "{}"), 401);
    assert_non_null(strstr(f->res.body.ptr, "MISSING_AUTH_TOKEN"));
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        request(f, HTTP_POST, "/token", "{}");
        header(f, "Authorization", values[i]);
        assert_int_equal(run(f), 401);
    }
    request(f, HTTP_POST, "/token", "{}");
    header(f, "Authorization", "Bearer abc");
    header(f, "Authorization", "Bearer def");
    assert_int_equal(run(f), 401);
    request(f, HTTP_POST, "/token", "{}");
    header(f, "Authorization", "Bearer abc");
    assert_int_equal(run(f), 200);
    assert_non_null(strstr(response_header(f, "Cache-Control"), "no-store"));
}

static void test_body_is_judged_before_credentials(void **context)
{
    assert_int_equal(post_json(*context, "/mine", "{"), 400);
}

static void test_idempotency_key_that_is_no_token_is_400(void **context)
{
    struct fixture *f = *context;
    static const struct {
        const char *key;
        int status;
    } cases[] = {{"abc-123", 200}, {"", 400}, {"a b", 400}, {"\xc3\xa9", 400}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        request(f, HTTP_POST, "/keyed", "{}");
        header(f, "Content-Type", "application/json");
        header(f, "X-Idempotency-Key", cases[i].key);
        assert_int_equal(run(f), cases[i].status);
    }
}

static void test_callable_envelope_is_exact(void **context)
{
    struct fixture *f = *context;
    static const struct {
        const char *body;
        int status;
        const char *reply;
    } cases[] = {
        {"{\"data\":null}", 200, "null"},
        {"{\"data\":{\"q\":\"x\"}}", 200, "{\"q\":\"x\"}"},
        {"{\"data\":7}", 200, "7"},
        {"{}", 400, NULL},
        {"", 400, NULL},
        {"{\"data\":1,\"more\":2}", 400, NULL},
        {"[1]", 400, NULL},
        {"nonsense", 400, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(post_json(f, "/call", cases[i].body), cases[i].status);
        assert_string_equal(
            f->res.body.ptr,
            cases[i].reply
                ? cases[i].reply
                : "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"Bad Request\"}}");
    }
    request(f, HTTP_GET, "/call", "");
    assert_int_equal(run(f), 400);
    request(f, HTTP_POST, "/call", "{\"data\":1}");
    header(f, "Content-Type", "text/plain");
    assert_int_equal(run(f), 400);
}

static void test_callable_preflight_is_200_for_any_origin(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_OPTIONS, "/call", "");
    header(f, "Origin", "https://anywhere.example");
    header(f, "Access-Control-Request-Headers", "content-type");
    assert_int_equal(run(f), 200);
    assert_string_equal(response_header(f, "Access-Control-Allow-Origin"),
                        "https://anywhere.example");
    assert_string_equal(response_header(f, "Access-Control-Allow-Methods"), "POST");
}

static void test_refusal_without_a_request_is_json_and_carries_a_correlation_id(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_GET, "/", "");
    pipeline_refuse(&f->state, HTTP_REFUSED_HEAD, ERR_BAD_REQUEST, "two Host", NULL, &f->res);
    assert_int_equal(f->res.status, 400);
    assert_non_null(strstr(f->res.body.ptr, "\"error\":\"Bad Request\""));
    assert_null(strstr(f->res.body.ptr, "Host"));
    assert_true(uuid_is_valid(http_response_header_get(&f->res, "X-Correlation-ID")));
}

static void test_refusal_when_full_is_503_with_retry_after(void **context)
{
    struct fixture *f = *context;

    request(f, HTTP_POST, "/echo", "{}");
    header(f, "Origin", "https://good.example");
    pipeline_refuse(&f->state, HTTP_REFUSED_QUEUE_FULL, ERR_UNAVAILABLE, "queue full", &f->req,
                    &f->res);
    assert_int_equal(f->res.status, 503);
    assert_string_equal(response_header(f, "Retry-After"), "1");
    assert_string_equal(response_header(f, "Access-Control-Allow-Origin"), "https://good.example");
    assert_non_null(strstr(f->res.body.ptr, "\"retryAfter\":1"));
}

int main(void)
{
#define VOTING(name)   cmocka_unit_test_setup_teardown(name, set_up_voting, tear_down)
#define CALLABLE(name) cmocka_unit_test_setup_teardown(name, set_up_callable, tear_down)
    const struct CMUnitTest tests[] = {
        VOTING(test_body_forms_get_their_status),
        VOTING(test_route_unknown_or_wrong_method_answers_404_in_voting_shape),
        VOTING(test_route_case_and_trailing_slash_are_forgiven),
        VOTING(test_correlation_id_is_taken_only_when_well_formed),
        VOTING(test_cors_listed_origin_is_echoed_and_unknown_one_is_not),
        VOTING(test_cors_preflight_answers_204_with_the_headers_asked_for),
        VOTING(test_etag_same_bytes_give_304),
        VOTING(test_limit_counts_per_address_and_says_when_to_come_back),
        VOTING(test_limit_on_failures_stops_after_the_declared_number),
        VOTING(test_auth_missing_or_malformed_header_is_401),
        VOTING(test_body_is_judged_before_credentials),
        VOTING(test_idempotency_key_that_is_no_token_is_400),
        CALLABLE(test_callable_envelope_is_exact),
        CALLABLE(test_callable_preflight_is_200_for_any_origin),
        VOTING(test_refusal_without_a_request_is_json_and_carries_a_correlation_id),
        VOTING(test_refusal_when_full_is_503_with_retry_after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
