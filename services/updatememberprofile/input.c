/* input.c - every field typed and limited before anything leaves; contract members.md §3.4, §4.3 */
#include "updatememberprofile.h"

#define ADDRESSES_MAX 5
#define TEXT_MAX      200
#define LETTER_MAX    10
#define NAME_MAX_     100
#define EMAIL_MAX     254
#define PHONE_MAX     20
#define KEY_MAX       128
#define UPDATES_MAX   40

static size_t characters(struct str s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return count;
}

static bool is_name(struct str s)
{
    return str_trim(s).len > 0 && characters(s) <= NAME_MAX_;
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

static bool is_phone(struct str s)
{
    return s.len == 0 || (s.len <= PHONE_MAX && str_only(s, "0123456789 +-()"));
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

static bool is_country(struct str s)
{
    return s.len == 2 && str_only(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* What Django stores: digits, without Iceland's code. */
static struct str django_phone(struct arena *a, struct str s)
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

struct text_rule {
    const char *name;
    bool (*is_valid)(struct str s);
    bool contact;
};
static const struct text_rule texts[] = {
    {"name", is_name, false},  {"birthday", is_birthday, false},  {"email", is_email, true},
    {"phone", is_phone, true}, {"foreign_phone", is_phone, true},
};

/* Members that are null were `undefined` in the page: not sent. */
static const cJSON *sent(const cJSON *object, const char *name)
{
    const cJSON *item = json_get(object, name);

    return cJSON_IsNull(item) ? NULL : item;
}

static cJSON *contact_of(cJSON *patch)
{
    const cJSON *known = json_get(patch, "contact_info");

    return known ? (cJSON *)(uintptr_t)known : json_add_object(patch, "contact_info");
}

static bool read_texts(struct arena *a, const cJSON *updates, cJSON *patch, const char **fault)
{
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct text_rule *rule = &texts[i];
        const cJSON *item = sent(updates, rule->name);
        struct str value = json_str_value(item);

        if (!item)
            continue;
        *fault = rule->name;
        if (!cJSON_IsString(item) || !rule->is_valid(value))
            return false;
        if (strcmp(rule->name, "phone") == 0)
            value = django_phone(a, value);
        json_add_str(rule->contact ? contact_of(patch) : patch, rule->name, value);
    }
    return true;
}

static bool read_others(const cJSON *updates, cJSON *patch, const char **fault)
{
    static const char *const flags[] = {"reachable", "groupable"};
    int64_t gender;

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const cJSON *item = sent(updates, flags[i]);

        *fault = flags[i];
        if (item && !cJSON_IsBool(item))
            return false;
        if (item)
            json_add_bool(patch, flags[i], cJSON_IsTrue(item));
    }
    *fault = "gender";
    if (!sent(updates, "gender"))
        return true;
    if (!json_i64(updates, "gender", &gender) || gender < 0 || gender > 9)
        return false;
    json_add_i64(patch, "gender", gender);
    return true;
}

static bool is_text_upto(const cJSON *item, size_t max)
{
    return !item || (cJSON_IsString(item) && characters(json_str_value(item)) <= max);
}

static bool is_text_or_whole(const cJSON *address, const char *name)
{
    const cJSON *item = sent(address, name);
    int64_t number;

    if (!item || cJSON_IsString(item))
        return is_text_upto(item, TEXT_MAX);
    return json_i64(address, name, &number) && number >= 0 && number <= INT32_MAX;
}

static bool is_within(const cJSON *address, const char *name, double bound)
{
    const cJSON *item = sent(address, name);

    return !item ||
           (cJSON_IsNumber(item) && item->valuedouble >= -bound && item->valuedouble <= bound);
}

static bool is_address(const cJSON *address)
{
    static const char *const known[] = {"country",    "street",       "number",   "letter",
                                        "city",       "municipality", "latitude", "longitude",
                                        "is_default", "postal_code",  "hnitnum",  NULL};
    const cJSON *country = sent(address, "country"), *flag = sent(address, "is_default");
    int64_t point;

    return cJSON_IsObject(address) && !json_unknown_member(address, known) &&
           is_text_upto(sent(address, "street"), TEXT_MAX) &&
           is_text_upto(sent(address, "city"), TEXT_MAX) &&
           is_text_upto(sent(address, "municipality"), TEXT_MAX) &&
           is_text_upto(sent(address, "letter"), LETTER_MAX) &&
           is_text_or_whole(address, "number") && is_text_or_whole(address, "postal_code") &&
           is_within(address, "latitude", 90) && is_within(address, "longitude", 180) &&
           (!country || is_country(json_str_value(country))) && (!flag || cJSON_IsBool(flag)) &&
           (!sent(address, "hnitnum") ||
            (json_i64(address, "hnitnum", &point) && point > 0 && point <= INT32_MAX));
}

static bool is_icelandic(const cJSON *address)
{
    const cJSON *country = sent(address, "country");

    return !country || str_eq_text(json_str_value(country), "IS");
}

static bool read_addresses(struct profile_update *update, const char **fault)
{
    const cJSON *list = sent(update->updates, "addresses"), *one;
    int defaults = 0;

    *fault = "addresses";
    if (!list)
        return true;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > ADDRESSES_MAX)
        return false;
    cJSON_ArrayForEach(one, list)
    {
        bool is_default = cJSON_IsTrue(json_get(one, "is_default"));

        if (!is_address(one))
            return false;
        defaults += is_default;
        if (!is_icelandic(one))
            update->has_foreign_address = true;
        else if (str_trim(json_str_value(json_get(one, "street"))).len > 0 &&
                 (!update->address || is_default))
            update->address = one;
    }
    update->addresses = list;
    return defaults <= 1;
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
        !read_others(ret->updates, patch, ret_fault) || !read_addresses(ret, ret_fault))
        return false;
    *ret_fault = "idempotency_key";
    if (sent(data, "idempotency_key") &&
        (!json_str(data, "idempotency_key", &ret->idempotency_key) ||
         ret->idempotency_key.len == 0 || ret->idempotency_key.len > KEY_MAX))
        return false;
    ret->patch = patch->child ? patch : NULL;
    return true;
}
