/*
 * exchange.c - the one-time code against an ID token (RFC 6749 §4.1.3, RFC 7636 §4.5)
 *
 * Asked once, on a connection of its own: a code that arrives twice is refused and, with some
 * providers, ends the first session too. Only the OAuth error code of a refusal is kept; the rest
 * of the answer is neither stored nor logged.
 */
#include "handlekenniauth.h"

#include "base/clock.h"

#define FORM_MAX_BYTES   8192
#define ANSWER_MAX_BYTES 65536

static void add_field(struct buf *form, const char *name, struct str value)
{
    if (form->len > 0)
        buf_add_char(form, '&');
    buf_add_text(form, name);
    buf_add_char(form, '=');
    buf_add_url(form, value);
}

static void write_form(struct buf *form, const struct login_settings *settings,
                       const struct login_input *input)
{
    buf_init(form, FORM_MAX_BYTES);
    add_field(form, "grant_type", STR("authorization_code"));
    add_field(form, "code", input->code);
    add_field(form, "redirect_uri", input->redirect_uri);
    add_field(form, "client_id", str_from(settings->client_id));
    add_field(form, "client_secret", str_from(settings->client_secret));
    add_field(form, "code_verifier", input->verifier);
}

static bool fail(const struct request *req, struct login_failure *f, enum error_code code,
                 const char *reason, const char *detail)
{
    return login_fail(req, f, LOGIN_EXCHANGE, code, "TOKEN_EXCHANGE_FAILED", reason, detail);
}

/* What the codes of RFC 6749 §5.2 mean to the person at the browser; anything else is "other" and
 * not repeated. */
static bool fail_by_oauth_error(const struct request *req, struct login_failure *f, int status,
                                struct str code)
{
    static const struct {
        const char *code, *reason;
    } known[] = {
        {"invalid_grant", "code_rejected"},
        {"invalid_request", "misconfigured"},
        {"invalid_client", "misconfigured"},
        {"unauthorized_client", "misconfigured"},
        {"unsupported_grant_type", "misconfigured"},
        {"invalid_scope", "misconfigured"},
        {"temporarily_unavailable", "provider_error"},
        {"server_error", "provider_error"},
    };
    const char *name = "other", *reason = "provider_error";

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq_text(code, known[i].code)) {
            name = known[i].code;
            reason = known[i].reason;
        }
    }
    (void)fail(req, f, ERR_BAD_GATEWAY, reason,
               arena_printf(req->arena, "token endpoint: status %d, error %s", status, name).ptr);
    if (strcmp(reason, "code_rejected") == 0)
        f->outcome = LOGIN_CODE;
    return false;
}

static bool read_answer(const struct request *req, const struct http_answer *answer,
                        struct kenni_tokens *ret, struct login_failure *f)
{
    bool is_json =
        http_media_type_is(http_answer_header(answer, "Content-Type"), "application/json");
    const cJSON *body = is_json ? json_parse(req->arena, answer->body, NULL) : NULL;
    struct str code = STR("");

    if (answer->status >= 400) {
        (void)json_str(body, "error", &code);
        return fail_by_oauth_error(req, f, answer->status, code);
    }
    if (answer->status != 200 || !cJSON_IsObject(body))
        return fail(req, f, ERR_BAD_GATEWAY, "provider_error",
                    "token endpoint: no answer of RFC 6749");
    *ret = (struct kenni_tokens){STR(""), STR("")};
    (void)json_str(body, "access_token", &ret->access_token);
    if (!json_str(body, "id_token", &ret->id_token) || ret->id_token.len == 0)
        return login_fail(req, f, LOGIN_EXCHANGE, ERR_INTERNAL, "INTERNAL", "provider_error",
                          "token endpoint: no id_token");
    return true;
}

bool exchange_code(const struct request *req, const struct login_input *input,
                   const struct provider_endpoints *at, struct kenni_tokens *ret,
                   struct login_failure *f)
{
    const struct login_service *service = req->own;
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/x-www-form-urlencoded")},
        {STR("Accept"), STR("application/json")}};
    struct http_answer *answer = ARENA_NEW(req->arena, struct http_answer);
    int64_t until_ms = clock_mono_ms() + service->settings.exchange_timeout_ms;
    struct error e = {0};
    struct buf form;
    bool answered;

    write_form(&form, &service->settings, input);
    must(!form.overflow);

    const struct http_call call = {
        .method = HTTP_POST,
        .url = at->token,
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .body = buf_str(&form),
        .deadline_ms = until_ms < req->deadline_ms ? until_ms : req->deadline_ms,
        .answer_max_bytes = ANSWER_MAX_BYTES,
    };

    answered = http_client_call(service->kenni, &call, req->arena, answer, NULL, &e);
    explicit_bzero(form.ptr, form.len);
    buf_done(&form);
    if (answered)
        return read_answer(req, answer, ret, f);
    return fail(req, f, e.code == ERR_GATEWAY_TIMEOUT ? ERR_GATEWAY_TIMEOUT : ERR_BAD_GATEWAY,
                e.code == ERR_GATEWAY_TIMEOUT ? "provider_timeout" : "provider_unreachable",
                e.detail);
}

bool exchange_userinfo(const struct request *req, const struct provider_endpoints *at,
                       const struct kenni_tokens *tokens, struct str subject,
                       const cJSON **ret_claims, struct error *e)
{
    const struct login_service *service = req->own;
    struct http_answer *answer = ARENA_NEW(req->arena, struct http_answer);
    struct http_header headers[] = {{STR("Authorization"), {NULL, 0}},
                                    {STR("Accept"), STR("application/json")}};
    int64_t until_ms = clock_mono_ms() + service->settings.exchange_timeout_ms;
    struct str sub;

    if (at->userinfo.len == 0 || tokens->access_token.len == 0 ||
        !http_is_field_value(tokens->access_token))
        return error_set(e, ERR_BAD_GATEWAY, "userinfo: not offered");
    headers[0].value = arena_printf(req->arena, "Bearer %.*s", STR_ARG(tokens->access_token));

    const struct http_call call = {
        .method = HTTP_GET,
        .url = at->userinfo,
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .deadline_ms = until_ms < req->deadline_ms ? until_ms : req->deadline_ms,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .attempts_max = 2,
        .repeatable = true,
    };

    if (!http_client_call(service->kenni, &call, req->arena, answer, NULL, e))
        return false;
    if (answer->status != 200 ||
        !http_media_type_is(http_answer_header(answer, "Content-Type"), "application/json"))
        return error_set(e, ERR_BAD_GATEWAY, "userinfo: status %d", answer->status);
    *ret_claims = json_parse(req->arena, answer->body, NULL);
    /* Somebody else's answer must not pass as this person's (OpenID Connect Core §5.3.2). */
    if (!json_str(*ret_claims, "sub", &sub) || !str_eq(sub, subject))
        return error_set(e, ERR_BAD_GATEWAY, "userinfo: not about the token's subject");
    return true;
}
