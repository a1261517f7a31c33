#include "auth/testing.h"

#include "base/limits.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>

static struct jwt_signer *signer;

static int make_signer(void **state)
{
    (void)state;
    encode_init();
    signer = jwt_signer_generate(STR("k1"));
    return 0;
}

static int free_signer(void **state)
{
    (void)state;
    jwt_signer_free(signer);
    return 0;
}

/* The signer's public key as one JWK object. */
static const char *good_jwk(struct arena *a)
{
    const cJSON *jwks = json_parse(a, jwt_signer_jwks(signer, a), NULL);
    return arena_text(a, print_json(a, cJSON_GetArrayItem(json_get(jwks, "keys"), 0)));
}

static struct str set_of(struct arena *a, struct str jwk)
{
    return arena_printf(a, "{\"keys\":[%.*s]}", STR_ARG(jwk));
}

/* How many keys the document yields; 0 when it is refused. */
static size_t keys_in(struct str document)
{
    struct error e = {0};
    struct jwk_set *set = jwk_set_parse(document, &e);
    if (!set) {
        assert_int_equal(e.code, ERR_BAD_GATEWAY);
        return 0;
    }
    size_t size = jwk_set_size(set);
    assert_true(size > 0);
    jwk_set_free(set);
    return size;
}

static void test_jwk_set_parse_member_matrix(void **state)
{
    struct arena *a = *state;
    const char *good = good_jwk(a);
    static const struct {
        const char *member;
        const char *raw;
        bool kept;
    } cases[] = {
        {NULL, NULL, true},
        {"use", NULL, true},
        {"use", "\"enc\"", false},
        {"use", "\"SIG\"", false},
        {"use", "null", false},
        {"use", "1", false},
        {"alg", NULL, true},
        {"alg", "\"RS384\"", false},
        {"alg", "\"PS256\"", false},
        {"alg", "\"HS256\"", false},
        {"alg", "null", false},
        {"kty", NULL, false},
        {"kty", "\"EC\"", false},
        {"kty", "\"oct\"", false},
        {"kty", "\"rsa\"", false},
        {"kid", NULL, false},
        {"kid", "\"\"", false},
        {"kid", "7", false},
        {"key_ops", "[\"verify\"]", true},
        {"key_ops", "[\"encrypt\"]", false},
        {"key_ops", "[]", false},
        {"e", NULL, false},
        {"e", "\"\"", false},
        {"e", "\"AQ\"", false},      /* 1 */
        {"e", "\"Ag\"", false},      /* 2 */
        {"e", "\"Aw\"", true},       /* 3 */
        {"e", "\"AAEAAQ\"", false},  /* a leading zero byte */
        {"e", "\"AQAAAAE\"", false}, /* five bytes */
        {"e", "\"AQAB=\"", false},
        {"e", "65537", false},
        {"n", NULL, false},
        {"n", "\"\"", false},
        {"n", "\"AQAB\"", false},
        {"n", "\"+/+/\"", false},
        {"x5c", "[\"garbage\"]", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str jwk = object_with(a, good, cases[i].member, cases[i].raw);
        if (keys_in(set_of(a, jwk)) != (cases[i].kept ? 1U : 0U))
            fail_msg("%s = %s", cases[i].member ? cases[i].member : "nothing changed",
                     cases[i].raw ? cases[i].raw : "(removed)");
    }
}

static struct str jwk_of_bits(struct arena *a, size_t bytes, unsigned char first,
                              unsigned char last)
{
    unsigned char *n = arena_alloc(a, bytes);
    random_bytes(n, bytes);
    n[0] = first;
    n[bytes - 1] = last;
    return arena_printf(a, "{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"%.*s\"}",
                        STR_ARG(base64url_encode(a, str_n(n, bytes))));
}

static void test_jwk_set_parse_key_sizes_have_bounds(void **state)
{
    struct arena *a = *state;
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 128, 0x80, 0x01))), 0); /* 1024 */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 256, 0x7f, 0x01))), 0); /* 2047 */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 256, 0x80, 0x01))), 1); /* 2048 */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 256, 0x80, 0x02))), 0); /* even */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 257, 0x00, 0x01))), 0); /* leading zero */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 384, 0x80, 0x01))), 1); /* 3072 */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 512, 0xff, 0xff))), 1); /* 4096 */
    assert_int_equal(keys_in(set_of(a, jwk_of_bits(a, 513, 0x01, 0x01))), 0); /* 4097 */
}

