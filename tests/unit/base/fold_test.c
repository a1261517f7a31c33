#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fold.h"

/* text, plain, exact spelling */
static const char *const fold_cases[][3] = {
    {"", "", ""},
    {" \t\r\n ", "", ""},
    {"Laugavegur 12", "laugavegur 12", "laugavegur 12"},
    {"  Laugavegur \t  12\n", "laugavegur 12", "laugavegur 12"},
    {"áéíóúý", "aeiouy", "áéíóúý"},
    {"ÁÉÍÓÚÝ", "aeiouy", "áéíóúý"},
    {"ÞÆÖÐ þæöð", "thaeod thaeod", "þæöð þæöð"},
    {"Þórsgata", "thorsgata", "þórsgata"},
    {"Ægisíða", "aegisida", "ægisíða"},
    {"Øster Åland Ä Ü", "oster aland a u", "øster åland ä ü"},
    {"Straße STRAẞE", "strasse strasse", "straße straße"},
    {"Łódź Šilutė Çelik Ñandú Œuvre", "lodz silute celik nandu oeuvre",
     "łódź šilutė çelik ñandú œuvre"},
    {"Đ đ Ħ ħ Ŋ ŋ Ŧ ĸ ı İ Ÿ Ĳ", "d d h h n n t k i i y ij", "đ đ ħ ħ ŋ ŋ ŧ ĸ ı i ÿ ĳ"},
    {"\u212Angstr\u00F6m \u212Belvin", "kngstrom aelvin", "kngström åelvin"},
    /* decomposed */
    {"A\u0301 e\u0301 O\u0308 A\u030A u\u0308", "a e o a u", "á é ö å ü"},
    {"n\u0303 C\u030C z\u0307 g\u0306 u\u030B", "n c z g u", "ñ č ż ğ ű"},
    {"e\u0341 e\u0340", "e e", "é è"},
    {"I\u0307 İ i\u0307", "i i i", "i i i"},
    {"İ\u0301", "i", "í"},
    {"\u00C6\u0301", "ae", "æ\u0301"},
    {"a\u0301\u0301", "a", "á\u0301"},
    {"x\u0301", "x", "x\u0301"},
    {"\u0301a", "a", "\u0301a"},
    {"a \u0301b", "a b", "a \u0301b"},
    {"a \u0301 b", "a b", "a \u0301 b"},
    {"þ\u0301", "th", "þ\u0301"},
    /* blanks and what cannot be seen */
    {"a\u00A0b\u2003c\u3000d\u202Fe\u2028f\xC2\x85"
     "g",
     "a b c d e f g", "a b c d e f g"},
    {"\u00A0a\u00A0", "a", "a"},
    {"Lauga\u00ADve\u200Bgur\uFEFF", "laugavegur", "laugavegur"},
    {"a\u200D\u0301", "a", "á"},
    {"a\v\fb", "a b", "a b"},
    /* what stays */
    {"Hverfisgata 4-6, 2.h.v. (C)", "hverfisgata 4-6, 2.h.v. (c)", "hverfisgata 4-6, 2.h.v. (c)"},
    {"5×5÷2 ½ «x»", "5×5÷2 ½ «x»", "5×5÷2 ½ «x»"},
    {"Москва 東京 😀", "Москва 東京 😀", "Москва 東京 😀"},
    {"\x01\x7F", "\x01\x7F", "\x01\x7F"},
    /* not UTF-8 */
    {"a\xFF"
     "b",
     "ab", "ab"},
    {"a\xC3", "a", "a"},
    {"\xC3(", "(", "("},
    {"a\xFF\u0301", "a", "á"},
    {"\xED\xA0\x80x", "x", "x"},
};

static void check(bool (*fold)(struct str, struct buf *), const char *text, const char *expected)
{
    struct buf b;
    buf_init(&b, 1000);
    assert_true(fold(str_from(text), &b));
    assert_string_equal(buf_str(&b).ptr, expected);
    buf_done(&b);
}

static void test_fold_icelandic_table_gives_plain_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fold_cases); i++)
        check(fold_icelandic, fold_cases[i][0], fold_cases[i][1]);
}

