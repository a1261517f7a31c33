/* value.c - reading what was sent into canonical values; see value.h */
#include "value.h"
#include "base/clock.h"
#include "base/encode.h"

#include <math.h>

#define NAME_MAX_BYTES 1500
#define SECONDS_MIN    (-62135596800) /* year 1 */
#define SECONDS_MAX    253402300799   /* year 9999 */

static bool read_at(const cJSON *value, cJSON *to, const char *name, int depth, struct refusal *r);

static bool not_valid(struct refusal *r)
{
    return refuse(r, GSTATUS_INVALID_ARGUMENT, "Payload isn't valid for request.");
}

/* --- times --- */

void time_write(int64_t us, char out[TIME_TEXT_SIZE])
{
    int64_t micros = ((us % 1000000) + 1000000) % 1000000;
    time_t seconds = (us - micros) / 1000000;
    struct tm tm;
    int len;

    must(gmtime_r(&seconds, &tm));
    len = snprintf(out, TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (micros % 1000 != 0)
        len += snprintf(out + len, (size_t)(TIME_TEXT_SIZE - len), ".%06d", (int)micros);
    else if (micros != 0)
        len += snprintf(out + len, (size_t)(TIME_TEXT_SIZE - len), ".%03d", (int)(micros / 1000));
    must(len + 2 <= TIME_TEXT_SIZE);
    out[len] = 'Z';
    out[len + 1] = '\0';
}

bool time_read(struct str text, int64_t *ret_us, bool *ret_nanos)
{
    size_t dot = str_find_char(text, '.'), digits = 0;
    char whole[64];
    int64_t ms, micros = 0;
    bool nanos = false;

    while (dot + 1 + digits < text.len && isdigit((unsigned char)text.ptr[dot + 1 + digits])) {
        int digit = text.ptr[dot + 1 + digits] - '0';

        if (digits < 6)
            micros = micros * 10 + digit;
        else
            nanos = nanos || digit != 0;
        digits++;
    }
    if (dot < text.len && (digits < 1 || digits > 9))
        return false;
    for (size_t i = digits; i < 6; i++)
        micros *= 10;
    snprintf(whole, sizeof(whole), "%.*s%.*s", STR_ARG(str_take(text, dot)),
             STR_ARG(str_skip(text, dot + 1 + digits)));
    if (text.len >= sizeof(whole) || !clock_parse_rfc3339(str_from(whole), &ms) ||
        ms < SECONDS_MIN * 1000 || ms > SECONDS_MAX * 1000)
        return false;
    *ret_us = ms * 1000 + micros;
    if (ret_nanos)
        *ret_nanos = nanos;
    return true;
}

/* --- scalars --- */

static bool read_integer(const cJSON *item, cJSON *to, struct refusal *r)
{
    char text[24];
    int64_t number;

    if (cJSON_IsString(item)) {
        if (!str_parse_i64(json_str_value(item), INT64_MIN, INT64_MAX, &number))
            return not_valid(r);
    } else if (cJSON_IsNumber(item) && fabs(item->valuedouble) < 9e15 &&
               !(item->valuedouble < floor(item->valuedouble)) &&
               !(item->valuedouble > floor(item->valuedouble))) {
        number = (int64_t)item->valuedouble;
    } else {
        return not_valid(r);
    }
    snprintf(text, sizeof(text), "%lld", (long long)number);
    json_add_text(to, "integerValue", text);
    return true;
}

static bool read_double(const cJSON *item, cJSON *to, struct refusal *r)
{
    struct str text = json_str_value(item);
    double number;

    if (cJSON_IsNumber(item)) {
        json_add_double(to, "doubleValue", item->valuedouble);
        return true;
    }
    if (str_eq(text, STR("NaN")) || str_eq(text, STR("Infinity")) || str_eq(text, STR("-Infinity")))
        json_add_str(to, "doubleValue", text);
    else if (str_parse_double(text, &number))
        json_add_double(to, "doubleValue", number);
    else
        return not_valid(r);
    return true;
}

static bool read_time(const cJSON *item, cJSON *to, struct refusal *r)
{
    char text[TIME_TEXT_SIZE];
    int64_t us;

    if (!cJSON_IsString(item) || !time_read(json_str_value(item), &us, NULL))
        return not_valid(r);
    time_write(us, text);
    json_add_text(to, "timestampValue", text);
    return true;
}

/* Standard or URL-safe, with or without padding: protobuf reads all four and writes the first. */
static bool read_bytes(const cJSON *item, cJSON *to, struct refusal *r)
{
    struct str text = json_str_value(item), data = {NULL, 0};
    struct arena *a = arena_new(text.len * 4 + ARENA_BLOCK_BYTES * 4);
    char *plain = arena_alloc(a, text.len + 1);
    size_t len = 0;
    bool good;

    for (size_t i = 0; i < text.len && text.ptr[i] != '='; i++)
        plain[len++] = text.ptr[i] == '+' ? '-' : text.ptr[i] == '/' ? '_' : text.ptr[i];
    good = cJSON_IsString(item) && base64url_decode(a, str_n(plain, len), &data);
    if (good)
        json_add_str(to, "bytesValue", base64_encode(a, data));
    arena_free(a);
    return good || not_valid(r);
}

static bool read_reference(const cJSON *item, cJSON *to, struct refusal *r)
{
    struct str text = json_str_value(item);

    if (!cJSON_IsString(item) || !str_starts_with(text, STR("projects/")) ||
        !str_contains(text, STR("/documents/")))
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "Resource name lacks \"projects\" at index 0.");
    json_add_str(to, "referenceValue", text);
    return true;
}

