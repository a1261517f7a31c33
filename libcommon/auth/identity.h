/*
 * identity.h - who is calling, as proven by a credential
 *
 * Filled by the verifiers of this layer, read by handlers. Strings live in the request's arena.
 */
#ifndef LIBCOMMON_AUTH_IDENTITY_H
#define LIBCOMMON_AUTH_IDENTITY_H

#include "base/kennitala.h"
#include "base/limits.h"
#include "base/str.h"

enum identity_kind {
    IDENTITY_NONE = 0,
    IDENTITY_USER,         /* Firebase ID token */
    IDENTITY_SERVICE,      /* signed S2S call */
    IDENTITY_VOTING_TOKEN, /* 64 hex digits; nothing is known of a person */
};

enum claim_state { CLAIM_ABSENT, CLAIM_FALSE, CLAIM_TRUE };

struct identity {
    enum identity_kind kind;
    /* user */
    struct str uid;
    bool has_kennitala;
    char kennitala[KENNITALA_SIZE]; /* ten digits; never logged */
    struct str kennitala_claim;     /* as received */
    enum claim_state is_member;     /* any type but a JSON boolean counts as absent */
    struct str roles[ROLES_MAX];    /* only from a JSON array of strings (V-A11) */
    size_t role_count;
    struct str legacy_role; /* claim `role` */
    struct str email;
    int64_t issued_at_s, auth_time_s, expires_at_s;
    /* service */
    struct str key_id;
    struct str org_id; /* the tenant the key belongs to */
    /* voting token */
    struct str voting_token;
};

/* The most stable name of the caller: uid, key id or voting token; empty for nobody. Borrowed. */
struct str identity_key(const struct identity *id);

bool identity_has_role(const struct identity *id, const char *role);

#endif
