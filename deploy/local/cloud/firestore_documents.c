/* firestore_documents.c - documents in the store, and their names; see documents.h */
#include "documents.h"

#include "cloud/firestore.h"

/* --- names --- */

static bool part_is_good(struct str part, struct refusal *r)
{
    return firestore_id_is_valid(part) ||
           refuse(r, GSTATUS_INVALID_ARGUMENT, "a collection id or resource id is invalid");
}

static bool path_has_parts(struct str path, size_t odd, struct refusal *r)
{
    struct str rest = path, part;
    size_t count = 0;

    while (path.len > 0 && str_split(&rest, '/', &part)) {
        if (!part_is_good(part, r))
            return false;
        count++;
    }
    return count % 2 == odd ||
           refuse(r, GSTATUS_INVALID_ARGUMENT, "Document name has a wrong number of parts.");
}

bool path_is_document(struct str path, struct refusal *r)
{
    return path_has_parts(path, 0, r);
}

bool path_is_collection(struct str path, struct refusal *r)
{
    return path_has_parts(path, 1, r);
}

bool name_path(struct call *c, struct str name, struct str *ret_path)
{
    struct str rest = str_skip(name, c->database.len);

    if (!str_starts_with(name, c->database) || !str_starts_with(rest, STR("/documents/")) ||
        str_eq(rest, STR("/documents/")))
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                      "Document name is none of this database.");
    *ret_path = str_skip(rest, sizeof("/documents/") - 1);
    return path_is_document(*ret_path, &c->refusal);
}

struct str document_name(const struct call *c, struct str path)
{
    return arena_printf(c->a, "%.*s/documents/%.*s", STR_ARG(c->database), STR_ARG(path));
}

static struct str collection_path(struct str path)
{
    while (path.len > 0 && path.ptr[path.len - 1] != '/')
        path.len--;
    return str_take(path, path.len > 0 ? path.len - 1 : 0);
}

static struct str last_part(struct str path)
{
    size_t at = path.len;

    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return str_skip(path, at);
}

/* --- one document --- */

static cJSON *parse_stored(const char *text, size_t len)
{
    cJSON *fields = cJSON_ParseWithLength(text, len);

    must(cJSON_IsObject(fields)); /* we wrote it */
    return fields;
}

static void delete_tree(void *tree)
{
    cJSON_Delete(tree);
}

void document_load(struct call *c, struct str path, struct document *ret)
{
    sqlite3_stmt *row = store_statement(
        c->store, "select fields, created_us, updated_us from documents where database = ?1 and "
                  "path = ?2");

    *ret = (struct document){.path = path};
    store_bind_str(row, 1, c->database);
    store_bind_str(row, 2, path);
    if (!store_step(c->store, row))
        return;
    ret->exists = true;
    ret->fields = parse_stored((const char *)sqlite3_column_text(row, 0),
                               (size_t)sqlite3_column_bytes(row, 0));
    arena_own(c->a, ret->fields, delete_tree);
    ret->created_us = sqlite3_column_int64(row, 1);
    ret->updated_us = sqlite3_column_int64(row, 2);
    sqlite3_reset(row);
}

