/* diff.c - what differs between two documents; see auditmemberchanges.h */
#include "auditmemberchanges.h"

#include "cloud/firestore.h"

/* Firestore's limit is 1500; names are quoted here. */
#define PATH_MAX_BYTES 6000

struct walk {
    struct arena *arena;
    struct diff *diff;
    struct buf path; /* of the field at hand; only that of a change is kept */
    bool is_too_much;
};

/* The inner fields of a map that has any: an empty map is a value like any other. */
static const cJSON *full_map(const cJSON *value)
{
    const cJSON *fields = fs_value_map(value);

    return fields && fields->child ? fields : NULL;
}

static void compare_fields(struct walk *walk, const cJSON *before, const cJSON *after,
                           unsigned depth);

static void compare(struct walk *walk, const cJSON *before, const cJSON *after, unsigned depth)
{
    const cJSON *old = full_map(before), *new = full_map(after);

    if (old && new &&depth < EVENT_DEPTH_MAX) {
        compare_fields(walk, old, new, depth + 1);
        return;
    }
    if (before && after &&
        str_eq(audit_canonical(walk->arena, before), audit_canonical(walk->arena, after)))
        return;
    if (walk->diff->count == DIFF_CHANGES_MAX || walk->path.overflow) {
        walk->is_too_much = true;
        return;
    }
    walk->diff->changes[walk->diff->count++] =
        (struct diff_change){arena_dup(walk->arena, buf_str(&walk->path)), before, after};
}

static void compare_field(struct walk *walk, const char *name, const cJSON *before,
                          const cJSON *after, unsigned depth)
{
    size_t len = walk->path.len;

    if (walk->is_too_much)
        return;
    if (len > 0)
        buf_add_char(&walk->path, '.');
    fs_field_name_add(str_from(name), &walk->path);
    compare(walk, before, after, depth);
    walk->path.len = len;
}

static void compare_fields(struct walk *walk, const cJSON *before, const cJSON *after,
                           unsigned depth)
{
    const cJSON *field;

    cJSON_ArrayForEach(field, before)
    {
        compare_field(walk, field->string, field, json_get(after, field->string), depth);
    }
    cJSON_ArrayForEach(field, after)
    {
        if (!json_get(before, field->string))
            compare_field(walk, field->string, NULL, field, depth);
    }
}

static const cJSON *as_map(struct arena *a, const cJSON *fields)
{
    cJSON *value;

    if (!fields)
        return NULL;
    value = json_object(a);
    json_add_copy(json_add_object(value, "mapValue"), "fields", fields);
    return value;
}

void diff_make(struct arena *a, const cJSON *before, const cJSON *after, struct diff *ret)
{
    struct walk walk = {.arena = a, .diff = ret};

    *ret = (struct diff){.changes = arena_alloc_array(a, DIFF_CHANGES_MAX, sizeof *ret->changes)};
    buf_init(&walk.path, PATH_MAX_BYTES);
    compare_fields(&walk, before, after, 0);
    buf_done(&walk.path);
    if (!walk.is_too_much)
        return;
    ret->changes[0] = (struct diff_change){STR("*"), as_map(a, before), as_map(a, after)};
    ret->count = 1;
    ret->is_whole = true;
}
