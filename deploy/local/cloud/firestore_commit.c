/* firestore_commit.c - createDocument, patch, delete, commit, batchWrite */
#include "cloud/firestore.h"
#include "documents.h"

/* --- one document by its address --- */

static bool precondition_params(struct call *c, struct write *write)
{
    cJSON *json = json_object(c->a);
    struct str text;

    if (call_param(c, "currentDocument.exists", &text))
        json_add_bool(json, "exists", str_eq(text, STR("true")));
    if (call_param(c, "currentDocument.updateTime", &text))
        json_add_str(json, "updateTime", text);
    return precondition_read(c, json, write);
}

static bool body_fields(struct call *c, struct write *write)
{
    static const char *const known[] = {"name", "fields", "createTime", "updateTime", NULL};

    if (!known_members(c->body, known, &c->refusal))
        return false;
    write->has_update = true;
    write->fields = fields_read(c->a, json_get(c->body, "fields"), &c->refusal);
    return write->fields != NULL;
}

static const cJSON *write_and_show(struct call *c, const struct write *write)
{
    struct document document;
    struct field_path *paths;
    size_t count;

    if (!mask_param(c, "mask.fieldPaths", &paths, &count) ||
        !write_apply(c, write, store_new_time_us(c->store), NULL))
        return NULL;
    document_load(c, write->path, &document);
    return document_tree(c, &document, paths, count);
}

const cJSON *create_document(struct call *c)
{
    struct write write = {.must_not_exist = true};
    struct str id = {NULL, 0};
    char made[21];

    if (!path_is_collection(c->path, &c->refusal))
        return NULL;
    (void)call_param(c, "documentId", &id);
    if (id.len == 0) {
        firestore_auto_id(made);
        id = str_from(made);
    }
    write.path = arena_printf(c->a, "%.*s/%.*s", STR_ARG(c->path), STR_ARG(id));
    if (!path_is_document(write.path, &c->refusal) || !body_fields(c, &write))
        return NULL;
    return write_and_show(c, &write);
}

const cJSON *patch_document(struct call *c)
{
    struct write write = {.path = c->path};

    if (!path_is_document(c->path, &c->refusal) || !precondition_params(c, &write) ||
        !mask_param(c, "updateMask.fieldPaths", &write.mask, &write.mask_count) ||
        !body_fields(c, &write))
        return NULL;
    return write_and_show(c, &write);
}

const cJSON *delete_document(struct call *c)
{
    struct write write = {.path = c->path, .is_delete = true};

    if (!path_is_document(c->path, &c->refusal) || !precondition_params(c, &write) ||
        !write_apply(c, &write, store_new_time_us(c->store), NULL))
        return NULL;
    return json_object(c->a);
}

/* --- many writes --- */

static bool read_writes(struct call *c, struct write **ret_writes, size_t *ret_count)
{
    const cJSON *list = json_get(c->body, "writes"), *json;

    *ret_count = 0;
    *ret_writes =
        arena_alloc_array(c->a, (size_t)cJSON_GetArraySize(list) + 1, sizeof **ret_writes);
    cJSON_ArrayForEach(json, list)
    {
        if (!write_read(c, json, &(*ret_writes)[(*ret_count)++]))
            return false;
    }
    return true;
}

/* When it was last changed: not by this write, when that changed nothing; never, when it is gone.
 */
static void add_update_time(struct call *c, const struct write *write, cJSON *result)
{
    struct document document;

    document_load(c, write->path, &document);
    if (document.exists)
        add_time(result, "updateTime", document.updated_us);
}

static bool commit_all(struct call *c, const struct write *writes, size_t count, cJSON *reply)
{
    int64_t time_us = store_new_time_us(c->store);
    cJSON *list = json_add_array(reply, "writeResults");

    for (size_t i = 0; i < count; i++) {
        cJSON *result = json_add_object(list, NULL), *transformed = NULL;

        if (writes[i].transform_count > 0)
            transformed = json_add_array(result, "transformResults");
        if (!write_apply(c, &writes[i], time_us, transformed))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        add_update_time(c, &writes[i], cJSON_GetArrayItem(list, (int)i));
    add_time(reply, "commitTime", time_us);
    return true;
}

const cJSON *commit_writes(struct call *c)
{
    static const char *const known[] = {"writes", "transaction", NULL};
    struct transaction *transaction;
    cJSON *reply = json_object(c->a);
    struct write *writes;
    struct str started;
    size_t count;

    if (!known_members(c->body, known, &c->refusal) || !read_writes(c, &writes, &count) ||
        !transaction_of_call(c, &transaction, &started))
        return NULL;
    if (transaction && !transaction_finish(c, transaction, count > 0))
        return NULL;
    if (count > 0 && !commit_all(c, writes, count, reply))
        return NULL;
    return reply;
}

static bool names_repeat(const struct write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (str_eq(writes[i].path, writes[j].path))
                return true;
        }
    }
    return false;
}

/* Each on its own: a write that is refused changes nothing and stops nobody. */
const cJSON *batch_write(struct call *c)
{
    static const char *const known[] = {"writes", "labels", NULL};
    cJSON *reply = json_object(c->a), *results, *statuses;
    struct write *writes;
    size_t count;

    if (!known_members(c->body, known, &c->refusal) || !read_writes(c, &writes, &count))
        return NULL;
    if (names_repeat(writes, count)) {
        refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
               "the same document cannot be written more than once in a single request");
        return NULL;
    }
    if (count == 0)
        return reply;
    results = json_add_array(reply, "writeResults");
    statuses = json_add_array(reply, "status");
    for (size_t i = 0; i < count; i++) {
        cJSON *result = json_add_object(results, NULL), *status = json_add_object(statuses, NULL);
        cJSON *transformed = json_array(c->a);

        if (!write_apply(c, &writes[i], store_new_time_us(c->store), transformed)) {
            json_add_i64(status, "code", (int64_t)c->refusal.status);
            json_add_text(status, "message", c->refusal.message);
            continue;
        }
        if (transformed->child)
            json_add_copy(result, "transformResults", transformed);
        add_update_time(c, &writes[i], result);
    }
    return reply;
}