void document_store(struct call *c, const struct document *document)
{
    sqlite3_stmt *put = store_statement(
        c->store, "insert or replace into documents (database, path, collection_path, collection, "
                  "fields, created_us, updated_us) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    struct str collection = collection_path(document->path);
    struct buf text;

    buf_init(&text, 16U << 20);
    must(json_write(&text, document->fields));
    store_bind_str(put, 1, c->database);
    store_bind_str(put, 2, document->path);
    store_bind_str(put, 3, collection);
    store_bind_str(put, 4, last_part(collection));
    store_bind_str(put, 5, buf_str(&text));
    sqlite3_bind_int64(put, 6, document->created_us);
    sqlite3_bind_int64(put, 7, document->updated_us);
    store_run(c->store, put);
    buf_done(&text);
}

void document_delete(struct call *c, struct str path)
{
    sqlite3_stmt *gone =
        store_statement(c->store, "delete from documents where database = ?1 and path = ?2");

    store_bind_str(gone, 1, c->database);
    store_bind_str(gone, 2, path);
    store_run(c->store, gone);
}

/* --- many --- */

static bool is_below(struct str parent, struct str path)
{
    return parent.len == 0 ||
           (str_starts_with(path, parent) && path.len > parent.len && path.ptr[parent.len] == '/');
}

/* Right below: its collection is one of the parent's own. */
static bool is_child(struct str parent, struct str path)
{
    struct str rest = parent.len == 0 ? path : str_skip(path, parent.len + 1), part;
    size_t count = 0;

    while (str_split(&rest, '/', &part))
        count++;
    return is_below(parent, path) && count == 2;
}

static sqlite3_stmt *scan_statement(struct call *c, const struct scope *scope)
{
    sqlite3_stmt *rows;

    if (scope->collection.len == 0) {
        rows = store_statement(
            c->store, "select path, fields, created_us, updated_us from documents where database "
                      "= ?1");
    } else if (scope->descendants) {
        rows = store_statement(
            c->store, "select path, fields, created_us, updated_us from documents where database "
                      "= ?1 and collection = ?2");
        store_bind_str(rows, 2, scope->collection);
    } else {
        rows = store_statement(
            c->store, "select path, fields, created_us, updated_us from documents where database "
                      "= ?1 and collection_path = ?2");
        store_bind_str(rows, 2,
                       scope->parent.len == 0
                           ? scope->collection
                           : arena_printf(c->a, "%.*s/%.*s", STR_ARG(scope->parent),
                                          STR_ARG(scope->collection)));
    }
    store_bind_str(rows, 1, c->database);
    return rows;
}

void documents_visit(struct call *c, const struct scope *scope,
                     void (*visit)(void *context, const struct document *document, bool *ret_keep),
                     void *context)
{
    sqlite3_stmt *rows = scan_statement(c, scope);

    while (store_step(c->store, rows)) {
        struct str path =
            str_n(sqlite3_column_text(rows, 0), (size_t)sqlite3_column_bytes(rows, 0));
        struct document document = {.exists = true};
        bool keep = false;

        if (scope->descendants ? !is_below(scope->parent, path) : !is_child(scope->parent, path))
            continue;
        document.path = arena_dup(c->a, path);
        document.fields = parse_stored((const char *)sqlite3_column_text(rows, 1),
                                       (size_t)sqlite3_column_bytes(rows, 1));
        document.created_us = sqlite3_column_int64(rows, 2);
        document.updated_us = sqlite3_column_int64(rows, 3);
        visit(context, &document, &keep);
        if (keep)
            arena_own(c->a, document.fields, delete_tree);
        else
            cJSON_Delete(document.fields);
    }
}

void paths_visit(struct call *c, struct str parent, void (*visit)(void *context, struct str path),
                 void *context)
{
    sqlite3_stmt *rows =
        store_statement(c->store, "select path from documents where database = ?1 and path >= ?2 "
                                  "and path < ?3 order by path");

    /* '0' follows '/': everything that starts with "parent/". */
    store_bind_str(rows, 1, c->database);
    store_bind_str(rows, 2,
                   parent.len == 0 ? STR("") : arena_printf(c->a, "%.*s/", STR_ARG(parent)));
    store_bind_str(rows, 3,
                   parent.len == 0 ? STR("\xff") : arena_printf(c->a, "%.*s0", STR_ARG(parent)));
    while (store_step(c->store, rows))
        visit(context, store_column(rows, 0, c->a));
}

/* --- for replies --- */

void add_time(cJSON *to, const char *name, int64_t us)
{
    char text[TIME_TEXT_SIZE];

    time_write(us, text);
    json_add_text(to, name, text);
}

cJSON *document_tree(struct call *c, const struct document *document,
                     const struct field_path *paths, size_t path_count)
{
    cJSON *tree = json_object(c->a);
    const cJSON *fields =
        paths ? fields_project(c->a, document->fields, paths, path_count) : document->fields;

    json_add_str(tree, "name", document_name(c, document->path));
    if (fields->child)
        json_add_copy(tree, "fields", fields);
    add_time(tree, "createTime", document->created_us);
    add_time(tree, "updateTime", document->updated_us);
    return tree;
}

/* --- masks --- */

static bool add_path(struct call *c, struct str text, struct field_path *paths, size_t *count)
{
    return field_path_read(c->a, text, &paths[(*count)++], &c->refusal);
}

bool mask_read(struct call *c, const cJSON *mask, struct field_path **ret_paths, size_t *ret_count)
{
    static const char *const known[] = {"fieldPaths", NULL};
    const cJSON *list = json_get(mask, "fieldPaths"), *text;

    *ret_paths = NULL;
    *ret_count = 0;
    if (!mask)
        return true;
    if (!known_members(mask, known, &c->refusal))
        return false;
    *ret_paths = arena_alloc_array(c->a, (size_t)cJSON_GetArraySize(list) + 1, sizeof **ret_paths);
    cJSON_ArrayForEach(text, list)
    {
        if (!add_path(c, json_str_value(text), *ret_paths, ret_count))
            return false;
    }
    return true;
}

bool mask_param(struct call *c, const char *name, struct field_path **ret_paths, size_t *ret_count)
{
    *ret_paths = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < c->param_count; i++) {
        if (!str_eq_text(c->params[i].name, name))
            continue;
        if (!*ret_paths)
            *ret_paths = arena_alloc_array(c->a, c->param_count, sizeof **ret_paths);
        if (!add_path(c, c->params[i].value, *ret_paths, ret_count))
            return false;
    }
    return true;
}
