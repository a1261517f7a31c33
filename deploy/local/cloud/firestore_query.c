/*
 * firestore_query.c - runQuery and runAggregationQuery
 *
 * Everything in scope is looked at, what matches is sorted: no index, no limit on what may be
 * combined. Google's cloud would ask for composite indexes where this and the emulator do not.
 * Source: firebase.google.com/docs/firestore/reference/rest/v1/StructuredQuery.
 */
#include "base/encode.h"
#include "documents.h"

#include <math.h>

#define ORDERS_MAX 16

struct order {
    struct field_path path;
    bool descending;
};

struct cursor {
    cJSON *values; /* NULL: none */
    bool before;
};

struct query {
    struct call *c;
    struct scope scope;
    struct filter *filter;
    struct order orders[ORDERS_MAX]; /* those asked for, then those that follow from the filter */
    size_t order_count, asked_count;
    struct cursor start, end;
    int64_t limit, offset; /* limit -1: none */
    struct field_path *select;
    size_t select_count;
    struct match *matches;
    size_t count, capacity;
};

struct match {
    struct document document;
    cJSON *name; /* as a referenceValue */
};

static bool bad(struct call *c, const char *why)
{
    return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "%s", why);
}

/* --- reading --- */

static bool read_from(struct call *c, const cJSON *json, struct str parent, struct query *q)
{
    static const char *const known[] = {"collectionId", "allDescendants", NULL};
    const cJSON *list = json_get(json, "from");
    struct refusal r;

    q->scope.parent = parent;
    if (cJSON_GetArraySize(list) > 1)
        return bad(c, "StructuredQuery.from cannot have more than one collection selector.");
    if (!list || !list->child)
        return true;
    if (!known_members(list->child, known, &c->refusal))
        return false;
    (void)json_bool(list->child, "allDescendants", &q->scope.descendants);
    (void)json_str(list->child, "collectionId", &q->scope.collection);
    if (q->scope.collection.len > 0 && (str_contains(q->scope.collection, STR("/")) ||
                                        !path_is_collection(q->scope.collection, &r)))
        return bad(c, "Collection id is invalid.");
    return true;
}

static bool read_orders(struct call *c, const cJSON *json, struct query *q)
{
    static const char *const directions[] = {"DIRECTION_UNSPECIFIED", "ASCENDING", "DESCENDING"};
    static const char *const known[] = {"field", "direction", NULL};
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(json, "orderBy"))
    {
        struct order *order = &q->orders[q->order_count];
        int direction = enum_read(item, "direction", directions, ARRAY_LEN(directions));
        struct str text = {NULL, 0};

        if (!known_members(item, known, &c->refusal))
            return false;
        if (direction < 0 || q->order_count == ORDERS_MAX)
            return bad(c, "Payload isn't valid for request.");
        (void)json_str(json_get(item, "field"), "fieldPath", &text);
        if (!field_path_read(c->a, text, &order->path, &c->refusal))
            return false;
        order->descending = direction == 2;
        q->order_count++;
    }
    q->asked_count = q->order_count;
    if (q->order_count > 0 && field_path_is_name(&q->orders[0].path) && q->orders[0].descending)
        return refuse(&c->refusal, GSTATUS_FAILED_PRECONDITION,
                      "Firestore does not support descending key scans");
    return true;
}

static bool is_ordered_by(const struct query *q, const struct field_path *path)
{
    for (size_t i = 0; i < q->order_count; i++) {
        if (field_path_compare(&q->orders[i].path, path) == 0)
            return true;
    }
    return false;
}

static void add_order(struct query *q, const struct field_path *path)
{
    bool descending = q->order_count > 0 && q->orders[q->order_count - 1].descending;

    if (q->order_count < ORDERS_MAX && !is_ordered_by(q, path))
        q->orders[q->order_count++] = (struct order){.path = *path, .descending = descending};
}

/* Results come in the order of what is compared by inequality, and at last by name. */
static void add_implied_orders(struct query *q)
{
    static struct str name = {"__name__", sizeof("__name__") - 1};
    const struct field_path by_name = {.parts = &name, .count = 1};
    const struct field_path *paths[ORDERS_MAX];
    size_t count = filter_inequalities(q->filter, paths, ARRAY_LEN(paths));

    for (size_t i = 0; i < count; i++) {
        if (!field_path_is_name(paths[i]))
            add_order(q, paths[i]);
    }
    add_order(q, &by_name);
}

static bool read_cursor(struct call *c, const cJSON *json, struct query *q, struct cursor *ret)
{
    static const char *const known[] = {"values", "before", NULL};
    const cJSON *value;
    size_t at = 0;

    if (!json)
        return true;
    if (!known_members(json, known, &c->refusal))
        return false;
    (void)json_bool(json, "before", &ret->before);
    ret->values = json_array(c->a);
    cJSON_ArrayForEach(value, json_get(json, "values"))
    {
        if (at == q->asked_count)
            return bad(c, "Cursor has too many values.");
        if (!value_read(value, ret->values, NULL, &c->refusal))
            return false;
        if (field_path_is_name(&q->orders[at++].path) && !json_get(value, "referenceValue"))
            return bad(c, "a cursor on __name__ needs a reference");
    }
    return true;
}

