/*
 * id_token_test.c - which ID tokens of Kenni's count; M-F38, M-T1
 *
 * A good payload, changed in one point a row. The rules on text, algorithm and signature are
 * jwt_test.c's.
 */
#include "auth/testing.h"

#include "handlekenniauth.h"

#define ISSUER "https://idp.example.is/ours"
#define CLIENT "@ours/app"

static const char good[] =
    "{\"iss\":\"" ISSUER "\",\"aud\":\"" CLIENT "\",\"sub\":\"abc\",\"iat\":1799999990,"
    "\"exp\":1800003600,\"nonce\":\"n-1\",\"national_id\":\"0101302989\"}";

static bool check(struct arena *a, const struct id_token_rules *rules, struct str payload,
                  enum login_outcome *ret_outcome)
{
    struct error e = {0};
    struct jwt token = {.claims = json_parse(a, payload, &e)};
    bool good_token;

    assert_non_null(token.claims);
    good_token = id_token_check_claims(a, &token, rules, ret_outcome, &e);
    assert_true(good_token || e.code != ERR_NONE);
    /* Details may be logged. */
    assert_null(strstr(e.detail, "0101302989"));
    return good_token;
}

static struct id_token_rules rules_of(void)
{
    return (struct id_token_rules){
        .issuer = ISSUER,
        .client_id = CLIENT,
        .nonce = STR("n-1"),
        .state = STR(""),
        .access_token = STR(""),
        .now_s = NOW_S,
        .leeway_s = 5,
    };
}

struct row {
    const char *member, *raw; /* raw NULL: without the member */
    bool good;
};

static const struct row matrix[] = {
    {NULL, NULL, true},
    {"iss", "\"" ISSUER "/\"", false},
    {"iss", "\"HTTPS://idp.example.is/ours\"", false},
    {"iss", NULL, false},
    {"iss", "[\"" ISSUER "\"]", false},
    {"aud", "\"somebody else\"", false},
    {"aud", NULL, false},
    {"aud", "[\"" CLIENT "\"]", true},
    {"aud", "[\"" CLIENT "\",\"other\"]", false}, /* several without azp */
    {"aud", "[\"other\"]", false},
    {"aud", "[]", false},
    {"aud", "[\"" CLIENT "\",7]", false},
    {"azp", "\"" CLIENT "\"", true},
    {"azp", "\"other\"", false},
    {"azp", "null", false},
    {"azp", "[\"" CLIENT "\"]", false},
    {"exp", NULL, false},
    {"exp", "1799999995", false},
    {"exp", "1799999996", true}, /* within the leeway */
    {"exp", "\"1800003600\"", false},
    {"exp", "1800003600.5", false},
    {"exp", "-1", false},
    {"iat", NULL, false},
    {"iat", "1800000005", true},
    {"iat", "1800000006", false},
    {"nbf", "1800000006", false},
    {"nbf", "1799999000", true},
    {"auth_time", "1800000006", false},
    {"auth_time", "1799999000", true},
    {"sub", NULL, false},
    {"sub", "\"\"", false},
    {"nonce", NULL, false},
    {"nonce", "\"n-2\"", false},
    {"nonce", "\"n-1 \"", false},
    {"nonce", "1", false},
    {"actor", "{\"sub\":\"x\"}", false},
    {"actor", "\"x\"", false},
    {"actor", "null", true},
    {"act", "{\"sub\":\"x\"}", false},
    {"delegation_type", "\"procuration\"", false},
    {"delegation_type", "[]", false},
};

static void test_id_token_check_claims_one_point_changed_follows_the_matrix(void **state)
{
    struct id_token_rules rules = rules_of();
    enum login_outcome outcome;

    for (size_t i = 0; i < ARRAY_LEN(matrix); i++) {
        struct str payload = object_with(*state, good, matrix[i].member, matrix[i].raw);

        if (check(*state, &rules, payload, &outcome) != matrix[i].good)
            fail_msg("%.*s should be %s", STR_ARG(payload), matrix[i].good ? "good" : "refused");
    }
}

static void test_id_token_check_claims_several_audiences_with_azp_is_good(void **state)
{
    struct id_token_rules rules = rules_of();
    enum login_outcome outcome;
    struct str payload = object_with(*state, good, "aud", "[\"other\",\"" CLIENT "\"]");

    payload = object_with(*state, arena_text(*state, payload), "azp", "\"" CLIENT "\"");
    assert_true(check(*state, &rules, payload, &outcome));
    payload = object_with(*state, arena_text(*state, payload), "azp", "\"other\"");
    assert_false(check(*state, &rules, payload, &outcome));
}

static void test_id_token_check_claims_no_nonce_sent_none_is_asked_for(void **state)
{
    struct id_token_rules rules = rules_of();
    enum login_outcome outcome;

    rules.nonce = STR("");
    assert_true(check(*state, &rules, str_from(good), &outcome));
    assert_true(check(*state, &rules, object_with(*state, good, "nonce", NULL), &outcome));
}

static void test_id_token_check_claims_delegated_says_so_and_may_be_allowed(void **state)
{
    struct id_token_rules rules = rules_of();
    struct str payload = object_with(*state, good, "actor", "{\"national_id\":\"1\"}");
    enum login_outcome outcome = LOGIN_OK;

    assert_false(check(*state, &rules, payload, &outcome));
    assert_int_equal(outcome, LOGIN_DELEGATED);
    rules.delegated_allowed = true;
    assert_true(check(*state, &rules, payload, &outcome));
}

/* The example of OpenID Connect Core 1.0 §A.4: access token and its at_hash. */
static void test_id_token_check_claims_at_hash_must_fit_the_access_token(void **state)
{
    struct id_token_rules rules = rules_of();
    enum login_outcome outcome;
    struct str payload = object_with(*state, good, "at_hash", "\"77QmUPtjPfzWtF2AnpK9RQ\"");

    assert_true(check(*state, &rules, payload, &outcome)); /* none was given: nothing to compare */
    rules.access_token = STR("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    assert_true(check(*state, &rules, payload, &outcome));
    rules.access_token = STR("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Z");
    assert_false(check(*state, &rules, payload, &outcome));
    payload = object_with(*state, good, "at_hash", "7");
    assert_false(check(*state, &rules, payload, &outcome));
}

static void test_id_token_check_claims_s_hash_must_fit_the_state(void **state)
{
    struct id_token_rules rules = rules_of();
    enum login_outcome outcome;
    unsigned char hash[SHA256_BYTES];
    struct str raw;

    sha256(STR("state-1"), hash);
    raw = arena_printf(*state, "\"%.*s\"",
                       STR_ARG(base64url_encode(*state, str_n(hash, SHA256_BYTES / 2))));
    rules.state = STR("state-1");
    assert_true(check(*state, &rules, object_with(*state, good, "s_hash", raw.ptr), &outcome));
    rules.state = STR("state-2");
    assert_false(check(*state, &rules, object_with(*state, good, "s_hash", raw.ptr), &outcome));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_id_token_check_claims_one_point_changed_follows_the_matrix),
        ARENA_TEST(test_id_token_check_claims_several_audiences_with_azp_is_good),
        ARENA_TEST(test_id_token_check_claims_no_nonce_sent_none_is_asked_for),
        ARENA_TEST(test_id_token_check_claims_delegated_says_so_and_may_be_allowed),
        ARENA_TEST(test_id_token_check_claims_at_hash_must_fit_the_access_token),
        ARENA_TEST(test_id_token_check_claims_s_hash_must_fit_the_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
