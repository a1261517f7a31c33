#include "cloud/firestore_value.h"

#include "base/clock.h"

/* What readers give for a map or an array that has no members: Firestore leaves both out. */
static const cJSON empty_map = {.type = cJSON_Object};
static const cJSON empty_array = {.type = cJSON_Array};

/* ---- Builders ---- */

cJSON *fs_fields(struct arena *a)
{
    return json_object(a);
}

/* A new typed value. A name that comes twice would be refused by Firestore, or win by chance. */
static cJSON *add_value(cJSON *to, const char *name)
{
    must(name == NULL || json_get(to, name) == NULL);
    return json_add_object(to, name);
}

void fs_add_str(cJSON *fields, const char *name, struct str value)
{
    json_add_str(add_value(fields, name), "stringValue", value);
}

void fs_add_text(cJSON *fields, const char *name, const char *value)
{
    if (value)
        fs_add_str(fields, name, str_from(value));
    else
        fs_add_null(fields, name);
}

/* As text: a JSON number would lose digits above 2^53. */
static void set_i64(cJSON *value, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    json_add_text(value, "integerValue", text);
}

static void set_double(cJSON *value, double number)
{
    if (__builtin_isfinite(number))
        json_add_double(value, "doubleValue", number);
    else if (__builtin_isnan(number))
        json_add_text(value, "doubleValue", "NaN");
    else
        json_add_text(value, "doubleValue", number > 0 ? "Infinity" : "-Infinity");
}

void fs_add_i64(cJSON *fields, const char *name, int64_t value)
{
    set_i64(add_value(fields, name), value);
}

void fs_add_double(cJSON *fields, const char *name, double value)
{
    set_double(add_value(fields, name), value);
}

void fs_add_bool(cJSON *fields, const char *name, bool value)
{
    json_add_bool(add_value(fields, name), "booleanValue", value);
}

void fs_add_null(cJSON *fields, const char *name)
{
    json_add_null(add_value(fields, name), "nullValue");
}

void fs_add_time_ms(cJSON *fields, const char *name, int64_t unix_ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso_utc(unix_ms, text);
    json_add_text(add_value(fields, name), "timestampValue", text);
}

static cJSON *set_map(cJSON *value)
{
    return json_add_object(json_add_object(value, "mapValue"), "fields");
}

static cJSON *set_array(cJSON *value)
{
    return json_add_array(json_add_object(value, "arrayValue"), "values");
}

cJSON *fs_add_map(cJSON *fields, const char *name)
{
    return set_map(add_value(fields, name));
}

cJSON *fs_add_array(cJSON *fields, const char *name)
{
    return set_array(add_value(fields, name));
}

void fs_push_str(cJSON *array, struct str value)
{
    fs_add_str(array, NULL, value);
}

cJSON *fs_push_map(cJSON *array)
{
    return fs_add_map(array, NULL);
}

/* ---- From plain JSON ---- */

static bool name_is_allowed(const char *name)
{
    struct str s = str_from(name);
    bool reserved = s.len >= 4 && str_starts_with(s, STR("__")) && str_ends_with(s, STR("__"));
    return s.len > 0 && s.len <= FS_FIELD_NAME_MAX_BYTES && !reserved;
}

/* An array within an array is what Firestore refuses. */
static bool is_storable(const cJSON *plain, bool in_array, int depth)
{
    bool array = cJSON_IsArray(plain);
    if (!array && !cJSON_IsObject(plain))
        return true;
    if (depth >= FS_DEPTH_MAX || (array && in_array))
        return false;
    const cJSON *child = NULL;
    cJSON_ArrayForEach(child, plain)
    {
        if ((!array && !name_is_allowed(child->string)) || !is_storable(child, array, depth + 1))
            return false;
    }
    return true;
}

static bool is_whole(double number)
{
    /* 2^53: every whole number up to here is a double of its own. */
    return number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
           !((double)(int64_t)number < number) && !((double)(int64_t)number > number);
}

static void set_plain(cJSON *value, const cJSON *plain)
{
    const cJSON *child = NULL;
    if (cJSON_IsObject(plain)) {
        cJSON *map = set_map(value);
        cJSON_ArrayForEach(child, plain) set_plain(json_add_object(map, child->string), child);
    } else if (cJSON_IsArray(plain)) {
        cJSON *array = set_array(value);
        cJSON_ArrayForEach(child, plain) set_plain(json_add_object(array, NULL), child);
    } else if (cJSON_IsString(plain)) {
        json_add_str(value, "stringValue", json_str_value(plain));
    } else if (cJSON_IsBool(plain)) {
        json_add_bool(value, "booleanValue", cJSON_IsTrue(plain));
    } else if (cJSON_IsNumber(plain) && is_whole(plain->valuedouble)) {
        set_i64(value, (int64_t)plain->valuedouble);
    } else if (cJSON_IsNumber(plain)) {
        set_double(value, plain->valuedouble);
    } else {
        json_add_null(value, "nullValue");
    }
}

bool fs_add_json(cJSON *fields, const char *name, const cJSON *plain)
{
    if (!is_storable(plain, cJSON_IsArray(fields), 0))
        return false;
    set_plain(add_value(fields, name), plain);
    return true;
}

/* ---- Readers ---- */

static const cJSON *member_of(const cJSON *fields, struct str name)
{
    const cJSON *member = NULL;
    if (!cJSON_IsObject(fields))
        return NULL;
    cJSON_ArrayForEach(member, fields)
    {
        if (str_eq_text(name, member->string))
            return member;
    }
    return NULL;
}

const cJSON *fs_value_map(const cJSON *value)
{
    const cJSON *map = json_get(value, "mapValue");
    const cJSON *fields = json_get(map, "fields");
    if (cJSON_IsObject(map) && !fields)
        return &empty_map;
    return cJSON_IsObject(fields) ? fields : NULL;
}

