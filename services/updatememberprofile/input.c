/* input.c - every field typed and limited before anything leaves; contract members.md §3.4, §4.3 */
#include "input.h"

#define NAME_MAX_   100
#define EMAIL_MAX   254
#define PHONE_MAX   20
#define KEY_MAX     128
#define UPDATES_MAX 40

const cJSON *input_sent(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);

    return cJSON_IsNull(item) ? NULL : item;
}

size_t input_characters(struct str s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return count;
}

cJSON *input_contact_of(cJSON *patch)
{
    const cJSON *known = json_get(patch, "contact_info");

    return known ? (cJSON *)(uintptr_t)known : json_add_object(patch, "contact_info");
}

static bool is_name(struct str s)
{
    return str_trim(s).len > 0 && input_characters(s) <= NAME_MAX_;
}

bool input_is_phone(struct str s)
{
    return s.len == 0 || (s.len <= PHONE_MAX && str_only(s, "0123456789 +-()"));
}

struct str input_django_phone(struct arena *a, struct str s)
{
    char *digits = arena_alloc(a, PHONE_MAX + 1);
    size_t len = 0;

    for (size_t i = 0; i < s.len && len < PHONE_MAX; i++) {
        if (s.ptr[i] >= '0' && s.ptr[i] <= '9')
            digits[len++] = s.ptr[i];
    }
    if (len == 10 && str_starts_with(str_n(digits, len), STR("354")))
        return str_n(digits + 3, len - 3);
    return str_n(digits, len);
}

/* local@domain.tld; empty takes the address away. */
static bool is_email(struct str s)
{
    size_t at = str_find_char(s, '@');
    struct str domain = str_skip(s, at + 1);
    size_t dot = str_find_char(domain, '.');

    if (s.len == 0)
        return true;
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= 0x20 || s.ptr[i] == 0x7f)
            return false;
    }
    return s.len <= EMAIL_MAX && at > 0 && at < s.len && str_find_char(domain, '@') == domain.len &&
           dot > 0 && dot + 1 < domain.len && domain.ptr[domain.len - 1] != '.';
}

static bool is_birthday(struct str s)
{
    static const int64_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day;

    if (s.len != 10 || s.ptr[4] != '-' || s.ptr[7] != '-' ||
        !str_parse_i64(str_take(s, 4), 1880, 2200, &year) ||
        !str_parse_i64(str_take(str_skip(s, 5), 2), 1, 12, &month) ||
        !str_parse_i64(str_skip(s, 8), 1, days[month - 1], &day))
        return false;
    return month != 2 || day < 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

struct text_rule {
    const char *name;
    bool (*is_valid)(struct str s);
    bool contact;
};
static const struct text_rule texts[] = {
    {"name", is_name, false},
    {"birthday", is_birthday, false},
    {"email", is_email, true},
    {"phone", input_is_phone, true},
    {"foreign_phone", input_is_phone, true},
};

static bool read_texts(struct arena *a, const cJSON *updates, cJSON *patch, const char **fault)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct text_rule *rule = &texts[i];
        const cJSON *item = input_sent(updates, rule->name);
        struct str value = json_str_value(item);

        if (!item)
            continue;
        *fault = rule->name;
        if (!cJSON_IsString(item) || !rule->is_valid(value))
            return false;
        if (strcmp(rule->name, "phone") == 0)
            value = input_django_phone(a, value);
        json_add_str(rule->contact ? input_contact_of(patch) : patch, rule->name, value);
    }
    return true;
}

static bool read_others(const cJSON *updates, cJSON *patch, const char **fault)
{
    static const char *const flags[] = {"reachable", "groupable"};
    int64_t gender;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const cJSON *item = input_sent(updates, flags[i]);

        *fault = flags[i];
        if (item && !cJSON_IsBool(item))
            return false;
        if (item)
            json_add_bool(patch, flags[i], cJSON_IsTrue(item));
    }
    *fault = "gender";
    if (!input_sent(updates, "gender"))
        return true;
    if (!json_i64(updates, "gender", &gender) || gender < 0 || gender > 9)
        return false;
    json_add_i64(patch, "gender", gender);
    return true;
}

bool profile_input_read(struct arena *a, const cJSON *data, struct profile_update *ret,
                        const char **ret_fault)
{
    struct str kennitala = STR("");
    cJSON *patch = json_object(a);

    *ret = (struct profile_update){.idempotency_key = STR("")};
    *ret_fault = "kennitala";
    if (!json_str(data, "kennitala", &kennitala) ||
        !kennitala_normalise(str_trim(kennitala), ret->kennitala))
        return false;
    *ret_fault = "updates";
    ret->updates = json_get(data, "updates");
    if (!cJSON_IsObject(ret->updates) || cJSON_GetArraySize(ret->updates) > UPDATES_MAX)
        return false;
    if (!read_texts(a, ret->updates, patch, ret_fault) ||
        !read_others(ret->updates, patch, ret_fault) || !input_read_addresses(ret, ret_fault) ||
        !input_read_phones(a, ret, patch, ret_fault))
        return false;
    *ret_fault = "idempotency_key";
    if (input_sent(data, "idempotency_key") &&
        (!json_str(data, "idempotency_key", &ret->idempotency_key) ||
         ret->idempotency_key.len == 0 || ret->idempotency_key.len > KEY_MAX))
        return false;
    ret->patch = patch->child ? patch : NULL;
    return true;
}
