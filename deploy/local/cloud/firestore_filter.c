/*
 * firestore_filter.c - the where part of a query
 *
 * As Google has it, and its emulator shows: null and NaN are equal to nothing (their clients ask by
 * IS_NULL and IS_NAN), inequalities compare within one type only, and "not" needs the field to be
 * there. Source: firebase.google.com/docs/firestore/reference/rest/v1/StructuredQuery#Filter.
 */
#include "documents.h"

#define FILTERS_MAX 100 /* conditions of one query, as Google's limit on disjunctions has it */

enum filter_kind { ALL_OF, ANY_OF, COMPARED, UNARY };

enum field_operator {
    LESS_THAN = 1,
    LESS_THAN_OR_EQUAL,
    GREATER_THAN,
    GREATER_THAN_OR_EQUAL,
    EQUAL,
    NOT_EQUAL,
    ARRAY_CONTAINS,
    IN,
    ARRAY_CONTAINS_ANY,
    NOT_IN,
};
static const char *const field_operators[] = {
    "OPERATOR_UNSPECIFIED",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "EQUAL",
    "NOT_EQUAL",
    "ARRAY_CONTAINS",
    "IN",
    "ARRAY_CONTAINS_ANY",
    "NOT_IN",
};

enum unary_operator { IS_NAN = 2, IS_NULL, IS_NOT_NAN, IS_NOT_NULL };
static const char *const unary_operators[] = {
    "OPERATOR_UNSPECIFIED", "UNUSED", "IS_NAN", "IS_NULL", "IS_NOT_NAN", "IS_NOT_NULL",
};

static const char *const composite_operators[] = {"OPERATOR_UNSPECIFIED", "AND", "OR"};

struct filter {
    enum filter_kind kind;
    int op;
    struct field_path path;
    const cJSON *value;
    struct filter *children; /* a list */
    struct filter *next;
};

int enum_read(const cJSON *object, const char *member, const char *const *names, int count)
{
    const cJSON *item = json_get(object, member);
    int64_t number;

    if (!item)
        return 0;
    if (json_i64(object, member, &number))
        return number >= 0 && number < count ? (int)number : -1;
    for (int i = 0; i < count; i++) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, names[i]) == 0)
            return i;
    }
    return -1;
}

static bool read_filter(struct call *c, const cJSON *json, struct filter **ret, size_t *count);

static bool bad(struct call *c, const char *why)
{
    return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "%s", why);
}

/* --- reading --- */

static bool read_path(struct call *c, const cJSON *json, struct filter *f)
{
    struct str text = {NULL, 0};

    (void)json_str(json_get(json, "field"), "fieldPath", &text);
    return field_path_read(c->a, text, &f->path, &c->refusal);
}

static bool is_list_operator(int op)
{
    return op == IN || op == NOT_IN || op == ARRAY_CONTAINS_ANY;
}

static bool name_value_is_good(struct call *c, const struct filter *f)
{
    const cJSON *item;

    if (!is_list_operator(f->op))
        return json_get(f->value, "referenceValue") || bad(c, "__key__ filter value must be a Key");
    cJSON_ArrayForEach(item, json_get(json_get(f->value, "arrayValue"), "values"))
    {
        if (!json_get(item, "referenceValue"))
            return bad(c, "__key__ filter value must be a Key");
    }
    return true;
}

static bool read_field_filter(struct call *c, const cJSON *json, struct filter *f)
{
    static const char *const known[] = {"field", "op", "value", NULL};
    cJSON *holder = json_array(c->a);

    f->kind = COMPARED;
    f->op = enum_read(json, "op", field_operators, ARRAY_LEN(field_operators));
    if (!known_members(json, known, &c->refusal) || !read_path(c, json, f))
        return false;
    if (f->op <= 0)
        return bad(c, "Unknown FieldFilter op.");
    if (!value_read(json_get(json, "value"), holder, NULL, &c->refusal))
        return false;
    f->value = holder->child;
    if (is_list_operator(f->op) && !json_get(json_get(f->value, "arrayValue"), "values"))
        return bad(c, "the op requires an non-empty ArrayValue.");
    return !field_path_is_name(&f->path) || name_value_is_good(c, f);
}

static bool read_unary_filter(struct call *c, const cJSON *json, struct filter *f)
{
    static const char *const known[] = {"field", "op", NULL};

    f->kind = UNARY;
    f->op = enum_read(json, "op", unary_operators, ARRAY_LEN(unary_operators));
    if (!known_members(json, known, &c->refusal) || !read_path(c, json, f))
        return false;
    return f->op >= IS_NAN || bad(c, "Unknown UnaryFilter op.");
}

static bool read_composite_filter(struct call *c, const cJSON *json, struct filter *f,
                                  size_t *count)
{
    static const char *const known[] = {"op", "filters", NULL};
    int op = enum_read(json, "op", composite_operators, ARRAY_LEN(composite_operators));
    const cJSON *child;

    if (!known_members(json, known, &c->refusal))
        return false;
    if (op <= 0)
        return bad(c, "Unsupported CompositeFilter op.");
    f->kind = op == 1 ? ALL_OF : ANY_OF;
    cJSON_ArrayForEach(child, json_get(json, "filters"))
    {
        struct filter *read;

        if (!read_filter(c, child, &read, count))
            return false;
        read->next = f->children;
        f->children = read;
    }
    return true;
}

