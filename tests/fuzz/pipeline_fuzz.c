/*
 * A whole request through the pipeline, with routes of every kind of body: the callable envelope,
 * JSON, and what needs a credential. Every reply has a status, well-formed headers, and a JSON body
 * when it has one.
 *
 * Input: 'v' or 'c' for the shape of errors, LF, then a request.
 */
#include "fuzz.h"

#include "service/state.h"

#include <unistd.h>

static void answer_echo(const struct request *req, struct response *res)
{
    respond_json(res, 200, req->body);
}

static void answer_param(const struct request *req, struct response *res)
{
    cJSON *body = json_object(req->arena);
    struct str value;

    json_add_str(body, "id", req->params[0]);
    if (request_query(req, "q", &value))
        json_add_str(body, "q", value);
    respond_json(res, 200, body);
}

static const struct route routes[] = {
    {HTTP_POST, "/json", AUTH_PUBLIC, BODY_JSON, NULL, IDEMPOTENCY_NONE, 0, answer_echo, ""},
    {HTTP_POST, "/call", AUTH_PUBLIC, BODY_CALLABLE, NULL, IDEMPOTENCY_NONE, 0, answer_echo, ""},
    {HTTP_POST, "/maybe", AUTH_OPTIONAL, BODY_CALLABLE, NULL, IDEMPOTENCY_NONE, ROUTE_APP_CHECK,
     answer_echo, ""},
    {HTTP_GET, "/things/{id}", AUTH_PUBLIC, BODY_NONE, NULL, IDEMPOTENCY_NONE, 0, answer_param, ""},
    {HTTP_POST, "/mine", AUTH_USER, BODY_JSON, NULL, IDEMPOTENCY_NONE, ROUTE_NO_STORE, answer_echo,
     ""},
    {HTTP_POST, "/token", AUTH_VOTING_TOKEN, BODY_JSON, NULL, IDEMPOTENCY_IN_HANDLER,
     ROUTE_NO_STORE | ROUTE_SECRET_BALLOT, answer_echo, ""},
};
static const struct service voting = {.name = "fuzz",
                                      .wire_name = "fuzz",
                                      .routes = routes,
                                      .route_count = ARRAY_LEN(routes),
                                      .errors = &error_shape_voting,
                                      .cors = &cors_voting};
static const struct service callable = {.name = "fuzz",
                                        .wire_name = "fuzz",
                                        .routes = routes,
                                        .route_count = ARRAY_LEN(routes),
                                        .errors = &error_shape_callable,
                                        .cors = &cors_callable};
static struct service_state state;

void fuzz_start(void)
{
    log_init("fuzz", LOG_CRITICAL, STR("salt"), STDERR_FILENO);
    state.service = &voting;
    state.arena = arena_new(1U << 20);
    state.server.request_budget_ms = 100000;
    state.server.address_failures_max = 1000000000;
    state.server.org_id = "00000000-0000-4000-8000-000000000001";
    state.server.org_slug = "default";
    state.server.gcp_project = "p";
    state.server.trusted_hops = 1;
    state.cors_origins[state.cors_origin_count++] = STR("https://good.example");
    state.identity.app_check_mode = APP_CHECK_ENFORCE;
    state.verifier = (struct firebase_verifier){
        .project_id = "p", .project_number = "1", .allow_unsigned = true};
    state.metrics = metrics_new("fuzz");
    tenants_start(&state);
    must(limits_start(&state) && report_start(&state));
}

static void check_reply(struct arena *a, const struct http_response *out)
{
    struct str type = http_response_header_get(out, "Content-Type");

    must(out->status >= 200 && out->status <= 599);
    for (size_t i = 0; i < out->header_count; i++)
        must(http_is_token(out->headers[i].name) && http_is_field_value(out->headers[i].value));
    must(out->status < 400 || out->body.len > 0 || out->status == 412);
    if (http_media_type_is(type, "application/json"))
        must(json_parse(a, buf_str(&out->body), NULL));
}

void fuzz_input(struct arena *a, struct str input)
{
    struct str shape = fuzz_line(&input);
    struct http_response out = {.arena = a};
    struct http_request req;

    if (!input.ptr || !fuzz_request(a, input, &req))
        return;
    state.service = str_eq(shape, STR("c")) ? &callable : &voting;
    req.arrived_us = clock_mono_us();
    buf_init(&out.body, 1U << 20);
    pipeline_handle(&state, &req, &out, 0);
    check_reply(a, &out);
    buf_done(&out.body);
}
