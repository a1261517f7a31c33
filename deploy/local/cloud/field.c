/* field.c - paths of fields, and what lies at their end; see value.h */
#include "value.h"

/* --- reading --- */

static bool bad_path(struct str text, struct refusal *r)
{
    return refuse(r, GSTATUS_INVALID_ARGUMENT,
                  text.len == 0 ? "Invalid empty property path string." : "Invalid property path.");
}

/* A part in backticks, from *at on: `x y`, with \ before a backtick or another \. */
static bool read_quoted(struct arena *a, struct str text, size_t *at, struct str *ret)
{
    char *part = arena_alloc(a, text.len + 1);
    size_t len = 0;

    for (size_t i = *at + 1; i < text.len; i++) {
        if (text.ptr[i] == '`') {
            *at = i + 1;
            *ret = str_n(part, len);
            return len > 0;
        }
        if (text.ptr[i] == '\\' && ++i == text.len)
            return false;
        part[len++] = text.ptr[i];
    }
    return false;
}

static bool read_plain(struct str text, size_t *at, struct str *ret)
{
    struct str part = str_skip(text, *at);

    part = str_take(part, str_find_char(part, '.'));
    *at += part.len;
    *ret = part;
    return str_only(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") &&
           !isdigit((unsigned char)part.ptr[0]);
}

bool field_path_read(struct arena *a, struct str text, struct field_path *ret, struct refusal *r)
{
    size_t at = 0;

    *ret = (struct field_path){.parts = arena_alloc_array(a, VALUE_DEPTH_MAX, sizeof(struct str))};
    for (;;) {
        struct str *part = &ret->parts[ret->count];

        if (ret->count == VALUE_DEPTH_MAX || at >= text.len)
            return bad_path(text, r);
        if (!(text.ptr[at] == '`' ? read_quoted(a, text, &at, part) : read_plain(text, &at, part)))
            return bad_path(text, r);
        ret->count++;
        if (at == text.len)
            return true;
        if (text.ptr[at] != '.')
            return bad_path(text, r);
        at++;
    }
}

int field_path_compare(const struct field_path *left, const struct field_path *right)
{
    for (size_t i = 0; i < left->count && i < right->count; i++) {
        int order = str_cmp(left->parts[i], right->parts[i]);

        if (order != 0)
            return order;
    }
    return (left->count > right->count) - (left->count < right->count);
}

bool field_path_is_name(const struct field_path *path)
{
    return path->count == 1 && str_eq(path->parts[0], STR("__name__"));
}

/* --- going there --- */

static cJSON *member_of(const cJSON *fields, struct str name)
{
    cJSON *member;

    cJSON_ArrayForEach(member, fields)
    {
        if (str_eq_text(name, member->string))
            return member;
    }
    return NULL;
}

static cJSON *inner_fields(const cJSON *value)
{
    cJSON *map = value ? cJSON_GetObjectItemCaseSensitive(value, "mapValue") : NULL;

    return map ? cJSON_GetObjectItemCaseSensitive(map, "fields") : NULL;
}

const cJSON *field_get(const cJSON *fields, const struct field_path *path)
{
    const cJSON *value = NULL;

    for (size_t i = 0; i < path->count; i++) {
        value = member_of(fields, path->parts[i]);
        if (!value)
            return NULL;
        fields = inner_fields(value);
    }
    return value;
}

/* --- changing --- */

static int depth_of(const cJSON *tree)
{
    const cJSON *child;
    int deepest = 0;

    cJSON_ArrayForEach(child, tree)
    {
        int depth = depth_of(child);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static void drop(cJSON *fields, struct str name)
{
    cJSON *member = member_of(fields, name);

    if (member)
        cJSON_Delete(cJSON_DetachItemViaPointer(fields, member));
}

/* A copy of the value, or an empty map when there is none, in place of what is there. */
static cJSON *put(cJSON *fields, struct str name, const cJSON *value)
{
    char *text = strndup(name.ptr, name.len);

    must(text);
    drop(fields, name);
    if (value)
        json_add_copy(fields, text, value);
    else
        json_add_object(json_add_object(json_add_object(fields, text), "mapValue"), "fields");
    free(text);
    return member_of(fields, name);
}

bool field_set(cJSON *fields, const struct field_path *path, const cJSON *value, struct refusal *r)
{
    /* A map is three levels of JSON, so this bounds both. */
    if (path->count + (size_t)depth_of(value) / 3 > VALUE_DEPTH_MAX)
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "maps and arrays are nested too deeply");
    for (size_t i = 0; i + 1 < path->count; i++) {
        cJSON *next = member_of(fields, path->parts[i]);

        if (!inner_fields(next))
            next = put(fields, path->parts[i], NULL);
        fields = inner_fields(next);
    }
    put(fields, path->parts[path->count - 1], value);
    return true;
}

void field_remove(cJSON *fields, const struct field_path *path)
{
    cJSON *holder = NULL;

    for (size_t i = 0; fields && i + 1 < path->count; i++) {
        holder = member_of(fields, path->parts[i]);
        fields = inner_fields(holder);
    }
    if (!fields)
        return;
    drop(fields, path->parts[path->count - 1]);
    /* An empty map has no "fields": that is the canonical form. */
    if (holder && !fields->child)
        cJSON_DeleteItemFromObjectCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(holder, "mapValue"), "fields");
}

cJSON *fields_project(struct arena *a, const cJSON *fields, const struct field_path *paths,
                      size_t count)
{
    cJSON *kept = json_object(a);
    const cJSON *member;
    struct refusal r;

    if (!paths) {
        cJSON_ArrayForEach(member, fields) json_add_copy(kept, member->string, member);
        return kept;
    }
    for (size_t i = 0; i < count; i++) {
        const cJSON *value = field_get(fields, &paths[i]);

        /* It came out of a document, so it cannot be too deep for one. */
        if (value)
            must(field_set(kept, &paths[i], value, &r));
    }
    return kept;
}
