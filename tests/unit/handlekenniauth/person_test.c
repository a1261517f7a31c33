/* person_test.c - claims of an ID token as a person; contract §4.2, M-F39, M-F41 */
#include "auth/testing.h"

#include "handlekenniauth.h"

static void test_phone_normalise_all_forms_follow_the_table(void **state)
{
    static const struct {
        const char *given, *expected;
    } rows[] = {
        {"5551234", "5551234"},
        {"555-1234", "5551234"},
        {" 555 1234 ", "5551234"},
        {"3545551234", "5551234"},
        {"+3545551234", "5551234"},
        {"+354 555-1234", "5551234"},
        {"+354 555 1234", "5551234"},
        {"003545551234", "5551234"},
        {"00354 555 1234", "5551234"},
        {"+45 12 34 56 78", "+4512345678"},
        {"004512345678", "+4512345678"},
        {"+1 (555) 123-4567", "+15551234567"},
        {"", ""},
        {"+", ""},
        {"+1234", ""},
        {"+1234567890123456", ""},
        {"+354 55512", ""},
        {"+354 55512345", ""},
        {"12345678", ""},
        {"555123", ""},
        {"call me", ""},
        {"555+1234", ""},
        {"5551234;5555678", ""},
        {"\xC3\xA1 5551234", ""},
        {"99999999999999999999999999999999999999", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got = phone_normalise(*state, str_from(rows[i].given));

        if (!str_eq_text(got, rows[i].expected))
            fail_msg("%s gave %.*s", rows[i].given, STR_ARG(got));
        /* What is stored may come back. */
        assert_true(str_eq_text(phone_normalise(*state, got), rows[i].expected));
    }
}

static bool read_claims(struct arena *a, const char *text, struct person *ret)
{
    struct error e;
    const cJSON *claims = json_parse(a, str_from(text), &e);

    assert_non_null(claims);
    return person_read(a, claims, ret);
}

static void test_person_read_full_claims_are_taken(void **state)
{
    struct person p;

    assert_true(read_claims(*state,
                            "{\"national_id\":\"010130-2989\",\"name\":\" J\xC3\xB3n \","
                            "\"email\":\"jon@example.is\",\"email_verified\":true,"
                            "\"phone_number\":\"+354 555 1234\",\"phone_number_verified\":false}",
                            &p));
    assert_string_equal(p.kennitala, "0101302989");
    assert_true(str_eq_text(p.name, "J\xC3\xB3n"));
    assert_true(str_eq_text(p.email, "jon@example.is") && p.email_verified);
    assert_true(str_eq_text(p.phone, "5551234") && !p.phone_verified);
}

static void test_person_read_bad_national_id_is_refused(void **state)
{
    static const char *const claims[] = {
        "{}",
        "{\"national_id\":null}",
        "{\"national_id\":101302989}",
        "{\"national_id\":\"\"}",
        "{\"national_id\":\"010130--2989\"}",
        "{\"national_id\":\"01013-02989\"}",
        "{\"national_id\":\" 0101302989\"}",
        "{\"national_id\":\"0101302989 \"}",
        "{\"national_id\":\"3213302989\"}",
        "{\"national_id\":\"01013029890\"}",
        "{\"national_id\":\"\xD9\xA0\xD9\xA1\xD9\xA0\xD9\xA1\xD9\xA3\"}",
        "{\"NATIONAL_ID\":\"0101302989\"}",
        "{\"national_id\":[\"0101302989\"]}",
    };
    struct person p;

    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        if (read_claims(*state, claims[i], &p))
            fail_msg("taken: %s", claims[i]);
    }
}

static void test_person_read_check_digit_never_decides(void **state)
{
    struct person p;

    assert_true(read_claims(*state, "{\"national_id\":\"0101302979\"}", &p));
    assert_true(read_claims(*state, "{\"national_id\":\"8912345678\"}", &p));
}

static void test_person_read_odd_values_are_left_out(void **state)
{
    static const char *const emails[] = {
        "\"\"", "\"@x\"",    "\"x@\"",      "\"a@b@c\"", "\"a b@c\"",     "\"no-at\"",
        "17",   "[\"a@b\"]", "\"a\\nb@c\"", "null",      "\"a\\u0007@b\""};
    struct person p;

    for (size_t i = 0; i < ARRAY_LEN(emails); i++) {
        assert_true(read_claims(
            *state,
            arena_printf(*state,
                         "{\"national_id\":\"0101302989\",\"email\":%s,\"email_verified\":\"true\","
                         "\"name\":\"a\\nb\"}",
                         emails[i])
                .ptr,
            &p));
        assert_int_equal(p.email.len, 0);
        assert_int_equal(p.name.len, 0);
        assert_false(p.email_verified); /* only a JSON boolean counts */
    }
}

static void test_person_read_long_name_is_cut_between_characters(void **state)
{
    struct buf b;
    struct person p;

    buf_init(&b, 4096);
    buf_add_text(&b, "{\"national_id\":\"0101302989\",\"name\":\"x");
    for (int i = 0; i < 300; i++)
        buf_add_text(&b, "\xC3\xBE");
    buf_add_text(&b, "\"}");
    assert_true(read_claims(*state, b.ptr, &p));
    assert_int_equal(p.name.len, NAME_MAX_BYTES - 1);
    assert_true(str_is_utf8(p.name));
    buf_done(&b);
}

static void test_account_uid_same_person_same_key_same_uid(void **state)
{
    struct str a = account_uid(*state, "a key of thirty-two bytes or more", "0101302989");
    struct str b = account_uid(*state, "a key of thirty-two bytes or more", "0101302989");
    struct str other = account_uid(*state, "a key of thirty-two bytes or more", "0101303019");
    struct str key = account_uid(*state, "another key of thirty-two bytes..", "0101302989");

    assert_int_equal(a.len, 28);
    assert_true(str_only(a, "0123456789abcdefghijklmnopqrstuv"));
    assert_true(str_eq(a, b));
    assert_false(str_eq(a, other));
    assert_false(str_eq(a, key));
    assert_false(str_contains(a, STR("010130")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_phone_normalise_all_forms_follow_the_table),
        ARENA_TEST(test_person_read_full_claims_are_taken),
        ARENA_TEST(test_person_read_bad_national_id_is_refused),
        ARENA_TEST(test_person_read_check_digit_never_decides),
        ARENA_TEST(test_person_read_odd_values_are_left_out),
        ARENA_TEST(test_person_read_long_name_is_cut_between_characters),
        ARENA_TEST(test_account_uid_same_person_same_key_same_uid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
