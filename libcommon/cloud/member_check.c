/* member_check.c - the strict reading of a member's JSON, by tables; contract members.md §6.2 */
#include "cloud/member_private.h"

#define WHOLE  1u
#define TEXT   2u
#define FLAG   4u
#define OBJECT 8u
#define LIST   16u

struct rule {
    const char *name;
    unsigned kinds;
};

static const struct rule member_rules[] = {
    {"id", WHOLE},
    {"ssn", TEXT},
    {"name", TEXT},
    {"birthday", TEXT},
    {"date_joined", TEXT},
    {"gender", WHOLE},
    {"housing_situation", WHOLE},
    {"reachable", FLAG},
    {"groupable", FLAG},
    {"contact_info", OBJECT},
    {"local_address", OBJECT},
    {"foreign_addresses", LIST},
    {"unions", LIST},
    {"titles", LIST},
    {"version", WHOLE},
    {NULL, 0},
};
static const struct rule contact_rules[] = {
    {"email", TEXT}, {"phone", TEXT}, {"foreign_phone", TEXT}, {"facebook", TEXT}, {NULL, 0},
};
static const struct rule local_rules[] = {
    {"street", TEXT}, {"number", WHOLE | TEXT},      {"letter", TEXT},
    {"city", TEXT},   {"postal_code", WHOLE | TEXT}, {NULL, 0},
};
static const struct rule foreign_rules[] = {
    {"country", WHOLE}, {"current", FLAG}, {"municipality", TEXT}, {"postal_code", WHOLE | TEXT},
    {"address", TEXT},  {NULL, 0},
};
static const struct rule name_rules[] = {{"name", TEXT}, {NULL, 0}};

static bool is_of(const cJSON *object, const struct rule *rule)
{
    const cJSON *item = json_get(object, rule->name);
    int64_t unused;

    if (!item || cJSON_IsNull(item))
        return true;
    if (cJSON_IsString(item))
        return (rule->kinds & TEXT) && json_str_value(item).len <= MEMBER_TEXT_MAX_BYTES;
    if (cJSON_IsNumber(item))
        return (rule->kinds & WHOLE) && json_i64(object, rule->name, &unused);
    if (cJSON_IsBool(item))
        return (rule->kinds & FLAG) != 0;
    return (cJSON_IsObject(item) && (rule->kinds & OBJECT)) ||
           (cJSON_IsArray(item) && (rule->kinds & LIST) &&
            cJSON_GetArraySize(item) <= MEMBER_LIST_MAX);
}

static bool follows(const cJSON *object, const struct rule *rules, const char **ret_field)
{
    for (const struct rule *rule = rules; rule->name; rule++) {
        if (!is_of(object, rule)) {
            *ret_field = rule->name;
            return false;
        }
    }
    return true;
}

static bool entries_follow(const cJSON *data, const char *list, const struct rule *rules,
                           const char **ret_field)
{
    const cJSON *entries = json_get(data, list), *entry;

    cJSON_ArrayForEach(entry, entries)
    {
        *ret_field = list;
        if (!cJSON_IsObject(entry) || !follows(entry, rules, ret_field))
            return false;
    }
    return true;
}

bool member_document_check(const cJSON *data, const char *kennitala, const char **ret_field)
{
    struct str ssn = STR("");
    char number[KENNITALA_SIZE];
    int64_t id = 1;

    *ret_field = "data";
    if (!cJSON_IsObject(data) || !data->child || !follows(data, member_rules, ret_field) ||
        !follows(json_get(data, "contact_info"), contact_rules, ret_field) ||
        !follows(json_get(data, "local_address"), local_rules, ret_field) ||
        !entries_follow(data, "foreign_addresses", foreign_rules, ret_field) ||
        !entries_follow(data, "unions", name_rules, ret_field) ||
        !entries_follow(data, "titles", name_rules, ret_field))
        return false;
    *ret_field = "id";
    (void)json_i64(data, "id", &id);
    if (id < 1)
        return false;
    *ret_field = "ssn";
    if (!json_str(data, "ssn", &ssn))
        return true;
    return kennitala_normalise(ssn, number) && strcmp(number, kennitala) == 0;
}
