/* respond.c - replies; see request.h */
#include "service/state.h"

#define BODY_RESERVE_MAX (8U << 20)

void respond_header(struct response *res, const char *name, const char *value)
{
    http_response_header(res->http, name, str_from(value));
}

void respond_no_store(struct response *res)
{
    respond_header(res, "Cache-Control", "no-store, no-cache, must-revalidate, private, max-age=0");
}

static void begin(struct response *res, int status, const char *content_type)
{
    buf_clear(&res->http->body);
    res->http->body.max_bytes = BODY_RESERVE_MAX;
    res->http->status = status;
    res->error = ERR_NONE;
    if (content_type)
        respond_header(res, "Content-Type", content_type);
}

void respond_empty(struct response *res, int status)
{
    begin(res, status, NULL);
}

void respond_text(struct response *res, int status, const char *content_type, struct str body)
{
    begin(res, status, content_type);
    must(buf_add(&res->http->body, body));
}

void respond_json(struct response *res, int status, const cJSON *body)
{
    begin(res, status, "application/json; charset=utf-8");
    must(json_write(&res->http->body, body));
}

void respond_retry_after(struct response *res, unsigned seconds)
{
    struct str text = arena_printf(res->http->arena, "%u", seconds);

    http_response_header(res->http, "Retry-After", text);
}

void respond_error_extra(struct response *res, enum error_code code, const char *message,
                         const cJSON *extra)
{
    const struct error_shape *shape = res->request->state->service->errors;
    unsigned retry_after_s = 0;
    int64_t seconds;

    begin(res, error_http_status(code), shape->content_type);
    res->error = code;
    if (code == ERR_UNAVAILABLE || code == ERR_RATE_LIMITED) {
        struct str set = http_response_header_get(res->http, "Retry-After");

        retry_after_s = str_parse_i64(set, 1, 86400, &seconds) ? (unsigned)seconds : 1;
        respond_retry_after(res, retry_after_s);
    }
    shape->write(&res->http->body, res->request, code, message, retry_after_s, extra);
}

void respond_error(struct response *res, enum error_code code, const char *message)
{
    respond_error_extra(res, code, message, NULL);
}

/* What people are told when a part of ours failed; the detail stays in the log. */
static const char *message_of(enum error_code code)
{
    if (code == ERR_UNAVAILABLE)
        return "The service is busy. Please try again in a moment.";
    if (code == ERR_GATEWAY_TIMEOUT || code == ERR_BAD_GATEWAY)
        return "A service this one depends on did not answer. Please try again in a moment.";
    if (code == ERR_BAD_REQUEST)
        return "The request is not valid.";
    if (code == ERR_UNAUTHENTICATED)
        return "Authentication failed.";
    return "An unexpected error occurred.";
}

void respond_failure(struct response *res, const struct error *e)
{
    /* An aborted transaction and a lost upstream may be tried again: say so in the one way clients
     * know. */
    enum error_code code = e->code == ERR_ABORTED ? ERR_UNAVAILABLE : e->code;

    if (code == ERR_NONE)
        code = ERR_INTERNAL;
    respond_error(res, code, message_of(code));
    res->log_reason = arena_text(res->http->arena, str_from(e->detail));
}

bool request_query(const struct request *req, const char *name, struct str *ret)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    size_t count = 0;

    if (!http_query_parse(req->arena, req->http->query, params, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (str_eq_text(params[i].name, name)) {
            *ret = params[i].value;
            return true;
        }
    }
    return false;
}

/* --- shapes
 * ----------------------------------------------------------------------------------------- */

static void add_members(struct buf *out, const cJSON *extra)
{
    const cJSON *member;

    if (!extra)
        return;
    cJSON_ArrayForEach(member, extra)
    {
        buf_add_char(out, ',');
        buf_add_json_string(out, str_from(member->string));
        buf_add_char(out, ':');
        json_write(out, member);
    }
}

static void write_voting(struct buf *out, const struct request *req, enum error_code code,
                         const char *message, unsigned retry_after_s, const cJSON *extra)
{
    buf_add_text(out, "{\"error\":");
    buf_add_json_string(out, str_from(error_text(code)));
    buf_add_text(out, ",\"message\":");
    buf_add_json_string(out, str_from(message));
    /* Contract §7.3 gives the limiter's 429 a phrase, §2.3 the 503 a number. */
    if (code == ERR_UNAVAILABLE)
        buf_printf(out, ",\"retryAfter\":%u", retry_after_s);
    else if (code == ERR_RATE_LIMITED)
        buf_add_text(out, ",\"retryAfter\":\"1 minute\"");
    add_members(out, extra);
    if (req && !str_is_empty(req->correlation_id)) {
        buf_add_text(out, ",\"correlation_id\":");
        buf_add_json_string(out, req->correlation_id);
    }
    buf_add_char(out, '}');
}

static void write_callable(struct buf *out, const struct request *req, enum error_code code,
                           const char *message, unsigned retry_after_s, const cJSON *extra)
{
    (void)req;
    (void)retry_after_s;
    buf_add_text(out, "{\"error\":{\"status\":");
    buf_add_json_string(out, str_from(error_callable_status(code)));
    buf_add_text(out, ",\"message\":");
    buf_add_json_string(out, str_from(message));
    if (extra) {
        buf_add_text(out, ",\"details\":");
        json_write(out, extra);
    }
    buf_add_text(out, "}}");
}

const struct error_shape error_shape_voting = {
    .wrong_method = ERR_NOT_FOUND,
    .content_type = "application/json; charset=utf-8",
    .write = write_voting,
};
const struct error_shape error_shape_callable = {
    .wrong_method = ERR_BAD_REQUEST,
    .content_type = "application/json; charset=utf-8",
    .write = write_callable,
};