static bool read_count(struct call *c, const cJSON *json, const char *name, int64_t *ret)
{
    if (!json_get(json, name))
        return true;
    if (!json_i64(json, name, ret))
        return bad(c, "Payload isn't valid for request.");
    return *ret >= 0 || refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "%s is negative", name);
}

static bool read_select(struct call *c, const cJSON *json, struct query *q)
{
    const cJSON *list = json_get(json, "fields"), *item;

    if (!json)
        return true;
    q->select = arena_alloc_array(c->a, (size_t)cJSON_GetArraySize(list) + 1, sizeof *q->select);
    cJSON_ArrayForEach(item, list)
    {
        struct str text = {NULL, 0};

        (void)json_str(item, "fieldPath", &text);
        if (!field_path_read(c->a, text, &q->select[q->select_count++], &c->refusal))
            return false;
    }
    return true;
}

static bool read_query(struct call *c, const cJSON *json, struct str parent, struct query *q)
{
    static const char *const known[] = {"select", "from",  "where",  "orderBy", "startAt",
                                        "endAt",  "limit", "offset", NULL};

    *q = (struct query){.c = c, .limit = -1};
    if (!json)
        return bad(c, "only structured queries are supported");
    if (!known_members(json, known, &c->refusal) || !read_from(c, json, parent, q) ||
        !filter_read(c, json_get(json, "where"), &q->filter) || !read_orders(c, json, q))
        return false;
    add_implied_orders(q);
    return read_cursor(c, json_get(json, "startAt"), q, &q->start) &&
           read_cursor(c, json_get(json, "endAt"), q, &q->end) &&
           read_count(c, json, "limit", &q->limit) && read_count(c, json, "offset", &q->offset) &&
           read_select(c, json_get(json, "select"), q);
}

/* --- finding --- */

static const cJSON *ordered_value(const struct match *m, const struct order *order)
{
    return field_path_is_name(&order->path) ? m->name : field_get(m->document.fields, &order->path);
}

static int compare_values(const cJSON *left, const cJSON *right, bool descending)
{
    int order = left && right ? value_compare(left, right) : (left ? 1 : 0) - (right ? 1 : 0);

    return descending ? -order : order;
}

static int compare_matches(const void *left, const void *right, void *context)
{
    const struct query *q = context;
    int result = 0;

    for (size_t i = 0; result == 0 && i < q->order_count; i++)
        result = compare_values(ordered_value(left, &q->orders[i]),
                                ordered_value(right, &q->orders[i]), q->orders[i].descending);
    return result;
}

/* Where a document lies to a cursor, which may have fewer values than there are orders. */
static int compare_cursor(const struct query *q, const struct match *m, const struct cursor *cursor)
{
    const cJSON *value = cursor->values->child;
    int result = 0;

    for (size_t i = 0; result == 0 && value; i++, value = value->next)
        result = compare_values(ordered_value(m, &q->orders[i]), value, q->orders[i].descending);
    return result;
}

static bool is_within(const struct query *q, const struct match *m)
{
    if (q->start.values && q->start.values->child) {
        int order = compare_cursor(q, m, &q->start);

        if (q->start.before ? order < 0 : order <= 0)
            return false;
    }
    if (q->end.values && q->end.values->child) {
        int order = compare_cursor(q, m, &q->end);

        if (q->end.before ? order >= 0 : order > 0)
            return false;
    }
    return true;
}

static bool has_ordered_fields(const struct query *q, const struct match *m)
{
    for (size_t i = 0; i < q->asked_count; i++) {
        if (!ordered_value(m, &q->orders[i]))
            return false;
    }
    return true;
}

static void visit(void *context, const struct document *document, bool *ret_keep)
{
    struct query *q = context;
    struct match m = {.document = *document, .name = json_object(q->c->a)};

    json_add_str(m.name, "referenceValue", document_name(q->c, document->path));
    if (!filter_matches(q->filter, document->fields, m.name) || !has_ordered_fields(q, &m) ||
        !is_within(q, &m))
        return;
    if (q->count == q->capacity) {
        struct match *larger;

        q->capacity = q->capacity * 2 + 64;
        larger = arena_alloc_array(q->c->a, q->capacity, sizeof *larger);
        for (size_t i = 0; i < q->count; i++)
            larger[i] = q->matches[i];
        q->matches = larger;
    }
    q->matches[q->count++] = m;
    *ret_keep = true;
}

/* Afterwards q->matches and q->count are what the client gets, in order. */
static void find(struct call *c, struct query *q)
{
    size_t skipped;

    documents_visit(c, &q->scope, visit, q);
    if (q->count > 1)
        qsort_r(q->matches, q->count, sizeof *q->matches, compare_matches, q);
    skipped = (uint64_t)q->offset < q->count ? (size_t)q->offset : q->count;
    if (skipped > 0)
        q->matches += skipped;
    q->count -= skipped;
    if (q->limit >= 0 && (uint64_t)q->limit < q->count)
        q->count = (size_t)q->limit;
}

