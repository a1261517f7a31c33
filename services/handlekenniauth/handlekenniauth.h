/*
 * handlekenniauth.h - what the steps of a login share
 *
 * login.c walks through them in order; each step is one file. A step that fails fills a struct
 * login_failure and returns false; only login.c answers.
 */
#ifndef SERVICES_HANDLEKENNIAUTH_H
#define SERVICES_HANDLEKENNIAUTH_H

#include "provider.h"
#include "service/service.h"

#define AUTH_CODE_MAX_BYTES 500
#define VERIFIER_MIN_BYTES  43 /* RFC 7636 §4.1 */
#define VERIFIER_MAX_BYTES  128
#define STATE_MAX_BYTES     512
#define NONCE_MAX_BYTES     512
#define NAME_MAX_BYTES      200
#define EMAIL_MAX_BYTES     254 /* RFC 5321 §4.5.3.1.3, without the angle brackets */
#define PHONE_MAX_BYTES     20

struct login_settings {
    const char *issuer;
    const char *client_id;
    const char *client_secret;
    const char *redirect_uri;
    bool delegated_allowed;
    const char *uid_key;
    int64_t limit_max;
    int64_t limit_window_min;
    int64_t limit_without_store; /* enum limit_without_store */
    const char *exempt_addresses;
    int64_t metadata_ttl_s;
    int64_t exchange_timeout_ms;
    int64_t report_interval_ms;
};
enum limit_without_store { WITHOUT_STORE_REFUSE, WITHOUT_STORE_LOCAL, WITHOUT_STORE_ALLOW };

/* What start makes and every step sees as req->own. */
struct login_service {
    struct login_settings settings; /* with the secret that may have come from a file */
    struct http_client *kenni;
    struct provider *provider;
    struct login_limit *limit;
    struct jwks_report *report;
    struct metric **outcomes; /* one per enum login_outcome */
};

/* How logins end, for the metric logins_total. */
/* clang-format off */
#define LOGIN_OUTCOMES(X) \
    X(OK, "ok") X(CREATED, "created") X(INPUT, "bad_input") X(CONFIG, "config_missing") X(LIMITED, "limited") \
    X(LIMIT_STORE, "limit_store_down") X(PROVIDER, "provider_down") X(CODE, "code_rejected") X(EXCHANGE, "exchange_failed") \
    X(ID_TOKEN, "id_token_refused") X(DELEGATED, "delegated") X(PERSON, "no_kennitala") X(DISABLED, "account_disabled") \
    X(STORE, "store_failed") X(CLAIMS, "claims_failed") X(SIGNING, "signing_failed")
/* clang-format on */
enum login_outcome {
#define X(name, text) LOGIN_##name,
    LOGIN_OUTCOMES(X)
#undef X
        LOGIN_OUTCOME_COUNT
};

struct login_failure {
    enum login_outcome outcome;
    enum error_code code;
    const char *wire_code; /* `error` of the reply */
    const char *reason;    /* added to the reply, machine-readable; may be NULL */
    const char *message;   /* for the person at the browser */
    const char *detail;    /* for the log; lives as long as the request */
};
/* Fills f and returns false. detail is copied. */
bool login_fail(const struct request *req, struct login_failure *f, enum login_outcome outcome,
                enum error_code code, const char *wire_code, const char *reason,
                const char *detail);

/* --- login_input.c: what the browser sent (contract §3.1, M-F42) --- */
struct login_input {
    struct str code, verifier, redirect_uri;
    struct str state, nonce; /* empty when not sent */
};
bool login_input_read(const struct request *req, struct login_input *ret, struct login_failure *f);

/* --- login_limit.c: how often an address may try, counted in Firestore (M-F05, M-F06, M-F46) ---
 */
struct login_limit;
struct login_limit *login_limit_new(const struct login_settings *settings);
void login_limit_free(struct login_limit *l);
/* False: f says 429, with ret_retry_after_s, or 503. */
bool login_limit_admit(const struct request *req, unsigned *ret_retry_after_s,
                       struct login_failure *f);

/* --- exchange.c: the one-time code against tokens (M-F35, M-F37, M-F43) --- */
struct kenni_tokens {
    struct str id_token, access_token; /* a refresh token is not even read */
};
bool exchange_code(const struct request *req, const struct login_input *input,
                   const struct provider_endpoints *at, struct kenni_tokens *ret,
                   struct login_failure *f);
/* The claims of the userinfo endpoint, for a provider that leaves them out of the ID token. */
bool exchange_userinfo(const struct request *req, const struct provider_endpoints *at,
                       const struct kenni_tokens *tokens, struct str subject,
                       const cJSON **ret_claims, struct error *e);

/* --- id_token.c: is it Kenni's, for us, for this browser, for the person herself? (M-F38) --- */
bool id_token_check(const struct request *req, const struct provider_endpoints *at,
                    const struct kenni_tokens *tokens, const struct login_input *input,
                    const cJSON **ret_claims, struct login_failure *f);
/* The claims' own rules, without signature; for tests too. now_s is the real time. */
struct id_token_rules {
    const char *issuer, *client_id;
    struct str nonce, state, access_token;
    bool delegated_allowed;
    int64_t now_s, leeway_s;
};
bool id_token_check_claims(struct arena *a, const struct jwt *token,
                           const struct id_token_rules *rules, enum login_outcome *ret_outcome,
                           struct error *e);

/* --- person.c: who that is (M-F39, M-F41) --- */
struct person {
    char kennitala[11];
    struct str name, email, phone; /* empty when absent or of no use */
    bool email_verified, phone_verified;
};
bool person_read(struct arena *a, const cJSON *claims, struct person *ret);
/*
 * "+354 555-1234", "00354 5551234", "3545551234" and "5551234" to seven digits; a foreign number to
 * '+' and digits. Empty for anything else: it is not stored (contract §4.2).
 */
struct str phone_normalise(struct arena *a, struct str text);

/* --- account.c: one person, one account (M-F08, M-F39, M-F44) --- */
struct login_account {
    struct str uid;
    bool created;
    bool was_deleted;    /* the membership record has been deleted in the register */
    const cJSON *claims; /* those a login owns, as written to the account */
};
bool account_settle(const struct request *req, const struct person *person,
                    struct login_account *ret, struct login_failure *f);
/* The uid of a person who has no account yet: 28 characters of [0-9a-v], HMAC under LOGIN_UID_KEY.
 */
struct str account_uid(struct arena *a, const char *uid_key, const char *kennitala);

/* --- jwks_report.c: this instance's key-cache figures, where healthz finds them (M-F47) --- */
struct jwks_report;
struct jwks_report *jwks_report_new(struct firestore *fs, struct provider *provider,
                                    int64_t interval_ms);
void jwks_report_touch(struct jwks_report *r);
void jwks_report_free(struct jwks_report *r); /* writes what is still unwritten */

void login(const struct request *req, struct response *res);

#endif
