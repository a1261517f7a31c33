#include "auth/jwt.h"
#include "base/encode.h"
#include "base/limits.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define JWT_HEADER_MAX_BYTES 1024
#define KEY_NUMBER_MAX_BYTES (RSA_BITS_MAX / 8)

struct jwt_signer {
    EVP_PKEY *key;
    char *kid;
    size_t kid_len;
};

static struct jwt_signer *make_signer(EVP_PKEY *key, struct str kid)
{
    struct jwt_signer *s = calloc(1, sizeof(*s));
    must(s);
    s->key = key;
    s->kid = malloc(kid.len + 1);
    must(s->kid);
    if (kid.len > 0)
        memcpy(s->kid, kid.ptr, kid.len);
    s->kid_len = kid.len;
    return s;
}

struct jwt_signer *jwt_signer_from_pem(struct str pem, struct str kid, struct error *e)
{
    EVP_PKEY *key = NULL;
    if (pem.len > 0 && pem.len <= JWKS_MAX_BYTES) {
        BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
        must(bio);
        char passphrase[] = ""; /* without one OpenSSL would ask on the terminal */
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, passphrase);
        BIO_free(bio);
        ERR_clear_error();
    }
    if (!key) {
        error_set(e, ERR_INTERNAL, "signing key: not a PEM private key");
        return NULL;
    }
    int bits = EVP_PKEY_get_bits(key);
    if (!EVP_PKEY_is_a(key, "RSA") || bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
        EVP_PKEY_free(key);
        error_set(e, ERR_INTERNAL, "signing key: not RSA of %d..%d bits", RSA_BITS_MIN,
                  RSA_BITS_MAX);
        return NULL;
    }
    return make_signer(key, kid);
}

struct jwt_signer *jwt_signer_generate(struct str kid)
{
    EVP_PKEY *key = EVP_RSA_gen(RSA_BITS_MIN);
    must(key);
    return make_signer(key, kid);
}

void jwt_signer_free(struct jwt_signer *s)
{
    if (!s)
        return;
    EVP_PKEY_free(s->key);
    free(s->kid);
    free(s);
}

struct str jwt_signer_sign_bytes(const struct jwt_signer *s, struct arena *a, struct str data)
{
    size_t len = (size_t)EVP_PKEY_get_size(s->key);
    unsigned char *out = arena_alloc(a, len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding = NULL; /* belongs to ctx */
    must(ctx);
    must(EVP_DigestSignInit_ex(ctx, &padding, "SHA256", NULL, NULL, s->key, NULL) == 1);
    must(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PADDING) == 1);
    must(EVP_DigestSign(ctx, out, &len, (const unsigned char *)data.ptr, data.len) == 1);
    EVP_MD_CTX_free(ctx);
    return str_n(out, len);
}

static struct str copy_buf(struct arena *a, struct buf *b)
{
    must(!b->overflow);
    struct str copy = arena_dup(a, buf_str(b));
    buf_done(b);
    return copy;
}

static struct str make_header(const struct jwt_signer *s, struct arena *a)
{
    struct buf b;
    buf_init(&b, JWT_HEADER_MAX_BYTES);
    buf_add(&b, STR("{\"alg\":\"RS256\","));
    if (s->kid_len > 0) {
        buf_add(&b, STR("\"kid\":"));
        buf_add_json_string(&b, str_n(s->kid, s->kid_len));
        buf_add_char(&b, ',');
    }
    buf_add(&b, STR("\"typ\":\"JWT\"}"));
    return copy_buf(a, &b);
}

struct str jwt_sign(const struct jwt_signer *s, struct arena *a, const cJSON *claims)
{
    struct buf b;
    buf_init(&b, JWKS_MAX_BYTES);
    must(json_write(&b, claims));
    struct str payload = base64url_encode(a, buf_str(&b));
    buf_clear(&b);
    buf_add(&b, base64url_encode(a, make_header(s, a)));
    buf_add_char(&b, '.');
    buf_add(&b, payload);
    struct str signature = jwt_signer_sign_bytes(s, a, buf_str(&b));
    buf_add_char(&b, '.');
    buf_add(&b, base64url_encode(a, signature));
    return copy_buf(a, &b);
}

static struct str key_number(const struct jwt_signer *s, struct arena *a, const char *param)
{
    unsigned char bytes[KEY_NUMBER_MAX_BYTES];
    BIGNUM *number = NULL;
    must(EVP_PKEY_get_bn_param(s->key, param, &number) == 1);
    must(BN_num_bytes(number) <= KEY_NUMBER_MAX_BYTES);
    int len = BN_bn2bin(number, bytes);
    BN_free(number);
    return base64url_encode(a, str_n(bytes, (size_t)len));
}

struct str jwt_signer_jwks(const struct jwt_signer *s, struct arena *a)
{
    struct buf b;
    buf_init(&b, JWKS_MAX_BYTES);
    buf_add(&b, STR("{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":"));
    buf_add_json_string(&b, str_n(s->kid, s->kid_len));
    buf_add(&b, STR(",\"n\":"));
    buf_add_json_string(&b, key_number(s, a, OSSL_PKEY_PARAM_RSA_N));
    buf_add(&b, STR(",\"e\":"));
    buf_add_json_string(&b, key_number(s, a, OSSL_PKEY_PARAM_RSA_E));
    buf_add(&b, STR("}]}"));
    return copy_buf(a, &b);
}

struct str jwt_signer_pem(const struct jwt_signer *s, struct arena *a)
{
    /* secmem: OpenSSL wipes its copy when the BIO goes. */
    BIO *bio = BIO_new(BIO_s_secmem());
    must(bio);
    must(PEM_write_bio_PKCS8PrivateKey(bio, s->key, NULL, NULL, 0, NULL, NULL) == 1);
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);
    must(len > 0 && text);
    struct str pem = arena_dup(a, str_n(text, (size_t)len));
    BIO_free(bio);
    return pem;
}
