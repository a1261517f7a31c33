/*
 * firestore_transform.c - changes that the server computes
 *
 * Source: firebase.google.com/docs/firestore/reference/rest/v1/Write#FieldTransform.
 */
#include "documents.h"

#include <math.h>

#define REQUEST_TIME 1 /* of enum ServerValue */

struct transform_name {
    const char *name;
    enum transform_kind kind;
};

static const struct transform_name names[] = {
    {"setToServerValue", SERVER_TIME},
    {"increment", INCREMENT},
    {"maximum", MAXIMUM},
    {"minimum", MINIMUM},
    {"appendMissingElements", APPEND_MISSING},
    {"removeAllFromArray", REMOVE_ALL},
};

/* --- reading --- */

static bool is_number(const cJSON *value)
{
    return value && (json_get(value, "integerValue") || json_get(value, "doubleValue"));
}

static bool read_operand(struct call *c, const cJSON *operand, struct transform *ret)
{
    static const char *const server_values[] = {"SERVER_VALUE_UNSPECIFIED", "REQUEST_TIME"};
    cJSON *holder = json_array(c->a), *wrapped;

    switch (ret->kind) {
    case SERVER_TIME:
        wrapped = json_add_object(holder, NULL);
        json_add_copy(wrapped, "value", operand);
        return enum_read(wrapped, "value", server_values, 2) == REQUEST_TIME ||
               refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "ServerValue type must be specified.");
    case INCREMENT:
    case MAXIMUM:
    case MINIMUM:
        if (!value_read(operand, holder, NULL, &c->refusal))
            return false;
        ret->value = holder->child;
        return is_number(ret->value) ||
               refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Input must be int64 or double.");
    case APPEND_MISSING:
    case REMOVE_ALL:
        wrapped = json_add_object(json_array(c->a), NULL);
        json_add_copy(wrapped, "arrayValue", operand);
        if (!value_read(wrapped, holder, NULL, &c->refusal))
            return false;
        ret->value = holder->child;
        return true;
    }
    return false;
}

static bool read_one(struct call *c, const cJSON *json, struct transform *ret)
{
    struct str path = {NULL, 0};

    (void)json_str(json, "fieldPath", &path);
    if (!field_path_read(c->a, path, &ret->path, &c->refusal))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const cJSON *operand = json_get(json, names[i].name);

        if (operand) {
            ret->kind = names[i].kind;
            return read_operand(c, operand, ret);
        }
    }
    return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                  "Operation type must be specified for field transformation.");
}

bool transforms_read(struct call *c, const cJSON *list, struct write *write)
{
    const cJSON *json;

    if (!list)
        return true;
    write->transforms =
        arena_alloc_array(c->a, (size_t)cJSON_GetArraySize(list) + 1, sizeof *write->transforms);
    cJSON_ArrayForEach(json, list)
    {
        if (!read_one(c, json, &write->transforms[write->transform_count++]))
            return false;
    }
    return true;
}

/* --- arithmetic --- */

static bool whole_of(const cJSON *value, int64_t *ret)
{
    struct str text;

    return json_str(value, "integerValue", &text) && str_parse_i64(text, INT64_MIN, INT64_MAX, ret);
}

static void add_double(cJSON *to, double number)
{
    if (isnan(number))
        json_add_text(to, "doubleValue", "NaN");
    else if (isinf(number))
        json_add_text(to, "doubleValue", number > 0 ? "Infinity" : "-Infinity");
    else
        json_add_double(to, "doubleValue", number);
}

/* Whole numbers stay whole and stop at the ends of their range. */
static const cJSON *sum(struct call *c, const cJSON *old, const cJSON *by)
{
    cJSON *result = json_object(c->a);
    int64_t left = 0, right = 0, total;

    if (whole_of(old, &left) && whole_of(by, &right)) {
        if (__builtin_add_overflow(left, right, &total))
            total = right > 0 ? INT64_MAX : INT64_MIN;
        json_add_str(result, "integerValue", arena_printf(c->a, "%lld", (long long)total));
    } else {
        add_double(result, (double)value_number(old) + (double)value_number(by));
    }
    return result;
}

/* --- arrays --- */

static bool contains(const cJSON *list, const cJSON *value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (value_compare(item, value) == 0)
            return true;
    }
    return false;
}

static const cJSON *list_of(const cJSON *value)
{
    return json_get(json_get(value, "arrayValue"), "values");
}

static const cJSON *changed_array(struct call *c, const cJSON *old, const struct transform *t)
{
    cJSON *result = json_object(c->a), *array = json_add_object(result, "arrayValue");
    cJSON *values = json_add_array(array, "values");
    const cJSON *item;

    cJSON_ArrayForEach(item, list_of(old))
    {
        if (t->kind == APPEND_MISSING || !contains(list_of(t->value), item))
            json_add_copy(values, NULL, item);
    }
    if (t->kind == APPEND_MISSING) {
        cJSON_ArrayForEach(item, list_of(t->value))
        {
            if (!contains(values, item))
                json_add_copy(values, NULL, item);
        }
    }
    if (!values->child)
        cJSON_DeleteItemFromObjectCaseSensitive(array, "values");
    return result;
}

/* --- doing --- */

static const cJSON *server_time(struct call *c, int64_t time_us)
{
    cJSON *value = json_object(c->a);

    add_time(value, "timestampValue", time_us / 1000 * 1000);
    return value;
}

static const cJSON *new_value(struct call *c, const struct transform *t, const cJSON *old,
                              int64_t time_us)
{
    switch (t->kind) {
    case SERVER_TIME:
        return server_time(c, time_us);
    case INCREMENT:
        return is_number(old) ? sum(c, old, t->value) : t->value;
    case MAXIMUM:
        return is_number(old) && value_compare(old, t->value) >= 0 ? old : t->value;
    case MINIMUM:
        return is_number(old) && value_compare(old, t->value) <= 0 ? old : t->value;
    case APPEND_MISSING:
    case REMOVE_ALL:
        return changed_array(c, old, t);
    }
    return NULL;
}

bool transforms_apply(struct call *c, const struct write *write, int64_t time_us, cJSON *fields,
                      cJSON *results)
{
    for (size_t i = 0; i < write->transform_count; i++) {
        const struct transform *t = &write->transforms[i];
        const cJSON *old = field_get(fields, &t->path), *value = new_value(c, t, old, time_us);

        /* Of the two array transforms nothing is told. */
        if (results && (t->kind == APPEND_MISSING || t->kind == REMOVE_ALL))
            json_add_null(json_add_object(results, NULL), "nullValue");
        else if (results)
            json_add_copy(results, NULL, value);
        if (value != old && !field_set(fields, &t->path, value, &c->refusal))
            return false;
    }
    return true;
}
