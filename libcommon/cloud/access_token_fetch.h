/*
 * access_token_fetch.h - asking for an access token, once
 *
 * From the metadata server, or from the token endpoint with a key file's assertion (RFC 7523).
 * Private to access_token.c, which remembers. Immutable once loaded; any thread.
 */
#ifndef LIBCOMMON_CLOUD_ACCESS_TOKEN_FETCH_H
#define LIBCOMMON_CLOUD_ACCESS_TOKEN_FETCH_H

#include "cloud/access_token.h"

struct token_origin {
    struct http_client *client; /* borrowed */
    char *metadata_host;
    char *scope;
    /* Of a key file; NULL without one. */
    struct jwt_signer *signer;
    char *key_email;
    char *token_uri;
};

struct token_grant {
    struct str token;
    int64_t lifetime_s; /* 1..12 hours */
};

/* ERR_INTERNAL when the file cannot be read or is no service-account key. */
bool token_origin_load_key(struct token_origin *o, const char *path, struct error *e);
void token_origin_done(struct token_origin *o);

/* Details start with nothing and hold no text of the answer. */
bool token_origin_fetch(const struct token_origin *o, struct arena *a, int64_t deadline_ms,
                        struct token_grant *ret, struct error *e) MUST_CHECK;
bool token_origin_fetch_email(const struct token_origin *o, struct arena *a, int64_t deadline_ms,
                              struct str *ret, struct error *e) MUST_CHECK;

#endif
