/*
 * Typed values as Firestore's REST API sends them, and any plain JSON made into them.
 *
 * Input: a dotted path on one line, then a JSON text.
 */
#include "fuzz.h"

#include "cloud/firestore_value.h"

void fuzz_start(void) {}

static void read_all(const cJSON *fields, const char *path)
{
    const cJSON *value = fs_get(fields, path);
    struct str text;
    bool truth;
    int64_t number;
    double real;

    must(!fs_get_str(fields, path, &text) || value);
    must(!fs_get_bool(fields, path, &truth) || value);
    must(!fs_get_i64(fields, path, &number) || fs_get_double(fields, path, &real));
    must(!fs_get_time_ms(fields, path, &number) || value);
    (void)fs_get_map(fields, path);
    (void)fs_get_array(fields, path);
    (void)fs_value_str(value);
}

static void check_plain(struct arena *a, const cJSON *fields)
{
    struct buf text;

    buf_init(&text, ARENA_MAX_BYTES);
    must(json_write(&text, fs_to_plain(a, fields)));
    must(json_check(buf_str(&text), NULL));
    buf_done(&text);
}

void fuzz_input(struct arena *a, struct str input)
{
    const char *path = arena_text(a, fuzz_line(&input));
    const cJSON *tree = json_parse(a, input, NULL);
    cJSON *fields = fs_fields(a);

    if (!tree)
        return;
    read_all(tree, path);
    if (cJSON_IsObject(tree))
        check_plain(a, tree);
    if (fs_add_json(fields, "f", tree)) {
        check_plain(a, fields);
        read_all(fields, "f");
    } else {
        must(!fs_get(fields, "f"));
    }
}
