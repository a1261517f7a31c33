#include "auth/jwt.h"
#include "base/encode.h"
#include "base/limits.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

/* e is read as a number of at most this size, so that a hostile set cannot make checks slow. */
#define EXPONENT_MAX_BYTES 4

struct jwk {
    char *kid;
    size_t kid_len;
    EVP_MD_CTX *ready; /* set up to verify with this key; copied for each use, never used itself */
    size_t signature_bytes;
};

struct jwk_set {
    struct jwk keys[JWKS_KEYS_MAX];
    size_t count;
};

void jwk_set_free(struct jwk_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->keys[i].kid);
        EVP_MD_CTX_free(set->keys[i].ready);
    }
    free(set);
}

static struct str kid_of(const struct jwk *key)
{
    return str_n(key->kid, key->kid_len);
}

static const struct jwk *find_key(const struct jwk_set *set, struct str kid)
{
    for (size_t i = 0; i < set->count; i++)
        if (str_eq(kid_of(&set->keys[i]), kid))
            return &set->keys[i];
    return NULL;
}

size_t jwk_set_size(const struct jwk_set *set)
{
    return set->count;
}

bool jwk_set_has(const struct jwk_set *set, struct str kid)
{
    return find_key(set, kid) != NULL;
}

static EVP_PKEY *key_from_numbers(const BIGNUM *n, const BIGNUM *e)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (build && ctx && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

/* Base64urlUInt of RFC 7518 §2: no leading zero byte. */
static BIGNUM *read_number(struct arena *a, const cJSON *jwk, const char *name, size_t max_bytes)
{
    struct str text;
    struct str bytes;
    if (!json_str(jwk, name, &text) || !base64url_decode(a, text, &bytes))
        return NULL;
    if (bytes.len == 0 || bytes.len > max_bytes || bytes.ptr[0] == '\0')
        return NULL;
    BIGNUM *number = BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, NULL);
    must(number);
    return number;
}

static EVP_PKEY *read_rsa_key(struct arena *a, const cJSON *jwk)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = read_number(a, jwk, "n", RSA_BITS_MAX / 8);
    BIGNUM *e = read_number(a, jwk, "e", EXPONENT_MAX_BYTES);
    if (n && e && BN_num_bits(n) >= RSA_BITS_MIN && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e))
        key = key_from_numbers(n, e);
    BN_free(n);
    BN_free(e);
    return key;
}

/* A member that is absent is fine; one of another type or value is not. */
static bool is_absent_or(const cJSON *jwk, const char *name, const char *value)
{
    const cJSON *item = json_get(jwk, name);
    return !item || (cJSON_IsString(item) && str_eq_text(json_str_value(item), value));
}

static bool may_verify(const cJSON *jwk)
{
    const cJSON *ops = json_get(jwk, "key_ops");
    if (!ops)
        return true;
    const cJSON *op = NULL;
    cJSON_ArrayForEach(op, ops)
    {
        if (str_eq_text(json_str_value(op), "verify"))
            return true;
    }
    return false;
}

static bool is_for_rs256(const cJSON *jwk)
{
    struct str kty;
    return json_str(jwk, "kty", &kty) && str_eq_text(kty, "RSA") &&
           is_absent_or(jwk, "use", "sig") && is_absent_or(jwk, "alg", "RS256") && may_verify(jwk);
}

/* Two keys of one name would leave it to chance which one counts, whatever their kind. */
static bool has_twice(const cJSON *keys, const cJSON *jwk, struct str kid)
{
    for (const cJSON *other = keys->child; other && other != jwk; other = other->next) {
        struct str other_kid;
        if (json_str(other, "kid", &other_kid) && str_eq(other_kid, kid))
            return true;
    }
    return false;
}

/* Looking up the algorithms costs half as much as a verification, so it is done once per key. */
static EVP_MD_CTX *prepare(EVP_PKEY *key)
{
    EVP_PKEY_CTX *padding = NULL; /* belongs to ctx */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx);
    must(EVP_DigestVerifyInit_ex(ctx, &padding, "SHA256", NULL, NULL, key, NULL) == 1);
    must(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PADDING) == 1);
    return ctx;
}

static bool add_key(struct arena *a, struct jwk_set *set, const cJSON *keys, const cJSON *jwk,
                    struct error *e)
{
    struct str kid;
    if (!json_str(jwk, "kid", &kid) || kid.len == 0)
        return true;
    if (has_twice(keys, jwk, kid))
        return error_set(e, ERR_BAD_GATEWAY, "key set: a kid comes twice");
    EVP_PKEY *key = is_for_rs256(jwk) ? read_rsa_key(a, jwk) : NULL;
    if (!key)
        return true;
    struct jwk *slot = &set->keys[set->count++];
    slot->ready = prepare(key);
    slot->signature_bytes = (size_t)EVP_PKEY_get_size(key);
    EVP_PKEY_free(key); /* the context holds its own reference */
    slot->kid = malloc(kid.len);
    must(slot->kid);
    memcpy(slot->kid, kid.ptr, kid.len);
    slot->kid_len = kid.len;
    return true;
}

static bool fill_set(struct arena *a, struct str document, struct jwk_set *set, struct error *e)
{
    const cJSON *root = json_parse(a, document, NULL);
    const cJSON *keys = json_get(root, "keys");
    if (!cJSON_IsArray(keys))
        return error_set(e, ERR_BAD_GATEWAY, "key set: not a JWKS document");
    if (cJSON_GetArraySize(keys) > JWKS_KEYS_MAX)
        return error_set(e, ERR_BAD_GATEWAY, "key set: more than %d keys", JWKS_KEYS_MAX);
    const cJSON *jwk = NULL;
    cJSON_ArrayForEach(jwk, keys)
    {
        if (!add_key(a, set, keys, jwk, e))
            return false;
    }
    return set->count > 0 || error_set(e, ERR_BAD_GATEWAY, "key set: no usable key");
}

struct jwk_set *jwk_set_parse(struct str document, struct error *e)
{
    if (document.len > JWKS_MAX_BYTES) {
        error_set(e, ERR_BAD_GATEWAY, "key set: longer than %d bytes", JWKS_MAX_BYTES);
        return NULL;
    }
    struct jwk_set *set = calloc(1, sizeof(*set));
    must(set);
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    bool ok = fill_set(a, document, set, e);
    arena_free(a);
    if (ok)
        return set;
    jwk_set_free(set);
    return NULL;
}

static bool signature_is_good(const struct jwk *key, const struct jwt *token)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx && EVP_MD_CTX_copy_ex(ctx, key->ready) == 1);
    bool good = EVP_DigestVerify(
                    ctx, (const unsigned char *)token->signature.ptr, token->signature.len,
                    (const unsigned char *)token->signed_part.ptr, token->signed_part.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

bool jwt_verify(const struct jwt *token, const struct jwk_set *keys, struct error *e)
{
    if (token->unsigned_none)
        return error_set(e, ERR_UNAUTHENTICATED, "token: not signed");
    const struct jwk *key = find_key(keys, token->kid);
    if (!key)
        return error_set(e, ERR_UNAUTHENTICATED, "token: kid is unknown");
    if (token->signature.len != key->signature_bytes)
        return error_set(e, ERR_UNAUTHENTICATED, "token: signature has the wrong length");
    if (!signature_is_good(key, token))
        return error_set(e, ERR_UNAUTHENTICATED, "token: signature is wrong");
    return true;
}
