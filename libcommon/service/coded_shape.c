/* coded_shape.c - errors of the plain JSON services of the members' platform; members.md §3.1,
 * §3.11 */
#include "service/service.h"

/* What a refusal of the pipeline is called where the handler has not named it. */
static const char *code_text(enum error_code code)
{
    switch ((int)code) {
    case ERR_BAD_REQUEST:
        return "INVALID_JSON";
    case ERR_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    case ERR_FORBIDDEN:
    case ERR_APP_CHECK:
        return "FORBIDDEN";
    case ERR_NOT_FOUND:
        return "NOT_FOUND";
    case ERR_METHOD_NOT_ALLOWED:
        return "METHOD_NOT_ALLOWED";
    case ERR_REQUEST_TIMEOUT:
        return "REQUEST_TIMEOUT";
    case ERR_TOO_LARGE:
    case ERR_HEAD_TOO_LARGE:
        return "TOO_LARGE";
    case ERR_UNSUPPORTED_MEDIA:
        return "UNSUPPORTED_MEDIA_TYPE";
    case ERR_RATE_LIMITED:
        return "RATE_LIMITED";
    case ERR_UNAVAILABLE:
        return "UNAVAILABLE";
    case ERR_BAD_GATEWAY:
        return "BAD_GATEWAY";
    case ERR_GATEWAY_TIMEOUT:
        return "GATEWAY_TIMEOUT";
    default:
        return "INTERNAL";
    }
}

static void add_member(struct buf *out, const char *name, struct str value)
{
    buf_add_text(out, ",\"");
    buf_add_text(out, name);
    buf_add_text(out, "\":");
    buf_add_json_string(out, value);
}

static void write_coded(struct buf *out, const struct request *req, enum error_code code,
                        const char *message, unsigned retry_after_s, const cJSON *extra)
{
    struct str name = str_from(code_text(code));
    const cJSON *member;

    (void)json_str(extra, "error", &name);
    buf_add_text(out, "{\"error\":");
    buf_add_json_string(out, name);
    add_member(out, "message", str_from(message));
    if (req)
        add_member(out, "correlationId", req->correlation_id);
    if (retry_after_s > 0)
        buf_printf(out, ",\"retryAfter\":%u", retry_after_s);
    cJSON_ArrayForEach(member, extra)
    {
        if (cJSON_IsString(member) && strcmp(member->string, "error") != 0)
            add_member(out, member->string, json_str_value(member));
    }
    buf_add_char(out, '}');
}

const struct error_shape error_shape_coded = {
    .wrong_method = ERR_METHOD_NOT_ALLOWED,
    .content_type = "application/json; charset=utf-8",
    .write = write_coded,
};
