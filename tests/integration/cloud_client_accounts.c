#include "cloud_client.h"

/* ---- Accounts ---- */

static struct identity_toolkit *accounts;

static int open_accounts(void **state)
{
    open_peer(state);
    const struct identity_toolkit_config config = {.project_id = "demo-ekklesia",
                                                   .emulator_host = peer_host,
                                                   .tokens = tokens,
                                                   .client = client};
    accounts = identity_toolkit_new(&config);
    return 0;
}

static int close_accounts(void **state)
{
    identity_toolkit_free(accounts);
    return close_peer(state);
}

static struct identity_account account_of(struct str uid)
{
    struct identity_account account;
    assert_ok(identity_lookup(accounts, uid, arena, soon(), &account, &error));
    return account;
}

static void test_account_is_created_once(void **state)
{
    (void)state;
    struct str uid = str_from(unique);
    assert_false(account_of(uid).exists);
    assert_ok(identity_create(accounts, uid, STR("Jón Þór"), arena, soon(), &error));
    assert_error(identity_create(accounts, uid, STR("Jón Þór"), arena, soon(), &error),
                 ERR_CONFLICT);
    struct identity_account account = account_of(uid);
    assert_true(account.exists && !account.disabled && !account.claims->child);
}

static const cJSON *parsed(const char *text)
{
    const cJSON *tree = json_parse(arena, str_from(text), &error);
    must(tree);
    return tree;
}

static void test_claims_are_merged_not_replaced(void **state)
{
    (void)state;
    struct str uid = str_from(unique);
    assert_ok(identity_create(accounts, uid, STR(""), arena, soon(), &error));
    assert_ok(identity_update_claims(accounts, uid, parsed("{\"isMember\":true,\"old\":1}"), arena,
                                     soon(), &error));
    assert_ok(identity_update_claims(accounts, uid, parsed("{\"roles\":[\"á\"],\"old\":null}"),
                                     arena, soon(), &error));
    assert_true(cJSON_Compare(account_of(uid).claims,
                              parsed("{\"isMember\":true,\"roles\":[\"á\"]}"), true));
    assert_error(identity_update_claims(accounts, STR("nobody-at-all"), parsed("{\"a\":1}"), arena,
                                        soon(), &error),
                 ERR_NOT_FOUND);
}

static void test_revoke_tokens_is_seen_in_the_account(void **state)
{
    (void)state;
    struct str uid = str_from(unique);
    assert_ok(identity_create(accounts, uid, STR(""), arena, soon(), &error));
    assert_ok(identity_revoke_tokens(accounts, uid, 1700000000, arena, soon(), &error));
    assert_int_equal(account_of(uid).valid_since_s, 1700000000);
}

int run_accounts(const char *name)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_account_is_created_once),
        PEER_TEST(test_claims_are_merged_not_replaced),
        PEER_TEST(test_revoke_tokens_is_seen_in_the_account),
    };
    return cmocka_run_group_tests_name(name, tests, open_accounts, close_accounts);
}
