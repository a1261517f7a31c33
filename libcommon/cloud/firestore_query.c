#include "base/clock.h"
#include "cloud/firestore_private.h"

/* ---- Values for filters ---- */

const cJSON *fs_value_of_str(struct arena *a, struct str value)
{
    cJSON *typed = json_object(a);
    json_add_str(typed, "stringValue", value);
    return typed;
}

const cJSON *fs_value_of_i64(struct arena *a, int64_t value)
{
    cJSON *fields = fs_fields(a);
    fs_add_i64(fields, "v", value);
    return fs_get(fields, "v");
}

const cJSON *fs_value_of_bool(struct arena *a, bool value)
{
    cJSON *typed = json_object(a);
    json_add_bool(typed, "booleanValue", value);
    return typed;
}

const cJSON *fs_value_of_time_ms(struct arena *a, int64_t unix_ms)
{
    cJSON *fields = fs_fields(a);
    fs_add_time_ms(fields, "v", unix_ms);
    return fs_get(fields, "v");
}

/* ---- The query as JSON ---- */

static const char *const operator_names[] = {
    [FS_EQUAL] = "EQUAL",
    [FS_NOT_EQUAL] = "NOT_EQUAL",
    [FS_LESS] = "LESS_THAN",
    [FS_LESS_OR_EQUAL] = "LESS_THAN_OR_EQUAL",
    [FS_GREATER] = "GREATER_THAN",
    [FS_GREATER_OR_EQUAL] = "GREATER_THAN_OR_EQUAL",
    [FS_ARRAY_CONTAINS] = "ARRAY_CONTAINS",
    [FS_IN] = "IN",
};

static void field_add(const char *path, struct buf *b)
{
    buf_add(b, STR("{\"fieldPath\":"));
    fs_field_path_add_json(str_from(path), b);
    buf_add_char(b, '}');
}

static void filter_add(const struct fs_filter *filter, struct buf *b)
{
    must((size_t)filter->op < ARRAY_LEN(operator_names) && filter->value);
    /* Nothing equals null in a field filter; there is another one for it. */
    bool null = json_get(filter->value, "nullValue") &&
                (filter->op == FS_EQUAL || filter->op == FS_NOT_EQUAL);
    buf_add_text(b, null ? "{\"unaryFilter\":{\"field\":" : "{\"fieldFilter\":{\"field\":");
    field_add(filter->path, b);
    if (null) {
        buf_add_text(b, filter->op == FS_EQUAL ? ",\"op\":\"IS_NULL\"}}"
                                               : ",\"op\":\"IS_NOT_NULL\"}}");
        return;
    }
    buf_printf(b, ",\"op\":\"%s\",\"value\":", operator_names[filter->op]);
    json_write(b, filter->value);
    buf_add(b, STR("}}"));
}

static void where_add(const struct fs_query *query, struct buf *b)
{
    must(query->filter_count <= ARRAY_LEN(query->filters));
    if (query->filter_count == 0)
        return;
    buf_add(b, STR(",\"where\":"));
    if (query->filter_count > 1)
        buf_add(b, STR("{\"compositeFilter\":{\"op\":\"AND\",\"filters\":["));
    for (size_t i = 0; i < query->filter_count; i++) {
        if (i > 0)
            buf_add_char(b, ',');
        filter_add(&query->filters[i], b);
    }
    if (query->filter_count > 1)
        buf_add(b, STR("]}}"));
}

static void order_add(const struct fs_query *query, struct buf *b)
{
    must(query->order_count <= ARRAY_LEN(query->order));
    if (query->order_count == 0)
        return;
    buf_add(b, STR(",\"orderBy\":["));
    for (size_t i = 0; i < query->order_count; i++) {
        buf_add_text(b, i > 0 ? ",{\"field\":" : "{\"field\":");
        field_add(query->order[i].path, b);
        buf_printf(b, ",\"direction\":\"%s\"}",
                   query->order[i].descending ? "DESCENDING" : "ASCENDING");
    }
    buf_add_char(b, ']');
}

static void select_add(const struct fs_query *query, struct buf *b)
{
    must(query->select_count <= ARRAY_LEN(query->select));
    if (query->select_count == 0)
        return;
    buf_add(b, STR(",\"select\":{\"fields\":["));
    for (size_t i = 0; i < query->select_count; i++) {
        if (i > 0)
            buf_add_char(b, ',');
        field_add(query->select[i], b);
    }
    buf_add(b, STR("]}"));
}

