/* django_foreign.c - addresses abroad, contract members.md §6.1 and §6.2; M-F34 */
#include "base/fold.h"
#include "updatememberprofile.h"

#define FOLDED_MAX_BYTES 2048
#define TEXT_MAX         200

static bool country_of(const struct profile_service *service, const cJSON *address, int64_t *ret)
{
    const struct member_countries *table = &service->countries;
    struct str code = json_str_value(json_get(address, "country"));

    for (size_t i = 0; i < table->count; i++) {
        if (str_eq_text(code, table->entries[i].code)) {
            *ret = table->entries[i].id;
            return true;
        }
    }
    return code.len == 0 && json_i64(address, "country_id", ret);
}

static struct str text_of(struct arena *a, const cJSON *from, const char *name)
{
    const cJSON *item = json_get(from, name);

    if (cJSON_IsNumber(item))
        return arena_printf(a, "%lld", (long long)item->valuedouble);
    return str_trim(json_str_value(item));
}

/* Django has one line for street, number and letter. */
static struct str line_of(struct arena *a, const cJSON *address)
{
    struct str street = text_of(a, address, "street"), number = text_of(a, address, "number"),
               letter = text_of(a, address, "letter");

    return str_trim(
        arena_printf(a, "%.*s %.*s%.*s", STR_ARG(street), STR_ARG(number), STR_ARG(letter)));
}

static struct str town_of(struct arena *a, const cJSON *address)
{
    struct str city = text_of(a, address, "city");

    return city.len > 0 ? city : text_of(a, address, "municipality");
}

static bool same_text(struct str one, struct str other)
{
    struct buf a, b;
    bool same;

    buf_init(&a, FOLDED_MAX_BYTES);
    buf_init(&b, FOLDED_MAX_BYTES);
    same = fold_case_only(str_trim(one), &a) && fold_case_only(str_trim(other), &b) &&
           str_eq(buf_str(&a), buf_str(&b));
    buf_done(&a);
    buf_done(&b);
    return same;
}

static const cJSON *find(struct arena *a, const cJSON *list, const cJSON *wanted)
{
    const cJSON *one;
    int64_t country = -1, other;

    (void)json_i64(wanted, "country", &country);
    cJSON_ArrayForEach(one, list)
    {
        if (json_i64(one, "country", &other) && other == country &&
            same_text(text_of(a, one, "address"), text_of(a, wanted, "address")) &&
            same_text(text_of(a, one, "postal_code"), text_of(a, wanted, "postal_code")))
            return one;
    }
    return NULL;
}

/* Whether somebody lives there Django is told, never that nobody does any more. */
static bool says_all(struct arena *a, const cJSON *known, const cJSON *wanted)
{
    bool is_current = cJSON_IsTrue(json_get(known, "current"));

    return same_text(text_of(a, known, "municipality"), text_of(a, wanted, "municipality")) &&
           (is_current || !cJSON_IsTrue(json_get(wanted, "current")));
}

struct sending {
    const struct profile_service *service;
    struct str path; /* of this member's addresses */
    const cJSON *known;
    int64_t deadline_ms;
    struct arena *arena;
    struct foreign_outcome *outcome;
};

static bool send_one(struct sending *s, const cJSON *address, struct error *e)
{
    struct arena *a = s->arena;
    cJSON *body = json_object(a);
    const cJSON *known, *answer;
    int64_t country, pk = 0;

    if (!country_of(s->service, address, &country)) {
        s->outcome->no_country++;
        return error_set(e, ERR_BAD_REQUEST, "the country is not in DJANGO_COUNTRIES");
    }
    json_add_i64(body, "country", country);
    json_add_bool(body, "current", cJSON_IsTrue(json_get(address, "is_default")));
    json_add_str(body, "municipality", town_of(a, address));
    json_add_str(body, "postal_code", text_of(a, address, "postal_code"));
    json_add_str(body, "address", str_take(line_of(a, address), TEXT_MAX));
    known = find(a, s->known, body);
    if (known && says_all(a, known, body)) {
        s->outcome->unchanged++;
        return true;
    }
    if (known && !json_i64(known, "pk", &pk))
        return error_set(e, ERR_BAD_GATEWAY, "django: an address without a key");
    if (known && cJSON_IsTrue(json_get(known, "current")))
        json_add_bool(body, "current", true);
    if (known ? !django_ask(s->service, HTTP_PATCH,
                            arena_printf(a, "%.*s%lld/", STR_ARG(s->path), (long long)pk), body, a,
                            s->deadline_ms, &answer, e)
              : !django_ask(s->service, HTTP_POST, s->path, body, a, s->deadline_ms, &answer, e))
        return false;
    s->outcome->sent++;
    return true;
}

static bool read_known(struct sending *s, struct error *e)
{
    const cJSON *answer, *list;

    if (!django_ask(s->service, HTTP_GET, s->path, NULL, s->arena, s->deadline_ms, &answer, e))
        return false;
    list = cJSON_IsObject(answer) ? json_get(answer, "results") : answer;
    s->known = list;
    return cJSON_IsArray(list) || error_set(e, ERR_BAD_GATEWAY, "django: not a list");
}

void django_send_foreign(const struct profile_service *service, const struct profile_update *update,
                         struct arena *a, int64_t deadline_ms, struct foreign_outcome *ret)
{
    struct sending s = {
        .service = service,
        .path = arena_printf(a, "/api/members/%s/foreign-addresses/", update->kennitala),
        .deadline_ms = deadline_ms,
        .arena = a,
        .outcome = ret};
    struct error e = {0};

    *ret = (struct foreign_outcome){.code = ERR_NONE};
    if (update->foreign_count == 0)
        return;
    if (!read_known(&s, &e)) {
        ret->failed = update->foreign_count;
        ret->code = e.code;
        return;
    }
    for (size_t i = 0; i < update->foreign_count; i++) {
        if (send_one(&s, update->foreign[i], &e))
            continue;
        ret->failed++;
        ret->code = e.code;
    }
}
