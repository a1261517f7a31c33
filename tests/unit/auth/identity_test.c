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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_has_role_equal_element_is_found),
        cmocka_unit_test(test_identity_has_role_part_or_case_or_legacy_is_not_found),
        cmocka_unit_test(test_identity_has_role_nobody_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
