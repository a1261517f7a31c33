/* google.c - replies and refusals in the shape of Google's JSON APIs; see google.h */
#include "google.h"

#include <stdarg.h>

#define REPLY_MAX_BYTES (8U << 20)

struct gstatus_row {
    enum gstatus status;
    int http;
    enum error_code error;
    const char *name;
};

static const struct gstatus_row rows[] = {
#define X(name, number, http, error) {GSTATUS_##name, http, error, #name},
    GSTATUS_TABLE(X)
#undef X
};

bool refuse(struct refusal *r, enum gstatus status, const char *format, ...)
{
    va_list args;

    r->status = status;
    va_start(args, format);
    vsnprintf(r->message, sizeof(r->message), format, args);
    va_end(args);
    return false;
}

int gstatus_http(enum gstatus status)
{
    return rows[status].http;
}

const char *gstatus_name(enum gstatus status)
{
    return rows[status].name;
}

bool gstatus_parse(struct str name, enum gstatus *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eq_text(name, rows[i].name)) {
            *ret = rows[i].status;
            return true;
        }
    }
    return false;
}

void reply_refusal(struct response *res, const struct refusal *r)
{
    struct buf b;

    /* Written by hand because a message that was cut may end within a character. */
    buf_init(&b, 4096);
    buf_printf(&b, "{\"error\":{\"code\":%d,\"message\":", gstatus_http(r->status));
    buf_add_json_string(&b, str_from(r->message));
    buf_printf(&b, ",\"status\":\"%s\"}}", gstatus_name(r->status));
    respond_text(res, gstatus_http(r->status), "application/json; charset=utf-8", buf_str(&b));
    buf_done(&b);
    res->error = rows[r->status].error;
}

void reply_json(struct response *res, const cJSON *tree)
{
    struct refusal r;
    struct buf b;

    buf_init(&b, REPLY_MAX_BYTES);
    if (json_write(&b, tree)) {
        respond_text(res, 200, "application/json; charset=utf-8", buf_str(&b));
    } else {
        refuse(&r, GSTATUS_RESOURCE_EXHAUSTED, "the answer would have more than 8 MiB");
        reply_refusal(res, &r);
    }
    buf_done(&b);
}

const cJSON *body_object(const struct request *req, struct refusal *r)
{
    struct error e;
    const cJSON *body;

    if (req->http->body.len == 0)
        return json_object(req->arena);
    body = json_parse(req->arena, req->http->body, &e);
    if (!cJSON_IsObject(body)) {
        refuse(r, GSTATUS_INVALID_ARGUMENT, "Payload isn't valid for request.");
        return NULL;
    }
    return body;
}

bool known_members(const cJSON *object, const char *const *known, struct refusal *r)
{
    const char *unknown = cJSON_IsObject(object) ? json_unknown_member(object, known) : "";

    return !unknown || refuse(r, GSTATUS_INVALID_ARGUMENT,
                              "Payload isn't valid for request. Unknown name \"%s\".", unknown);
}

bool caller_is_allowed(const struct request *req, struct refusal *r)
{
    struct str credential = http_header_get(req->http, "Authorization");

    return credential.len == 0 || str_eq(credential, STR("Bearer owner")) ||
           str_eq(credential, STR("Bearer " LOCAL_ACCESS_TOKEN)) ||
           refuse(r, GSTATUS_INVALID_ARGUMENT, "invalid jwt");
}
