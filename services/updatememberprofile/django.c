/*
 * django.c - the register's API; contract members.md §6
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
static bool call(const struct profile_service *service, enum http_method method, struct str path,
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
    if (answer->status != 200)
        return error_set(e, code_of(answer->status), "django: status %d", answer->status);
    *ret = json_parse(a, answer->body, NULL);
    return cJSON_IsObject(*ret) || error_set(e, ERR_BAD_GATEWAY, "django: not a JSON object");
}

static bool is_of(const cJSON *member, const char *kennitala)
{
    char number[KENNITALA_SIZE];
    struct str ssn = STR("");

    return json_str(member, "ssn", &ssn) && kennitala_normalise(ssn, number) &&
           strcmp(number, kennitala) == 0;
}

static bool member_call(const struct profile_service *service, enum http_method method, int64_t id,
                        const char *kennitala, const cJSON *body, struct arena *a,
                        int64_t deadline_ms, const cJSON **ret, struct error *e)
{
    struct str path = arena_printf(a, "/api/full/%lld/", (long long)id);

    if (!call(service, method, path, body, a, deadline_ms, ret, e))
        return false;
    return is_of(*ret, kennitala) ||
           error_set(e, ERR_FORBIDDEN, "django: the record is somebody else's");
}

bool django_read(const struct profile_service *service, int64_t id, const char *kennitala,
                 struct arena *a, int64_t deadline_ms, const cJSON **ret, struct error *e)
{
    return member_call(service, HTTP_GET, id, kennitala, NULL, a, deadline_ms, ret, e);
}

bool django_patch(const struct profile_service *service, int64_t id, const char *kennitala,
                  const cJSON *patch, struct arena *a, int64_t deadline_ms, const cJSON **ret,
                  struct error *e)
{
    return member_call(service, HTTP_PATCH, id, kennitala, patch, a, deadline_ms, ret, e);
}

static void add_text(cJSON *to, const char *name, const cJSON *from)
{
    const cJSON *item = json_get(from, name);

    if (cJSON_IsNumber(item))
        json_add_i64(to, name, (int64_t)item->valuedouble);
    else
        json_add_str(to, name, json_str_value(item));
}

void django_send_address(const struct profile_service *service, const char *kennitala,
                         const cJSON *address, struct arena *a, int64_t deadline_ms,
                         struct address_outcome *ret)
{
    static const char *const names[] = {"street", "number", "letter", "postal_code", "city"};
    cJSON *body = json_object(a), *inner;
    const cJSON *answer;
    struct error e = {0};
    int64_t point;

    *ret = (struct address_outcome){.code = ERR_NONE};
    json_add_text(body, "kennitala", kennitala);
    if (json_i64(address, "hnitnum", &point))
        json_add_i64(body, "hnitnum", point);
    inner = json_add_object(body, "address");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        add_text(inner, names[i], address);
    json_add_text(inner, "country", "IS");
    if (!call(service, HTTP_POST, STR("/api/sync/address/"), body, a, deadline_ms, &answer, &e)) {
        ret->code = e.code;
        return;
    }
    /* 200 alone says nothing (M-F29). */
    (void)json_bool(answer, "success", &ret->success);
    if (!ret->success) {
        ret->code = ERR_BAD_GATEWAY;
        return;
    }
    (void)json_bool(answer, "address_linked", &ret->linked);
    ret->has_map_address = json_i64(answer, "map_address_id", &ret->map_address_id);
}
