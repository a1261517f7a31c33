/*
 * member_addresses.c - profile.addresses, which Django and the member both write
 *
 * An address is the same one when country, street, number, letter and postcode are, case and blanks
 * aside, and abroad, where Django has one line for them, street, number and letter together; the
 * hash of these is its key. The record keeps the keys of what Django gave last. So an
 * entry that Django gave and gives no more goes, a new one comes, and all others stay as the member
 * left them, with coordinates, registry number and default flag.
 */
#include "base/encode.h"
#include "base/fold.h"
#include "cloud/member_private.h"

#define ADDRESSES_MAX   (1 + MEMBER_LIST_MAX)
#define KEY_HEX         32
#define KEY_TEXT_MAX    8192
#define COUNTRY_ICELAND "IS"

struct address {
    struct str country; /* empty: not in the table */
    int64_t country_id;
    bool has_country_id, is_default;
    struct str street, number, letter, postal_code, city;
    struct str key;
};

static struct str key_of(struct arena *a, const struct address *one)
{
    bool is_abroad = !str_eq_text(one->country, COUNTRY_ICELAND);
    struct str line = str_trim(arena_printf(a, "%.*s %.*s%.*s", STR_ARG(one->street),
                                            STR_ARG(one->number), STR_ARG(one->letter)));
    const struct str parts[] = {one->country, is_abroad ? line : one->street,
                                is_abroad ? STR("") : one->number,
                                is_abroad ? STR("") : one->letter, one->postal_code};
    char hex[SHA256_HEX_SIZE];
    struct buf text;
    struct str key;

    buf_init(&text, KEY_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        (void)fold_case_only(parts[i], &text);
        buf_add_char(&text, '\n');
    }
    sha256_hex(buf_str(&text), hex);
    key = arena_dup(a, str_n(hex, KEY_HEX));
    buf_done(&text);
    return key;
}

/* --- Django's --- */

static bool add_local(struct arena *a, const cJSON *local, struct address *ret)
{
    *ret = (struct address){
        .country = STR(COUNTRY_ICELAND),
        .street = str_trim(member_text(a, json_get(local, "street"))),
        .number = member_text(a, json_get(local, "number")),
        .letter = member_text(a, json_get(local, "letter")),
        .postal_code = member_text(a, json_get(local, "postal_code")),
        .city = member_text(a, json_get(local, "city")),
        .is_default = true,
    };
    if (str_eq_text(ret->number, "0"))
        ret->number = STR("");
    if (str_eq_text(ret->postal_code, "0"))
        ret->postal_code = STR("");
    ret->key = key_of(a, ret);
    return ret->street.len > 0;
}

static void set_country(const struct member_event *event, struct address *one)
{
    for (size_t i = 0; event->countries && i < event->countries->count; i++) {
        if (event->countries->entries[i].id == one->country_id)
            one->country = str_from(event->countries->entries[i].code);
    }
}

static void add_foreign(struct arena *a, const struct member_event *event, const cJSON *foreign,
                        bool may_be_default, struct address *ret)
{
    bool current = false;

    (void)json_bool(foreign, "current", &current);
    *ret = (struct address){
        .street = str_trim(member_text(a, json_get(foreign, "address"))),
        .number = STR(""),
        .letter = STR(""),
        .postal_code = member_text(a, json_get(foreign, "postal_code")),
        .city = member_text(a, json_get(foreign, "municipality")),
        .country = STR(""),
        .is_default = current && may_be_default,
    };
    ret->has_country_id = json_i64(foreign, "country", &ret->country_id);
    if (ret->has_country_id)
        set_country(event, ret);
    ret->key = key_of(a, ret);
}

static bool holds(const struct address *list, size_t count, struct str key)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(list[i].key, key))
            return true;
    }
    return false;
}

static size_t read_django(struct arena *a, const struct member_event *event, struct address *ret)
{
    const cJSON *foreign = json_get(event->data, "foreign_addresses"), *one;
    size_t count = 0;
    bool has_default;

    if (add_local(a, json_get(event->data, "local_address"), &ret[0]))
        count = 1;
    has_default = count > 0;
    if (!cJSON_IsArray(foreign))
        return count;
    cJSON_ArrayForEach(one, foreign)
    {
        if (count == ADDRESSES_MAX)
            break;
        add_foreign(a, event, one, !has_default, &ret[count]);
        if (!cJSON_IsObject(one) || holds(ret, count, ret[count].key))
            continue;
        has_default = has_default || ret[count].is_default;
        count++;
    }
    return count;
}