bool query_digest(struct call *c, struct str parent, const cJSON *json, char out[65])
{
    struct query *q = ARENA_NEW(c->a, struct query);
    struct buf text;

    if (!read_query(c, json, parent, q))
        return false;
    find(c, q);
    buf_init(&text, 64U << 20);
    for (size_t i = 0; i < q->count; i++)
        buf_printf(&text, "%.*s %lld\n", STR_ARG(q->matches[i].document.path),
                   (long long)q->matches[i].document.updated_us);
    must(!text.overflow);
    sha256_hex(buf_str(&text), out);
    buf_done(&text);
    return true;
}

/* --- runQuery --- */

static bool read_and_find(struct call *c, const cJSON *json, struct query *q, cJSON *reply)
{
    struct transaction *transaction;
    struct str started;

    if (!path_is_document(c->path, &c->refusal) || !read_query(c, json, c->path, q) ||
        !transaction_of_call(c, &transaction, &started))
        return false;
    if (started.len > 0)
        json_add_str(json_add_object(reply, NULL), "transaction", started);
    find(c, q);
    return !transaction || transaction_note_query(c, transaction, c->path, json);
}

const cJSON *run_query(struct call *c)
{
    static const char *const known[] = {"structuredQuery", "transaction", "newTransaction",
                                        "parent", NULL};
    struct query *q = ARENA_NEW(c->a, struct query);
    cJSON *reply = json_array(c->a), *item = NULL;

    if (!known_members(c->body, known, &c->refusal) ||
        !read_and_find(c, json_get(c->body, "structuredQuery"), q, reply))
        return NULL;
    for (size_t i = 0; i < q->count; i++) {
        item = json_add_object(reply, NULL);
        json_add_copy(item, "document",
                      document_tree(c, &q->matches[i].document, q->select, q->select_count));
        add_time(item, "readTime", c->now_us);
    }
    if (!item) {
        item = json_add_object(reply, NULL);
        add_time(item, "readTime", c->now_us);
    }
    json_add_bool(item, "done", true);
    return reply;
}

/* --- runAggregationQuery --- */

static bool read_up_to(struct call *c, const cJSON *count, int64_t *ret)
{
    struct str text;

    *ret = INT64_MAX;
    if (!json_get(count, "upTo"))
        return true;
    return (json_str(count, "upTo", &text) && str_parse_i64(text, 1, INT64_MAX, ret)) ||
           json_i64(count, "upTo", ret) || bad(c, "Payload isn't valid for request.");
}

static bool add_count(struct call *c, const struct query *q, const cJSON *aggregation,
                      size_t number, cJSON *fields)
{
    static const char *const known[] = {"count", "alias", NULL};
    const cJSON *count = json_get(aggregation, "count");
    struct str alias = {NULL, 0};
    int64_t up_to;

    if (!known_members(aggregation, known, &c->refusal) || !read_up_to(c, count, &up_to))
        return false;
    if (!count)
        return refuse(&c->refusal, GSTATUS_UNIMPLEMENTED, "only count is played here");
    (void)json_str(aggregation, "alias", &alias);
    if (alias.len == 0)
        alias = arena_printf(c->a, "field_%zu", number);
    alias = str_from(arena_text(c->a, alias));
    if (json_get(fields, alias.ptr))
        return bad(c, "Aggregation aliases contain duplicate alias.");
    if ((uint64_t)up_to > q->count)
        up_to = (int64_t)q->count;
    json_add_str(json_add_object(fields, alias.ptr), "integerValue",
                 arena_printf(c->a, "%lld", (long long)up_to));
    return true;
}

const cJSON *run_aggregation_query(struct call *c)
{
    static const char *const known[] = {"structuredAggregationQuery", "transaction",
                                        "newTransaction", "parent", NULL};
    static const char *const known_inside[] = {"structuredQuery", "aggregations", NULL};
    const cJSON *json = json_get(c->body, "structuredAggregationQuery"), *aggregation;
    const cJSON *aggregations = json_get(json, "aggregations");
    struct query *q = ARENA_NEW(c->a, struct query);
    cJSON *reply = json_array(c->a), *item, *fields;
    size_t number = 0;

    if (!known_members(c->body, known, &c->refusal) ||
        !known_members(json, known_inside, &c->refusal))
        return NULL;
    if (!aggregations || !aggregations->child) {
        bad(c, "Aggregations can not be empty.");
        return NULL;
    }
    if (!read_and_find(c, json_get(json, "structuredQuery"), q, reply))
        return NULL;
    item = json_add_object(reply, NULL);
    fields = json_add_object(json_add_object(item, "result"), "aggregateFields");
    cJSON_ArrayForEach(aggregation, aggregations)
    {
        if (!add_count(c, q, aggregation, ++number, fields))
            return NULL;
    }
    add_time(item, "readTime", c->now_us);
    json_add_bool(item, "done", true);
    return reply;
}
