#include "auth/testing.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static struct jwt_signer *signer;

static int make_signer(void **state)
{
    (void)state;
    encode_init();
    signer = jwt_signer_generate(STR("k \"1\""));
    return 0;
}

static int free_signer(void **state)
{
    (void)state;
    jwt_signer_free(signer);
    jwt_signer_free(NULL);
    return 0;
}

static void test_jwt_sign_own_jwks_verifies(void **state)
{
    struct arena *a = *state;
    cJSON *claims = json_object(a);
    json_add_text(claims, "sub", "Þorsteinn");
    json_add_i64(claims, "exp", NOW_S);
    struct str token = jwt_sign(signer, a, claims);
    struct jwk_set *set = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    struct jwt t;
    struct error e = {0};
    struct str sub;
    struct str typ;
    assert_non_null(set);
    assert_true(jwt_decode(a, token, false, &t, &e));
    assert_true(jwt_verify(&t, set, &e));
    assert_true(str_eq_text(t.kid, "k \"1\""));
    assert_true(json_str(t.header, "typ", &typ) && str_eq_text(typ, "JWT"));
    assert_true(json_str(t.claims, "sub", &sub) && str_eq_text(sub, "Þorsteinn"));
    jwk_set_free(set);
}

static void test_jwt_sign_without_kid_leaves_it_out(void **state)
{
    struct arena *a = *state;
    struct error e = {0};
    struct jwt_signer *nameless = jwt_signer_from_pem(jwt_signer_pem(signer, a), STR(""), &e);
    assert_non_null(nameless);
    struct str token = jwt_sign(nameless, a, json_object(a));
    struct str header;
    assert_true(base64url_decode(a, str_take(token, str_find_char(token, '.')), &header));
    assert_true(str_eq_text(header, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"));
    jwt_signer_free(nameless);
}

static void test_jwt_signer_from_pem_round_trip_is_same_key(void **state)
{
    struct arena *a = *state;
    struct error e = {0};
    struct str pem = jwt_signer_pem(signer, a);
    assert_true(str_starts_with(pem, STR("-----BEGIN PRIVATE KEY-----\n")));
    struct jwt_signer *again = jwt_signer_from_pem(pem, STR("k \"1\""), &e);
    assert_non_null(again);
    assert_true(str_eq(jwt_signer_jwks(again, a), jwt_signer_jwks(signer, a)));
    assert_true(str_eq(jwt_signer_sign_bytes(again, a, STR("x")),
                       jwt_signer_sign_bytes(signer, a, STR("x"))));
    jwt_signer_free(again);
}

static struct str pem_of(struct arena *a, EVP_PKEY *key, bool pkcs1, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int ok = pkcs1 ? PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL)
                   : PEM_write_bio_PKCS8PrivateKey(
                         bio, key, passphrase ? EVP_aes_256_cbc() : NULL, passphrase,
                         passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    assert_int_equal(ok, 1);
    long len = BIO_get_mem_data(bio, &text);
    struct str pem = arena_dup(a, str_n(text, (size_t)len));
    BIO_free(bio);
    EVP_PKEY_free(key);
    return pem;
}

static void test_jwt_signer_from_pem_pkcs1_is_taken(void **state)
{
    struct arena *a = *state;
    struct error e = {0};
    struct str pem = pem_of(a, EVP_RSA_gen(2048), true, NULL);
    assert_true(str_starts_with(pem, STR("-----BEGIN RSA PRIVATE KEY-----\n")));
    struct jwt_signer *s = jwt_signer_from_pem(pem, STR("k"), &e);
    assert_non_null(s);
    jwt_signer_free(s);
}

static void expect_refused(struct str pem)
{
    struct error e = {0};
    assert_null(jwt_signer_from_pem(pem, STR("k"), &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_null(strstr(e.detail, "BEGIN"));
}

static void test_jwt_signer_from_pem_unfit_keys_are_refused(void **state)
{
    struct arena *a = *state;
    struct str good = jwt_signer_pem(signer, a);
    expect_refused(STR(""));
    expect_refused(STR("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    expect_refused(str_take(good, good.len / 2));
    expect_refused(pem_of(a, EVP_RSA_gen(1024), false, NULL));
    expect_refused(pem_of(a, EVP_EC_gen("P-256"), false, NULL));
    expect_refused(pem_of(a, EVP_RSA_gen(2048), false, "secret"));
}

/* RSASSA-PKCS1-v1_5 is deterministic, so the RFC's own signature must come out. */
static void test_jwt_signer_sign_bytes_rfc7520_is_reproduced(void **state)
{
    struct arena *a = *state;
    const cJSON *jws = load_vectors(a, "jose/rfc7520/jws/4_1.rsa_v15_signature.json");
    const cJSON *jwk = json_get(json_get(jws, "input"), "key");
    static const char *const members[] = {"n", "e", "d", "p", "q", "dp", "dq", "qi"};
    static const char *const params[] = {"n",
                                         "e",
                                         "d",
                                         "rsa-factor1",
                                         "rsa-factor2",
                                         "rsa-exponent1",
                                         "rsa-exponent2",
                                         "rsa-coefficient1"};
    OSSL_PARAM list[ARRAY_LEN(params) + 1];
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        struct str big;
        assert_true(base64url_decode(a, vector_text(jwk, members[i]), &big));
        unsigned char *native = arena_alloc(a, big.len);
        BIGNUM *number = BN_bin2bn((const unsigned char *)big.ptr, (int)big.len, NULL);
        assert_int_equal(BN_bn2nativepad(number, native, (int)big.len), (int)big.len);
        BN_free(number);
        list[i] = OSSL_PARAM_construct_BN(params[i], native, big.len);
    }
    list[ARRAY_LEN(params)] = OSSL_PARAM_construct_end();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, list), 1);
    EVP_PKEY_CTX_free(ctx);
    struct error e = {0};
    struct jwt_signer *s =
        jwt_signer_from_pem(pem_of(a, key, false, NULL), vector_text(jwk, "kid"), &e);
    assert_non_null(s);
    const cJSON *signing = json_get(jws, "signing");
    struct str signature = jwt_signer_sign_bytes(s, a, vector_text(signing, "sig-input"));
    assert_true(str_eq(base64url_encode(a, signature), vector_text(signing, "sig")));
    jwt_signer_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_jwt_sign_own_jwks_verifies),
        ARENA_TEST(test_jwt_sign_without_kid_leaves_it_out),
        ARENA_TEST(test_jwt_signer_from_pem_round_trip_is_same_key),
        ARENA_TEST(test_jwt_signer_from_pem_pkcs1_is_taken),
        ARENA_TEST(test_jwt_signer_from_pem_unfit_keys_are_refused),
        ARENA_TEST(test_jwt_signer_sign_bytes_rfc7520_is_reproduced),
    };
    return cmocka_run_group_tests(tests, make_signer, free_signer);
}