/* JSON's own depth bounds the recursion. */
static bool read_filter(struct call *c, const cJSON *json, struct filter **ret, size_t *count)
{
    static const char *const known[] = {"fieldFilter", "unaryFilter", "compositeFilter", NULL};
    const cJSON *inner = json ? json->child : NULL;

    *ret = ARENA_NEW(c->a, struct filter);
    if (!known_members(json, known, &c->refusal))
        return false;
    if (!inner || inner->next)
        return bad(c, "Unknown Filter type.");
    if (++*count > FILTERS_MAX)
        return bad(c, "a query may have 100 conditions");
    if (strcmp(inner->string, "fieldFilter") == 0)
        return read_field_filter(c, inner, *ret);
    if (strcmp(inner->string, "unaryFilter") == 0)
        return read_unary_filter(c, inner, *ret);
    return read_composite_filter(c, inner, *ret, count);
}

bool filter_read(struct call *c, const cJSON *where, struct filter **ret)
{
    size_t count = 0;

    *ret = NULL;
    return !where || read_filter(c, where, ret, &count);
}

/* --- matching --- */

static bool is_equal(const cJSON *value, const cJSON *to)
{
    return !value_is_null(to) && !value_is_nan(to) && value_compare(value, to) == 0;
}

static bool is_one_of(const cJSON *value, const cJSON *list_value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(json_get(list_value, "arrayValue"), "values"))
    {
        if (is_equal(value, item))
            return true;
    }
    return false;
}

static bool has_null(const cJSON *list_value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(json_get(list_value, "arrayValue"), "values"))
    {
        if (value_is_null(item))
            return true;
    }
    return false;
}

static bool has_any(const cJSON *value, const cJSON *wanted, bool wanted_is_list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(json_get(value, "arrayValue"), "values"))
    {
        if (wanted_is_list ? is_one_of(item, wanted) : is_equal(item, wanted))
            return true;
    }
    return false;
}

static bool in_range(int op, const cJSON *value, const cJSON *than)
{
    int order;

    if (!value_comparable(value, than) || value_is_null(than) || value_is_nan(value) ||
        value_is_nan(than))
        return false;
    order = value_compare(value, than);
    return op == LESS_THAN            ? order < 0
           : op == LESS_THAN_OR_EQUAL ? order <= 0
           : op == GREATER_THAN       ? order > 0
                                      : order >= 0;
}

static bool compared(const struct filter *f, const cJSON *value)
{
    switch ((enum field_operator)f->op) {
    case EQUAL:
        return is_equal(value, f->value);
    case NOT_EQUAL:
        return !value_is_null(value) && !value_is_null(f->value) && !is_equal(value, f->value);
    case IN:
        return is_one_of(value, f->value);
    case NOT_IN:
        return !value_is_null(value) && !has_null(f->value) && !is_one_of(value, f->value);
    case ARRAY_CONTAINS:
        return has_any(value, f->value, false);
    case ARRAY_CONTAINS_ANY:
        return has_any(value, f->value, true);
    case LESS_THAN:
    case LESS_THAN_OR_EQUAL:
    case GREATER_THAN:
    case GREATER_THAN_OR_EQUAL:
        return in_range(f->op, value, f->value);
    }
    return false;
}

static bool unary(const struct filter *f, const cJSON *value)
{
    switch ((enum unary_operator)f->op) {
    case IS_NAN:
        return value_is_nan(value);
    case IS_NULL:
        return value_is_null(value);
    case IS_NOT_NAN:
        return !value_is_nan(value) && !value_is_null(value);
    case IS_NOT_NULL:
        return !value_is_null(value);
    }
    return false;
}

bool filter_matches(const struct filter *f, const cJSON *fields, const cJSON *name)
{
    const cJSON *value;

    if (!f)
        return true;
    if (f->kind == ALL_OF || f->kind == ANY_OF) {
        /* Nothing to meet: all match, also for OR (as the emulator has it for AND). */
        for (const struct filter *child = f->children; child; child = child->next) {
            if (filter_matches(child, fields, name) == (f->kind == ANY_OF))
                return f->kind == ANY_OF;
        }
        return f->kind == ALL_OF || !f->children;
    }
    value = field_path_is_name(&f->path) ? name : field_get(fields, &f->path);
    if (!value)
        return false;
    return f->kind == UNARY ? unary(f, value) : compared(f, value);
}

/* --- for the order of results --- */

static bool is_inequality(const struct filter *f)
{
    if (f->kind == UNARY)
        return f->op == IS_NOT_NAN || f->op == IS_NOT_NULL;
    return f->op <= GREATER_THAN_OR_EQUAL || f->op == NOT_EQUAL || f->op == NOT_IN;
}

static size_t insert(const struct field_path **paths, size_t count, size_t max,
                     const struct field_path *path)
{
    size_t at = 0;

    while (at < count && field_path_compare(paths[at], path) < 0)
        at++;
    if (count == max || (at < count && field_path_compare(paths[at], path) == 0))
        return count;
    for (size_t i = count; i > at; i--)
        paths[i] = paths[i - 1];
    paths[at] = path;
    return count + 1;
}

static size_t collect(const struct filter *f, const struct field_path **paths, size_t count,
                      size_t max)
{
    if (f->kind == COMPARED || f->kind == UNARY)
        return is_inequality(f) ? insert(paths, count, max, &f->path) : count;
    for (const struct filter *child = f->children; child; child = child->next)
        count = collect(child, paths, count, max);
    return count;
}

size_t filter_inequalities(const struct filter *filter, const struct field_path **paths, size_t max)
{
    return filter ? collect(filter, paths, 0, max) : 0;
}
