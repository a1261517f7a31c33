/*
 * firestore_write.c - what one write says, and doing it
 *
 * A write without a mask replaces the document; with one it sets the mask's paths, and deletes
 * those that its fields do not have. Transforms come after. A write that changes nothing leaves the
 * update time alone. Source: firebase.google.com/docs/firestore/reference/rest/v1/Write.
 */
#include "change_events.h"
#include "documents.h"

/* --- reading --- */

bool precondition_read(struct call *c, const cJSON *json, struct write *write)
{
    static const char *const known[] = {"exists", "updateTime", NULL};
    bool exists = false, nanos = false;
    struct str time;

    if (!json)
        return true;
    if (!known_members(json, known, &c->refusal))
        return false;
    if (json_bool(json, "exists", &exists)) {
        write->must_exist = exists;
        write->must_not_exist = !exists;
    }
    if (json_str(json, "updateTime", &time)) {
        write->has_update_time = true;
        if (!time_read(time, &write->update_time_us, &nanos))
            return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                          "Payload isn't valid for request.");
        if (nanos)
            return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                          "timestamp cannot have more than microseconds precision");
    }
    return true;
}

static bool read_update(struct call *c, const cJSON *update, struct write *write)
{
    static const char *const known[] = {"name", "fields", "createTime", "updateTime", NULL};
    struct str name = {NULL, 0};

    (void)json_str(update, "name", &name);
    if (!known_members(update, known, &c->refusal) || !name_path(c, name, &write->path))
        return false;
    write->has_update = true;
    write->fields = fields_read(c->a, json_get(update, "fields"), &c->refusal);
    return write->fields != NULL;
}

static bool read_old_transform(struct call *c, const cJSON *transform, struct write *write)
{
    static const char *const known[] = {"document", "fieldTransforms", NULL};
    const cJSON *list = json_get(transform, "fieldTransforms");
    struct str name = {NULL, 0};

    (void)json_str(transform, "document", &name);
    if (!known_members(transform, known, &c->refusal) || !name_path(c, name, &write->path))
        return false;
    if (!list || !list->child)
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                      "The list of FieldTransform must not be empty.");
    return transforms_read(c, list, write);
}

bool write_read(struct call *c, const cJSON *json, struct write *ret)
{
    static const char *const known[] = {
        "update", "delete", "transform", "updateTransforms", "currentDocument", "updateMask", NULL};
    const cJSON *update = json_get(json, "update"), *transform = json_get(json, "transform");
    struct str name;

    *ret = (struct write){.path = {NULL, 0}};
    if (!known_members(json, known, &c->refusal) ||
        !precondition_read(c, json_get(json, "currentDocument"), ret) ||
        !mask_read(c, json_get(json, "updateMask"), &ret->mask, &ret->mask_count))
        return false;
    if (update)
        return read_update(c, update, ret) &&
               transforms_read(c, json_get(json, "updateTransforms"), ret);
    if (transform)
        return read_old_transform(c, transform, ret);
    if (!json_str(json, "delete", &name))
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "empty write operation");
    ret->is_delete = true;
    return name_path(c, name, &ret->path);
}

/* --- doing --- */

static bool precondition_holds(struct call *c, const struct write *write,
                               const struct document *before)
{
    if (write->must_exist && !before->exists)
        return refuse(&c->refusal, GSTATUS_NOT_FOUND, "no entity to update");
    if (write->must_not_exist && before->exists)
        return refuse(&c->refusal, GSTATUS_ALREADY_EXISTS, "entity already exists");
    if (write->has_update_time && (!before->exists || before->updated_us != write->update_time_us))
        return refuse(&c->refusal, GSTATUS_FAILED_PRECONDITION,
                      "the stored version does not match the required base version");
    return true;
}

static bool merge(struct call *c, const struct write *write, cJSON *fields)
{
    for (size_t i = 0; i < write->mask_count; i++) {
        const cJSON *value = field_get(write->fields, &write->mask[i]);

        if (!value)
            field_remove(fields, &write->mask[i]);
        else if (!field_set(fields, &write->mask[i], value, &c->refusal))
            return false;
    }
    return true;
}

bool write_apply(struct call *c, const struct write *write, int64_t time_us, cJSON *results)
{
    struct document before, after;
    bool replaces = write->has_update && !write->mask;

    document_load(c, write->path, &before);
    if (!precondition_holds(c, write, &before))
        return false;
    if (write->is_delete) {
        document_delete(c, write->path);
        change_note(c, &before, &(struct document){.exists = false, .path = write->path});
        return true;
    }
    after = before;
    after.fields = replaces        ? fields_project(c->a, write->fields, NULL, 0)
                   : before.exists ? fields_project(c->a, before.fields, NULL, 0)
                                   : json_object(c->a);
    if ((write->mask && !merge(c, write, after.fields)) ||
        !transforms_apply(c, write, time_us, after.fields, results))
        return false;
    if (before.exists && value_same(before.fields, after.fields))
        return true;
    after.exists = true;
    after.updated_us = time_us;
    if (!before.exists)
        after.created_us = time_us;
    document_store(c, &after);
    change_note(c, &before, &after);
    return true;
}
