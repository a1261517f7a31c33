#include "auth/testing.h"

#include "base/limits.h"

#define GOOD_HEADER "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}"
#define GOOD_CLAIMS                                                                                \
    "{\"iss\":\"https://issuer.example/p\",\"aud\":\"p\",\"sub\":\"uid-1\",\"iat\":1799999000,"    \
    "\"auth_time\":1799990000,\"exp\":1800003600}"

static struct jwt_signer *signer;
static struct jwk_set *keys;

static int make_keys(void **state)
{
    (void)state;
    encode_init();
    struct arena *a = arena_new(TEST_ARENA_MAX_BYTES);
    signer = jwt_signer_generate(STR("k1"));
    keys = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    arena_free(a);
    return keys ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    jwk_set_free(keys);
    jwt_signer_free(signer);
    return 0;
}

static bool decodes(struct arena *a, struct str token)
{
    struct jwt t;
    struct error e = {0};
    bool ok = jwt_decode(a, token, false, &t, &e);
    if (!ok)
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    return ok;
}

static bool passes(struct arena *a, struct str token)
{
    struct jwt t;
    struct error e = {0};
    bool ok = jwt_decode(a, token, false, &t, &e) && jwt_verify(&t, keys, &e);
    if (!ok)
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    return ok;
}

static struct str good_token(struct arena *a)
{
    return make_token(a, signer, STR(GOOD_HEADER), STR(GOOD_CLAIMS));
}

static void test_jwt_decode_good_token_gives_its_parts(void **state)
{
    struct arena *a = *state;
    struct str token = good_token(a);
    struct jwt t;
    struct error e = {0};
    struct str sub;
    assert_true(jwt_decode(a, token, false, &t, &e));
    assert_true(str_eq_text(t.kid, "k1"));
    assert_false(t.unsigned_none);
    assert_int_equal(t.signature.len, 256);
    assert_true(str_starts_with(token, t.signed_part));
    assert_int_equal(token.ptr[t.signed_part.len], '.');
    assert_true(json_str(t.claims, "sub", &sub) && str_eq_text(sub, "uid-1"));
    assert_true(jwt_verify(&t, keys, &e));
}

static void test_jwt_decode_header_matrix_only_rs256_with_kid(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *header;
        bool good;
    } cases[] = {
        {GOOD_HEADER, true},
        {"{\"kid\":\"k1\",\"alg\":\"RS256\"}", true},
        /* other algorithms, and none of them */
        {"{\"kid\":\"k1\"}", false},
        {"{\"alg\":\"none\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"None\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS384\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS512\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"PS256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"ES256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"rs256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256 \",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"\",\"kid\":\"k1\"}", false},
        {"{\"alg\":null,\"kid\":\"k1\"}", false},
        {"{\"alg\":[\"RS256\"],\"kid\":\"k1\"}", false},
        {"{\"ALG\":\"RS256\",\"kid\":\"k1\"}", false},
        /* key ids */
        {"{\"alg\":\"RS256\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":1}", false},
        {"{\"alg\":\"RS256\",\"kid\":null}", false},
        {"{\"alg\":\"RS256\",\"Kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k\\u0000\"}", false},
        /* critical extensions */
        {"{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[\"exp\"],\"exp\":1}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[]}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":null}", false},
        /* JSON */
        {"{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256\",\"\\u0061lg\":\"RS256\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k1\",\"kid\":\"k1\"}", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k1\"} x", false},
        {"[\"RS256\"]", false},
        {"\"RS256\"", false},
        {"RS256", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str token = make_token(a, signer, str_from(cases[i].header), STR(GOOD_CLAIMS));
        if (passes(a, token) != cases[i].good)
            fail_msg("header %s", cases[i].header);
    }
}

