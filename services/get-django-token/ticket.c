/*
 * ticket.c - a ticket of Django's in place of the token that opens everything; contract §14 D8
 *
 * POST {base}{path} {"scope","ttl_s"} gives {"ticket","expires_at"}. Where the setting asks for
 * tickets there is no way back to the token: a failure is a failure.
 */
#include "base/clock.h"
#include "get_django_token.h"

#define TICKET_MAX_BYTES 512
#define ANSWER_MAX_BYTES 8192
#define TIMEOUT_MS       8000

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] > 0x7e)
            return false;
    }
    return s.len > 0 && s.len <= TICKET_MAX_BYTES;
}

static bool read_answer(const struct http_answer *answer, struct arena *a, struct issue *ret,
                        struct error *e)
{
    char ends[CLOCK_ISO_SIZE];
    const cJSON *body;
    int64_t ends_ms;

    if (answer->status != 200 && answer->status != 201)
        return error_set(e, ERR_BAD_GATEWAY, "ticket: status %d", answer->status);
    body = json_parse(a, answer->body, NULL);
    if (!json_str(body, "ticket", &ret->token) || !is_visible(ret->token))
        return error_set(e, ERR_BAD_GATEWAY, "ticket: none in the answer");
    if (!json_str(body, "expires_at", &ret->expires_at) ||
        !clock_parse_rfc3339(ret->expires_at, &ends_ms) || ends_ms <= clock_unix_ms())
        return error_set(e, ERR_BAD_GATEWAY, "ticket: no end in the future");
    clock_iso_utc(ends_ms, ends); /* in the one form that dates have on our wire */
    ret->expires_at = arena_dup(a, str_from(ends));
    return true;
}

bool ticket_fetch(const struct token_service *service, struct arena *a, int64_t deadline_ms,
                  struct issue *ret, struct error *e)
{
    const struct token_settings *s = service->settings;
    const struct http_header headers[] = {
        {STR("Authorization"), arena_printf(a, "Token %s", s->django_token)},
        {STR("Content-Type"), STR("application/json")},
        {STR("Accept"), STR("application/json")},
    };
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    cJSON *body = json_object(a);
    struct buf text;
    bool arrived;

    json_add_text(body, "scope", s->ticket_scope);
    json_add_i64(body, "ttl_s", s->ticket_ttl_s);
    buf_init(&text, ANSWER_MAX_BYTES);
    must(json_write(&text, body));

    const struct http_call call = {
        .method = HTTP_POST,
        .url = arena_printf(a, "%s%s", s->base_url, s->ticket_path),
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .body = arena_dup(a, buf_str(&text)),
        .deadline_ms = deadline_ms,
        .attempt_timeout_ms = TIMEOUT_MS,
        .answer_max_bytes = ANSWER_MAX_BYTES,
    };

    buf_done(&text);
    arrived = http_client_call(service->django, &call, a, answer, NULL, e);
    return arrived && read_answer(answer, a, ret, e);
}
