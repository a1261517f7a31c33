#include "auth/testing.h"

#include "auth/firebase_token.h"
#include "base/clock.h"

#define GOOD_HEADER "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}"
#define ID_CLAIMS                                                                                  \
    "{\"iss\":\"https://securetoken.google.com/ekklesia-test\",\"aud\":\"ekklesia-test\","         \
    "\"auth_time\":1799990000,\"user_id\":\"uid-1\",\"sub\":\"uid-1\",\"iat\":1799999000,"         \
    "\"exp\":1800002600,\"email\":\"a@example.is\",\"kennitala\":\"0101302989\","                  \
    "\"isMember\":true,\"roles\":[\"member\",\"admin\"],\"role\":\"superadmin\","                  \
    "\"firebase\":{\"identities\":{},\"sign_in_provider\":\"custom\"}}"
#define APP_CLAIMS                                                                                 \
    "{\"iss\":\"https://firebaseappcheck.googleapis.com/123456\",\"sub\":\"1:123456:web:abc\","    \
    "\"aud\":[\"projects/123456\",\"projects/ekklesia-test\"],\"iat\":1799999000,"                 \
    "\"exp\":1800002600}"

static struct jwt_signer *signer;
static struct firebase_verifier verifier;

static int make_verifier(void **state)
{
    (void)state;
    encode_init();
    struct arena *a = arena_new(TEST_ARENA_MAX_BYTES);
    signer = jwt_signer_generate(STR("k1"));
    struct str jwks = jwt_signer_jwks(signer, a);
    verifier = (struct firebase_verifier){
        .project_id = "ekklesia-test",
        .project_number = "123456",
        .id_token_keys = jwks_cache_from_set(jwk_set_parse(jwks, NULL)),
        .app_check_keys = jwks_cache_from_set(jwk_set_parse(jwks, NULL)),
    };
    arena_free(a);
    return 0;
}

static int free_verifier(void **state)
{
    (void)state;
    jwks_cache_free(verifier.id_token_keys);
    jwks_cache_free(verifier.app_check_keys);
    jwt_signer_free(signer);
    return 0;
}

static bool verify(struct arena *a, const struct firebase_verifier *v, struct str token,
                   struct identity *id)
{
    struct error e = {0};
    struct identity untouched;
    memset(id, 0x5a, sizeof(*id));
    memset(&untouched, 0x5a, sizeof(untouched));
    bool ok = firebase_verify_id_token(v, token, NOW_S, a, clock_mono_ms() + 5000, id, &e);
    if (!ok) {
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
        assert_memory_equal(id, &untouched, sizeof(untouched));
    }
    return ok;
}

static struct str id_token(struct arena *a, const char *member, const char *raw)
{
    return make_token(a, signer, STR(GOOD_HEADER), object_with(a, ID_CLAIMS, member, raw));
}

static struct identity identity_with(struct arena *a, const char *member, const char *raw)
{
    struct identity id;
    if (!verify(a, &verifier, id_token(a, member, raw), &id))
        fail_msg("%s = %s", member ? member : "unchanged", raw ? raw : "(removed)");
    return id;
}

static void test_firebase_verify_id_token_good_fills_identity(void **state)
{
    struct identity id = identity_with(*state, NULL, NULL);
    assert_int_equal(id.kind, IDENTITY_USER);
    assert_true(str_eq_text(id.uid, "uid-1"));
    assert_true(id.has_kennitala);
    assert_string_equal(id.kennitala, "0101302989");
    assert_true(str_eq_text(id.kennitala_claim, "0101302989"));
    assert_int_equal(id.is_member, CLAIM_TRUE);
    assert_int_equal(id.role_count, 2);
    assert_true(identity_has_role(&id, "member"));
    assert_true(identity_has_role(&id, "admin"));
    assert_false(identity_has_role(&id, "superadmin"));
    assert_true(str_eq_text(id.legacy_role, "superadmin"));
    assert_true(str_eq_text(id.email, "a@example.is"));
    assert_int_equal(id.issued_at_s, 1799999000);
    assert_int_equal(id.auth_time_s, 1799990000);
    assert_int_equal(id.expires_at_s, 1800002600);
    assert_int_equal(id.key_id.len, 0);
    assert_int_equal(id.org_id.len, 0);
    assert_int_equal(id.voting_token.len, 0);
}

