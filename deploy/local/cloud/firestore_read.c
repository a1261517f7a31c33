/* firestore_read.c - get, batchGet, list, listCollectionIds */
#include "base/encode.h"
#include "documents.h"

#define PAGE_MAX     300
#define PAGE_DEFAULT 300

const cJSON *get_document(struct call *c)
{
    struct document document;
    struct field_path *paths;
    size_t count;

    if (!path_is_document(c->path, &c->refusal) ||
        !mask_param(c, "mask.fieldPaths", &paths, &count))
        return NULL;
    document_load(c, c->path, &document);
    if (!document.exists) {
        refuse(&c->refusal, GSTATUS_NOT_FOUND, "Document not found.");
        return NULL;
    }
    return document_tree(c, &document, paths, count);
}

/* --- batchGet --- */

static bool was_asked_before(const cJSON *list, const cJSON *name)
{
    for (const cJSON *other = list->child; other != name; other = other->next) {
        if (str_eq(json_str_value(other), json_str_value(name)))
            return true;
    }
    return false;
}

static bool add_found(struct call *c, const cJSON *name, struct transaction *transaction,
                      const struct field_path *paths, size_t path_count, cJSON *reply)
{
    struct document document;
    struct str path;
    cJSON *item;

    if (!name_path(c, json_str_value(name), &path))
        return false;
    document_load(c, path, &document);
    if (transaction)
        transaction_note_document(transaction, &document);
    item = json_add_object(reply, NULL);
    if (document.exists)
        json_add_copy(item, "found", document_tree(c, &document, paths, path_count));
    else
        json_add_str(item, "missing", json_str_value(name));
    add_time(item, "readTime", c->now_us);
    return true;
}

const cJSON *batch_get(struct call *c)
{
    static const char *const known[] = {"documents", "mask", "transaction", "newTransaction", NULL};
    const cJSON *list = json_get(c->body, "documents"), *name;
    cJSON *reply = json_array(c->a);
    struct transaction *transaction;
    struct field_path *paths;
    struct str started;
    size_t count;

    if (!known_members(c->body, known, &c->refusal) ||
        !mask_read(c, json_get(c->body, "mask"), &paths, &count) ||
        !transaction_of_call(c, &transaction, &started))
        return NULL;
    if (started.len > 0)
        json_add_str(json_add_object(reply, NULL), "transaction", started);
    cJSON_ArrayForEach(name, list)
    {
        if (!was_asked_before(list, name) && !add_found(c, name, transaction, paths, count, reply))
            return NULL;
    }
    return reply;
}

/* --- list --- */

struct order {
    struct field_path path;
    bool descending;
};

struct listing {
    struct call *c;
    struct order *orders;
    size_t order_count;
    struct document *documents;
    size_t count, capacity;
    struct str collection; /* for missing ones */
};

static void keep(struct listing *l, const struct document *document)
{
    if (l->count == l->capacity) {
        struct document *larger;

        l->capacity = l->capacity * 2 + 64;
        larger = arena_alloc_array(l->c->a, l->capacity, sizeof *larger);
        for (size_t i = 0; i < l->count; i++)
            larger[i] = l->documents[i];
        l->documents = larger;
    }
    l->documents[l->count++] = *document;
}

static void keep_ordered(void *context, const struct document *document, bool *ret_keep)
{
    struct listing *l = context;

    /* A document without the field is in no order by it. */
    for (size_t i = 0; i < l->order_count; i++) {
        if (!field_path_is_name(&l->orders[i].path) &&
            !field_get(document->fields, &l->orders[i].path))
            return;
    }
    keep(l, document);
    *ret_keep = true;
}

/* A document that is not there, but has something below it. */
static void keep_missing(void *context, struct str path)
{
    struct listing *l = context;
    struct str id = str_skip(path, l->collection.len + 1);
    struct document missing = {.exists = false};

    missing.path = str_take(path, l->collection.len + 1 + str_find_char(id, '/'));
    for (size_t i = 0; i < l->count; i++) {
        if (str_eq(l->documents[i].path, missing.path))
            return;
    }
    keep(l, &missing);
}

static int compare(const void *left, const void *right, void *context)
{
    const struct document *l = left, *r = right;
    const struct listing *listing = context;
    bool descending = false;

    for (size_t i = 0; i < listing->order_count; i++) {
        const struct order *order = &listing->orders[i];
        int result = field_path_is_name(&order->path)
                         ? path_compare(l->path, r->path)
                         : value_compare(field_get(l->fields, &order->path),
                                         field_get(r->fields, &order->path));

        descending = order->descending;
        if (result != 0)
            return descending ? -result : result;
    }
    return descending ? path_compare(r->path, l->path) : path_compare(l->path, r->path);
}

/* "k desc, v" */
static bool read_orders(struct call *c, struct listing *l)
{
    struct str text = {NULL, 0}, clause;

    if (!call_param(c, "orderBy", &text) || text.len == 0)
        return true;
    l->orders = arena_alloc_array(c->a, text.len + 1, sizeof *l->orders);
    while (str_split(&text, ',', &clause)) {
        struct order *order = &l->orders[l->order_count++];
        struct str words = str_trim(clause), path;

        (void)str_split(&words, ' ', &path);
        words = str_trim(words);
        order->descending = str_eq_ci(words, STR("desc"));
        if (words.len > 0 && !order->descending && !str_eq_ci(words, STR("asc")))
            return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Invalid order by clause.");
        if (!field_path_read(c->a, path, &order->path, &c->refusal))
            return false;
    }
    return true;
}