static void test_jwt_verify_kid_unknown_is_refused(void **state)
{
    struct arena *a = *state;
    struct str header = STR("{\"alg\":\"RS256\",\"kid\":\"k2\"}");
    struct str token = make_token(a, signer, header, STR(GOOD_CLAIMS));
    assert_true(decodes(a, token));
    assert_false(passes(a, token));
}

/* A key that comes with the token is the sender's: here the forger's own, in every way it can. */
static void test_jwt_verify_key_hints_in_header_are_ignored(void **state)
{
    struct arena *a = *state;
    struct jwt_signer *forger = jwt_signer_generate(STR("k1"));
    const cJSON *jwks = json_parse(a, jwt_signer_jwks(forger, a), NULL);
    struct str jwk = print_json(a, cJSON_GetArrayItem(json_get(jwks, "keys"), 0));
    const char *const members[] = {
        arena_printf(a, "\"jwk\":%.*s", STR_ARG(jwk)).ptr,
        "\"jku\":\"http://127.0.0.1:1/jwks\"",
        "\"x5u\":\"http://127.0.0.1:1/cert\"",
        "\"x5c\":[\"AAAA\"]",
    };
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        struct str header = arena_printf(a, "{\"alg\":\"RS256\",\"kid\":\"k1\",%s}", members[i]);
        bool forged = passes(a, make_token(a, forger, header, STR(GOOD_CLAIMS)));
        bool genuine = passes(a, make_token(a, signer, header, STR(GOOD_CLAIMS)));
        assert_false(forged);
        assert_true(genuine);
    }
    jwt_signer_free(forger);
}

/* The classic confusion: the public key's own text as an HMAC secret. */
static void test_jwt_decode_hs256_with_public_key_as_secret_is_refused(void **state)
{
    struct arena *a = *state;
    struct str secret = jwt_signer_jwks(signer, a);
    struct str part =
        signed_part_of(a, STR("{\"alg\":\"HS256\",\"kid\":\"k1\"}"), STR(GOOD_CLAIMS));
    unsigned char mac[SHA256_BYTES];
    hmac_sha256(secret, part, mac);
    assert_false(decodes(a, with_signature(a, part, str_n(mac, sizeof(mac)))));

    part = signed_part_of(a, STR(GOOD_HEADER), STR(GOOD_CLAIMS));
    hmac_sha256(secret, part, mac);
    assert_false(passes(a, with_signature(a, part, str_n(mac, sizeof(mac)))));
}

static void test_jwt_decode_wrong_number_of_parts_is_refused(void **state)
{
    struct arena *a = *state;
    struct str token = good_token(a);
    size_t second = str_find_char(token, '.');
    second += 1 + str_find_char(str_skip(token, second + 1), '.');
    const struct str cases[] = {
        STR(""),
        STR("."),
        STR(".."),
        STR("..."),
        STR("a"),
        str_take(token, second),
        str_take(token, second + 1),
        arena_printf(a, "%.*s.", STR_ARG(token)),
        arena_printf(a, ".%.*s", STR_ARG(token)),
        arena_printf(a, "%.*s.AAAA", STR_ARG(token)),
        arena_printf(a, "%.*s", STR_ARG(str_skip(token, str_find_char(token, '.')))),
    };
    assert_true(decodes(a, token));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (decodes(a, cases[i]))
            fail_msg("case %zu", i);
}

static struct str join(struct arena *a, const struct str parts[3])
{
    return arena_printf(a, "%.*s.%.*s.%.*s", STR_ARG(parts[0]), STR_ARG(parts[1]),
                        STR_ARG(parts[2]));
}

/* The token with text put into one part, `at` characters from its start. */
static struct str with_text_in(struct arena *a, const struct str parts[3], size_t part, size_t at,
                               const char *text)
{
    struct str bent[3] = {parts[0], parts[1], parts[2]};
    bent[part] = arena_printf(a, "%.*s%s%.*s", STR_ARG(str_take(parts[part], at)), text,
                              STR_ARG(str_skip(parts[part], at)));
    return join(a, bent);
}