static void test_firebase_verify_id_token_claim_matrix(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *member;
        const char *raw;
    } refused[] = {
        {"iss", "\"https://securetoken.google.com/ekklesia-test/\""},
        {"iss", "\"https://securetoken.google.com/other\""},
        {"iss", "\"https://securetoken.google.com/\""},
        {"iss", "\"https://session.firebase.google.com/ekklesia-test\""},
        {"iss", NULL},
        {"aud", "\"other\""},
        {"aud", "[\"ekklesia-test\"]"},
        {"aud", "\"projects/ekklesia-test\""},
        {"aud", NULL},
        {"sub", "\"\""},
        {"sub", "12"},
        {"sub", NULL},
        {"exp", "1800000000"},
        {"exp", NULL},
        {"exp", "\"1800002600\""},
        {"iat", "1800000001"},
        {"iat", NULL},
        {"auth_time", "1800000001"},
        {"auth_time", NULL},
        {"nbf", "1800000001"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct identity id;
        if (verify(a, &verifier, id_token(a, refused[i].member, refused[i].raw), &id))
            fail_msg("%s = %s", refused[i].member, refused[i].raw ? refused[i].raw : "(removed)");
    }
}

static void test_firebase_verify_id_token_leeway_is_a_setting(void **state)
{
    struct arena *a = *state;
    struct firebase_verifier patient = verifier;
    struct identity id;
    patient.leeway_s = 30;
    struct str late = id_token(a, "exp", "1799999980");
    assert_false(verify(a, &verifier, late, &id));
    assert_true(verify(a, &patient, late, &id));
    assert_false(verify(a, &patient, id_token(a, "exp", "1799999970"), &id));
}