/* A real key of 1024 bits whose signature is right: size alone must keep it out. */
static void test_jwk_set_parse_real_1024_bit_key_is_refused(void **state)
{
    struct arena *a = *state;
    EVP_PKEY *small = EVP_RSA_gen(1024);
    BIGNUM *n = NULL;
    unsigned char bytes[128];
    assert_int_equal(EVP_PKEY_get_bn_param(small, "n", &n), 1);
    assert_int_equal(BN_bn2bin(n, bytes), 128);
    BN_free(n);
    EVP_PKEY_free(small);
    struct str jwk =
        arena_printf(a, "{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"%.*s\"}",
                     STR_ARG(base64url_encode(a, str_n(bytes, sizeof(bytes)))));
    assert_int_equal(keys_in(set_of(a, jwk)), 0);
}

static void test_jwk_set_parse_documents_that_are_none_are_refused(void **state)
{
    struct arena *a = *state;
    static const char *const documents[] = {
        "",
        "x",
        "{}",
        "[]",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":null}",
        "{\"keys\":[null,1,\"x\",[]]}",
        "{\"Keys\":[]}",
        "<html></html>",
    };
    for (size_t i = 0; i < ARRAY_LEN(documents); i++)
        assert_int_equal(keys_in(str_from(documents[i])), 0);
    struct str good = set_of(a, str_from(good_jwk(a)));
    assert_int_equal(keys_in(good), 1);
    assert_int_equal(keys_in(arena_printf(a, "%.*s x", STR_ARG(good))), 0);
    assert_int_equal(keys_in(str_take(good, good.len - 1)), 0);
    assert_int_equal(keys_in(arena_printf(a, "{\"keys\":[],%.*s", STR_ARG(str_skip(good, 1)))), 0);
}

static void test_jwk_set_parse_kid_twice_refuses_the_document(void **state)
{
    struct arena *a = *state;
    const char *good = good_jwk(a);
    struct str other = object_with(a, good, "kid", "\"k2\"");
    struct str unusable = object_with(a, good, "use", "\"enc\"");
    assert_int_equal(keys_in(arena_printf(a, "{\"keys\":[%s,%.*s]}", good, STR_ARG(other))), 2);
    assert_int_equal(keys_in(arena_printf(a, "{\"keys\":[%s,%s]}", good, good)), 0);
    assert_int_equal(keys_in(arena_printf(a, "{\"keys\":[%.*s,%s]}", STR_ARG(unusable), good)), 0);
}

static struct str set_of_many(struct arena *a, size_t count)
{
    const char *good = good_jwk(a);
    struct buf b;
    buf_init(&b, TEST_ARENA_MAX_BYTES);
    buf_add_text(&b, "{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        const char *kid = arena_printf(a, "\"key-%zu\"", i).ptr;
        buf_add_text(&b, i ? "," : "");
        buf_add(&b, object_with(a, good, "kid", kid));
    }
    buf_add_text(&b, "]}");
    struct str document = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return document;
}

static void test_jwk_set_parse_limits_hold(void **state)
{
    struct arena *a = *state;
    assert_int_equal(keys_in(set_of_many(a, JWKS_KEYS_MAX)), JWKS_KEYS_MAX);
    assert_int_equal(keys_in(set_of_many(a, JWKS_KEYS_MAX + 1)), 0);
    struct str good = set_of(a, str_from(good_jwk(a)));
    char *padded = arena_alloc(a, JWKS_MAX_BYTES + 1);
    memset(padded, ' ', JWKS_MAX_BYTES + 1);
    memcpy(padded, good.ptr, good.len);
    assert_int_equal(keys_in(str_n(padded, JWKS_MAX_BYTES)), 1);
    assert_int_equal(keys_in(str_n(padded, JWKS_MAX_BYTES + 1)), 0);
}

static void test_jwk_set_has_knows_exact_kids(void **state)
{
    struct arena *a = *state;
    struct jwk_set *set = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    assert_non_null(set);
    assert_true(jwk_set_has(set, STR("k1")));
    assert_false(jwk_set_has(set, STR("K1")));
    assert_false(jwk_set_has(set, STR("k")));
    assert_false(jwk_set_has(set, STR("k1 ")));
    assert_false(jwk_set_has(set, STR("")));
    jwk_set_free(set);
    jwk_set_free(NULL);
}