static void test_jwt_decode_lax_base64url_is_refused(void **state)
{
    struct arena *a = *state;
    const struct str parts[3] = {
        base64url_encode(a, STR("{\"alg\":\"RS256\",\"kid\":\"k\"}")),
        base64url_encode(a, STR("{\"sub\":\"uid-1?\xc3\xbe\",\"exp\":1234}")),
        base64url_encode(a, STR("0123456789012345")),
    };
    static const char *const foreign[] = {"=", "==", " ", "\n", "\t", "+", "/", "%", "\xc3\xa9"};
    assert_true(decodes(a, join(a, parts)));
    for (size_t part = 0; part < 3; part++) {
        for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
            assert_false(decodes(a, with_text_in(a, parts, part, 0, foreign[i])));
            assert_false(decodes(a, with_text_in(a, parts, part, 4, foreign[i])));
            assert_false(decodes(a, with_text_in(a, parts, part, parts[part].len, foreign[i])));
        }
    }
}

static void test_jwt_decode_spare_bits_are_refused(void **state)
{
    struct arena *a = *state;
    struct str token = good_token(a);
    char *bytes = arena_alloc(a, token.len);
    memcpy(bytes, token.ptr, token.len);
    /* 256 bytes of signature leave four spare bits in the last character. */
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t value = str_find_char(STR(alphabet), bytes[token.len - 1]);
    assert_int_equal(value % 16, 0);
    for (size_t spare = 1; spare < 16; spare++) {
        bytes[token.len - 1] = alphabet[value + spare];
        assert_false(decodes(a, str_n(bytes, token.len)));
    }
}

static void test_jwt_decode_size_limit_holds_to_the_byte(void **state)
{
    struct arena *a = *state;
    struct str empty = make_token(a, signer, STR(GOOD_HEADER), STR("{\"x\":\"\"}"));
    bool seen_at_limit = false;
    for (size_t fill = (JWT_MAX_BYTES - empty.len) / 4 * 3 - 8; fill < JWT_MAX_BYTES; fill++) {
        char *x = arena_alloc(a, fill + 1);
        memset(x, 'x', fill);
        struct str payload = arena_printf(a, "{\"x\":\"%s\"}", x);
        struct str token = make_token(a, signer, STR(GOOD_HEADER), payload);
        seen_at_limit = seen_at_limit || token.len >= JWT_MAX_BYTES - 1;
        assert_int_equal(decodes(a, token), token.len <= JWT_MAX_BYTES);
        if (token.len > JWT_MAX_BYTES + 4)
            break;
    }
    assert_true(seen_at_limit);
}

static void test_jwt_decode_payload_not_strict_object_is_refused(void **state)
{
    struct arena *a = *state;
    static const char *const payloads[] = {
        "",
        "null",
        "[]",
        "\"x\"",
        "{\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"sub\":\"a\",\"s\\u0075b\":\"b\"}",
        "{\"firebase\":{\"a\":1,\"a\":2}}",
        "{\"sub\":\"a\\u0000b\"}",
        "{\"sub\":\"\xff\"}",
        "{\"sub\":\"\\ud800\"}",
        "{\"exp\":01}",
        "{\"exp\":1e999}",
        "{\"exp\":NaN}",
        "{\"exp\":1,}",
        "{'exp':1}",
        "{\"exp\":1}{}",
        "\xef\xbb\xbf{\"exp\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(payloads); i++)
        if (decodes(a, make_token(a, signer, STR(GOOD_HEADER), str_from(payloads[i]))))
            fail_msg("payload %zu", i);
}

static void test_jwt_verify_any_bit_flipped_is_refused(void **state)
{
    struct arena *a = *state;
    struct str token = good_token(a);
    char *bytes = arena_alloc(a, token.len);
    memcpy(bytes, token.ptr, token.len);
    assert_true(passes(a, str_n(bytes, token.len)));
    for (size_t i = 0; i < token.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct arena *scratch = arena_new(TEST_ARENA_MAX_BYTES);
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            bool ok = passes(scratch, str_n(bytes, token.len));
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            arena_free(scratch);
            if (ok)
                fail_msg("bit %u of byte %zu", bit, i);
        }
    }
}

