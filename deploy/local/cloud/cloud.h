/*
 * cloud.h - the local stand-in for Google, for stacks on one machine and for tests
 *
 * An issuer of tokens that look and verify like Firebase's: whoever can reach it can be anybody.
 * Therefore it listens on loopback only and refuses to start otherwise, and no service trusts its
 * keys unless FIREBASE_JWKS_URL names it. Handlers run on worker threads; the keys never change.
 */
#ifndef LOCAL_CLOUD_H
#define LOCAL_CLOUD_H

#include "auth/jwt.h"
#include "service/service.h"

#define TOKENS_AT_ONCE_MAX 5000
#define TOKEN_TTL_S        3600

struct cloud_settings {
    const char *project_id;
    const char *project_number;
    const char *key_dir; /* empty: keys live as long as the process */
};

/* Two keys, as at Google: a service that mixed the two up would be found out. */
struct cloud {
    struct jwt_signer *id_token_key;
    struct jwt_signer *app_check_key;
};

/*
 * The private key in key_dir/name, made and stored there (mode 0600) when there is none; in memory
 * only when key_dir is empty. Its kid is a hash of the key, so other keys have another kid.
 * ERR_INTERNAL when the file cannot be used.
 */
struct jwt_signer *key_load(struct arena *a, const char *key_dir, const char *name,
                            struct error *e);

/* tokens.c */
void get_id_token_keys(const struct request *req, struct response *res);
void get_app_check_keys(const struct request *req, struct response *res);
void issue_id_token(const struct request *req, struct response *res);
void issue_id_tokens(const struct request *req, struct response *res);
void issue_app_check_token(const struct request *req, struct response *res);

#endif
