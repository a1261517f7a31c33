/* House numbers as people type them, typing errors counted, our postcode table against the oracle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"
#include "registry/match.h"
#include "registry/query.h"

static void test_query_house_number_forms(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int number, to;
        const char *letter;
    } cases[] = {
        {"8", true, 8, -1, ""},
        {" 8 ", true, 8, -1, ""},
        {"8C", true, 8, -1, "C"},
        {"8 c", true, 8, -1, "c"},
        {"008", true, 8, -1, ""},
        {"0", true, 0, -1, ""},
        {"6-8", true, 6, 8, ""},
        {"6 - 8", true, 6, 8, ""},
        {"6–8", true, 6, 8, ""},
        {"4Á", true, 4, -1, "Á"},
        {"9999", true, 9999, -1, ""},
        {"10000", false, 0, 0, ""},
        {"", false, 0, 0, ""},
        {"-8", false, 0, 0, ""},
        {"C8", false, 0, 0, ""},
        {"8-6", false, 0, 0, ""},
        {"8-", false, 0, 0, ""},
        {"8.5", false, 0, 0, ""},
        {"8 b c", false, 0, 0, ""},
        {"8\xFF", false, 0, 0, ""},
        {"99999999999999999999", false, 0, 0, ""},
        {"8abcdefghij", false, 0, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str letter;
        int number, to;
        bool ok = query_house_number(str_from(cases[i].text), &number, &to, &letter);

        if (ok != cases[i].ok || (ok && (number != cases[i].number || to != cases[i].to ||
                                         !str_eq_text(letter, cases[i].letter))))
            fail_msg("\"%s\" is read as %d, %d, %d, \"%.*s\"", cases[i].text, ok, number, to,
                     STR_ARG(letter));
    }
}

static void test_match_distance_counts_each_kind_of_slip_once(void **state)
{
    (void)state;
    assert_int_equal(match_distance(STR("laugavegur"), STR("laugavegur")), 0);
    assert_int_equal(match_distance(STR("laugavegur"), STR("laugavegr")), 1);
    assert_int_equal(match_distance(STR("laugavegur"), STR("laugaveegur")), 1);
    assert_int_equal(match_distance(STR("laugavegur"), STR("laugavogur")), 1);
    assert_int_equal(match_distance(STR("laugavegur"), STR("laguavegur")), 1);
    assert_int_equal(match_distance(STR("laugavegur"), STR("lguavegr")), 3);
    assert_int_equal(match_distance(STR(""), STR("abc")), 3);
}

static void test_match_errors_allowed_five_and_nine_letters(void **state)
{
    (void)state;
    assert_int_equal(match_errors_allowed(4), 0);
    assert_int_equal(match_errors_allowed(5), 1);
    assert_int_equal(match_errors_allowed(8), 1);
    assert_int_equal(match_errors_allowed(9), 2);
}

/* Ours has other columns and its own words for the kinds. */
static void check_postcode(const struct source *s, struct csv *oracle)
{
    static const char *const kinds[POSTCODE_KIND_COUNT] = {"Stærra dreifbýli", "Dreifbýli",
                                                           "Pósthólf"};
    int64_t code;

    assert_true(str_parse_i64(csv_field(oracle, 0), 100, 999, &code));
    for (size_t i = 0; i < s->postcode_count; i++) {
        const struct source_postcode *p = &s->postcodes[i];

        if (p->code != code)
            continue;
        assert_true(str_eq_text(csv_field(oracle, 1), source_text(s, p->place)));
        assert_true(str_eq_text(csv_field(oracle, 2), source_text(s, p->place_dative)));
        assert_true(str_eq_text(csv_field(oracle, 3), source_text(s, p->region)));
        assert_true(str_eq_text(csv_field(oracle, 4), source_text(s, p->region_dative)));
        assert_true(str_eq_text(csv_field(oracle, 5), kinds[p->kind]));
        return;
    }
    fail_msg("postcode %d is not in our table", (int)code);
}

static void test_postcode_table_agrees_with_the_oracle(void **state)
{
    const char *vectors = getenv("VECTORS_DIR");
    struct source *s = source_new();
    struct error e = {0};
    char path[4096];
    struct csv csv;
    size_t rows = 0;
    FILE *in;

    (void)state;
    assert_true(read_own_tables(s, &e));
    assert_int_equal(s->postcode_count, 195);
    (void)snprintf(path, sizeof path, "%s/../data/postcodes.csv", vectors ? vectors : "");
    in = vectors ? fopen(path, "re") : NULL;
    if (!in) {
        printf("skipped: the oracle (../shared/data/postcodes.csv) is not here\n");
        source_free(s);
        skip();
    }
    csv_init(&csv, in);
    assert_int_equal(csv_next(&csv), CSV_ROW);
    while (csv_next(&csv) == CSV_ROW) {
        check_postcode(s, &csv);
        rows++;
    }
    assert_int_equal(rows, 195);
    csv_done(&csv);
    (void)fclose(in);
    source_free(s);
}

static void test_postcode_table_regions_and_boxes_are_complete(void **state)
{
    static const struct {
        const char *region;
        int codes;
    } regions[] = {{"Höfuðborgarsvæðið", 42},
                   {"Norðurland", 46},
                   {"Vesturland og Vestfirðir", 44},
                   {"Suðurland og Reykjanes", 39},
                   {"Austurland", 24}};
    struct source *s = source_new();
    struct error e = {0};
    int boxes = 0;

    (void)state;
    assert_true(read_own_tables(s, &e));
    for (size_t r = 0; r < ARRAY_LEN(regions); r++) {
        int codes = 0;

        for (size_t i = 0; i < s->postcode_count; i++)
            codes += strcmp(source_text(s, s->postcodes[i].region), regions[r].region) == 0;
        assert_int_equal(codes, regions[r].codes);
    }
    for (size_t i = 0; i < s->postcode_count; i++)
        boxes += s->postcodes[i].kind == POSTCODE_PO_BOX;
    assert_int_equal(boxes, 18);
    source_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_house_number_forms),
        cmocka_unit_test(test_match_distance_counts_each_kind_of_slip_once),
        cmocka_unit_test(test_match_errors_allowed_five_and_nine_letters),
        cmocka_unit_test(test_postcode_table_agrees_with_the_oracle),
        cmocka_unit_test(test_postcode_table_regions_and_boxes_are_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