static void test_jwt_verify_signature_of_other_length_is_refused(void **state)
{
    struct arena *a = *state;
    struct str part = signed_part_of(a, STR(GOOD_HEADER), STR(GOOD_CLAIMS));
    struct str good = jwt_signer_sign_bytes(signer, a, part);
    char *padded = arena_alloc(a, good.len + 2);
    memcpy(padded + 1, good.ptr, good.len);
    assert_true(passes(a, with_signature(a, part, good)));
    assert_false(passes(a, with_signature(a, part, STR(""))));
    assert_false(passes(a, with_signature(a, part, str_take(good, 1))));
    assert_false(passes(a, with_signature(a, part, str_take(good, good.len - 1))));
    assert_false(passes(a, with_signature(a, part, str_skip(good, 1))));
    assert_false(passes(a, with_signature(a, part, str_n(padded, good.len + 1))));
    assert_false(passes(a, with_signature(a, part, str_n(padded + 1, good.len + 1))));
}

static void test_jwt_decode_none_passes_only_when_allowed_and_unsigned(void **state)
{
    struct arena *a = *state;
    struct str part =
        signed_part_of(a, STR("{\"alg\":\"none\",\"typ\":\"JWT\"}"), STR(GOOD_CLAIMS));
    struct str bare = arena_printf(a, "%.*s.", STR_ARG(part));
    struct jwt t;
    struct error e = {0};
    assert_false(jwt_decode(a, bare, false, &t, &e));
    assert_true(jwt_decode(a, bare, true, &t, &e));
    assert_true(t.unsigned_none);
    assert_false(jwt_verify(&t, keys, &e)); /* it has no signature that could be good */
    assert_false(jwt_decode(a, with_signature(a, part, STR("x")), true, &t, &e));
    assert_false(jwt_decode(a, part, true, &t, &e));
    /* Allowing none does not make anything else optional. */
    part = signed_part_of(a, STR(GOOD_HEADER), STR(GOOD_CLAIMS));
    assert_false(jwt_decode(a, arena_printf(a, "%.*s.", STR_ARG(part)), true, &t, &e));
    part = signed_part_of(a, STR("{\"alg\":\"HS256\",\"kid\":\"k1\"}"), STR(GOOD_CLAIMS));
    assert_false(jwt_decode(a, with_signature(a, part, STR("x")), true, &t, &e));
    part = signed_part_of(a, STR("{\"alg\":\"NONE\"}"), STR(GOOD_CLAIMS));
    assert_false(jwt_decode(a, arena_printf(a, "%.*s.", STR_ARG(part)), true, &t, &e));
    assert_true(jwt_decode(a, good_token(a), true, &t, &e));
    assert_false(t.unsigned_none);
    assert_true(jwt_verify(&t, keys, &e));
}

struct claim_case {
    const char *member;
    const char *raw; /* NULL: removed */
    bool good;
};

static void check_claim_cases(struct arena *a, const struct jwt_expect *expect,
                              const struct claim_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str payload = object_with(a, GOOD_CLAIMS, cases[i].member, cases[i].raw);
        struct jwt t;
        struct error e = {0};
        bool ok = jwt_decode(a, make_token(a, signer, STR(GOOD_HEADER), payload), false, &t, &e) &&
                  jwt_check_claims(&t, expect, &e);
        if (ok != cases[i].good)
            fail_msg("%s = %s: %s", cases[i].member ? cases[i].member : "nothing changed",
                     cases[i].raw ? cases[i].raw : "(removed)", e.detail);
        if (!ok)
            assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    }
}

