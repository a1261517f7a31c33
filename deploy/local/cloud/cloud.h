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
    const char *key_dir;       /* empty: keys live as long as the process */
    const char *database_file; /* empty: data lives as long as the process */
    const char *kenni_issuer;  /* empty: ours */
    const char *kenni_client_id, *kenni_client_secret, *kenni_redirect_uris;
    const char *people_file; /* empty: invented ones */
    const char *events_url, *events_collection;
};

struct store;
struct change_events;
struct transactions;
struct kenni;
struct faults;

/* Keys for each purpose, as at Google: a service that mixed two up would be found out. */
struct cloud {
    struct jwt_signer *id_token_key;
    struct jwt_signer *app_check_key;
    struct jwt_signer *kenni_key;
    char *service_account; /* its file's text when KEY_DIR is empty; else NULL */
    struct store *store;
    struct transactions *transactions; /* guarded by the store */
    struct change_events *events;      /* NULL: nobody is told */
    struct kenni *kenni;
    struct faults *faults;
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

typedef void handler(const struct request *req, struct response *res);

/* firestore.c */
handler firestore, reset_documents;
/* accounts.c */
handler create_account, lookup_accounts, update_account, delete_account, list_accounts,
    delete_all_accounts;
/* signin.c */
handler sign_in_with_custom_token, lookup_own_account, refresh_id_token;
/* service_account.c */
handler sign_as_service_account;
/* The file in KEY_DIR, made when there is none, or a key in memory. */
bool service_account_make(struct service_state *state, struct cloud *cloud, struct error *e);
/* metadata.c */
handler metadata_token, metadata_email, metadata_project, oauth_token;
/* kenni.c, kenni_auth.c, kenni_token.c */
handler kenni_discovery, kenni_authorize, kenni_token, kenni_keys, kenni_userinfo;
/* faults.c */
handler add_fault, list_faults, delete_faults;

#endif