static void test_fold_case_only_table_keeps_letters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fold_cases); i++)
        check(fold_case_only, fold_cases[i][0], fold_cases[i][2]);
}

static void test_fold_nul_is_a_character_like_others(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_true(fold_icelandic(STR("A\0B"), &b));
    assert_true(str_eq(buf_str(&b), STR("a\0b")));
    buf_done(&b);
}

static void test_fold_appends_and_leaves_what_was_there(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 9);
    buf_add_text(&b, "kept ");
    assert_true(fold_icelandic(STR(" \xC3\x9E "), &b));
    assert_string_equal(b.ptr, "kept th");
    assert_false(fold_icelandic(STR("abc"), &b));
    assert_string_equal(b.ptr, "kept th");
    assert_true(b.overflow);
    assert_false(fold_icelandic(STR(""), &b));
    buf_done(&b);
}

static uint32_t next_number(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

/* Pieces that meet in every order: letters, marks, blanks, what is dropped, broken bytes. */
static const char *const pieces[] = {
    "a",      "E", "i",      "I",      "s",      "Á",      "ð",      "Þ",      "æ",
    "ö",      "İ", "ı",      "ß",      "\u0301", "\u0308", "\u0307", "\u030A", "\u0323",
    "\u0341", " ", "\t",     "\u00A0", "\u200B", "\u00AD", "\xFF",   "\xC3",   "\xE2\x82",
    "-",      "1", "\u212B", "\u01FD", "\u0149", "\u017F", "Š",      "\u1E9E", "東",
};

static void check_idempotent(bool (*fold)(struct str, struct buf *), struct str text)
{
    struct buf once;
    struct buf twice;
    buf_init(&once, 1000);
    buf_init(&twice, 1000);
    assert_true(fold(text, &once));
    assert_true(str_is_utf8(buf_str(&once)));
    assert_true(fold(buf_str(&once), &twice));
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        fail_msg("<%.*s> once <%s> twice <%s>", STR_ARG(text), buf_str(&once).ptr,
                 buf_str(&twice).ptr);
    buf_done(&once);
    buf_done(&twice);
}

static void test_fold_twice_changes_nothing_for_mixed_pieces(void **state)
{
    (void)state;
    uint32_t seed = 20251121;
    for (int round = 0; round < 20000; round++) {
        char memory[128];
        struct buf text;
        buf_init_fixed(&text, memory, sizeof(memory));
        for (uint32_t n = next_number(&seed) % 9; n > 0; n--)
            buf_add_text(&text, pieces[next_number(&seed) % ARRAY_LEN(pieces)]);
        check_idempotent(fold_icelandic, buf_str(&text));
        check_idempotent(fold_case_only, buf_str(&text));
    }
}

static void test_fold_twice_changes_nothing_for_every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c < 0x11000; c++) {
        char text[4] = {(char)(0xE0 | (c >> 12 & 0x0F)), (char)(0x80 | (c >> 6 & 0x3F)),
                        (char)(0x80 | (c & 0x3F)), '\0'};
        char two[3] = {(char)(0xC0 | (c >> 6 & 0x1F)), (char)(0x80 | (c & 0x3F)), '\0'};
        struct str s = c < 0x800 ? str_from(two) : str_from(text);
        check_idempotent(fold_icelandic, s);
        check_idempotent(fold_case_only, s);
    }
}

/* Both spellings of a word are one key, whatever the case: what a search relies on. */
static void test_fold_icelandic_exact_form_folds_to_the_plain_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fold_cases); i++)
        check(fold_icelandic, fold_cases[i][2], fold_cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_icelandic_table_gives_plain_spelling),
        cmocka_unit_test(test_fold_case_only_table_keeps_letters),
        cmocka_unit_test(test_fold_nul_is_a_character_like_others),
        cmocka_unit_test(test_fold_appends_and_leaves_what_was_there),
        cmocka_unit_test(test_fold_twice_changes_nothing_for_mixed_pieces),
        cmocka_unit_test(test_fold_twice_changes_nothing_for_every_character),
        cmocka_unit_test(test_fold_icelandic_exact_form_folds_to_the_plain_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
