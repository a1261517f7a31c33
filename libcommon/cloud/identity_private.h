/*
 * identity_private.h - what the two halves of the Identity Toolkit client share
 *
 * For identity_toolkit.c (accounts), identity_claims.c (claims and custom tokens) and their tests.
 */
#ifndef LIBCOMMON_CLOUD_IDENTITY_PRIVATE_H
#define LIBCOMMON_CLOUD_IDENTITY_PRIVATE_H

#include "cloud/google_api.h"
#include "cloud/identity_toolkit.h"

struct identity_toolkit {
    struct google_api api;
    char *accounts_url; /* …/v1/projects/P/accounts */
    char *iam_url;
    bool emulator;
};

bool identity_uid_check(struct str uid, struct error *e);
bool identity_claim_is_reserved(struct str name);

/* JSON text of `claims` with `changes` made: null removes, all else replaces. ERR_BAD_REQUEST for a
 * reserved name or a text over IDENTITY_CLAIMS_MAX_BYTES. */
bool identity_merge_claims(const cJSON *claims, const cJSON *changes, struct arena *a,
                           struct str *ret_text, struct error *e);

#endif
