/* Every line of tests/data/registry/golden.tsv, over the fixture beside it (M-T6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"
#include "registry/names.h"
#include "registry/search.h"
#include "registry/validate.h"

#define LINES_MIN 140

static struct registry *registry;

static int set_up(void **state)
{
    if (make_scratch(state) != 0)
        return -1;
    registry = open_fixture(1);
    return 0;
}

static int tear_down(void **state)
{
    registry_close(registry);
    return drop_scratch(state);
}

static void add_door(struct buf *out, struct registry_reader *r, struct arena *a, const char *mark,
                     uint32_t door)
{
    buf_printf(out, "%s%s%.*s", out->len > 0 ? " | " : "", mark, STR_ARG(display_of(r, a, door)));
}

static void answer_search(struct registry_reader *r, struct arena *a, struct str rest,
                          struct str *ret_expected, struct buf *out)
{
    struct search_result found;
    struct str text = {NULL, 0}, limit = {NULL, 0};
    int64_t count;

    assert_true(str_split(&rest, '\t', &text) && str_split(&rest, '\t', &limit));
    assert_true(str_parse_i64(limit, 1, 100, &count));
    *ret_expected = rest;
    search_doors(r, a, text, (size_t)count, &found);
    for (size_t i = 0; i < found.count; i++)
        add_door(out, r, a, "", found.doors[i]);
    for (size_t i = 0; i < found.suggestion_count; i++)
        add_door(out, r, a, "? ", found.suggestions[i]);
}

static void read_claim(const struct pack *p, struct str text, struct claim *c, struct area areas[2])
{
    struct str field[5] = {{NULL, 0}}, letter;
    struct buf key;
    int64_t code;

    for (size_t i = 0; i < ARRAY_LEN(field); i++)
        assert_true(str_split(&text, '|', &field[i]));
    *c = (struct claim){.street = field[0], .number = -1, .number_to = -1};
    if (field[1].len > 0) {
        assert_true(query_house_number(field[1], &c->number, &c->number_to, &letter));
        c->letter = letter;
    }
    if (field[2].len > 0)
        c->letter = field[2];
    if (field[3].len > 0) {
        assert_true(str_parse_i64(field[3], 100, 999, &code));
        area_of_postcode(&areas[0], pack_postcode_find(p, code));
        c->areas[0] = &areas[0];
    }
    if (field[4].len > 0) {
        buf_init(&key, 1000);
        assert_true(name_key(field[4], &key));
        assert_true(area_of_place(p, buf_str(&key), &areas[1]));
        c->areas[1] = &areas[1];
        buf_done(&key);
    }
}

static void answer_validate(struct registry_reader *r, struct arena *a, struct str rest,
                            struct str *ret_expected, struct buf *out)
{
    struct str claim_text, level;
    struct verdict verdict;
    struct area areas[2];
    struct claim claim;

    assert_true(str_split(&rest, '\t', &claim_text));
    *ret_expected = rest;
    assert_true(str_split(&rest, '\t', &level));
    read_claim(r->pack, claim_text, &claim, areas);
    validate_claim(r, &claim, &verdict);
    if (verdict.validity == VALIDITY_EXACT)
        add_door(out, r, a, "", verdict.door);
    for (size_t i = 0; i < verdict.alternative_count; i++)
        add_door(out, r, a, "", verdict.alternatives[i]);
    struct str doors = arena_dup(a, buf_str(out));

    buf_clear(out);
    buf_printf(out, "%s\t%.*s", validity_text(verdict.validity), STR_ARG(doors));
}

static void test_golden_every_line_as_written(void **state)
{
    struct registry_reader *r = registry_acquire(registry);
    FILE *in = fopen(checkout("tests/data/registry/golden.tsv"), "re");
    struct arena *a = arena_new(8 << 20);
    size_t capacity = 0, lines = 0, wrong = 0;
    char *line = NULL;
    struct buf out;
    ssize_t n;

    (void)state;
    assert_non_null(in);
    buf_init(&out, 65536);
    while ((n = getline(&line, &capacity, in)) > 0) {
        struct str rest = str_n(line, (size_t)n - 1), kind, expected;

        if (rest.len == 0 || rest.ptr[0] == '#')
            continue;
        assert_true(str_split(&rest, '\t', &kind));
        buf_clear(&out);
        if (str_eq_text(kind, "search"))
            answer_search(r, a, rest, &expected, &out);
        else
            answer_validate(r, a, rest, &expected, &out);
        lines++;
        if (!str_eq(buf_str(&out), expected)) {
            printf("%.*s\n  now: %s\n", (int)n - 1, line, out.ptr ? out.ptr : "");
            wrong++;
        }
        arena_reset(a);
    }
    printf("%zu golden lines, %zu differ\n", lines, wrong);
    free(line);
    (void)fclose(in);
    buf_done(&out);
    arena_free(a);
    registry_release(r);
    assert_int_equal(wrong, 0);
    assert_true(lines >= LINES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_every_line_as_written)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
