/* value_order.c - which value comes first, and which are the same; see value.h */
#include "base/encode.h"
#include "value.h"

#include <math.h>

enum rank {
    RANK_NULL,
    RANK_BOOLEAN,
    RANK_NUMBER,
    RANK_TIME,
    RANK_STRING,
    RANK_BYTES,
    RANK_REFERENCE,
    RANK_POINT,
    RANK_ARRAY,
    RANK_MAP,
};

static enum rank rank_of(const cJSON *value)
{
    static const struct {
        const char *name;
        enum rank rank;
    } names[] = {
        {"nullValue", RANK_NULL},      {"booleanValue", RANK_BOOLEAN},
        {"integerValue", RANK_NUMBER}, {"doubleValue", RANK_NUMBER},
        {"timestampValue", RANK_TIME}, {"stringValue", RANK_STRING},
        {"bytesValue", RANK_BYTES},    {"referenceValue", RANK_REFERENCE},
        {"geoPointValue", RANK_POINT}, {"arrayValue", RANK_ARRAY},
        {"mapValue", RANK_MAP},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(value->child->string, names[i].name) == 0)
            return names[i].rank;
    }
    return RANK_NULL;
}

long double value_number(const cJSON *value)
{
    const cJSON *item = value->child;
    struct str text = json_str_value(item);
    int64_t whole = 0;

    if (cJSON_IsNumber(item))
        return (long double)item->valuedouble;
    if (str_eq(text, STR("NaN")))
        return (long double)NAN;
    if (str_eq(text, STR("Infinity")))
        return (long double)INFINITY;
    if (str_eq(text, STR("-Infinity")))
        return (long double)-INFINITY;
    must(str_parse_i64(text, INT64_MIN, INT64_MAX, &whole));
    return (long double)whole;
}

static int compare_numbers(long double left, long double right)
{
    if (isnan(left) || isnan(right))
        return (isnan(right) ? 1 : 0) - (isnan(left) ? 1 : 0);
    return (left > right) - (left < right);
}

static int compare_times(const cJSON *left, const cJSON *right)
{
    int64_t l = 0, r = 0;

    must(time_read(json_str_value(left->child), &l, NULL));
    must(time_read(json_str_value(right->child), &r, NULL));
    return (l > r) - (l < r);
}

static int compare_bytes(const cJSON *left, const cJSON *right)
{
    struct str l = json_str_value(left->child), r = json_str_value(right->child), ld, rd;
    struct arena *a = arena_new((l.len + r.len) * 2 + ARENA_BLOCK_BYTES * 4);
    int order;

    must(base64_decode(a, l, &ld) && base64_decode(a, r, &rd));
    order = str_cmp(ld, rd);
    arena_free(a);
    return order;
}

/* "__id7__" is the number 7, which comes before all texts. The clients use the least of them as a
 * bound. */
static bool is_numeric_id(struct str part, int64_t *ret)
{
    return str_starts_with(part, STR("__id")) && str_ends_with(part, STR("__")) && part.len > 6 &&
           str_parse_i64(str_n(part.ptr + 4, part.len - 6), INT64_MIN, INT64_MAX, ret);
}

static int compare_parts(struct str left, struct str right)
{
    int64_t l = 0, r = 0;
    bool left_is_numeric = is_numeric_id(left, &l), right_is_numeric = is_numeric_id(right, &r);

    if (left_is_numeric && right_is_numeric)
        return (l > r) - (l < r);
    if (left_is_numeric != right_is_numeric)
        return left_is_numeric ? -1 : 1;
    return str_cmp(left, right);
}

int path_compare(struct str left, struct str right)
{
    struct str l, r;
    int order = 0;

    while (order == 0 && left.ptr && right.ptr) {
        (void)str_split(&left, '/', &l);
        (void)str_split(&right, '/', &r);
        order = compare_parts(l, r);
    }
    return order != 0 ? order : (left.ptr ? 1 : 0) - (right.ptr ? 1 : 0);
}

static double degrees(const cJSON *value, const char *name)
{
    const cJSON *item = json_get(value->child, name);

    return item ? item->valuedouble : 0;
}

static int compare_points(const cJSON *left, const cJSON *right)
{
    int order = compare_numbers((long double)degrees(left, "latitude"),
                                (long double)degrees(right, "latitude"));

    return order != 0 ? order
                      : compare_numbers((long double)degrees(left, "longitude"),
                                        (long double)degrees(right, "longitude"));
}

