/*
 * live_account.h - what is true of an account now, whatever its token says
 *
 * An ID token lives up to an hour longer than the account, session and role it names (V-G6). Those
 * few routes that open the register or change others ask at every call, not from a cache.
 *
 * Any thread. The only errors are those of the stores asked.
 */
#ifndef LIBCOMMON_CLOUD_LIVE_ACCOUNT_H
#define LIBCOMMON_CLOUD_LIVE_ACCOUNT_H

#include "cloud/firestore.h"
#include "cloud/identity_toolkit.h"

/* Is it there, not disabled, and not signed out since auth_time_s? *ret_email (may be NULL) is in
 * the arena, empty when there is none. */
bool live_account_is_open(struct identity_toolkit *it, struct str uid, int64_t auth_time_s,
                          struct arena *a, int64_t deadline_ms, bool *ret, struct str *ret_email,
                          struct error *e) MUST_CHECK;

/* Does users/{uid}.roles have admin or superuser? A uid that can be no document id has no roles. */
bool live_account_is_operator(struct firestore *fs, struct str uid, struct arena *a,
                              int64_t deadline_ms, bool *ret, struct error *e) MUST_CHECK;

#endif
