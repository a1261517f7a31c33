/*
 * kenni.h - an OpenID provider like Kenni.is, whose people are made up
 *
 * What oidc-provider refuses is refused here: no PKCE or another method than S256, a wrong
 * verifier, secret or redirect address, a code that was used (its access token dies then). Whoever
 * asks may sign in as anybody. Source: OpenID Connect Core 1.0, RFC 6749, RFC 7636, RFC 9207;
 * contract members.md §13.4.
 */
#ifndef LOCAL_CLOUD_KENNI_H
#define LOCAL_CLOUD_KENNI_H

#include "cloud.h"

/* What was agreed when somebody signed in. Texts are copies. */
struct kenni_grant {
    struct str redirect_uri, challenge, nonce, scope;
    struct str person; /* claims, JSON */
};

struct kenni;
struct kenni *kenni_new(void);
void kenni_free(struct kenni *k);

/* A new code for a grant; good once, for a minute. Thread-safe, as all of these. */
struct str kenni_code_new(struct kenni *k, const struct kenni_grant *grant, struct arena *a);
/* What it was given for; false when there is none, or no longer. Asking for a code that is spent
 * also ends its access token. */
bool kenni_code_find(struct kenni *k, struct str code, struct arena *a, struct kenni_grant *ret);
/* Spends it for an access token; false when another was faster. */
bool kenni_code_spend(struct kenni *k, struct str code, struct arena *a, struct str *ret_token);
/* The claims of the person an access token is of; false when it is none. */
bool kenni_access_token_person(struct kenni *k, struct str token, struct arena *a, struct str *ret);

struct str kenni_issuer(const struct request *req);
/* A list of people, each an object of claims. Owned by the arena. */
const cJSON *kenni_people(const struct request *req);
/* The value of a form field or query parameter; empty when absent. */
struct str kenni_field(const struct http_param *fields, size_t count, const char *name);

#endif