static int compare_arrays(const cJSON *left, const cJSON *right)
{
    const cJSON *lv = json_get(left->child, "values"), *rv = json_get(right->child, "values");
    const cJSON *l = lv ? lv->child : NULL, *r = rv ? rv->child : NULL;

    for (; l && r; l = l->next, r = r->next) {
        int order = value_compare(l, r);

        if (order != 0)
            return order;
    }
    return (l ? 1 : 0) - (r ? 1 : 0);
}

/* --- maps: by their first different name or value, names in order --- */

static int by_name(const void *left, const void *right)
{
    const cJSON *const *l = left, *const *r = right;

    return str_cmp(str_from((*l)->string), str_from((*r)->string));
}

static const cJSON **sorted_members(const cJSON *value, size_t *ret_count)
{
    const cJSON *fields = json_get(value->child, "fields"), *member;
    size_t count = (size_t)(fields ? cJSON_GetArraySize(fields) : 0), n = 0;
    const cJSON **members = calloc(count + 1, sizeof *members);

    must(members);
    cJSON_ArrayForEach(member, fields) members[n++] = member;
    qsort(members, count, sizeof *members, by_name);
    *ret_count = count;
    return members;
}

static int compare_maps(const cJSON *left, const cJSON *right)
{
    size_t lc, rc;
    const cJSON **l = sorted_members(left, &lc), **r = sorted_members(right, &rc);
    int order = 0;

    for (size_t i = 0; order == 0 && i < lc && i < rc; i++) {
        order = by_name(&l[i], &r[i]);
        if (order == 0)
            order = value_compare(l[i], r[i]);
    }
    if (order == 0)
        order = (lc > rc) - (lc < rc);
    free(l);
    free(r);
    return order;
}

int value_compare(const cJSON *left, const cJSON *right)
{
    enum rank rank = rank_of(left), other = rank_of(right);

    if (rank != other)
        return rank < other ? -1 : 1;
    switch (rank) {
    case RANK_NULL:
        return 0;
    case RANK_BOOLEAN:
        return (cJSON_IsTrue(left->child) ? 1 : 0) - (cJSON_IsTrue(right->child) ? 1 : 0);
    case RANK_NUMBER:
        return compare_numbers(value_number(left), value_number(right));
    case RANK_TIME:
        return compare_times(left, right);
    case RANK_STRING:
        return str_cmp(json_str_value(left->child), json_str_value(right->child));
    case RANK_BYTES:
        return compare_bytes(left, right);
    case RANK_REFERENCE:
        return path_compare(json_str_value(left->child), json_str_value(right->child));
    case RANK_POINT:
        return compare_points(left, right);
    case RANK_ARRAY:
        return compare_arrays(left, right);
    case RANK_MAP:
        return compare_maps(left, right);
    }
    return 0;
}

bool value_comparable(const cJSON *left, const cJSON *right)
{
    return rank_of(left) == rank_of(right);
}

bool value_is_null(const cJSON *value)
{
    return rank_of(value) == RANK_NULL;
}

bool value_is_nan(const cJSON *value)
{
    return rank_of(value) == RANK_NUMBER && isnan(value_number(value));
}

/* Canonical trees: the same members in any order, the same scalars to the bit. */
bool value_same(const cJSON *left, const cJSON *right)
{
    const cJSON *member;

    if ((left->type & 0xff) != (right->type & 0xff))
        return false;
    if (cJSON_IsString(left))
        return str_eq(json_str_value(left), json_str_value(right));
    if (cJSON_IsNumber(left))
        return !(left->valuedouble < right->valuedouble) &&
               !(left->valuedouble > right->valuedouble) &&
               signbit(left->valuedouble) == signbit(right->valuedouble);
    if (cJSON_GetArraySize(left) != cJSON_GetArraySize(right))
        return false;
    if (cJSON_IsObject(left)) {
        cJSON_ArrayForEach(member, left)
        {
            const cJSON *other = json_get(right, member->string);

            if (!other || !value_same(member, other))
                return false;
        }
    } else if (cJSON_IsArray(left)) {
        const cJSON *other = right->child;

        for (member = left->child; member; member = member->next, other = other->next) {
            if (!value_same(member, other))
                return false;
        }
    }
    return true;
}
