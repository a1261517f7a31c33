/* pipeline.c - the steps every request takes, in the order service.h gives */
#include "auth/client_address.h"
#include "base/clock.h"
#include "base/encode.h"
#include "service/state.h"

static const struct route ready_route = {
    .method = HTTP_GET,
    .path = "/health/ready",
    .auth = AUTH_PUBLIC,
    .body = BODY_NONE,
    .handler = health_ready,
    .doc = "200 when everything the service depends on answers, else 503",
};

static bool is_correlation_id(struct str s)
{
    return s.len > 0 && s.len <= CORRELATION_ID_MAX_BYTES &&
           str_only(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
}

static struct str correlation_id(const struct http_request *http)
{
    struct str id = http_header_get(http, "X-Correlation-ID");
    char *made;

    if (!is_correlation_id(id))
        id = http_header_get(http, "X-Request-ID");
    if (is_correlation_id(id))
        return id;
    made = arena_alloc(http->arena, UUID_TEXT_SIZE);
    uuid_v4(made);
    return str_from(made);
}

void pipeline_begin(struct service_state *state, const struct http_request *http,
                    struct http_response *out, struct request *req, struct response *res)
{
    char *address = arena_alloc(http->arena, CLIENT_ADDRESS_SIZE);

    client_address(http, (unsigned)state->server.trusted_hops, address);
    *req = (struct request){
        .http = http,
        .arena = http->arena,
        .state = state,
        .own = state->own,
        .correlation_id = correlation_id(http),
        .client_address = str_from(address),
        .deadline_ms = http->arrived_us / 1000 + state->server.request_budget_ms,
    };
    tenants_enter(req, 0);
    *res = (struct response){.http = out, .request = req};
    http_response_header(out, "X-Correlation-ID", req->correlation_id);
}

static bool route_request(struct request *req, struct response *res)
{
    const struct service *service = req->state->service;
    const struct http_request *http = req->http;
    bool path_known = false;

    if (str_eq(http->path, STR("/health/ready")) &&
        (http->method == HTTP_GET || http->method == HTTP_HEAD))
        req->route = &ready_route;
    else
        req->route = router_find(service, http->method, http->path, req->params, &path_known);
    tracing_begin(req);
    if (cors_apply(req->state, req, res))
        return false;
    if (!req->route) {
        enum error_code code = path_known ? service->errors->wrong_method : ERR_NOT_FOUND;

        respond_error(res, code,
                      arena_printf(req->arena, "Route %s %.*s not found",
                                   http_method_name(http->method),
                                   STR_ARG(str_take(http->path, 200)))
                          .ptr);
        return false;
    }
    if (req->route->flags & ROUTE_LONG)
        req->deadline_ms = http->arrived_us / 1000 + service->long_budget_ms(req->state);
    for (size_t i = 0; i < ROUTE_PARAMS_MAX && req->params[i].ptr; i++) {
        if (!http_url_decode(req->arena, req->params[i], false, &req->params[i])) {
            respond_error(res, ERR_NOT_FOUND, "There is nothing at this address.");
            return false;
        }
    }
    return true;
}

static bool is_utf8_charset(struct str content_type)
{
    struct str charset;

    return !http_media_type_param(content_type, "charset", &charset) ||
           str_eq_ci(charset, STR("utf-8")) || str_eq_ci(charset, STR("utf8")) ||
           str_eq_ci(charset, STR("us-ascii"));
}

/* Bodies of other media types count as {} (contract §0); of a callable they are an error
 * (members.md §2.1). */
static bool read_json(struct request *req, struct response *res)
{
    struct str type = http_header_get(req->http, "Content-Type");
    struct str encoding = http_header_get(req->http, "Content-Encoding");
    struct error e = {0};

    req->body = json_object(req->arena);
    if (encoding.len > 0 && !str_eq_ci(encoding, STR("identity"))) {
        respond_error(res, ERR_UNSUPPORTED_MEDIA, "Content-Encoding is not supported.");
        return false;
    }
    if (!http_media_type_is(type, "application/json") || req->http->body.len == 0)
        return true;
    if (!is_utf8_charset(type)) {
        respond_error(res, ERR_UNSUPPORTED_MEDIA,
                      "The charset of the body is not supported; use UTF-8.");
        return false;
    }
    req->body = json_parse(req->arena, req->http->body, &e);
    if (!req->body || !(cJSON_IsObject(req->body) || cJSON_IsArray(req->body))) {
        respond_error(res, ERR_BAD_REQUEST, "The body is not valid JSON.");
        res->log_reason = arena_text(req->arena, str_from(e.detail));
        return false;
    }
    return true;
}

/* {"data": …} and nothing else (firebase.google.com/docs/functions/callable-reference). */
static bool read_callable(struct request *req, struct response *res)
{
    static const char *const known[] = {"data", NULL};
    const cJSON *data;

    if (!http_media_type_is(http_header_get(req->http, "Content-Type"), "application/json") ||
        !read_json(req, res)) {
        respond_error(res, ERR_BAD_REQUEST, "Bad Request");
        return false;
    }
    data = json_get(req->body, "data");
    if (!data || json_unknown_member(req->body, known)) {
        respond_error(res, ERR_BAD_REQUEST, "Bad Request");
        return false;
    }
    req->body = data;
    return true;
}

static bool read_body(struct request *req, struct response *res)
{
    switch (req->route->body) {
    case BODY_JSON:
        return read_json(req, res);
    case BODY_CALLABLE:
        return read_callable(req, res);
    case BODY_NONE:
    case BODY_RAW:
        return true;
    }
    return true;
}

static bool read_idempotency_key(struct request *req, struct response *res)
{
    struct str key = http_header_get(req->http, "X-Idempotency-Key");

    if (req->route->idempotency == IDEMPOTENCY_NONE || key.ptr == NULL)
        return true;
    if (key.len < 1 || key.len > IDEMPOTENCY_KEY_MAX_BYTES || !http_is_token(key) ||
        http_header_count(req->http, "X-Idempotency-Key") != 1) {
        respond_error(res, ERR_BAD_REQUEST,
                      "X-Idempotency-Key must be one token of 1 to 128 characters.");
        return false;
    }
    req->idempotency_key = key;
    return true;
}

static void run(struct request *req, struct response *res)
{
    if (!route_request(req, res) || !read_body(req, res) || !authenticate(req, res) ||
        !limits_admit(req, res) || !read_idempotency_key(req, res))
        return;
    if (idempotency_begin(req, res) == IDEMPOTENCY_ANSWERED)
        return;
    req->route->handler(req, res);
    must(res->http->status != 0);
    idempotency_end(req, res);
}

/* Weak validators on plain GET replies (contract §0): the same bytes get the same tag. */
static void add_etag(const struct request *req, struct response *res)
{
    struct str tag, known = http_header_get(req->http, "If-None-Match");
    char hex[CONTENT_TAG_SIZE];

    if (!(req->http->method == HTTP_GET || req->http->method == HTTP_HEAD) ||
        res->http->status != 200 || !req->route || (req->route->flags & ROUTE_NO_STORE) ||
        http_response_header_get(res->http, "ETag").ptr)
        return;
    content_tag(buf_str(&res->http->body), hex);
    tag = arena_printf(req->arena, "W/\"%s\"", hex);
    http_response_header(res->http, "ETag", tag);
    if (known.len > 0 && str_contains(known, tag)) {
        res->http->status = 304;
        buf_clear(&res->http->body);
    }
}

void pipeline_handle(void *context, const struct http_request *http, struct http_response *out,
                     unsigned worker)
{
    struct service_state *state = context;
    struct request req;
    struct response res;

    (void)worker;
    pipeline_begin(state, http, out, &req, &res);
    run(&req, &res);
    if (req.route && (req.route->flags & ROUTE_NO_STORE))
        respond_no_store(&res);
    add_etag(&req, &res);
    limits_account(&req, &res);
    report_request(&req, &res);
    tracing_end(&req, &res);
}

void pipeline_refuse(void *context, enum http_refusal why, enum error_code code, const char *reason,
                     const struct http_request *http, struct http_response *out)
{
    static const struct http_request nothing = {.method = HTTP_OTHER};
    struct service_state *state = context;
    struct http_request unknown = nothing;
    struct request req;
    struct response res;
    const char *message = why == HTTP_REFUSED_HEAD
                              ? "The request is not well formed."
                              : "The service is busy. Please try again in a moment.";

    if (!http) {
        unknown.arena = out->arena;
        unknown.arrived_us = clock_mono_us();
        unknown.arrived_unix_ms = clock_unix_ms();
        http = &unknown;
    }
    pipeline_begin(state, http, out, &req, &res);
    if (http != &unknown) {
        bool path_known;

        req.route = router_find(state->service, http->method, http->path, req.params, &path_known);
        tracing_begin(&req);
        /* Browsers only show a page the 503 it may read. A busy reply to a preflight is still a
         * busy reply. */
        if (http->method != HTTP_OPTIONS)
            (void)cors_apply(state, &req, &res);
    }
    if (code == ERR_TOO_LARGE)
        message = "The body is too large.";
    respond_error(&res, code, message);
    res.log_reason = reason;
    report_request(&req, &res);
    tracing_end(&req, &res);
}
