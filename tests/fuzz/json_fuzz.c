/* The strict check and the parser agree; what was read can be written, and reads the same again. */
#include "fuzz.h"

#include "base/json.h"

void fuzz_start(void) {}

static void read_members(const cJSON *item)
{
    for (const cJSON *child = item ? item->child : NULL; child; child = child->next) {
        struct str text;
        int64_t number;
        bool truth;

        if (cJSON_IsObject(item)) {
            must(json_get(item, child->string) == child); /* no name comes twice */
            must(json_str(item, child->string, &text) == (bool)cJSON_IsString(child));
            must(json_bool(item, child->string, &truth) == (bool)cJSON_IsBool(child));
            must(!json_i64(item, child->string, &number) || cJSON_IsNumber(child));
        }
        read_members(child);
    }
}

void fuzz_input(struct arena *a, struct str input)
{
    struct error e = {0};
    const cJSON *tree = json_parse(a, input, &e), *again;
    struct buf text, text_again;

    must(json_check(input, NULL) == (tree != NULL));
    must(tree || e.code == ERR_BAD_REQUEST);
    if (!tree)
        return;
    read_members(tree);
    buf_init(&text, ARENA_MAX_BYTES);
    buf_init(&text_again, ARENA_MAX_BYTES);
    must(json_write(&text, tree));
    again = json_parse(a, buf_str(&text), &e);
    must(again && json_write(&text_again, again));
    must(str_eq(buf_str(&text), buf_str(&text_again)));
    buf_done(&text);
    buf_done(&text_again);
}
