/*
 * django.c - the register's API; contract members.md §6
 *
 * What Django says in words stays here: neither a reply nor a log line gets it (M-F28).
 */
#include "updatememberprofile.h"

static bool call(const struct profile_service *service, enum http_method method, struct str path,
                 const cJSON *body, struct arena *a, int64_t deadline_ms, const cJSON **ret,
                 struct error *e)
{
    return django_ask(service, method, path, body, a, deadline_ms, ret, e) &&
           (cJSON_IsObject(*ret) || error_set(e, ERR_BAD_GATEWAY, "django: not a JSON object"));
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