static void test_firebase_verify_id_token_is_member_only_as_boolean(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *raw;
        enum claim_state want;
    } cases[] = {
        {"true", CLAIM_TRUE},       {"false", CLAIM_FALSE}, {NULL, CLAIM_ABSENT},
        {"\"true\"", CLAIM_ABSENT}, {"1", CLAIM_ABSENT},    {"null", CLAIM_ABSENT},
        {"[true]", CLAIM_ABSENT},   {"{}", CLAIM_ABSENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(identity_with(a, "isMember", cases[i].raw).is_member, cases[i].want);
}

static void test_firebase_verify_id_token_roles_only_as_array_of_strings(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *raw;
        size_t want;
    } cases[] = {
        {"[\"admin\"]", 1},
        {"[\"admin\",\"superuser\"]", 2},
        {"[]", 0},
        {NULL, 0},
        {"null", 0},
        {"\"admin\"", 0},
        {"\"[\\\"admin\\\"]\"", 0},
        {"{\"admin\":true}", 0},
        {"{\"0\":\"admin\",\"length\":1}", 0},
        {"[\"admin\",1]", 0},
        {"[1,\"admin\"]", 0},
        {"[\"admin\",null]", 0},
        {"[[\"admin\"]]", 0},
        {"[{\"name\":\"admin\"}]", 0},
        {"true", 0},
        {"1", 0},
        {"[\"admin\",\"12345678901234567890123456789012345678901234567890123456789012345\"]", 1},
        {"[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
         "\"14\",\"15\",\"admin\"]",
         16},
        {"[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
         "\"14\",\"15\",\"16\",\"admin\"]",
         0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct identity id = identity_with(a, "roles", cases[i].raw);
        if (id.role_count != cases[i].want ||
            identity_has_role(&id, "admin") != (cases[i].want > 0))
            fail_msg("roles = %s: %zu", cases[i].raw ? cases[i].raw : "(removed)", id.role_count);
    }
}

static void test_firebase_verify_id_token_kennitala_forms(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *raw;
        bool good;
    } cases[] = {
        {"\"0101302989\"", true},
        {"\"010130-2989\"", true},
        {"\"0101302980\"", true},
        {"\"8101302989\"", true},
        {"\"9101302989\"", true},
        {"\"\"", false},
        {"\"010130298\"", false},
        {"\"01013029890\"", false},
        {"\"010130 2989\"", false},
        {"\" 0101302989\"", false},
        {"\"0113302989\"", false},
        {"\"abcdefghij\"", false},
        {"101302989", false},
        {"null", false},
        {NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct identity id = identity_with(a, "kennitala", cases[i].raw);
        if (id.has_kennitala != cases[i].good)
            fail_msg("kennitala = %s", cases[i].raw ? cases[i].raw : "(removed)");
        if (id.has_kennitala)
            assert_int_equal(strlen(id.kennitala), 10);
    }
}

static void test_firebase_verify_id_token_texts_of_other_types_are_absent(void **state)
{
    struct arena *a = *state;
    assert_int_equal(identity_with(a, "role", "[\"superadmin\"]").legacy_role.len, 0);
    assert_int_equal(identity_with(a, "role", "true").legacy_role.len, 0);
    assert_int_equal(identity_with(a, "email", "7").email.len, 0);
    assert_int_equal(identity_with(a, "email", NULL).email.len, 0);
}

static void test_firebase_verify_id_token_forged_signature_is_refused(void **state)
{
    struct arena *a = *state;
    struct identity id;
    struct jwt_signer *forger = jwt_signer_generate(STR("k1"));
    assert_false(
        verify(a, &verifier, make_token(a, forger, STR(GOOD_HEADER), STR(ID_CLAIMS)), &id));
    struct str other = STR("{\"alg\":\"RS256\",\"kid\":\"k2\"}");
    assert_false(verify(a, &verifier, make_token(a, signer, other, STR(ID_CLAIMS)), &id));
    assert_false(verify(a, &verifier, STR(""), &id));
    assert_false(verify(a, &verifier, STR("a.b.c"), &id));
    jwt_signer_free(forger);
}

static struct str unsigned_token(struct arena *a, const char *claims)
{
    struct str part =
        signed_part_of(a, STR("{\"alg\":\"none\",\"typ\":\"JWT\"}"), str_from(claims));
    return arena_printf(a, "%.*s.", STR_ARG(part));
}

static void test_firebase_verify_id_token_unsigned_only_for_the_emulator(void **state)
{
    struct arena *a = *state;
    struct firebase_verifier emulator = verifier;
    struct identity id;
    emulator.allow_unsigned = true;
    assert_false(verify(a, &verifier, unsigned_token(a, ID_CLAIMS), &id));
    assert_true(verify(a, &emulator, unsigned_token(a, ID_CLAIMS), &id));
    assert_true(str_eq_text(id.uid, "uid-1"));
    /* Everything but the signature still counts. */
    struct str late = object_with(a, ID_CLAIMS, "exp", "1799999999");
    assert_false(verify(a, &emulator, unsigned_token(a, arena_text(a, late)), &id));
    struct str foreign = object_with(a, ID_CLAIMS, "aud", "\"other\"");
    assert_false(verify(a, &emulator, unsigned_token(a, arena_text(a, foreign)), &id));
    /* A signature that is there must be good. */
    struct jwt_signer *forger = jwt_signer_generate(STR("k1"));
    assert_false(
        verify(a, &emulator, make_token(a, forger, STR(GOOD_HEADER), STR(ID_CLAIMS)), &id));
    assert_true(verify(a, &emulator, id_token(a, NULL, NULL), &id));
    jwt_signer_free(forger);
}

static void test_firebase_verify_without_key_source_is_unavailable(void **state)
{
    struct arena *a = *state;
    struct firebase_verifier v = verifier;
    struct identity id;
    struct str app;
    struct error e = {0};
    v.id_token_keys = NULL;
    v.app_check_keys = NULL;
    assert_false(firebase_verify_id_token(&v, id_token(a, NULL, NULL), NOW_S, a, 0, &id, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    struct str token = make_token(a, signer, STR(GOOD_HEADER), STR(APP_CLAIMS));
    assert_false(firebase_verify_app_check(&v, token, NOW_S, a, 0, &app, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

static bool app_passes(struct arena *a, const struct firebase_verifier *v, struct str token)
{
    struct str app = {0};
    struct error e = {0};
    bool ok = firebase_verify_app_check(v, token, NOW_S, a, clock_mono_ms() + 5000, &app, &e);
    if (ok)
        assert_true(str_eq_text(app, "1:123456:web:abc"));
    else
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    return ok;
}

static struct str app_token(struct arena *a, const char *member, const char *raw)
{
    return make_token(a, signer, STR(GOOD_HEADER), object_with(a, APP_CLAIMS, member, raw));
}

static void test_firebase_verify_app_check_matrix(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *member;
        const char *raw;
        bool pinned, by_prefix; /* with and without the project number */
    } cases[] = {
        {NULL, NULL, true, true},
        {"aud", "[\"projects/ekklesia-test\"]", true, true},
        {"aud", "[\"projects/123456\"]", true, false},
        {"aud", "[\"x\",\"projects/ekklesia-test\",\"y\"]", true, true},
        {"aud", "\"projects/ekklesia-test\"", false, false},
        {"aud", "[\"ekklesia-test\"]", false, false},
        {"aud", "[\"projects/other\",\"projects/9\"]", false, false},
        {"aud", "[\"projects/\"]", false, false},
        {"aud", "[\"projects/ekklesia-test/\"]", false, false},
        {"aud", "[\"projects/ekklesia-test\",1]", false, false},
        {"aud", "[]", false, false},
        {"aud", NULL, false, false},
        {"iss", "\"https://firebaseappcheck.googleapis.com/999\"", false, true},
        {"iss", "\"https://firebaseappcheck.googleapis.com/1234567\"", false, true},
        {"iss", "\"https://firebaseappcheck.googleapis.com/123456/\"", false, true},
        {"iss", "\"https://firebaseappcheck.googleapis.com/\"", false, false},
        {"iss", "\"https://firebaseappcheck.googleapis.com\"", false, false},
        {"iss", "\"https://firebaseappcheck.googleapis.com.evil.is/123456\"", false, false},
        {"iss", "\"http://firebaseappcheck.googleapis.com/123456\"", false, false},
        {"iss", "\"https://securetoken.google.com/ekklesia-test\"", false, false},
        {"iss", NULL, false, false},
        {"iss", "1", false, false},
        {"sub", "\"\"", false, false},
        {"sub", NULL, false, false},
        {"sub", "1", false, false},
        {"exp", "1800000000", false, false},
        {"exp", NULL, false, false},
        {"iat", "1800000001", false, false},
        {"nbf", "1800000001", false, false},
    };
    struct firebase_verifier by_prefix = verifier;
    by_prefix.project_number = "";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str token = app_token(a, cases[i].member, cases[i].raw);
        if (app_passes(a, &verifier, token) != cases[i].pinned ||
            app_passes(a, &by_prefix, token) != cases[i].by_prefix)
            fail_msg("%s = %s", cases[i].member ? cases[i].member : "unchanged",
                     cases[i].raw ? cases[i].raw : "(removed)");
    }
}

static void test_firebase_verify_app_check_forged_or_unsigned_is_refused(void **state)
{
    struct arena *a = *state;
    struct firebase_verifier emulator = verifier;
    emulator.allow_unsigned = true;
    struct jwt_signer *forger = jwt_signer_generate(STR("k1"));
    assert_false(
        app_passes(a, &verifier, make_token(a, forger, STR(GOOD_HEADER), STR(APP_CLAIMS))));
    assert_false(app_passes(a, &verifier, unsigned_token(a, APP_CLAIMS)));
    /* There is no App Check emulator, so its setting opens nothing here. */
    assert_false(app_passes(a, &emulator, unsigned_token(a, APP_CLAIMS)));
    jwt_signer_free(forger);
}

/* One kind of token never passes for the other, though one key may sign both. */
static void test_firebase_verify_kinds_are_not_interchangeable(void **state)
{
    struct arena *a = *state;
    struct identity id;
    assert_false(verify(a, &verifier, app_token(a, NULL, NULL), &id));
    assert_false(app_passes(a, &verifier, id_token(a, NULL, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_firebase_verify_id_token_good_fills_identity),
        ARENA_TEST(test_firebase_verify_id_token_claim_matrix),
        ARENA_TEST(test_firebase_verify_id_token_leeway_is_a_setting),
        ARENA_TEST(test_firebase_verify_id_token_is_member_only_as_boolean),
        ARENA_TEST(test_firebase_verify_id_token_roles_only_as_array_of_strings),
        ARENA_TEST(test_firebase_verify_id_token_kennitala_forms),
        ARENA_TEST(test_firebase_verify_id_token_texts_of_other_types_are_absent),
        ARENA_TEST(test_firebase_verify_id_token_forged_signature_is_refused),
        ARENA_TEST(test_firebase_verify_id_token_unsigned_only_for_the_emulator),
        ARENA_TEST(test_firebase_verify_without_key_source_is_unavailable),
        ARENA_TEST(test_firebase_verify_app_check_matrix),
        ARENA_TEST(test_firebase_verify_app_check_forged_or_unsigned_is_refused),
        ARENA_TEST(test_firebase_verify_kinds_are_not_interchangeable),
    };
    return cmocka_run_group_tests(tests, make_verifier, free_verifier);
}
