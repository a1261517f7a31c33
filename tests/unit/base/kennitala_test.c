#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/kennitala.h"
#include "base/must.h"

/* Numbers made up for tests; NULL: refused. */
static const struct {
    const char *text;
    const char *stored;
} kennitala_cases[] = {
    {"0101302989", "0101302989"},
    {"010130-2989", "0101302989"},
    {"3112999999", "3112999999"},
    {"3102991239", "3102991239"}, /* a possible form is asked for, not a real day */
    {"0101300000", "0101300000"}, /* the check digit never decides */
    {"0101302985", "0101302985"}, /* nor the last one, the century */
    {"4112051230", "4112051230"}, /* a company: day + 40 */
    {"7112051230", "7112051230"},
    {"411205-1230", "4112051230"},
    {"9999000001", "9999000001"}, /* test accounts */
    {"8000000000", "8000000000"},
    {"8912345678", "8912345678"},
    {"999900-0001", "9999000001"},
    {"", NULL},
    {"0", NULL},
    {"010130298", NULL},
    {"01013029890", NULL},
    {"010130-29890", NULL},
    {"010130-298", NULL},
    {"0001302989", NULL},
    {"3201302989", NULL},
    {"4001302989", NULL},
    {"7201302989", NULL},
    {"0100302989", NULL},
    {"0113302989", NULL},
    {"4113302989", NULL},
    {"0000000000", NULL},
    {" 0101302989", NULL},
    {"0101302989 ", NULL},
    {"010130 2989", NULL},
    {"01-01302989", NULL},
    {"010130--989", NULL},
    {"0101-302989", NULL},
    {"-0101302989", NULL},
    {"0101302989-", NULL},
    {"010130_2989", NULL},
    {"010130\xE2\x80\x93"
     "2989",
     NULL},
    {"010130298a", NULL},
    {"01013029+9", NULL},
    {"x101302989", NULL},
    {"9999-00001", NULL},
    {"99990-00001", NULL},
    {"\xD9\xA0\xD9\xA1\xD9\xA0\xD9\xA1\xD9\xA3", NULL}, /* ten bytes of other digits */
    {"0101302989\n", NULL},
};

static void test_kennitala_normalise_table_of_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kennitala_cases); i++) {
        char out[KENNITALA_SIZE] = "untouched";
        const char *expected = kennitala_cases[i].stored;
        bool good = kennitala_normalise(str_from(kennitala_cases[i].text), out);
        assert_int_equal(good, expected != NULL);
        assert_string_equal(out, expected ? expected : "untouched");
    }
}

static void test_kennitala_normalise_nul_inside_is_refused(void **state)
{
    (void)state;
    char out[KENNITALA_SIZE];
    assert_false(kennitala_normalise(STR("010130\0002989"), out));
    assert_false(kennitala_normalise(STR("010130298\0"), out));
    assert_false(kennitala_normalise((struct str){NULL, 0}, out));
}

static void test_kennitala_normalise_stored_form_is_its_own_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kennitala_cases); i++) {
        char again[KENNITALA_SIZE];
        const char *stored = kennitala_cases[i].stored;
        if (stored) {
            assert_true(kennitala_normalise(str_from(stored), again));
            assert_string_equal(again, stored);
        }
    }
}

static void test_kennitala_mask_hides_the_last_four(void **state)
{
    (void)state;
    char mask[KENNITALA_MASK_SIZE];
    kennitala_mask("0101302989", mask);
    assert_string_equal(mask, "010130-****");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kennitala_normalise_table_of_forms),
        cmocka_unit_test(test_kennitala_normalise_nul_inside_is_refused),
        cmocka_unit_test(test_kennitala_normalise_stored_form_is_its_own_form),
        cmocka_unit_test(test_kennitala_mask_hides_the_last_four),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
