/* Keys, spellings, rough keys and the derived cases of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/names.h"

static void check(bool (*fold)(struct str, struct buf *), const char *text, const char *expected)
{
    struct buf b;

    buf_init(&b, 1000);
    assert_true(fold(str_from(text), &b));
    assert_string_equal(b.ptr ? b.ptr : "", expected);
    buf_done(&b);
}

static void test_name_key_punctuation_and_blanks_vanish(void **state)
{
    (void)state;
    check(name_key, "Minni-Hlíð", "minnihlid");
    check(name_key, "  Breiðargata   Breið ", "breidargatabreid");
    check(name_key, "Hvoll lóð nr.  7", "hvolllodnr7");
    check(name_key, "Þórsgata", "thorsgata");
    check(name_key, "ÆGISÍÐA", "aegisida");
    check(name_key, "\"-/(),.!", "");
    check(name_key, "Hafnar\xC2\xA0stræti \xE2\x80\x93 6", "hafnarstraeti6");
}

static void test_name_key_decomposed_letters_fold_like_composed(void **state)
{
    (void)state;
    check(name_key, "Po\xCC\x81lga\xCC\x81ta", "polgata");
    check(name_spelling, "Po\xCC\x81l", "pól");
}

static void test_name_spelling_keeps_accents(void **state)
{
    (void)state;
    check(name_spelling, "Syðri-Reykir", "syðrireykir");
    check(name_spelling, "ÞÓRSGATA", "þórsgata");
}

static void test_name_rough_thorn_and_ash_are_one_byte(void **state)
{
    char out[32];

    (void)state;
    check(name_rough, "Þverás", "\1veras");
    check(name_rough, "Lækur", "l\2kur");
    check(name_rough, "Laethur", "laethur");
    assert_int_equal(name_rough_of_key(STR("laethur"), out), 5);
    assert_memory_equal(out, "l\2\1ur", 5);
}

static bool has_form(const char *nominative, const char *dative, const char *wanted)
{
    struct arena *a = arena_new(1 << 20);
    struct str forms[NAME_FORMS_MAX];
    size_t count = name_forms(a, str_from(nominative), str_from(dative), forms);
    bool found = false;

    for (size_t i = 0; i < count; i++)
        found = found || str_eq_text(forms[i], wanted);
    arena_free(a);
    return found;
}

static void test_name_forms_common_endings_give_all_cases(void **state)
{
    static const char *const cases[][3] = {
        {"Laugavegur", "Laugavegi", "laugaveg"},
        {"Laugavegur", "Laugavegi", "laugavegar"},
        {"Hafnarfjörður", "Hafnarfirði", "hafnarfjarðar"},
        {"Hafnarfjörður", "Hafnarfirði", "hafnarfjörð"},
        {"Fjarðarvöllur", "Fjarðarvelli", "fjarðarvallar"},
        {"Hvammar", "Hvömmum", "hvamma"},
        {"Egilsstaðir", "Egilsstöðum", "egilsstaða"},
        {"Akureyri", "Akureyri", "akureyrar"},
        {"Hafnarbraut", "Hafnarbraut", "hafnarbrautar"},
        {"Höfn", "Höfn", "hafnar"},
        {"Reykjavík", "Reykjavík", "reykjavíkur"},
        {"Hóll", "Hóli", "hól"},
        {"Steinn", "Steini", "steins"},
        {"Lækur", "Læk", "lækjar"},
        {"Miðholt", "Miðholti", "miðholts"},
        {"Skógarlönd", "Skógarlöndum", "skógarlanda"},
        {"Garðabær", "Garðabæ", "garðabæjar"},
        {"Hafnarstræti", "Hafnarstræti", "hafnarstrætis"},
        {"Hvítá", "Hvítá", "hvítár"},
        {"Hallgrímskirkja", "", "hallgrímskirkju"},
        {"Kirkjubæjarklaustur", "Kirkjubæjarklaustri", "kirkjubæjarklausturs"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (!has_form(cases[i][0], cases[i][1], cases[i][2]))
            fail_msg("%s, %s lacks %s", cases[i][0], cases[i][1], cases[i][2]);
    }
}

static void test_name_forms_never_repeats_what_is_stored(void **state)
{
    (void)state;
    assert_false(has_form("Njálsgata", "Njálsgötu", "njálsgötu"));
    assert_false(has_form("Vogar", "Vogum", "vogar"));
    assert_false(has_form("Á", "Á", "á"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_key_punctuation_and_blanks_vanish),
        cmocka_unit_test(test_name_key_decomposed_letters_fold_like_composed),
        cmocka_unit_test(test_name_spelling_keeps_accents),
        cmocka_unit_test(test_name_rough_thorn_and_ash_are_one_byte),
        cmocka_unit_test(test_name_forms_common_endings_give_all_cases),
        cmocka_unit_test(test_name_forms_never_repeats_what_is_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