/* One set of one key, and a signature to judge with it. */
static bool verifies(struct str jwks, struct str kid, struct str data, struct str signature)
{
    struct error e = {0};
    struct jwk_set *set = jwk_set_parse(jwks, &e);
    if (!set)
        fail_msg("%s", e.detail);
    struct jwt t = {.kid = kid, .signed_part = data, .signature = signature};
    bool ok = jwt_verify(&t, set, &e);
    if (!ok)
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    jwk_set_free(set);
    return ok;
}

static struct str sign_as(struct arena *a, struct str data, const char *digest, int padding)
{
    struct str pem = jwt_signer_pem(signer, a);
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = 256;
    unsigned char *out = arena_alloc(a, len);
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, digest, NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, padding), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &len, (const unsigned char *)data.ptr, data.len), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return str_n(out, len);
}

/* Real signatures of the right key in the wrong scheme. */
static void test_jwt_verify_other_scheme_of_same_key_is_refused(void **state)
{
    struct arena *a = *state;
    struct str jwks = jwt_signer_jwks(signer, a);
    struct str data = STR("eyJ.eyJ");
    static const struct {
        const char *digest;
        int padding;
        bool good;
    } cases[] = {
        {"SHA256", RSA_PKCS1_PADDING, true},      {"SHA384", RSA_PKCS1_PADDING, false},
        {"SHA512", RSA_PKCS1_PADDING, false},     {"SHA1", RSA_PKCS1_PADDING, false},
        {"SHA256", RSA_PKCS1_PSS_PADDING, false}, {"SHA384", RSA_PKCS1_PSS_PADDING, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str signature = sign_as(a, data, cases[i].digest, cases[i].padding);
        assert_int_equal(signature.len, 256);
        assert_int_equal(verifies(jwks, STR("k1"), data, signature), cases[i].good);
    }
}

static void test_jwt_verify_unsigned_is_refused_by_any_set(void **state)
{
    struct arena *a = *state;
    struct jwk_set *set = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    struct str data = STR("a.b");
    struct jwt t = {
        .kid = STR("k1"),
        .signed_part = data,
        .signature = jwt_signer_sign_bytes(signer, a, data),
        .unsigned_none = true,
    };
    assert_false(jwt_verify(&t, set, NULL));
    t.unsigned_none = false;
    assert_true(jwt_verify(&t, set, NULL));
    jwk_set_free(set);
}

#define VERIFIERS 8
#define ROUNDS    300

struct shared_set {
    const struct jwk_set *set;
    struct jwt good, bad;
    atomic_uint wrong;
};

static void *verify_shared(void *arg)
{
    struct shared_set *s = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const struct jwt *token = i % 3 ? &s->good : &s->bad;
        if (jwt_verify(token, s->set, NULL) != (i % 3 > 0))
            atomic_fetch_add(&s->wrong, 1U);
    }
    return NULL;
}

static void test_jwt_verify_one_set_in_many_threads_never_errs(void **state)
{
    struct arena *a = *state;
    pthread_t threads[VERIFIERS];
    struct jwk_set *set = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    struct shared_set s = {.set = set};
    s.good = (struct jwt){
        .kid = STR("k1"),
        .signed_part = STR("a.b"),
        .signature = jwt_signer_sign_bytes(signer, a, STR("a.b")),
    };
    s.bad = s.good;
    s.bad.signed_part = STR("a.c");
    for (unsigned i = 0; i < VERIFIERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_shared, &s), 0);
    for (unsigned i = 0; i < VERIFIERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);
    jwk_set_free(set);
}

/* data and raw signature of a compact JWS */
static void cut_compact(struct arena *a, struct str jws, struct str *data, struct str *signature)
{
    size_t dot = jws.len;
    while (dot > 0 && jws.ptr[dot - 1] != '.')
        dot--;
    assert_true(dot > 0);
    *data = str_take(jws, dot - 1);
    assert_true(base64url_decode(a, str_skip(jws, dot), signature));
}

