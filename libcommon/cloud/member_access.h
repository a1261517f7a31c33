/*
 * member_access.h - a deactivated member's accounts stop saying "member", at once
 *
 * Claims outlive facts by up to an hour (M-F50), so whoever deactivates a member also clears
 * isMember in users/{uid} and in the claims of that account, and ends its sessions. Safe to repeat;
 * an account that is gone is no error. Any thread.
 */
#ifndef LIBCOMMON_CLOUD_MEMBER_ACCESS_H
#define LIBCOMMON_CLOUD_MEMBER_ACCESS_H

#include "base/kennitala.h"
#include "cloud/firestore.h"
#include "cloud/identity_toolkit.h"

/* kennitala: ten digits; documents with a hyphen in it are found too. *ret_accounts (may be NULL)
 * is how many accounts were found. */
bool member_access_end(struct firestore *fs, struct identity_toolkit *it, const char *kennitala,
                       int64_t now_s, struct arena *a, int64_t deadline_ms, size_t *ret_accounts,
                       struct error *e) MUST_CHECK;

#endif
