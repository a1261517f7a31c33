/*
 * identity_toolkit.h - accounts of Firebase Authentication, over REST v1
 *
 * FIREBASE_AUTH_EMULATOR_HOST chooses the emulator or the local stand-in. Blocking, for worker
 * threads; thread-safe. Custom claims are one JSON text per account that each write replaces whole;
 * identity_update_claims() therefore reads, merges, writes and reads back. Google offers no
 * precondition: of two who write at once, the one who was overwritten before its reading back sees
 * it and tries again; the one whose change went between the other's reading and writing may not.
 * Source: contract members.md §13.3; cloud.google.com/identity-platform/docs/reference/rest.
 */
#ifndef LIBCOMMON_CLOUD_IDENTITY_TOOLKIT_H
#define LIBCOMMON_CLOUD_IDENTITY_TOOLKIT_H

#include "cloud/access_token.h"

#define IDENTITY_CLAIMS_MAX_BYTES 1000

struct identity_toolkit;

struct identity_toolkit_config {
    const char *project_id;
    const char *emulator_host; /* host:port, or "" */
    const char *iam_url;       /* NULL: https://iamcredentials.googleapis.com */
    struct access_token_source *tokens;
    struct http_client *client;
};
struct identity_toolkit *identity_toolkit_new(const struct identity_toolkit_config *config);
void identity_toolkit_free(struct identity_toolkit *it);

/* A uid that is empty, longer than UID_MAX_BYTES or no text: ERR_BAD_REQUEST, everywhere. */
struct identity_account {
    bool exists;
    struct str uid;
    struct str email;
    bool disabled;
    int64_t valid_since_s; /* tokens with an earlier auth_time are revoked; 0: none */
    const cJSON *claims;   /* object, {} when none; text that is no object counts as none */
};

/* A missing account is no error. */
bool identity_lookup(struct identity_toolkit *it, struct str uid, struct arena *a,
                     int64_t deadline_ms, struct identity_account *ret, struct error *e) MUST_CHECK;

/* With a uid of our choosing. ERR_CONFLICT when it is taken (DUPLICATE_LOCAL_ID): then the account
 * is there. */
bool identity_create(struct identity_toolkit *it, struct str uid, struct str display_name,
                     struct arena *a, int64_t deadline_ms, struct error *e) MUST_CHECK;

/*
 * Sets the members of `changes` in the account's claims (null removes one) and keeps all others.
 * ERR_BAD_REQUEST when the result would pass IDENTITY_CLAIMS_MAX_BYTES or names a reserved claim;
 * ERR_NOT_FOUND when there is no such account; ERR_ABORTED when others kept overwriting it. Nothing
 * is written when the claims are so already. changes: an object.
 */
bool identity_update_claims(struct identity_toolkit *it, struct str uid, const cJSON *changes,
                            struct arena *a, int64_t deadline_ms, struct error *e) MUST_CHECK;

/* Tokens issued before now count no more. */
bool identity_revoke_tokens(struct identity_toolkit *it, struct str uid, int64_t now_s,
                            struct arena *a, int64_t deadline_ms, struct error *e) MUST_CHECK;

/*
 * A custom token for signInWithCustomToken: RS256, signed with the key file, or by the IAM signBlob
 * call where there is none. With an emulator and no key it is unsigned, as Google's own client
 * makes it. claims may be NULL. Valid for an hour. ERR_BAD_REQUEST for reserved claim names, more
 * than IDENTITY_CLAIMS_MAX_BYTES, and a uid that is none.
 */
bool identity_custom_token(struct identity_toolkit *it, struct str uid, const cJSON *claims,
                           int64_t now_s, struct arena *a, int64_t deadline_ms,
                           struct str *ret_token, struct error *e) MUST_CHECK;

#endif
