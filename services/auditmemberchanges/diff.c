/* diff.c - what differs between two documents; see auditmemberchanges.h */
#include "auditmemberchanges.h"

#define PATH_MAX_BYTES 1500

struct walk {
    struct arena *arena;
    struct diff *diff;
    bool is_too_much;
};

static bool is_simple(struct str name)
{
    return str_only(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") &&
           !str_is_digits(str_take(name, 1));
}

static struct str path_of(struct arena *a, struct str parent, struct str name)
{
    struct buf path;
    struct str result;

    buf_init(&path, 4 * PATH_MAX_BYTES + parent.len);
    buf_add(&path, parent);
    if (parent.len > 0)
        buf_add_char(&path, '.');
    if (is_simple(name)) {
        buf_add(&path, name);
    } else {
        buf_add_char(&path, '`');
        for (size_t i = 0; i < name.len; i++) {
            if (name.ptr[i] == '`' || name.ptr[i] == '\\')
                buf_add_char(&path, '\\');
            buf_add_char(&path, name.ptr[i]);
        }
        buf_add_char(&path, '`');
    }
    result = arena_dup(a, buf_str(&path));
    buf_done(&path);
    return result;
}

/* The inner fields of a map that has any: an empty map is a value like any other. */
static const cJSON *full_map(const cJSON *value)
{
    const cJSON *fields = fs_value_map(value);

    return fields && fields->child ? fields : NULL;
}

static void compare_fields(struct walk *walk, struct str parent, const cJSON *before,
                           const cJSON *after, unsigned depth);

static void compare(struct walk *walk, struct str path, const cJSON *before, const cJSON *after,
                    unsigned depth)
{
    const cJSON *old = full_map(before), *new = full_map(after);

    if (old && new &&depth < EVENT_DEPTH_MAX) {
        compare_fields(walk, path, old, new, depth + 1);
        return;
    }
    if (before && after &&
        str_eq(audit_canonical(walk->arena, before), audit_canonical(walk->arena, after)))
        return;
    if (walk->diff->count == DIFF_CHANGES_MAX) {
        walk->is_too_much = true;
        return;
    }
    walk->diff->changes[walk->diff->count++] = (struct diff_change){path, before, after};
}

static void compare_fields(struct walk *walk, struct str parent, const cJSON *before,
                           const cJSON *after, unsigned depth)
{
    const cJSON *field;

    cJSON_ArrayForEach(field, before)
    {
        compare(walk, path_of(walk->arena, parent, str_from(field->string)), field,
                json_get(after, field->string), depth);
    }
    cJSON_ArrayForEach(field, after)
    {
        if (!json_get(before, field->string))
            compare(walk, path_of(walk->arena, parent, str_from(field->string)), NULL, field,
                    depth);
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
    compare_fields(&walk, STR(""), before, after, 0);
    if (!walk.is_too_much)
        return;
    ret->changes[0] = (struct diff_change){STR("*"), as_map(a, before), as_map(a, after)};
    ret->count = 1;
    ret->is_whole = true;
}
