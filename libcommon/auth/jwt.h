/*
 * jwt.h - JSON Web Tokens signed RS256, checked as strictly as the RFCs allow
 *
 * Compact JWS (RFC 7515), JWK (RFC 7517), claims (RFC 7519), with the advice of RFC 8725: the
 * algorithm is ours, never the token's; jku, x5u, jwk, x5c are ignored, crit is refused, kid is
 * required; exactly three parts, strict base64url, no duplicate member anywhere; at most
 * JWT_MAX_BYTES; RSA keys of RSA_BITS_MIN..RSA_BITS_MAX; the signature is exactly as long as the
 * key. Pure; any thread.
 */
#ifndef LIBCOMMON_AUTH_JWT_H
#define LIBCOMMON_AUTH_JWT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

/* A set of public keys; immutable once made, so it may be shared between threads. */
struct jwk_set;

/*
 * From a JWKS document (RFC 7517 §5). Keys that are not RSA, have use other than "sig", alg other
 * than RS256, no kid, or a size out of range are left out; a document without one good key is
 * ERR_BAD_GATEWAY. A kid that comes twice refuses the document.
 */
struct jwk_set *jwk_set_parse(struct str document, struct error *e);
void jwk_set_free(struct jwk_set *set);
size_t jwk_set_size(const struct jwk_set *set);
bool jwk_set_has(const struct jwk_set *set, struct str kid);

struct jwt {
    const cJSON *header;
    const cJSON *claims; /* a JSON object */
    struct str kid;
    struct str signed_part; /* header.payload as sent */
    struct str signature;   /* raw; empty for alg none */
    bool unsigned_none; /* alg is "none" and the signature empty: only jwt_decode(allow_none) lets
                           it through */
};

/* Splits and decodes; the signature is NOT checked yet. ERR_UNAUTHENTICATED on any deviation. */
bool jwt_decode(struct arena *a, struct str token, bool allow_none, struct jwt *ret,
                struct error *e) MUST_CHECK;

/* RSASSA-PKCS1-v1_5 with SHA-256. ERR_UNAUTHENTICATED when kid is unknown or the signature wrong.
 */
bool jwt_verify(const struct jwt *token, const struct jwk_set *keys, struct error *e) MUST_CHECK;

struct jwt_expect {
    const char *issuer;          /* equal byte for byte; NULL: present, judged by the caller */
    const char *audience;        /* `aud` is it, or an array that contains it */
    const char *audience_other;  /* as good as audience; NULL when there is no second one */
    bool audience_array_allowed; /* App Check: yes; Firebase ID tokens: a single string only */
    int64_t now_s;
    int64_t leeway_s; /* 0..60, must() */
    bool require_auth_time;
};
/*
 * exp (required, in the future), iat (required, not in the future), nbf and auth_time (when
 * present), iss, aud, sub (non-empty string,
 * <= UID_MAX_BYTES). Times are integers. ERR_UNAUTHENTICATED; the detail names the claim.
 */
bool jwt_check_claims(const struct jwt *token, const struct jwt_expect *expect,
                      struct error *e) MUST_CHECK;

/* Signing, for the local issuer, custom tokens and service-account assertions. */
struct jwt_signer;
/* PEM of an RSA private key (PKCS#8 or PKCS#1), 2048..4096 bits. NULL and ERR_INTERNAL. */
struct jwt_signer *jwt_signer_from_pem(struct str pem, struct str kid, struct error *e);
struct jwt_signer *jwt_signer_generate(struct str kid); /* 2048 bits */
void jwt_signer_free(struct jwt_signer *s);
/* Header: alg RS256, kid (if not empty), typ JWT. Whoever signs bounds the claims first: texts of
 * JWT_CLAIMS_MAX_BYTES together always fit, much more aborts. */
#define JWT_CLAIMS_MAX_BYTES 4096
struct str jwt_sign(const struct jwt_signer *s, struct arena *a, const cJSON *claims);
struct str jwt_signer_sign_bytes(const struct jwt_signer *s, struct arena *a,
                                 struct str data); /* RS256 signature of any bytes */
struct str jwt_signer_jwks(const struct jwt_signer *s,
                           struct arena *a); /* the public JWKS document */
struct str jwt_signer_pem(const struct jwt_signer *s,
                          struct arena *a); /* private key, PKCS#8 PEM */

#endif