const cJSON *fs_value_array(const cJSON *value)
{
    const cJSON *array = json_get(value, "arrayValue");
    const cJSON *values = json_get(array, "values");
    if (cJSON_IsObject(array) && !values)
        return &empty_array;
    return cJSON_IsArray(values) ? values : NULL;
}

const cJSON *fs_get(const cJSON *fields, const char *path)
{
    struct str rest = str_from(path);
    struct str part;
    const cJSON *value = NULL;
    const cJSON *map = fields;
    while (str_split(&rest, '.', &part)) {
        value = member_of(map, part);
        map = fs_value_map(value);
    }
    return value;
}

bool fs_get_str(const cJSON *fields, const char *path, struct str *ret)
{
    return json_str(fs_get(fields, path), "stringValue", ret);
}

bool fs_get_bool(const cJSON *fields, const char *path, bool *ret)
{
    return json_bool(fs_get(fields, path), "booleanValue", ret);
}

bool fs_get_i64(const cJSON *fields, const char *path, int64_t *ret)
{
    const cJSON *value = fs_get(fields, path);
    struct str text;
    if (json_str(value, "integerValue", &text))
        return str_parse_i64(text, INT64_MIN, INT64_MAX, ret);
    return json_i64(value, "integerValue", ret);
}

static bool get_named_double(struct str text, double *ret)
{
    if (str_eq(text, STR("NaN")))
        *ret = __builtin_nan("");
    else if (str_eq(text, STR("Infinity")))
        *ret = __builtin_inf();
    else if (str_eq(text, STR("-Infinity")))
        *ret = -__builtin_inf();
    else
        return false;
    return true;
}

bool fs_get_double(const cJSON *fields, const char *path, double *ret)
{
    const cJSON *number = json_get(fs_get(fields, path), "doubleValue");
    int64_t whole = 0;
    if (cJSON_IsNumber(number)) {
        *ret = number->valuedouble;
        return true;
    }
    if (cJSON_IsString(number))
        return get_named_double(json_str_value(number), ret);
    if (!fs_get_i64(fields, path, &whole))
        return false;
    *ret = (double)whole;
    return true;
}

bool fs_get_time_ms(const cJSON *fields, const char *path, int64_t *ret)
{
    struct str text;
    return json_str(fs_get(fields, path), "timestampValue", &text) &&
           clock_parse_rfc3339(text, ret);
}

const cJSON *fs_get_map(const cJSON *fields, const char *path)
{
    return fs_value_map(fs_get(fields, path));
}

const cJSON *fs_get_array(const cJSON *fields, const char *path)
{
    return fs_value_array(fs_get(fields, path));
}

struct str fs_value_str(const cJSON *value)
{
    return json_str_value(json_get(value, "stringValue"));
}

/* ---- To plain JSON ---- */

static bool is_wrapper(const cJSON *item, const char *only_member)
{
    const cJSON *inner = item->child;
    return cJSON_IsObject(item) &&
           (!inner || (!inner->next && strcmp(inner->string, only_member) == 0));
}

/* A typed value has one member, named after its type, whose content is no typed value itself: that
 * tells it from a map with a field of such a name. */
static bool is_typed_value(const cJSON *item)
{
    static const char *const scalars[] = {"nullValue",   "booleanValue",   "integerValue",
                                          "doubleValue", "timestampValue", "stringValue",
                                          "bytesValue",  "referenceValue"};
    const cJSON *only = cJSON_IsObject(item) ? item->child : NULL;
    if (!only || only->next)
        return false;
    if (strcmp(only->string, "mapValue") == 0)
        return is_wrapper(only, "fields");
    if (strcmp(only->string, "arrayValue") == 0)
        return is_wrapper(only, "values");
    if (strcmp(only->string, "geoPointValue") == 0)
        return cJSON_IsObject(only) && (!only->child || cJSON_IsNumber(only->child));
    for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
        if (strcmp(only->string, scalars[i]) == 0)
            return !cJSON_IsObject(only);
    }
    return false;
}

static void add_plain(cJSON *to, const char *name, const cJSON *value);

static void add_plain_members(cJSON *object, const cJSON *fields)
{
    const cJSON *member = NULL;
    cJSON_ArrayForEach(member, fields) add_plain(object, member->string, member);
}

static void add_plain_items(cJSON *array, const cJSON *values)
{
    const cJSON *value = NULL;
    cJSON_ArrayForEach(value, values) add_plain(array, NULL, value);
}

static void add_plain(cJSON *to, const char *name, const cJSON *value)
{
    const cJSON *only = cJSON_IsObject(value) ? value->child : NULL;
    struct str digits;
    int64_t whole = 0;
    if (fs_value_map(value))
        add_plain_members(json_add_object(to, name), fs_value_map(value));
    else if (fs_value_array(value))
        add_plain_items(json_add_array(to, name), fs_value_array(value));
    else if (json_str(value, "integerValue", &digits) &&
             str_parse_i64(digits, -FS_PLAIN_WHOLE_MAX, FS_PLAIN_WHOLE_MAX, &whole))
        json_add_i64(to, name, whole);
    else if (only)
        json_add_copy(to, name, only);
    else
        json_add_null(to, name);
}

cJSON *fs_to_plain(struct arena *a, const cJSON *fields)
{
    if (!is_typed_value(fields)) {
        cJSON *object = json_object(a);
        add_plain_members(object, fields);
        return object;
    }
    /* A root cannot be moved out of a holder: one array or object stands for itself, a scalar is
     * taken from the holder that keeps it alive. */
    cJSON *holder = json_array(a);
    add_plain(holder, NULL, fields);
    return cJSON_GetArrayItem(holder, 0);
}