static const struct jwt_expect strict = {
    .issuer = "https://issuer.example/p",
    .audience = "p",
    .now_s = NOW_S,
    .require_auth_time = true,
};

static void test_jwt_check_claims_time_matrix(void **state)
{
    static const struct claim_case cases[] = {
        {NULL, NULL, true},
        {"exp", NULL, false},
        {"exp", "1800000001", true},
        {"exp", "1800000000", false},
        {"exp", "1799999999", false},
        {"exp", "0", false},
        {"exp", "-1", false},
        {"exp", "-1800003600", false},
        {"exp", "\"1800003600\"", false},
        {"exp", "1800003600.5", false},
        {"exp", "null", false},
        {"exp", "true", false},
        {"exp", "[1800003600]", false},
        {"exp", "9007199254740991", true},
        {"exp", "9007199254740992", false},
        {"exp", "9223372036854775808", false},
        {"exp", "1e300", false},
        {"iat", NULL, false},
        {"iat", "1800000000", true},
        {"iat", "1800000001", false},
        {"iat", "\"1799999000\"", false},
        {"iat", "1799999000.25", false},
        {"iat", "-5", false},
        {"iat", "0", true},
        {"nbf", "1800000000", true},
        {"nbf", "1800000001", false},
        {"nbf", "null", false},
        {"nbf", "\"0\"", false},
        {"auth_time", NULL, false},
        {"auth_time", "1800000000", true},
        {"auth_time", "1800000001", false},
        {"auth_time", "\"1\"", false},
        {"auth_time", "1.5", false},
    };
    check_claim_cases(*state, &strict, cases, ARRAY_LEN(cases));
}

static void test_jwt_check_claims_leeway_moves_every_edge(void **state)
{
    struct jwt_expect expect = strict;
    expect.leeway_s = 60;
    expect.require_auth_time = false;
    static const struct claim_case cases[] = {
        {"exp", "1799999941", true},       {"exp", "1799999940", false},
        {"iat", "1800000060", true},       {"iat", "1800000061", false},
        {"nbf", "1800000060", true},       {"nbf", "1800000061", false},
        {"auth_time", "1800000060", true}, {"auth_time", "1800000061", false},
        {"auth_time", NULL, true},
    };
    check_claim_cases(*state, &expect, cases, ARRAY_LEN(cases));
}

static void test_jwt_check_claims_issuer_and_subject_matrix(void **state)
{
    struct arena *a = *state;
    char longest[UID_MAX_BYTES + 3];
    memset(longest, 'u', sizeof(longest));
    longest[0] = longest[UID_MAX_BYTES + 1] = '"';
    longest[UID_MAX_BYTES + 2] = '\0';
    const char *too_long = arena_printf(a, "\"u%s", longest + 1).ptr;
    const struct claim_case cases[] = {
        {"iss", NULL, false},
        {"iss", "\"https://issuer.example/p/\"", false},
        {"iss", "\"https://issuer.example/\"", false},
        {"iss", "\"http://issuer.example/p\"", false},
        {"iss", "\"https://issuer.example/P\"", false},
        {"iss", "\" https://issuer.example/p\"", false},
        {"iss", "\"\"", false},
        {"iss", "null", false},
        {"iss", "[\"https://issuer.example/p\"]", false},
        {"sub", NULL, false},
        {"sub", "\"\"", false},
        {"sub", "\"u\"", true},
        {"sub", longest, true},
        {"sub", too_long, false},
        {"sub", "1", false},
        {"sub", "null", false},
        {"sub", "{}", false},
    };
    check_claim_cases(a, &strict, cases, ARRAY_LEN(cases));
}

