/*
 * identity.h - what the files of the Identity Toolkit part share
 *
 * An account is the JSON object that accounts:lookup shows, kept as it is. Whoever reads or writes
 * one is between store_begin() and store_end().
 */
#ifndef LOCAL_CLOUD_IDENTITY_H
#define LOCAL_CLOUD_IDENTITY_H

#include "cloud.h"
#include "google.h"
#include "store.h"

/* {"error":{"code":400,"message":reason,"errors":[…]}}, as Identity Toolkit has it. */
void reply_reason(struct response *res, const char *reason);

/* A signed-in person or an administrator asks; false: res is answered (401, 403). */
bool caller_is_administrator(const struct request *req, struct response *res);
bool caller_has_api_key(const struct request *req, struct response *res);

/* --- one account (account.c) --- */

/* A copy in the arena, or NULL. */
cJSON *account_load(struct store *s, struct arena *a, struct str project, struct str uid);
cJSON *account_by_email(struct store *s, struct arena *a, struct str project, struct str email);
cJSON *account_by_phone(struct store *s, struct arena *a, struct str project, struct str phone);
/* The first column of a row, parsed. */
cJSON *account_of_row(sqlite3_stmt *row, struct arena *a);
/* With its refresh tokens. */
void account_remove(struct store *s, struct str project, struct str uid);
/* The members that creating and updating have in common, from body into account. NULL, or the
 * reason why not. */
const char *account_apply(struct store *s, struct arena *a, struct str project, const cJSON *body,
                          cJSON *account);
void account_remove_phone(cJSON *account);
void account_save(struct store *s, struct str project, const cJSON *account);
void account_set(cJSON *account, const char *name, struct str value);
void account_set_bool(cJSON *account, const char *name, bool value);
bool account_is_disabled(const cJSON *account);
int64_t account_valid_since_s(const cJSON *account); /* 0: since ever */

/* --- the service account (service_account.c) --- */

struct service_account {
    struct jwt_signer *signer; /* jwt_signer_free() */
    struct str email;
    struct str pem;
};
/*
 * From key_dir/service-account.json, as Google hands it out; read anew each time, so that whoever
 * put another one there is who signs. Without key_dir: the process's own. False when unusable.
 */
bool service_account_get(const struct request *req, struct service_account *ret);
/* Whether it signed this text; a JWT of a service account need not name its key. */
bool service_account_signed(const struct service_account *account, struct arena *a,
                            struct str token, const cJSON **ret_claims);

#endif