static bool read_degrees(const cJSON *point, const char *name, double limit, cJSON *to,
                         struct refusal *r)
{
    const cJSON *item = json_get(point, name);

    if (!item)
        return true;
    if (!cJSON_IsNumber(item))
        return not_valid(r);
    if (item->valuedouble < -limit || item->valuedouble > limit)
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "Geo point %s outside permitted range.", name);
    /* Zero is a default, and those are left out. */
    if (item->valuedouble < 0 || item->valuedouble > 0)
        json_add_double(to, name, item->valuedouble);
    return true;
}

static bool read_point(const cJSON *item, cJSON *to, struct refusal *r)
{
    static const char *const known[] = {"latitude", "longitude", NULL};
    cJSON *point = json_add_object(to, "geoPointValue");

    return known_members(item, known, r) && read_degrees(item, "latitude", 90, point, r) &&
           read_degrees(item, "longitude", 180, point, r);
}

/* --- maps and arrays --- */

static bool name_is_allowed(const char *name, struct refusal *r)
{
    struct str s = str_from(name);

    if (s.len == 0)
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "The property.name is the empty string.");
    if (s.len >= 4 && str_starts_with(s, STR("__")) && str_ends_with(s, STR("__")))
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "a field name is reserved");
    return s.len <= NAME_MAX_BYTES ||
           refuse(r, GSTATUS_INVALID_ARGUMENT, "a field name is longer than %d bytes",
                  NAME_MAX_BYTES);
}

static bool read_members(const cJSON *fields, cJSON *to, int depth, struct refusal *r)
{
    const cJSON *member;

    if (fields && !cJSON_IsObject(fields))
        return not_valid(r);
    cJSON_ArrayForEach(member, fields)
    {
        if (!name_is_allowed(member->string, r) ||
            !read_at(member, to, member->string, depth + 1, r))
            return false;
    }
    return true;
}

static bool read_map(const cJSON *item, cJSON *to, int depth, struct refusal *r)
{
    static const char *const known[] = {"fields", NULL};
    cJSON *map = json_add_object(to, "mapValue");
    const cJSON *fields = json_get(item, "fields");

    if (!known_members(item, known, r))
        return false;
    return !fields || !fields->child ||
           read_members(fields, json_add_object(map, "fields"), depth, r);
}

static bool read_array(const cJSON *item, cJSON *to, int depth, struct refusal *r)
{
    static const char *const known[] = {"values", NULL};
    cJSON *array = json_add_object(to, "arrayValue"), *kept;
    const cJSON *values = json_get(item, "values"), *value;

    if (!known_members(item, known, r) || (values && !cJSON_IsArray(values)))
        return not_valid(r);
    if (!values || !values->child)
        return true;
    kept = json_add_array(array, "values");
    cJSON_ArrayForEach(value, values)
    {
        if (json_get(value, "arrayValue"))
            return refuse(r, GSTATUS_INVALID_ARGUMENT,
                          "Cannot convert an array value in an array value.");
        if (!read_at(value, kept, NULL, depth + 1, r))
            return false;
    }
    return true;
}

static bool read_at(const cJSON *value, cJSON *to, const char *name, int depth, struct refusal *r)
{
    const cJSON *item = value->child;
    cJSON *kept = json_add_object(to, name);

    if (!cJSON_IsObject(value))
        return not_valid(r);
    if (!item)
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "Cannot convert a Value with type unset.");
    if (item->next)
        return not_valid(r);
    if (depth > VALUE_DEPTH_MAX)
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "maps and arrays are nested too deeply");
    if (strcmp(item->string, "nullValue") == 0) {
        json_add_null(kept, "nullValue");
        return true;
    }
    if (strcmp(item->string, "booleanValue") == 0 && cJSON_IsBool(item)) {
        json_add_bool(kept, "booleanValue", cJSON_IsTrue(item));
        return true;
    }
    if (strcmp(item->string, "stringValue") == 0 && cJSON_IsString(item)) {
        json_add_str(kept, "stringValue", json_str_value(item));
        return true;
    }
    if (strcmp(item->string, "integerValue") == 0)
        return read_integer(item, kept, r);
    if (strcmp(item->string, "doubleValue") == 0)
        return read_double(item, kept, r);
    if (strcmp(item->string, "timestampValue") == 0)
        return read_time(item, kept, r);
    if (strcmp(item->string, "bytesValue") == 0)
        return read_bytes(item, kept, r);
    if (strcmp(item->string, "referenceValue") == 0)
        return read_reference(item, kept, r);
    if (strcmp(item->string, "geoPointValue") == 0)
        return read_point(item, kept, r);
    if (strcmp(item->string, "mapValue") == 0)
        return read_map(item, kept, depth, r);
    if (strcmp(item->string, "arrayValue") == 0)
        return read_array(item, kept, depth, r);
    return not_valid(r);
}

bool value_read(const cJSON *value, cJSON *to, const char *name, struct refusal *r)
{
    static const cJSON unset = {.type = cJSON_Object};

    return read_at(value ? value : &unset, to, name, 0, r);
}

cJSON *fields_read(struct arena *a, const cJSON *fields, struct refusal *r)
{
    cJSON *kept = json_object(a);

    return read_members(fields, kept, 0, r) ? kept : NULL;
}