/* False when the document of the page before lacks a field of the order. */
static bool cursor_add(const struct firestore *fs, const struct fs_query *query, struct buf *b)
{
    if (!query->start_after)
        return true;
    must(query->order_count > 0 &&
         strcmp(query->order[query->order_count - 1].path, "__name__") == 0);
    buf_add(b, STR(",\"startAt\":{\"before\":false,\"values\":["));
    for (size_t i = 0; i < query->order_count; i++) {
        const char *path = query->order[i].path;
        if (i > 0)
            buf_add_char(b, ',');
        if (strcmp(path, "__name__") == 0) {
            buf_add(b, STR("{\"referenceValue\":"));
            fs_name_add(fs, query->start_after->path, b);
            buf_add_char(b, '}');
            continue;
        }
        const cJSON *value = fs_get(query->start_after->fields, path);
        if (!value)
            return false;
        json_write(b, value);
    }
    buf_add(b, STR("]}"));
    return true;
}

static bool query_add(const struct firestore *fs, const struct fs_query *query, struct buf *b,
                      struct error *e)
{
    buf_add(b, STR("\"structuredQuery\":{\"from\":[{\"collectionId\":"));
    buf_add_json_string(b, str_from(query->collection));
    if (query->all_descendants)
        buf_add(b, STR(",\"allDescendants\":true"));
    buf_add(b, STR("}]"));
    where_add(query, b);
    order_add(query, b);
    select_add(query, b);
    if (!cursor_add(fs, query, b))
        return error_set(e, ERR_BAD_REQUEST,
                         "firestore query: cursor without a field of the order");
    must(query->limit >= 0 && query->limit <= INT32_MAX);
    if (query->limit > 0)
        buf_printf(b, ",\"limit\":%lld", (long long)query->limit);
    buf_add_char(b, '}');
    return true;
}

/* ---- Documents ---- */

static bool read_documents(const struct firestore *fs, const cJSON *answer, struct arena *a,
                           struct fs_document **ret_documents, size_t *ret_count)
{
    const cJSON *element = NULL;
    size_t count = 0;
    if (!cJSON_IsArray(answer))
        return false;
    cJSON_ArrayForEach(element, answer) count += json_get(element, "document") ? 1 : 0;
    if (count > FS_DOCUMENTS_MAX)
        return false;
    struct fs_document *documents = arena_alloc_array(a, count, sizeof(*documents));
    size_t n = 0;
    cJSON_ArrayForEach(element, answer)
    {
        /* Elements without one only say when, or how far, it was read. */
        const cJSON *document = json_get(element, "document");
        if (document && !fs_document_read(fs, document, &documents[n++]))
            return false;
    }
    *ret_documents = documents;
    *ret_count = count;
    return true;
}

bool firestore_query(struct firestore *fs, const struct fs_query *query,
                     const struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                     struct fs_document **ret_documents, size_t *ret_count, struct error *e)
{
    struct buf body;
    struct google_answer answer;
    fs_body_init(fs, &body);
    buf_add_char(&body, '{');
    if (!query_add(fs, query, &body, e)) {
        buf_done(&body);
        return false;
    }
    fs_transaction_add(tx, &body);
    buf_add_char(&body, '}');
    const struct fs_call call = {
        .what = "firestore query",
        .verb = ":runQuery",
        .parent = query->parent,
        .body = &body,
        .repeatable = true,
        .in_transaction = tx != NULL,
        .deadline_ms = deadline_ms,
    };
    if (!fs_run(fs, &call, a, &answer, e))
        return false;
    return read_documents(fs, answer.json, a, ret_documents, ret_count) || fs_unreadable(&call, e);
}

/* ---- Count ---- */

static bool read_count(const cJSON *answer, int64_t *ret_count)
{
    const cJSON *element = NULL;
    cJSON_ArrayForEach(element, answer)
    {
        const cJSON *fields = json_get(json_get(element, "result"), "aggregateFields");
        if (fs_get_i64(fields, "count", ret_count))
            return *ret_count >= 0;
    }
    return false;
}

bool firestore_count(struct firestore *fs, const struct fs_query *query, struct arena *a,
                     int64_t deadline_ms, int64_t *ret_count, struct error *e)
{
    struct buf body;
    struct google_answer answer;
    fs_body_init(fs, &body);
    buf_add(&body, STR("{\"structuredAggregationQuery\":{\"aggregations\":[{\"alias\":\"count\","
                       "\"count\":{}}],"));
    if (!query_add(fs, query, &body, e)) {
        buf_done(&body);
        return false;
    }
    buf_add(&body, STR("}}"));
    const struct fs_call call = {
        .what = "firestore count",
        .verb = ":runAggregationQuery",
        .parent = query->parent,
        .body = &body,
        .repeatable = true,
        .deadline_ms = deadline_ms,
    };
    if (!fs_run(fs, &call, a, &answer, e))
        return false;
    return read_count(answer.json, ret_count) || fs_unreadable(&call, e);
}