static bool read_page_size(struct call *c, int64_t *ret_size)
{
    struct str text;

    *ret_size = PAGE_DEFAULT;
    if (!call_param(c, "pageSize", &text))
        return true;
    if (!str_parse_i64(text, 0, INT32_MAX, ret_size))
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Page size must be nonnegative.");
    if (*ret_size == 0 || *ret_size > PAGE_MAX)
        *ret_size = PAGE_DEFAULT;
    return true;
}

/* A token is the path of the last document that was sent. */
static bool find_start(struct call *c, const struct listing *l, size_t *ret_start)
{
    struct str token, path;

    *ret_start = 0;
    if (!call_param(c, "pageToken", &token) || token.len == 0)
        return true;
    if (!base64_decode(c->a, token, &path))
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "the page token is not one of ours");
    for (size_t i = 0; i < l->count; i++) {
        if (str_eq(l->documents[i].path, path)) {
            *ret_start = i + 1;
            return true;
        }
        /* It was deleted meanwhile: go on where it would have been. */
        if (l->order_count == 0 && path_compare(l->documents[i].path, path) < 0)
            *ret_start = i + 1;
    }
    return true;
}

static const cJSON *list_reply(struct call *c, const struct listing *l, size_t start, size_t size)
{
    cJSON *reply = json_object(c->a), *documents = NULL;
    struct field_path *paths;
    size_t path_count, end = start;

    if (!mask_param(c, "mask.fieldPaths", &paths, &path_count))
        return NULL;
    for (; end < l->count && end - start < size; end++) {
        const struct document *document = &l->documents[end];

        if (!documents)
            documents = json_add_array(reply, "documents");
        if (document->exists)
            json_add_copy(documents, NULL, document_tree(c, document, paths, path_count));
        else
            json_add_str(json_add_object(documents, NULL), "name",
                         document_name(c, document->path));
    }
    /* As the emulator does: a full page may be followed by an empty one. */
    if (end > start && end - start == size)
        json_add_str(reply, "nextPageToken", base64_encode(c->a, l->documents[end - 1].path));
    return reply;
}

const cJSON *list_documents(struct call *c)
{
    struct listing l = {.c = c, .collection = c->path};
    struct scope scope = {.parent = {NULL, 0}};
    struct str missing = {NULL, 0};
    size_t at = c->path.len, start;
    int64_t size;

    if (!path_is_collection(c->path, &c->refusal) || !read_orders(c, &l) ||
        !read_page_size(c, &size))
        return NULL;
    while (at > 0 && c->path.ptr[at - 1] != '/')
        at--;
    scope.parent = str_take(c->path, at > 0 ? at - 1 : 0);
    scope.collection = str_skip(c->path, at);
    documents_visit(c, &scope, keep_ordered, &l);
    if (call_param(c, "showMissing", &missing) && str_eq(missing, STR("true"))) {
        if (l.order_count > 0) {
            refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                   "cannot specify an order when show_missing is true");
            return NULL;
        }
        paths_visit(c, c->path, keep_missing, &l);
    }
    if (l.count > 1)
        qsort_r(l.documents, l.count, sizeof *l.documents, compare, &l);
    if (!find_start(c, &l, &start))
        return NULL;
    return list_reply(c, &l, start, (size_t)size);
}

/* --- listCollectionIds --- */

struct collections {
    struct call *c;
    struct str ids[1000];
    size_t count;
};

static void note_collection(void *context, struct str path)
{
    struct collections *found = context;
    struct str parent = found->c->path;
    struct str rest = parent.len == 0 ? path : str_skip(path, parent.len + 1);
    struct str id = str_take(rest, str_find_char(rest, '/'));

    for (size_t i = 0; i < found->count; i++) {
        if (str_eq(found->ids[i], id))
            return;
    }
    if (found->count < ARRAY_LEN(found->ids))
        found->ids[found->count++] = id;
}

static int compare_ids(const void *left, const void *right)
{
    const struct str *l = left, *r = right;

    return str_cmp(*l, *r);
}

const cJSON *list_collection_ids(struct call *c)
{
    static const char *const known[] = {"pageSize", "pageToken", NULL};
    struct collections *found = ARENA_NEW(c->a, struct collections);
    cJSON *reply = json_object(c->a), *ids = NULL;
    struct str after = {NULL, 0};
    int64_t size = 0, sent = 0;

    if (!known_members(c->body, known, &c->refusal) || !path_is_document(c->path, &c->refusal))
        return NULL;
    found->c = c;
    paths_visit(c, c->path, note_collection, found);
    qsort(found->ids, found->count, sizeof found->ids[0], compare_ids);
    (void)json_i64(c->body, "pageSize", &size);
    (void)json_str(c->body, "pageToken", &after);
    for (size_t i = 0; i < found->count; i++) {
        if (after.ptr && str_cmp(found->ids[i], after) <= 0)
            continue;
        if (!ids)
            ids = json_add_array(reply, "collectionIds");
        json_add_str(ids, NULL, found->ids[i]);
        if (size > 0 && ++sent == size) {
            json_add_str(reply, "nextPageToken", found->ids[i]);
            break;
        }
    }
    return reply;
}
