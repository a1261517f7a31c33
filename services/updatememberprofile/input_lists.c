/* input_lists.c - the lists of a profile: addresses and phones; contract members.md §4.3 */
#include "input.h"

#define TEXT_MAX   200
#define LETTER_MAX 10
#define PHONES_MAX 5

static bool is_text_upto(const cJSON *item, size_t max)
{
    return !item || (cJSON_IsString(item) && input_characters(json_str_value(item)) <= max);
}

static bool is_text_or_whole(const cJSON *address, const char *name)
{
    const cJSON *item = input_sent(address, name);
    int64_t number;

    if (!item || cJSON_IsString(item))
        return is_text_upto(item, TEXT_MAX);
    return json_i64(address, name, &number) && number >= 0 && number <= INT32_MAX;
}

static bool is_within(const cJSON *address, const char *name, double bound)
{
    const cJSON *item = input_sent(address, name);

    return !item ||
           (cJSON_IsNumber(item) && item->valuedouble >= -bound && item->valuedouble <= bound);
}

static bool is_country(struct str s)
{
    return s.len == 2 && str_only(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static bool is_address(const cJSON *address)
{
    static const char *const known[] = {
        "country",  "country_id", "street",     "number",      "letter",  "city", "municipality",
        "latitude", "longitude",  "is_default", "postal_code", "hnitnum", NULL};
    const cJSON *country = input_sent(address, "country"),
                *flag = input_sent(address, "is_default");
    int64_t point, id;

    return cJSON_IsObject(address) && !json_unknown_member(address, known) &&
           is_text_upto(input_sent(address, "street"), TEXT_MAX) &&
           is_text_upto(input_sent(address, "city"), TEXT_MAX) &&
           is_text_upto(input_sent(address, "municipality"), TEXT_MAX) &&
           is_text_upto(input_sent(address, "letter"), LETTER_MAX) &&
           is_text_or_whole(address, "number") && is_text_or_whole(address, "postal_code") &&
           is_within(address, "latitude", 90) && is_within(address, "longitude", 180) &&
           (!country || is_country(json_str_value(country))) && (!flag || cJSON_IsBool(flag)) &&
           (!input_sent(address, "country_id") ||
            (json_i64(address, "country_id", &id) && id >= 0 && id <= INT32_MAX)) &&
           (!input_sent(address, "hnitnum") ||
            (json_i64(address, "hnitnum", &point) && point > 0 && point <= INT32_MAX));
}

/* A country that we have no code for has Django's id and a null in its place. */
static bool is_icelandic(const cJSON *address)
{
    const cJSON *country = input_sent(address, "country");

    return country ? str_eq_text(json_str_value(country), "IS")
                   : !input_sent(address, "country_id");
}

bool input_read_addresses(struct profile_update *update, const char **fault)
{
    const cJSON *list = input_sent(update->updates, "addresses"), *one;
    int defaults = 0;

    *fault = "addresses";
    if (!list)
        return true;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > PROFILE_ADDRESSES_MAX)
        return false;
    cJSON_ArrayForEach(one, list)
    {
        bool is_default = cJSON_IsTrue(json_get(one, "is_default"));

        if (!is_address(one))
            return false;
        defaults += is_default;
        if (!is_icelandic(one))
            update->foreign[update->foreign_count++] = one;
        else if (str_trim(json_str_value(json_get(one, "street"))).len > 0 &&
                 (!update->address || is_default))
            update->address = one;
    }
    update->addresses = list;
    return defaults <= 1;
}

/* --- phones --- */

static bool is_phone_entry(const cJSON *one)
{
    static const char *const known[] = {"country", "number", "is_default", NULL};
    const cJSON *country = input_sent(one, "country"), *flag = input_sent(one, "is_default");
    struct str number = STR("");

    return cJSON_IsObject(one) && !json_unknown_member(one, known) &&
           json_str(one, "number", &number) && number.len > 0 && input_is_phone(number) &&
           (!country || is_country(json_str_value(country))) && (!flag || cJSON_IsBool(flag));
}

/* Of this kind, the default or else the first; NULL when there is none. */
static const cJSON *choose_phone(const cJSON *list, bool icelandic)
{
    const cJSON *one, *first = NULL;

    cJSON_ArrayForEach(one, list)
    {
        if (is_icelandic(one) != icelandic)
            continue;
        if (cJSON_IsTrue(json_get(one, "is_default")))
            return one;
        first = first ? first : one;
    }
    return first;
}

static struct str as_django_has_it(struct arena *a, const cJSON *one)
{
    struct str number = json_str_value(json_get(one, "number"));

    return is_icelandic(one) ? input_django_phone(a, number) : number;
}

static const char *place_of(const cJSON *one)
{
    return is_icelandic(one) ? "phone" : "foreign_phone";
}

static bool is_in_patch(struct arena *a, const cJSON *patch, const cJSON *one)
{
    return str_eq(json_str_value(json_get(json_get(patch, "contact_info"), place_of(one))),
                  as_django_has_it(a, one));
}

bool input_read_phones(struct arena *a, struct profile_update *update, cJSON *patch,
                       const char **fault)
{
    const cJSON *list = input_sent(update->updates, "phone_numbers"), *one;

    *fault = "phone_numbers";
    if (!list)
        return true;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > PHONES_MAX)
        return false;
    cJSON_ArrayForEach(one, list)
    {
        if (!is_phone_entry(one))
            return false;
    }
    for (int icelandic = 0; icelandic <= 1; icelandic++) {
        one = choose_phone(list, icelandic == 1);
        if (one && !json_get(json_get(patch, "contact_info"), place_of(one)))
            json_add_str(input_contact_of(patch), place_of(one), as_django_has_it(a, one));
    }
    cJSON_ArrayForEach(one, list)
    {
        update->has_more_phones = update->has_more_phones || !is_in_patch(a, patch, one);
    }
    return true;
}
