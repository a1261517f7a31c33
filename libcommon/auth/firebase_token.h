/*
 * firebase_token.h - Firebase ID tokens and App Check tokens
 *
 * ID token: RS256, aud = project id, iss = https://securetoken.google.com/<project>, exp, iat,
 * auth_time, sub (= uid). App Check: RS256, aud array holds "projects/<project id>" or
 * "projects/<number>", iss begins https://firebaseappcheck.googleapis.com/, sub = app id. alg none
 * passes only when allow_unsigned (FIREBASE_AUTH_EMULATOR_HOST is set, DESIGN §5), and for ID
 * tokens only: App Check has no emulator. Thread-safe. Source:
 * firebase.google.com/docs/auth/admin/verify-id-tokens; …/docs/app-check/custom-resource-backend.
 */
#ifndef LIBCOMMON_AUTH_FIREBASE_TOKEN_H
#define LIBCOMMON_AUTH_FIREBASE_TOKEN_H

#include "auth/identity.h"
#include "auth/jwks_cache.h"

struct firebase_verifier {
    const char *project_id;
    const char *project_number; /* may be "": then App Check's iss is checked by prefix only */
    struct jwks_cache *id_token_keys;  /* NULL: signed tokens give ERR_UNAVAILABLE */
    struct jwks_cache *app_check_keys; /* NULL when App Check is off */
    int64_t leeway_s;                  /* 0..60, must() */
    bool allow_unsigned;
};

/* Fills ret (kind IDENTITY_USER). ERR_UNAUTHENTICATED, or ERR_UNAVAILABLE when no keys can be had.
 */
bool firebase_verify_id_token(const struct firebase_verifier *v, struct str token, int64_t now_s,
                              struct arena *a, int64_t deadline_ms, struct identity *ret,
                              struct error *e) MUST_CHECK;

/* ret_app_id lives in the arena. */
bool firebase_verify_app_check(const struct firebase_verifier *v, struct str token, int64_t now_s,
                               struct arena *a, int64_t deadline_ms, struct str *ret_app_id,
                               struct error *e) MUST_CHECK;

#endif
