/*
 * access_token.h - the bearer token Google's APIs want
 *
 * From the metadata server (Cloud Run), from a service-account key file
 * (GOOGLE_APPLICATION_CREDENTIALS), or the fixed word "owner" that the emulators and the local
 * stand-in take. Cached until five minutes before its end, refreshed by one caller at a time while
 * the others go on with the old one. Thread-safe; blocks on HTTP within the deadline. Source:
 * contract members.md §13.1; cloud.google.com/compute/docs/metadata; RFC 7523.
 */
#ifndef LIBCOMMON_CLOUD_ACCESS_TOKEN_H
#define LIBCOMMON_CLOUD_ACCESS_TOKEN_H

#include "auth/jwt.h"
#include "net/http_client.h"

struct access_token_source;

struct access_token_config {
    bool emulator;        /* the token is "owner", nothing is asked */
    const char *key_file; /* path of a service-account key, or "" */
    const char
        *metadata_host; /* "metadata.google.internal" unless GCE_METADATA_HOST says otherwise */
    const char *scope;  /* "https://www.googleapis.com/auth/cloud-platform" */
    struct http_client *client; /* borrowed; must allow http for the metadata server */
};

/* NULL when the key file cannot be read or is no key; e says why without its content. */
struct access_token_source *access_token_source_new(const struct access_token_config *config,
                                                    struct error *e);
void access_token_source_free(struct access_token_source *s);

/* The token in the arena. ERR_UNAVAILABLE when none can be had. */
bool access_token_get(struct access_token_source *s, struct arena *a, int64_t deadline_ms,
                      struct str *ret_token, struct error *e) MUST_CHECK;

/* E-mail of the service account: from the key file, or asked of the metadata server and kept. */
bool access_token_account_email(struct access_token_source *s, struct arena *a, int64_t deadline_ms,
                                struct str *ret_email, struct error *e) MUST_CHECK;

/* The key file's signer; NULL when there is none (then signBlob must sign). Borrowed. */
const struct jwt_signer *access_token_signer(const struct access_token_source *s);

#endif
