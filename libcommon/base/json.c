#include "base/json.h"

#include "base/limits.h"

/* 2^53: every whole number up to here is a double of its own. */
#define WHOLE_MAX 9007199254740992

/* Marks the roots that an arena frees, in a bit of `type` that cJSON does not use. */
#define ROOT_MARK (1 << 24)

static void delete_tree(void *tree)
{
    cJSON_Delete(tree);
}

const cJSON *json_parse(struct arena *a, struct str text, struct error *e)
{
    if (!json_check(text, e))
        return NULL;
    /* Behind the check this fails for lack of memory only. Nothing malformed gets this far, which
     * also keeps cJSON 1.7.15 from reading past the end of cut texts. */
    cJSON *tree = cJSON_ParseWithLengthOpts(text.ptr, text.len, NULL, 0);
    must(tree);
    arena_own(a, tree, delete_tree);
    return tree;
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

struct str json_str_value(const cJSON *item)
{
    return cJSON_IsString(item) ? str_from(item->valuestring) : STR("");
}

bool json_str(const cJSON *object, const char *name, struct str *ret)
{
    const cJSON *item = json_get(object, name);
    if (!cJSON_IsString(item))
        return false;
    *ret = json_str_value(item);
    return true;
}

bool json_bool(const cJSON *object, const char *name, bool *ret)
{
    const cJSON *item = json_get(object, name);
    if (!cJSON_IsBool(item))
        return false;
    *ret = cJSON_IsTrue(item);
    return true;
}

static bool is_whole(double value)
{
    if (!(value >= -(double)WHOLE_MAX && value <= (double)WHOLE_MAX))
        return false;
    double cut = (double)(int64_t)value;
    return cut >= value && cut <= value;
}

bool json_i64(const cJSON *object, const char *name, int64_t *ret)
{
    const cJSON *item = json_get(object, name);
    if (!cJSON_IsNumber(item) || !is_whole(item->valuedouble))
        return false;
    int64_t value = (int64_t)item->valuedouble;
    /* 2^53 may stand for 2^53 + 1 in the text. */
    if (value == WHOLE_MAX || value == -WHOLE_MAX)
        return false;
    *ret = value;
    return true;
}

const char *json_unknown_member(const cJSON *object, const char *const *allowed)
{
    const cJSON *member = NULL;
    if (!cJSON_IsObject(object))
        return NULL;
    cJSON_ArrayForEach(member, object)
    {
        const char *const *name = allowed;
        while (*name && strcmp(*name, member->string) != 0)
            name++;
        if (!*name)
            return member->string;
    }
    return NULL;
}

static cJSON *root(struct arena *a, cJSON *item)
{
    must(item);
    item->type |= ROOT_MARK;
    arena_own(a, item, delete_tree);
    return item;
}

cJSON *json_object(struct arena *a)
{
    return root(a, cJSON_CreateObject());
}

cJSON *json_array(struct arena *a)
{
    return root(a, cJSON_CreateArray());
}

void json_add_item(cJSON *to, const char *name, cJSON *item)
{
    must(item && !(item->type & ROOT_MARK));
    if (name) {
        must(cJSON_IsObject(to) && str_is_utf8(str_from(name)));
        must(cJSON_AddItemToObject(to, name, item));
    } else {
        must(cJSON_IsArray(to) && cJSON_AddItemToArray(to, item));
    }
}

void json_add_str(cJSON *to, const char *name, struct str value)
{
    must(str_is_utf8(value) && str_find_char(value, '\0') == value.len);
    cJSON *item = cJSON_CreateNull();
    char *copy = cJSON_malloc(value.len + 1);
    must(item && copy);
    str_copy(value, copy, value.len + 1);
    item->type = cJSON_String;
    item->valuestring = copy;
    json_add_item(to, name, item);
}

void json_add_str_or_null(cJSON *object, const char *name, struct str value)
{
    if (value.ptr)
        json_add_str(object, name, value);
    else
        json_add_null(object, name);
}

void json_add_text(cJSON *to, const char *name, const char *value)
{
    if (value)
        json_add_str(to, name, str_from(value));
    else
        json_add_null(to, name);
}

void json_add_i64(cJSON *to, const char *name, int64_t value)
{
    must(value >= -WHOLE_MAX && value <= WHOLE_MAX);
    json_add_item(to, name, cJSON_CreateNumber((double)value));
}

void json_add_double(cJSON *to, const char *name, double value)
{
    must(__builtin_isfinite(value));
    json_add_item(to, name, cJSON_CreateNumber(value));
}

void json_add_bool(cJSON *to, const char *name, bool value)
{
    json_add_item(to, name, cJSON_CreateBool(value));
}

void json_add_null(cJSON *to, const char *name)
{
    json_add_item(to, name, cJSON_CreateNull());
}

cJSON *json_add_object(cJSON *to, const char *name)
{
    cJSON *item = cJSON_CreateObject();
    json_add_item(to, name, item);
    return item;
}

cJSON *json_add_array(cJSON *to, const char *name)
{
    cJSON *item = cJSON_CreateArray();
    json_add_item(to, name, item);
    return item;
}

void json_add_copy(cJSON *to, const char *name, const cJSON *item)
{
    cJSON *copy = cJSON_Duplicate(item, 1);
    must(copy);
    copy->type &= ~ROOT_MARK;
    json_add_item(to, name, copy);
}

/* cJSON would write 1e+15 for a whole number, and go through the heap. */
static bool write_number(struct buf *b, double value)
{
    char text[32];
    if (!__builtin_isfinite(value))
        return buf_add(b, STR("null"));
    if (is_whole(value))
        return buf_printf(b, "%lld", (long long)value);
    snprintf(text, sizeof(text), "%.15g", value);
    double again = strtod(text, NULL);
    if (again < value || again > value)
        snprintf(text, sizeof(text), "%.17g", value);
    return buf_add_text(b, text);
}

static bool write_item(struct buf *b, const cJSON *item, int depth);

static bool write_children(struct buf *b, const cJSON *parent, int depth)
{
    bool object = cJSON_IsObject(parent);
    bool ok = buf_add_char(b, object ? '{' : '[');
    const cJSON *child = NULL;
    cJSON_ArrayForEach(child, parent)
    {
        if (child != parent->child)
            ok = ok && buf_add_char(b, ',');
        if (object)
            ok = ok && buf_add_json_string(b, str_from(child->string)) && buf_add_char(b, ':');
        ok = ok && write_item(b, child, depth + 1);
    }
    return ok && buf_add_char(b, object ? '}' : ']');
}

static bool write_item(struct buf *b, const cJSON *item, int depth)
{
    /* Ours are flat, parsed ones bounded; a reply may put one into the other. */
    must(depth <= 2 * JSON_DEPTH_MAX);
    switch (item->type & 0xFF) {
    case cJSON_Object:
    case cJSON_Array:
        return write_children(b, item, depth);
    case cJSON_String:
        return buf_add_json_string(b, json_str_value(item));
    case cJSON_Number:
        return write_number(b, item->valuedouble);
    case cJSON_True:
        return buf_add(b, STR("true"));
    case cJSON_False:
        return buf_add(b, STR("false"));
    case cJSON_Raw:
        return buf_add_text(b, item->valuestring);
    default:
        return buf_add(b, STR("null"));
    }
}

bool json_write(struct buf *b, const cJSON *tree)
{
    must(tree);
    return write_item(b, tree, 0);
}