static void test_jwt_verify_rfc7515_a2_passes_and_altered_fails(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "rfc/rfc-small-vectors.json");
    const cJSON *a2 = json_get(vectors, "rfc7515_a2_rs256");
    struct str jwk = print_json(a, json_get(a2, "jwk"));
    struct str jwks = set_of(a, object_with(a, arena_text(a, jwk), "kid", "\"a2\""));
    struct str data;
    struct str signature;
    cut_compact(a, vector_text(a2, "jws"), &data, &signature);
    assert_true(verifies(jwks, STR("a2"), data, signature));
    assert_false(verifies(jwks, STR("a2"), str_take(data, data.len - 1), signature));
    /* The published token itself names no key: refused before any look at its signature. */
    struct jwt t;
    assert_false(jwt_decode(a, vector_text(a2, "jws"), false, &t, NULL));
}

static void test_jwt_decode_rfc7515_other_algorithms_are_refused(void **state)
{
    struct arena *a = *state;
    static const char *const names[] = {"rfc7515_a1_hs256", "rfc7515_a3_es256",
                                        "rfc7515_a5_none_MUST_BE_REJECTED"};
    const cJSON *vectors = load_vectors(a, "rfc/rfc-small-vectors.json");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str jws = vector_text(json_get(vectors, names[i]), "jws");
        struct jwt t;
        struct error e = {0};
        assert_false(jwt_decode(a, jws, false, &t, &e));
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    }
}

static void test_jwk_set_parse_rfc7638_key_is_taken(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "rfc/rfc-small-vectors.json");
    const cJSON *jwk = json_get(json_get(vectors, "rfc7638_section_3_1"), "jwk");
    assert_int_equal(keys_in(set_of(a, print_json(a, jwk))), 1);
}

static void test_jwk_set_parse_rfc7520_keys_only_rsa_is_taken(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *file;
        size_t kept;
    } cases[] = {
        {"jose/rfc7520/jwk/3_1.ec_public_key.json", 0},
        {"jose/rfc7520/jwk/3_3.rsa_public_key.json", 1},
        {"jose/rfc7520/jwk/3_5.symmetric_key_mac_computation.json", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str jwk = print_json(a, load_vectors(a, cases[i].file));
        assert_int_equal(keys_in(set_of(a, jwk)), cases[i].kept);
    }
}

static void test_jwt_verify_rfc7520_rs256_passes(void **state)
{
    struct arena *a = *state;
    const cJSON *jwk = load_vectors(a, "jose/rfc7520/jwk/3_3.rsa_public_key.json");
    const cJSON *jws = load_vectors(a, "jose/rfc7520/jws/4_1.rsa_v15_signature.json");
    struct str kid = vector_text(jwk, "kid");
    struct str jwks = set_of(a, print_json(a, jwk));
    struct str data;
    struct str signature;
    cut_compact(a, vector_text(json_get(jws, "output"), "compact"), &data, &signature);
    assert_true(verifies(jwks, kid, data, signature));

    const cJSON *many = load_vectors(a, "jose/rfc7520/jws/4_8.multiple_signatures.json");
    const cJSON *first = cJSON_GetArrayItem(json_get(many, "signing"), 0);
    assert_true(base64url_decode(a, vector_text(first, "sig"), &signature));
    data = vector_text(first, "sig-input");
    assert_true(verifies(jwks, kid, data, signature));
    /* The same set of three keys gives one name to two of them. */
    struct str keys = print_json(a, json_get(json_get(many, "input"), "key"));
    assert_int_equal(keys_in(arena_printf(a, "{\"keys\":%.*s}", STR_ARG(keys))), 0);
}

static void test_jwt_decode_rfc7520_every_other_jws_is_refused(void **state)
{
    struct arena *a = *state;
    static const char *const files[] = {
        "jose/rfc7520/jws/4_1.rsa_v15_signature.json", /* its payload is prose, not claims */
        "jose/rfc7520/jws/4_3.ecdsa_signature.json",
        "jose/rfc7520/jws/4_4.hmac-sha2_integrity_protection.json",
        "jose/rfc7520/jws/4_5.signature_with_detached_content.json",
        "jose/rfc7520/curve25519/jws.json",
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        const cJSON *output = json_get(load_vectors(a, files[i]), "output");
        struct jwt t;
        assert_false(jwt_decode(a, vector_text(output, "compact"), false, &t, NULL));
    }
}