/* --- what is stored --- */

static struct str stored_text(struct arena *a, const cJSON *fields, const char *name)
{
    struct str text = STR("");
    int64_t number;

    if (fs_get_i64(fields, name, &number))
        return number ? arena_printf(a, "%lld", (long long)number) : STR("");
    (void)fs_get_str(fields, name, &text);
    return text;
}

static const cJSON *fields_of(const cJSON *entry)
{
    return json_get(json_get(entry, "mapValue"), "fields");
}

static struct str stored_key(struct arena *a, const cJSON *entry)
{
    const cJSON *fields = fields_of(entry);
    struct address one = {
        .country = stored_text(a, fields, "country"),
        .street = str_trim(stored_text(a, fields, "street")),
        .number = stored_text(a, fields, "number"),
        .letter = stored_text(a, fields, "letter"),
        .postal_code = stored_text(a, fields, "postal_code"),
    };

    /* Missing means Iceland; null is a country we do not know. */
    if (!fs_get(fields, "country"))
        one.country = STR(COUNTRY_ICELAND);
    return key_of(a, &one);
}

static bool is_default(const cJSON *entry)
{
    bool value = false;

    return fs_get_bool(fields_of(entry), "is_default", &value) && value;
}

static bool gave_before(const cJSON *keys, struct str key)
{
    const cJSON *one;

    cJSON_ArrayForEach(one, keys)
    {
        if (str_eq(fs_value_str(one), key))
            return true;
    }
    return false;
}

/* --- both --- */

static void push(cJSON *list, const struct address *one, bool as_default)
{
    cJSON *fields = fs_push_map(list);

    if (one->country.len > 0)
        fs_add_str(fields, "country", one->country);
    else
        fs_add_null(fields, "country");
    if (one->has_country_id && one->country.len == 0)
        fs_add_i64(fields, "country_id", one->country_id);
    fs_add_str(fields, "street", one->street);
    fs_add_str(fields, "number", one->number);
    fs_add_str(fields, "letter", one->letter);
    fs_add_str(fields, "postal_code", one->postal_code);
    fs_add_str(fields, "city", one->city);
    fs_add_bool(fields, "is_default", as_default);
}

/* Copies what stays; of several defaults the first counts. */
static void keep(cJSON *list, const cJSON *entry, bool *has_default)
{
    cJSON *fields;

    json_add_copy(list, NULL, entry);
    if (!is_default(entry))
        return;
    if (*has_default) {
        fields =
            (cJSON *)(uintptr_t)fields_of(cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1));
        cJSON_DeleteItemFromObjectCaseSensitive(fields, "is_default");
        fs_add_bool(fields, "is_default", false);
    }
    *has_default = true;
}

static void merge(struct arena *a, const struct address *django, size_t count, const cJSON *stored,
                  const cJSON *before, cJSON *list)
{
    bool has_default = false, known[ADDRESSES_MAX] = {false};
    const cJSON *entry;

    cJSON_ArrayForEach(entry, stored)
    {
        struct str key = stored_key(a, entry);

        for (size_t i = 0; i < count; i++)
            known[i] = known[i] || str_eq(django[i].key, key);
        if (holds(django, count, key) || !gave_before(before, key))
            keep(list, entry, &has_default);
    }
    for (size_t i = 0; i < count; i++) {
        if (known[i])
            continue;
        push(list, &django[i], django[i].is_default && !has_default);
        has_default = has_default || django[i].is_default;
    }
}

static bool same_keys(const cJSON *before, const struct address *django, size_t count)
{
    if (!before || cJSON_GetArraySize(before) != (int)count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!gave_before(before, django[i].key))
            return false;
    }
    return true;
}

bool member_addresses_merge(struct arena *a, const struct member_event *event,
                            const struct fs_document *member, const struct fs_document *known,
                            cJSON *profile, cJSON *record)
{
    struct address *django = arena_alloc_array(a, ADDRESSES_MAX, sizeof *django);
    size_t count = read_django(a, event, django);
    const cJSON *stored = member->exists ? fs_get_array(member->fields, "profile.addresses") : NULL;
    const cJSON *before = known->exists ? fs_get_array(known->fields, "addresses") : NULL;
    cJSON *keys = fs_add_array(record, "addresses");

    for (size_t i = 0; i < count; i++)
        fs_push_str(keys, django[i].key);
    if (stored && same_keys(before, django, count))
        return false;
    merge(a, django, count, stored, before, fs_add_array(profile, "addresses"));
    return true;
}
