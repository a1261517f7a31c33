#include "net/http.h"

#include "base/must.h"
#include "net/http_bytes.h"

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},     {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},       {"PUT", HTTP_PUT},
    {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
};

const char *http_method_name(enum http_method method)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "OTHER";
}

enum http_method http_method_parse(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq_text(name, methods[i].name))
            return methods[i].method;
    return HTTP_OTHER;
}

static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_texts); i++)
        if (status_texts[i].status == status)
            return status_texts[i].text;
    return "Other";
}

struct str http_header_get(const struct http_request *req, const char *name)
{
    struct str wanted = str_from(name);
    for (size_t i = 0; i < req->header_count; i++)
        if (str_eq_ci(req->headers[i].name, wanted))
            return req->headers[i].value;
    return (struct str){NULL, 0};
}

size_t http_header_count(const struct http_request *req, const char *name)
{
    struct str wanted = str_from(name);
    size_t count = 0;
    for (size_t i = 0; i < req->header_count; i++)
        count += str_eq_ci(req->headers[i].name, wanted);
    return count;
}

bool http_url_decode(struct arena *a, struct str text, bool plus_is_space, struct str *ret)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3)
                return false;
            int high = http_hex_value(text.ptr[i + 1]);
            int low = http_hex_value(text.ptr[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        out[n++] = c;
    }
    if (!str_is_utf8(str_n(out, n)))
        return false;
    *ret = str_n(out, n);
    return true;
}

bool http_query_parse(struct arena *a, struct str query,
                      struct http_param params[HTTP_QUERY_PARAMS_MAX], size_t *ret_count)
{
    size_t count = 0;
    struct str rest = query;
    struct str pair;
    while (str_split(&rest, '&', &pair)) {
        if (pair.len == 0)
            continue;
        if (count == HTTP_QUERY_PARAMS_MAX)
            return false;
        size_t equals = str_find_char(pair, '=');
        if (!http_url_decode(a, str_take(pair, equals), true, &params[count].name) ||
            !http_url_decode(a, str_skip(pair, equals + 1), true, &params[count].value))
            return false;
        count++;
    }
    *ret_count = count;
    return true;
}

static size_t header_find(const struct http_response *res, struct str name)
{
    size_t i = 0;
    while (i < res->header_count && !str_eq_ci(res->headers[i].name, name))
        i++;
    return i;
}

void http_response_header(struct http_response *res, const char *name, struct str value)
{
    must(http_is_token(str_from(name)));
    must(http_is_field_value(value));
    size_t i = header_find(res, str_from(name));
    must(i < HTTP_HEADERS_MAX);
    if (i == res->header_count) {
        res->headers[i].name = arena_dup(res->arena, str_from(name));
        res->header_count++;
    }
    res->headers[i].value = arena_dup(res->arena, value);
}

struct str http_response_header_get(const struct http_response *res, const char *name)
{
    size_t i = header_find(res, str_from(name));
    return i < res->header_count ? res->headers[i].value : (struct str){NULL, 0};
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_byte_is(s.ptr[i], IN_TOKEN))
            return false;
    return s.len > 0;
}

bool http_is_field_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_byte_is(s.ptr[i], IN_VALUE))
            return false;
    return true;
}

bool http_media_type_is(struct str content_type, const char *type)
{
    struct str media = str_take(content_type, str_find_char(content_type, ';'));
    return str_eq_ci(str_trim(media), str_from(type));
}

/* Takes `token` or `"quoted"` off the front of *rest. False when it is neither. */
static bool take_param_value(struct str *rest, struct str *ret)
{
    if (rest->len > 0 && rest->ptr[0] == '"') {
        struct str inside = str_skip(*rest, 1);
        size_t end = str_find_char(inside, '"');
        *ret = str_take(inside, end);
        *rest = str_skip(inside, end + 1);
        return end < inside.len && str_find_char(*ret, '\\') == ret->len;
    }
    size_t end = 0;
    while (end < rest->len && http_byte_is(rest->ptr[end], IN_TOKEN))
        end++;
    *ret = str_take(*rest, end);
    *rest = str_skip(*rest, end);
    return end > 0;
}

bool http_media_type_param(struct str content_type, const char *name, struct str *ret)
{
    struct str rest = str_skip(content_type, str_find_char(content_type, ';'));
    while (rest.len > 0) {
        if (rest.ptr[0] != ';')
            return false;
        rest = str_trim(str_skip(rest, 1));
        size_t equals = str_find_char(rest, '=');
        struct str found = str_take(rest, equals);
        if (!http_is_token(found)) {
            /* An empty parameter ("a/b;; c=d") is allowed, anything else ends the search. */
            if (rest.len > 0 && rest.ptr[0] == ';')
                continue;
            return false;
        }
        struct str value;
        rest = str_skip(rest, equals + 1);
        if (!take_param_value(&rest, &value))
            return false;
        if (str_eq_ci(found, str_from(name))) {
            *ret = value;
            return true;
        }
        rest = str_trim(rest);
    }
    return false;
}
