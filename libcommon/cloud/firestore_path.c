/* Names of documents and paths of fields: what may be one, and how it is written on the wire. */
#include "base/encode.h"
#include "cloud/firestore_private.h"

/* ---- Documents ---- */

bool firestore_id_is_valid(struct str id)
{
    bool reserved = id.len >= 4 && str_starts_with(id, STR("__")) && str_ends_with(id, STR("__"));
    return id.len > 0 && id.len <= FS_DOCUMENT_ID_MAX_BYTES && str_is_utf8(id) && !reserved &&
           str_find_char(id, '/') == id.len && str_find_char(id, '\0') == id.len &&
           !str_eq(id, STR(".")) && !str_eq(id, STR(".."));
}

void firestore_auto_id(char out[21])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < 20; i++)
        out[i] = letters[random_below(sizeof(letters) - 1)];
    out[20] = '\0';
}

bool fs_path_is_valid(struct str path)
{
    size_t parts = 0;
    struct str part;
    while (str_split(&path, '/', &part)) {
        if (!firestore_id_is_valid(part))
            return false;
        parts++;
    }
    return parts > 0 && parts % 2 == 0;
}

void fs_name_add(const struct firestore *fs, struct str path, struct buf *b)
{
    must(fs_path_is_valid(path));
    buf_add_char(b, '"');
    buf_add_text(b, fs->root_name);
    buf_add_char(b, '/');
    /* buf_add_json_string() brings its own quotes; ids may hold quotes and backslashes. */
    struct buf quoted;
    buf_init(&quoted, 6 * path.len + 3);
    must(buf_add_json_string(&quoted, path));
    struct str text = buf_str(&quoted);
    buf_add(b, str_skip(text, 1));
    buf_done(&quoted);
}

void fs_path_add_url(struct str path, struct buf *b)
{
    struct str part;
    while (str_split(&path, '/', &part)) {
        buf_add_char(b, '/');
        buf_add_url(b, part);
    }
}

bool fs_path_of_name(const struct firestore *fs, struct str name, struct str *ret_path)
{
    struct str root = str_from(fs->root_name);
    if (!str_starts_with(name, root) || name.len <= root.len || name.ptr[root.len] != '/')
        return false;
    *ret_path = str_skip(name, root.len + 1);
    return fs_path_is_valid(*ret_path);
}

/* ---- Fields ---- */

static bool is_simple(struct str part)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return str_only(part, allowed) && !(part.ptr[0] >= '0' && part.ptr[0] <= '9');
}

void fs_field_name_add(struct str name, struct buf *b)
{
    if (is_simple(name)) {
        buf_add(b, name);
        return;
    }
    buf_add_char(b, '`');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '`' || name.ptr[i] == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, name.ptr[i]);
    }
    buf_add_char(b, '`');
}

/* Bytes of the quoted part that s starts with, quotes included; 0 when it never ends. */
static size_t quoted_len(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '`')
            return i + 1;
    }
    return 0;
}

void fs_field_path_add(struct str path, struct buf *b)
{
    must(path.len > 0);
    for (;;) {
        size_t len = path.len > 0 && path.ptr[0] == '`' ? quoted_len(path) : 0;
        if (len > 0) {
            buf_add(b, str_take(path, len));
        } else {
            len = str_find_char(path, '.');
            fs_field_name_add(str_take(path, len), b);
        }
        if (len >= path.len)
            return;
        buf_add_char(b, '.');
        path = str_skip(path, path.ptr[len] == '.' ? len + 1 : len);
    }
}

void fs_field_path_add_json(struct str path, struct buf *b)
{
    struct buf text;
    buf_init(&text, 2 * path.len + 3 * path.len + 16);
    fs_field_path_add(path, &text);
    must(!text.overflow);
    buf_add_json_string(b, buf_str(&text));
    buf_done(&text);
}

static void leaves_add(const cJSON *fields, struct buf *prefix, bool *first, struct buf *b)
{
    const cJSON *field = NULL;
    cJSON_ArrayForEach(field, fields)
    {
        size_t len = prefix->len;
        if (len > 0)
            buf_add_char(prefix, '.');
        fs_field_name_add(str_from(field->string), prefix);
        must(!prefix->overflow);
        const cJSON *map = json_get(json_get(field, "mapValue"), "fields");
        if (map && map->child) {
            leaves_add(map, prefix, first, b);
        } else {
            if (!*first)
                buf_add_char(b, ',');
            *first = false;
            buf_add_json_string(b, buf_str(prefix));
        }
        prefix->len = len;
    }
}

void fs_leaves_add_json(const cJSON *fields, struct buf *b)
{
    struct buf prefix;
    bool first = true;
    buf_init(&prefix, (FS_DEPTH_MAX + 1) * (2 * FS_FIELD_NAME_MAX_BYTES + 3));
    leaves_add(fields, &prefix, &first, b);
    buf_done(&prefix);
}
