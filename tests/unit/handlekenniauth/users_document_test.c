/* users_document_test.c - what a login writes, and what it must not; M-F39, M-F44 */
#include "auth/testing.h"

#include "users_document.h"

static struct fs_document document(struct arena *a, const char *plain)
{
    cJSON *holder = fs_fields(a);
    const cJSON *tree = json_parse(a, str_from(plain), NULL);

    assert_non_null(tree);
    assert_true(fs_add_json(holder, "all", tree));
    return (struct fs_document){
        .exists = true,
        .path = STR("users/u1"),
        .id = STR("u1"),
        .fields = fs_get_map(holder, "all"),
        .update_time = STR("2026-01-01T00:00:00Z"),
    };
}

static struct person somebody(void)
{
    return (struct person){
        .kennitala = "0101302989",
        .name = STR("Anna"),
        .email = STR("new@example.is"),
        .email_verified = true,
        .phone = STR("5551234"),
    };
}

static bool is_masked(const struct fs_write *w, const char *path)
{
    for (size_t i = 0; i < w->mask_count; i++) {
        if (str_eq_text(w->mask[i], path))
            return true;
    }
    return false;
}

static void test_users_document_write_new_person_must_not_exist(void **state)
{
    const struct fs_document none = {.exists = false};
    struct person p = somebody();
    struct fs_write w;
    struct str text;
    bool flag = true;

    users_document_write(*state, &p, &none, STR("users/u1"), &w);
    assert_int_equal(w.kind, FS_SET);
    assert_int_equal(w.precondition, FS_MUST_NOT_EXIST);
    assert_string_equal(w.server_times[0], "createdAt");
    assert_string_equal(w.server_times[1], "lastLogin");
    assert_true(fs_get_str(w.fields, "kennitala", &text) && str_eq_text(text, "0101302989"));
    assert_true(fs_get_bool(w.fields, "isMember", &flag) && !flag);
    assert_null(fs_get(w.fields, "roles"));
    assert_true(fs_get_bool(w.fields, "phoneVerified", &flag) && !flag);
}

static void test_users_document_write_nothing_new_only_notes_the_login(void **state)
{
    struct fs_document known = document(
        *state, "{\"kennitala\":\"0101302989\",\"fullName\":\"Anna\",\"email\":\"new@example.is\","
                "\"emailVerified\":true,\"phoneNumber\":\"5551234\",\"phoneVerified\":false}");
    struct person p = somebody();
    struct fs_write w;

    users_document_write(*state, &p, &known, STR("users/u1"), &w);
    assert_int_equal(w.kind, FS_MERGE);
    assert_int_equal(w.precondition, FS_MUST_EXIST);
    assert_int_equal(w.mask_count, 1);
    assert_string_equal(w.server_times[0], "lastLogin");
}

static void test_users_document_write_hyphen_form_becomes_ten_digits(void **state)
{
    struct fs_document known =
        document(*state, "{\"kennitala\":\"010130-2989\",\"fullName\":\"Anna\"}");
    struct person p = somebody();
    struct fs_write w;
    struct str text;

    users_document_write(*state, &p, &known, STR("users/u1"), &w);
    assert_int_equal(w.precondition, FS_UPDATE_TIME);
    assert_true(str_eq(w.update_time, known.update_time));
    assert_true(fs_get_str(w.fields, "kennitala", &text) && str_eq_text(text, "0101302989"));
}

/* stored, claimed verified → replaced? */
static void test_users_document_write_unverified_never_replaces_verified(void **state)
{
    static const struct {
        const char *stored;
        bool verified, replaced;
    } rows[] = {
        {"{\"email\":\"old@example.is\",\"emailVerified\":true}", false, false},
        {"{\"email\":\"old@example.is\",\"emailVerified\":true}", true, true},
        {"{\"email\":\"old@example.is\",\"emailVerified\":false}", false, true},
        {"{\"email\":\"old@example.is\"}", false, false}, /* of the former deployment: not known */
        {"{\"email\":\"old@example.is\"}", true, true},
        {"{\"email\":\"\"}", false, true},
        {"{\"email\":null}", false, true},
        {"{}", false, true},
        {"{\"email\":\"new@example.is\",\"emailVerified\":true}", false, false},
        {"{\"email\":\"new@example.is\",\"emailVerified\":false}", true, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fs_document known = document(*state, rows[i].stored);
        struct person p = somebody();
        struct fs_write w;

        p.email_verified = rows[i].verified;
        users_document_write(*state, &p, &known, STR("users/u1"), &w);
        if (is_masked(&w, "email") != rows[i].replaced)
            fail_msg("%s, verified %d", rows[i].stored, rows[i].verified);
        assert_int_equal(is_masked(&w, "email"), is_masked(&w, "emailVerified"));
    }
}

static void test_users_document_write_empty_claims_change_nothing(void **state)
{
    struct fs_document known =
        document(*state, "{\"kennitala\":\"0101302989\",\"fullName\":\"Anna\","
                         "\"email\":\"old@example.is\",\"phoneNumber\":\"5550000\"}");
    struct person p = {.kennitala = "0101302989",
                       .name = STR(""),
                       .email = STR(""),
                       .email_verified = true,
                       .phone = STR(""),
                       .phone_verified = true};
    struct fs_write w;

    users_document_write(*state, &p, &known, STR("users/u1"), &w);
    assert_int_equal(w.mask_count, 1);
}

static void assert_claims(struct arena *a, const struct person *p, const struct fs_document *known,
                          const char *expected)
{
    struct str text = print_json(a, users_document_claims(a, p, known));

    assert_string_equal(arena_text(a, text), expected);
}

static void test_users_document_claims_are_what_the_document_holds_afterwards(void **state)
{
    const struct fs_document none = {.exists = false};
    struct person p = somebody();
    struct fs_document known = document(
        *state, "{\"email\":\"old@example.is\",\"emailVerified\":true,\"roles\":[\"member\","
                "\"admin\"],\"phoneNumber\":\"5559999\"}");

    assert_claims(
        *state, &p, &none,
        "{\"kennitala\":\"0101302989\",\"roles\":[\"member\"],\"email\":\"new@example.is\","
        "\"phoneNumber\":\"5551234\"}");
    p.email_verified = false;
    assert_claims(*state, &p, &known,
                  "{\"kennitala\":\"0101302989\",\"roles\":[\"member\",\"admin\"],"
                  "\"email\":\"old@example.is\",\"phoneNumber\":\"5559999\"}");
}

static void test_users_document_claims_odd_roles_give_no_rights(void **state)
{
    static const char *const stored[] = {"{\"roles\":\"admin\"}", "{\"roles\":{\"admin\":true}}",
                                         "{\"roles\":[]}", "{\"roles\":null}",
                                         "{\"roles\":[7,true,null,\"\"]}"};
    struct person p = {.kennitala = "0101302989"};

    for (size_t i = 0; i < ARRAY_LEN(stored); i++) {
        struct fs_document known = document(*state, stored[i]);

        assert_claims(*state, &p, &known, "{\"kennitala\":\"0101302989\",\"roles\":[\"member\"]}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_users_document_write_new_person_must_not_exist),
        ARENA_TEST(test_users_document_write_nothing_new_only_notes_the_login),
        ARENA_TEST(test_users_document_write_hyphen_form_becomes_ten_digits),
        ARENA_TEST(test_users_document_write_unverified_never_replaces_verified),
        ARENA_TEST(test_users_document_write_empty_claims_change_nothing),
        ARENA_TEST(test_users_document_claims_are_what_the_document_holds_afterwards),
        ARENA_TEST(test_users_document_claims_odd_roles_give_no_rights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
