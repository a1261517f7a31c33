/* login_input.c - what the browser sends, checked once and whole; contract §3.1, M-F42, M-F07 */
#include "handlekenniauth.h"

#define VERIFIER_LETTERS                                                                           \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" /* RFC 7636 §4.1 */

static bool bad_json(const struct request *req, struct login_failure *f, const char *detail)
{
    return login_fail(req, f, LOGIN_INPUT, ERR_BAD_REQUEST, "INVALID_JSON", NULL, detail);
}

static bool bad_input(const struct request *req, struct login_failure *f, const char *detail)
{
    return login_fail(req, f, LOGIN_INPUT, ERR_BAD_REQUEST, "INVALID_INPUT", NULL, detail);
}

/* VSCHAR of RFC 6749 appendix A: codes, states and nonces are made of nothing else. */
static bool is_visible_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7E)
            return false;
    }
    return true;
}

/* Absent and null are the same: the callable-minded front end writes null for undefined. */
static bool read_field(const struct request *req, const cJSON *body, const char *name,
                       size_t max_bytes, struct str *ret, struct login_failure *f)
{
    const cJSON *item = json_get(body, name);

    *ret = STR("");
    if (!item || cJSON_IsNull(item))
        return true;
    if (!cJSON_IsString(item))
        return bad_json(req, f, "a field is not a text");
    *ret = json_str_value(item);
    if (ret->len > max_bytes)
        return bad_input(req, f, "a field is too long");
    return is_visible_ascii(*ret) || bad_input(req, f, "a field holds odd characters");
}

static bool read_redirect(const struct request *req, const cJSON *body, struct login_input *ret,
                          struct login_failure *f)
{
    const struct login_service *service = req->own;
    struct login_failure ignored;

    if (!read_field(req, body, "redirectUri", 2048, &ret->redirect_uri, &ignored) ||
        (ret->redirect_uri.len > 0 &&
         !str_eq_text(ret->redirect_uri, service->settings.redirect_uri) &&
         !service_origin_is_listed(req->state, ret->redirect_uri)))
        return login_fail(req, f, LOGIN_INPUT, ERR_BAD_REQUEST, "INVALID_REDIRECT_URI", NULL,
                          "redirectUri is not listed");
    if (ret->redirect_uri.len == 0)
        ret->redirect_uri = str_from(service->settings.redirect_uri);
    return true;
}

static const cJSON *parse_body(const struct request *req)
{
    struct str type = http_header_get(req->http, "Content-Type");
    struct str encoding = http_header_get(req->http, "Content-Encoding");
    struct str charset;
    const cJSON *body;

    if (!http_media_type_is(type, "application/json") ||
        (encoding.len > 0 && !str_eq_ci(encoding, STR("identity"))) ||
        (http_media_type_param(type, "charset", &charset) && !str_eq_ci(charset, STR("utf-8"))))
        return NULL;
    body = json_parse(req->arena, req->http->body, NULL);
    return cJSON_IsObject(body) ? body : NULL;
}

bool login_input_read(const struct request *req, struct login_input *ret, struct login_failure *f)
{
    const cJSON *body = parse_body(req);

    if (!body)
        return bad_json(req, f, "the body is no JSON object");
    if (!read_field(req, body, "kenniAuthCode", AUTH_CODE_MAX_BYTES, &ret->code, f) ||
        !read_field(req, body, "pkceCodeVerifier", VERIFIER_MAX_BYTES, &ret->verifier, f) ||
        !read_field(req, body, "state", STATE_MAX_BYTES, &ret->state, f) ||
        !read_field(req, body, "nonce", NONCE_MAX_BYTES, &ret->nonce, f))
        return false;
    if (ret->code.len == 0)
        return bad_input(req, f, "kenniAuthCode is missing");
    if (ret->verifier.len < VERIFIER_MIN_BYTES || !str_only(ret->verifier, VERIFIER_LETTERS))
        return bad_input(req, f, "pkceCodeVerifier is not one of RFC 7636");
    return read_redirect(req, body, ret, f);
}
