/*
 * account.h - the live account behind an ID token, and the rules that rest on it
 *
 * A token says what was true when it was issued, up to an hour ago. Services with USES_ACCOUNT ask
 * what is true now: is the account disabled or revoked (Firebase Authentication), which roles has
 * it (`users/{uid}`), is the person an active member (the record of `members/{kennitala}` that no
 * client can write; the document itself where there is none). The answer is kept
 * for ACCOUNT_CACHE_S, so a change bites within that time (V-G6); authenticate() puts it into the
 * request. Without the look-up (ACCOUNT_CHECK=off, or a service without USES_ACCOUNT) the token
 * alone counts.
 *
 * What counts (requirements, "proven member"): the claim isMember is true and the live record does
 * not contradict it, or the claim is absent and the live record says active. A record that cannot
 * be asked proves nothing; with ACCOUNT_STRICT it also stops those whose claim is true.
 *
 * Pure functions but for the look-up; any thread.
 */
#ifndef LIBCOMMON_SERVICE_ACCOUNT_H
#define LIBCOMMON_SERVICE_ACCOUNT_H

#include "base/encode.h"
#include "service/request.h"

enum membership {
    MEMBERSHIP_NOT_PROVEN,
    MEMBERSHIP_PROVEN,
    MEMBERSHIP_UNKNOWN, /* strict, and the record cannot be asked: 503 */
};

/* A caller without a kennitala is no proven member. */
enum membership account_membership(const struct request *req);

/* For routes that only members may call: 401 without a kennitala, 403, 503; false when answered. */
bool member_is_proven(const struct request *req, struct response *res) MUST_CHECK;

/*
 * Does the live record confirm the role the token claims? For "admin" it must say admin or
 * superuser, for "superuser" superuser; the older names count too. Whoever asks has looked at the
 * token first.
 */
enum membership account_confirms_role(const struct request *req, const char *role);

/*
 * The slot: who somebody is in one election, told to nobody. HMAC-SHA256 under VOTER_KEY over
 * "slot", organisation, election and kennitala; over "uid", … and uid for a caller without
 * kennitala. events and elections compute the same one, so a person has one ballot whichever way
 * they vote. `election_id` as the database writes it: lower case.
 */
void member_slot(const struct request *req, const char *voter_key, struct str election_id,
                 unsigned char ret_slot[SHA256_BYTES]);

#endif