static size_t run_wycheproof_group(struct arena *a, const cJSON *group)
{
    size_t valid = 0;
    const cJSON *jwk = json_get(group, "keyJwk");
    struct jwk_set *set = jwk_set_parse(set_of(a, print_json(a, jwk)), NULL);
    assert_non_null(set);
    const cJSON *test = NULL;
    cJSON_ArrayForEach(test, json_get(group, "tests"))
    {
        struct jwt t = {
            .kid = vector_text(jwk, "kid"),
            .signed_part = vector_bytes(a, test, "msg"),
            .signature = vector_bytes(a, test, "sig"),
        };
        /* "acceptable" is a signature that lacks the NULL of the DigestInfo: not for us. */
        bool want = str_eq_text(vector_text(test, "result"), "valid");
        if (jwt_verify(&t, set, NULL) != want)
            fail_msg("tcId %d", json_get(test, "tcId")->valueint);
        valid += want ? 1 : 0;
    }
    jwk_set_free(set);
    return valid;
}

static void test_jwt_verify_wycheproof_rsa_2048_sha256(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "wycheproof/rsa_signature_2048_sha256_test.json");
    size_t valid = 0;
    const cJSON *group = NULL;
    cJSON_ArrayForEach(group, json_get(vectors, "testGroups"))
    {
        valid += run_wycheproof_group(a, group);
    }
    assert_int_equal(valid, 9);
}

/* Signatures of another scheme, good and bad. The one that passes is a PKCS #1 signature with
 * SHA-256, which the file holds to trip PSS verifiers. */
static void test_jwt_verify_wycheproof_pss_only_its_pkcs1_trap_passes(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "wycheproof/rsa_pss_2048_sha384_mgf1_48_test.json");
    size_t tried = 0;
    size_t traps = 0;
    const cJSON *group = NULL;
    cJSON_ArrayForEach(group, json_get(vectors, "testGroups"))
    {
        struct str n = vector_bytes(a, json_get(group, "publicKey"), "modulus");
        n = n.ptr[0] == '\0' ? str_skip(n, 1) : n;
        struct str jwk =
            arena_printf(a, "{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"%.*s\"}",
                         STR_ARG(base64url_encode(a, n)));
        struct jwk_set *set = jwk_set_parse(set_of(a, jwk), NULL);
        assert_non_null(set);
        const cJSON *test = NULL;
        cJSON_ArrayForEach(test, json_get(group, "tests"))
        {
            struct jwt t = {
                .kid = STR("k"),
                .signed_part = vector_bytes(a, test, "msg"),
                .signature = vector_bytes(a, test, "sig"),
            };
            bool trap =
                str_eq_text(vector_text(test, "comment"), "PKCS #1 v1.5 signature with SHA-256");
            assert_int_equal(jwt_verify(&t, set, NULL), trap);
            traps += trap ? 1 : 0;
            tried++;
        }
        jwk_set_free(set);
    }
    assert_true(tried > 100);
    assert_int_equal(traps, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_jwk_set_parse_member_matrix),
        ARENA_TEST(test_jwk_set_parse_key_sizes_have_bounds),
        ARENA_TEST(test_jwk_set_parse_real_1024_bit_key_is_refused),
        ARENA_TEST(test_jwk_set_parse_documents_that_are_none_are_refused),
        ARENA_TEST(test_jwk_set_parse_kid_twice_refuses_the_document),
        ARENA_TEST(test_jwk_set_parse_limits_hold),
        ARENA_TEST(test_jwk_set_has_knows_exact_kids),
        ARENA_TEST(test_jwt_verify_other_scheme_of_same_key_is_refused),
        ARENA_TEST(test_jwt_verify_unsigned_is_refused_by_any_set),
        ARENA_TEST(test_jwt_verify_one_set_in_many_threads_never_errs),
        ARENA_TEST(test_jwt_verify_rfc7515_a2_passes_and_altered_fails),
        ARENA_TEST(test_jwt_decode_rfc7515_other_algorithms_are_refused),
        ARENA_TEST(test_jwk_set_parse_rfc7638_key_is_taken),
        ARENA_TEST(test_jwk_set_parse_rfc7520_keys_only_rsa_is_taken),
        ARENA_TEST(test_jwt_verify_rfc7520_rs256_passes),
        ARENA_TEST(test_jwt_decode_rfc7520_every_other_jws_is_refused),
        ARENA_TEST(test_jwt_verify_wycheproof_rsa_2048_sha256),
        ARENA_TEST(test_jwt_verify_wycheproof_pss_only_its_pkcs1_trap_passes),
    };
    return cmocka_run_group_tests(tests, make_signer, free_signer);
}
