/* membership_test.c - which document decides, and which words mean yes; M-F02 */
#include "auth/testing.h"

#include "verifymembership.h"

static struct fs_document document(struct arena *a, const char *plain)
{
    cJSON *holder = fs_fields(a);
    const cJSON *tree;

    if (!plain)
        return (struct fs_document){.exists = false};
    tree = json_parse(a, str_from(plain), NULL);
    assert_non_null(tree);
    assert_true(fs_add_json(holder, "all", tree));
    return (struct fs_document){.exists = true, .fields = fs_get_map(holder, "all")};
}

static void test_membership_read_follows_the_table(void **state)
{
    static const struct {
        const char *member, *record;
        bool required;
        enum membership_status expected;
    } rows[] = {
        {NULL, NULL, false, MEMBERSHIP_NOT_FOUND},
        {NULL, NULL, true, MEMBERSHIP_NOT_FOUND},
        {"{\"membership\":{\"status\":\"active\"}}", NULL, false, MEMBERSHIP_ACTIVE},
        {"{\"membership\":{\"status\":\"active\"}}", NULL, true, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":\"unpaid\"}}", NULL, false, MEMBERSHIP_UNPAID},
        {"{\"membership\":{\"status\":\"inactive\"}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":\"Active\"}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":\"active \"}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":true}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":[\"active\"]}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":null,\"is_active\":true}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"is_active\":true}}", NULL, false, MEMBERSHIP_ACTIVE},
        {"{\"membership\":{\"is_active\":\"true\"}}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":\"active\"}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{\"status\":\"active\"}", NULL, false, MEMBERSHIP_INACTIVE},
        {"{}", NULL, false, MEMBERSHIP_INACTIVE},
        /* The record no member can write decides alone. */
        {"{\"membership\":{\"status\":\"active\"}}", "{\"status\":\"inactive\"}", false,
         MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":\"active\"}}", "{\"status\":\"unpaid\"}", false,
         MEMBERSHIP_UNPAID},
        {"{\"membership\":{\"status\":\"inactive\"}}", "{\"status\":\"active\"}", true,
         MEMBERSHIP_ACTIVE},
        {NULL, "{\"status\":\"active\"}", false, MEMBERSHIP_ACTIVE},
        {"{\"membership\":{\"status\":\"active\"}}", "{}", false, MEMBERSHIP_INACTIVE},
        {"{\"membership\":{\"status\":\"active\"}}", "{\"status\":7}", false, MEMBERSHIP_INACTIVE},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fs_document member = document(*state, rows[i].member);
        struct fs_document record = document(*state, rows[i].record);
        enum membership_status got = membership_read(&member, &record, rows[i].required);

        if (got != rows[i].expected)
            fail_msg("%s with %s gave %s", rows[i].member ? rows[i].member : "none",
                     rows[i].record ? rows[i].record : "none", membership_status_text(got));
    }
}

static void assert_details(struct arena *a, const struct fs_document *member, const char *expected)
{
    cJSON *result = json_object(a);

    membership_add_details(result, member);
    assert_string_equal(arena_text(a, print_json(a, result)), expected);
}

static void test_membership_add_details_only_harmless_ones(void **state)
{
    struct fs_document none = document(*state, NULL);
    struct fs_document odd = document(
        *state,
        "{\"membership\":{\"date_joined\":\"yesterday\",\"unions\":\"VR\",\"titles\":[7]}}");
    cJSON *fields = fs_fields(*state), *membership = fs_add_map(fields, "membership");
    struct fs_document full = {.exists = true, .fields = fields};

    fs_add_time_ms(membership, "date_joined", 1577836800000);
    fs_push_str(fs_add_array(membership, "unions"), STR("VR"));
    fs_push_str(fs_add_array(membership, "titles"), STR("Formaður"));
    assert_details(*state, &none, "{\"memberSince\":null,\"unions\":[],\"titles\":[]}");
    assert_details(*state, &odd, "{\"memberSince\":null,\"unions\":[],\"titles\":[]}");
    assert_details(
        *state, &full,
        "{\"memberSince\":\"2020-01-01\",\"unions\":[\"VR\"],\"titles\":[\"Formaður\"]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_membership_read_follows_the_table),
        ARENA_TEST(test_membership_add_details_only_harmless_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
