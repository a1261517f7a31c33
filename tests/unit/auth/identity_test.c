#include "auth/testing.h"

#include "auth/identity.h"

static const struct identity editor = {
    .kind = IDENTITY_USER,
    .roles = {{"member", 6}, {"admin", 5}},
    .role_count = 2,
    .legacy_role = {"superadmin", 10},
};

static void test_identity_has_role_equal_element_is_found(void **state)
{
    (void)state;
    assert_true(identity_has_role(&editor, "member"));
    assert_true(identity_has_role(&editor, "admin"));
}

static void test_identity_has_role_part_or_case_or_legacy_is_not_found(void **state)
{
    (void)state;
    static const char *const others[] = {"adm",        "administrator", "Admin",
                                         "superadmin", "superuser",     ""};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(identity_has_role(&editor, others[i]));
}

static void test_identity_has_role_nobody_has_none(void **state)
{
    (void)state;
    struct identity nobody = {0};
    assert_false(identity_has_role(&nobody, "member"));
    assert_false(identity_has_role(&nobody, ""));
}

static void test_identity_key_is_that_of_its_kind_and_of_no_other(void **state)
{
    (void)state;
    static const struct {
        enum identity_kind kind;
        const char *key;
    } cases[] = {{IDENTITY_USER, "uid"},
                 {IDENTITY_SERVICE, "key"},
                 {IDENTITY_VOTING_TOKEN, "token"},
                 {IDENTITY_NONE, ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct identity id = {.kind = cases[i].kind,
                                    .uid = STR("uid"),
                                    .key_id = STR("key"),
                                    .voting_token = STR("token")};
        assert_true(str_eq_text(identity_key(&id), cases[i].key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_has_role_equal_element_is_found),
        cmocka_unit_test(test_identity_has_role_part_or_case_or_legacy_is_not_found),
        cmocka_unit_test(test_identity_has_role_nobody_has_none),
        cmocka_unit_test(test_identity_key_is_that_of_its_kind_and_of_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
