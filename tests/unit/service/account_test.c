/* account_test.c - who counts as a member and an operator, for every state of claim and record */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/account.h"
#include "service/state.h"

#include <string.h>

enum record { OFF, ACTIVE, INACTIVE, NEVER_SEEN, SEEN_ACTIVE, SEEN_INACTIVE, RECORDS };

static struct account account_of(enum record record, bool strict)
{
    return (struct account){
        .checked = record != OFF,
        .strict = strict,
        .auth_known = true,
        .records_known = record == ACTIVE || record == INACTIVE,
        .records_seen = record != OFF && record != NEVER_SEEN,
        .is_active = record == ACTIVE || record == SEEN_ACTIVE,
    };
}

static void test_account_membership_every_case_as_the_requirement_says(void **unused)
{
    enum { N = MEMBERSHIP_NOT_PROVEN, P = MEMBERSHIP_PROVEN, U = MEMBERSHIP_UNKNOWN };
    /* By record; what is asked of nobody counts only by the claim. */
    static const int when_true[RECORDS] = {P, P, N, P, P, N};
    static const int when_true_strict[RECORDS] = {P, P, N, U, U, N};
    static const int when_absent[RECORDS] = {N, P, N, N, N, N};

    (void)unused;
    for (int record = OFF; record < RECORDS; record++) {
        for (int strict = 0; strict < 2; strict++) {
            struct request req = {.account = account_of((enum record)record, strict)};

            req.identity.has_kennitala = true;
            req.identity.is_member = CLAIM_TRUE;
            assert_int_equal(account_membership(&req),
                             (strict ? when_true_strict : when_true)[record]);
            req.identity.is_member = CLAIM_ABSENT;
            assert_int_equal(account_membership(&req), when_absent[record]);
            req.identity.is_member = CLAIM_FALSE;
            assert_int_equal(account_membership(&req), N);
            req.identity.is_member = CLAIM_TRUE;
            req.identity.has_kennitala = false;
            assert_int_equal(account_membership(&req), N);
        }
    }
}

static void test_account_confirms_role_unchecked_believes_the_token(void **unused)
{
    struct request req = {0};

    (void)unused;
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_PROVEN);
}

static void test_account_confirms_role_live_record_decides(void **unused)
{
    struct request req = {
        .account = {.checked = true, .records_known = true, .records_seen = true}};

    (void)unused;
    assert_int_equal(account_confirms_role(&req, "admin"), MEMBERSHIP_NOT_PROVEN);
    req.account.is_admin = true;
    assert_int_equal(account_confirms_role(&req, "admin"), MEMBERSHIP_PROVEN);
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_NOT_PROVEN);
    req.account.is_admin = false;
    req.account.is_superuser = true;
    assert_int_equal(account_confirms_role(&req, "admin"), MEMBERSHIP_PROVEN);
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_PROVEN);
}

static void test_account_confirms_role_record_away_remembers_denials_only(void **unused)
{
    struct request req = {.account = {.checked = true, .records_seen = true, .is_admin = true}};

    (void)unused;
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_NOT_PROVEN);
    assert_int_equal(account_confirms_role(&req, "admin"), MEMBERSHIP_PROVEN);
    req.account.strict = true;
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_NOT_PROVEN);
    assert_int_equal(account_confirms_role(&req, "admin"), MEMBERSHIP_UNKNOWN);
    req.account.records_seen = false;
    assert_int_equal(account_confirms_role(&req, "superuser"), MEMBERSHIP_UNKNOWN);
}

static void slot_of(const char *kennitala, const char *uid, const char *org, const char *election,
                    const char *key, unsigned char out[SHA256_BYTES])
{
    struct request req = {.org_id = str_from(org)};

    req.identity.uid = str_from(uid);
    req.identity.has_kennitala = kennitala[0] != '\0';
    assert_true(str_copy(str_from(kennitala), req.identity.kennitala, KENNITALA_SIZE));
    member_slot(&req, key, str_from(election), out);
}

static void test_member_slot_same_person_same_election_only(void **unused)
{
    unsigned char first[SHA256_BYTES], other[SHA256_BYTES];

    (void)unused;
    slot_of("0101302989", "uid-1", "org", "election", "key", first);
    slot_of("0101302989", "uid-2", "org", "election", "key", other);
    assert_memory_equal(first, other, sizeof first);
    slot_of("0101302999", "uid-1", "org", "election", "key", other);
    assert_memory_not_equal(first, other, sizeof first);
    slot_of("0101302989", "uid-1", "org2", "election", "key", other);
    assert_memory_not_equal(first, other, sizeof first);
    slot_of("0101302989", "uid-1", "org", "election2", "key", other);
    assert_memory_not_equal(first, other, sizeof first);
    slot_of("0101302989", "uid-1", "org", "election", "key2", other);
    assert_memory_not_equal(first, other, sizeof first);
}

static void test_member_slot_without_kennitala_is_the_uid_and_meets_nobody_elses(void **unused)
{
    unsigned char by_uid[SHA256_BYTES], other[SHA256_BYTES];

    (void)unused;
    slot_of("", "0101302989", "org", "election", "key", by_uid);
    slot_of("0101302989", "0101302989", "org", "election", "key", other);
    assert_memory_not_equal(by_uid, other, sizeof by_uid);
    slot_of("", "uid-2", "org", "election", "key", other);
    assert_memory_not_equal(by_uid, other, sizeof by_uid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account_membership_every_case_as_the_requirement_says),
        cmocka_unit_test(test_account_confirms_role_unchecked_believes_the_token),
        cmocka_unit_test(test_account_confirms_role_live_record_decides),
        cmocka_unit_test(test_account_confirms_role_record_away_remembers_denials_only),
        cmocka_unit_test(test_member_slot_same_person_same_election_only),
        cmocka_unit_test(test_member_slot_without_kennitala_is_the_uid_and_meets_nobody_elses),
    };

    encode_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