static void test_jwt_check_claims_audience_string_only(void **state)
{
    static const struct claim_case cases[] = {
        {"aud", NULL, false},
        {"aud", "\"q\"", false},
        {"aud", "\"\"", false},
        {"aud", "\"P\"", false},
        {"aud", "\"p \"", false},
        {"aud", "[\"p\"]", false},
        {"aud", "[\"p\",\"q\"]", false},
        {"aud", "null", false},
        {"aud", "1", false},
        {"aud", "{\"p\":true}", false},
    };
    check_claim_cases(*state, &strict, cases, ARRAY_LEN(cases));
}

static void test_jwt_check_claims_audience_array_when_allowed(void **state)
{
    struct jwt_expect expect = strict;
    expect.audience_array_allowed = true;
    expect.audience_other = "p2";
    static const struct claim_case cases[] = {
        {"aud", "\"p\"", true},          {"aud", "\"p2\"", true},     {"aud", "[\"p\"]", true},
        {"aud", "[\"q\",\"p2\"]", true}, {"aud", "[]", false},        {"aud", "[\"q\"]", false},
        {"aud", "[[\"p\"]]", false},     {"aud", "[\"p\",1]", false}, {"aud", "[null]", false},
        {"aud", "{\"0\":\"p\"}", false},
    };
    check_claim_cases(*state, &expect, cases, ARRAY_LEN(cases));
}

static void test_jwt_check_claims_without_issuer_still_wants_one(void **state)
{
    struct jwt_expect expect = strict;
    expect.issuer = NULL;
    static const struct claim_case cases[] = {
        {"iss", "\"anything\"", true},
        {"iss", NULL, false},
        {"iss", "7", false},
    };
    check_claim_cases(*state, &expect, cases, ARRAY_LEN(cases));
}

/* What a log may say of a bad token: which claim, never its value. */
static void test_jwt_check_claims_detail_holds_no_value(void **state)
{
    struct arena *a = *state;
    struct str payload = object_with(a, GOOD_CLAIMS, "aud", "\"0101302989\"");
    struct jwt t;
    struct error e = {0};
    assert_true(jwt_decode(a, make_token(a, signer, STR(GOOD_HEADER), payload), false, &t, &e));
    assert_false(jwt_check_claims(&t, &strict, &e));
    assert_null(strstr(e.detail, "0101302989"));
    assert_non_null(strstr(e.detail, "aud"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_jwt_decode_good_token_gives_its_parts),
        ARENA_TEST(test_jwt_decode_header_matrix_only_rs256_with_kid),
        ARENA_TEST(test_jwt_verify_kid_unknown_is_refused),
        ARENA_TEST(test_jwt_verify_key_hints_in_header_are_ignored),
        ARENA_TEST(test_jwt_decode_hs256_with_public_key_as_secret_is_refused),
        ARENA_TEST(test_jwt_decode_wrong_number_of_parts_is_refused),
        ARENA_TEST(test_jwt_decode_lax_base64url_is_refused),
        ARENA_TEST(test_jwt_decode_spare_bits_are_refused),
        ARENA_TEST(test_jwt_decode_size_limit_holds_to_the_byte),
        ARENA_TEST(test_jwt_decode_payload_not_strict_object_is_refused),
        ARENA_TEST(test_jwt_verify_any_bit_flipped_is_refused),
        ARENA_TEST(test_jwt_verify_signature_of_other_length_is_refused),
        ARENA_TEST(test_jwt_decode_none_passes_only_when_allowed_and_unsigned),
        ARENA_TEST(test_jwt_check_claims_time_matrix),
        ARENA_TEST(test_jwt_check_claims_leeway_moves_every_edge),
        ARENA_TEST(test_jwt_check_claims_issuer_and_subject_matrix),
        ARENA_TEST(test_jwt_check_claims_audience_string_only),
        ARENA_TEST(test_jwt_check_claims_audience_array_when_allowed),
        ARENA_TEST(test_jwt_check_claims_without_issuer_still_wants_one),
        ARENA_TEST(test_jwt_check_claims_detail_holds_no_value),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
