/*
 * django_call.c - one call of the register's API
 *
 * What Django says in words stays here: neither a reply nor a log line gets it (M-F28).
 */
#include "updatememberprofile.h"

#define ANSWER_MAX_BYTES 262144
#define BODY_MAX         65536

static enum error_code code_of(int status)
{
    switch (status) {
    case 400:
        return ERR_BAD_REQUEST;
    case 404:
        return ERR_NOT_FOUND;
    case 401:
    case 403:
        return ERR_INTERNAL;
    default:
        return status >= 500 || status == 429 ? ERR_UNAVAILABLE : ERR_BAD_GATEWAY;
    }
}

/* One attempt for writes: whoever wants another one decides so with what is known then. */
bool django_ask(const struct profile_service *service, enum http_method method, struct str path,
                const cJSON *body, struct arena *a, int64_t deadline_ms, const cJSON **ret,
                struct error *e)
{
    const struct profile_settings *s = service->settings;
    const struct http_header headers[] = {
        {STR("Authorization"), arena_printf(a, "Token %s", s->django_token)},
        {STR("Accept"), STR("application/json")},
        {STR("Content-Type"), STR("application/json")},
    };
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    struct http_call request = {
        .method = method,
        .url = arena_printf(a, "%s%.*s", s->base_url, STR_ARG(path)),
        .headers = headers,
        .header_count = body ? 3 : 2,
        .deadline_ms = deadline_ms,
        .attempt_timeout_ms = s->django_timeout_ms,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .attempts_max = method == HTTP_GET ? 3 : 1,
        .repeatable = method == HTTP_GET,
    };
    struct buf text;

    if (!s->django_token[0])
        return error_set(e, ERR_INTERNAL, "DJANGO_API_TOKEN is not set");
    buf_init(&text, BODY_MAX);
    if (body) {
        must(json_write(&text, body));
        request.body = arena_dup(a, buf_str(&text));
    }
    buf_done(&text);
    if (!http_client_call(service->django, &request, a, answer, NULL, e))
        return false;
    if (answer->status != 200 && answer->status != 201)
        return error_set(e, code_of(answer->status), "django: status %d", answer->status);
    *ret = json_parse(a, answer->body, NULL);
    return *ret || error_set(e, ERR_BAD_GATEWAY, "django: not JSON");
}
