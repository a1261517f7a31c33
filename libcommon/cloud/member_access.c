/* member_access.c - see member_access.h */
#include "cloud/member_access.h"

#define ACCOUNTS_MAX 10 /* one, or a few from before accounts were unique */

static bool find(struct firestore *fs, struct str kennitala, struct arena *a, int64_t deadline_ms,
                 struct fs_document **ret, size_t *ret_count, struct error *e)
{
    const struct fs_query query = {
        .collection = "users",
        .filters = {{"kennitala", FS_EQUAL, fs_value_of_str(a, kennitala)}},
        .filter_count = 1,
        .limit = ACCOUNTS_MAX,
    };

    return firestore_query(fs, &query, NULL, a, deadline_ms, ret, ret_count, e);
}

static bool clear_document(struct firestore *fs, const struct fs_document *user, struct arena *a,
                           int64_t deadline_ms, struct error *e)
{
    cJSON *fields = fs_fields(a);
    bool is_member = true;

    if (fs_get_bool(user->fields, "isMember", &is_member) && !is_member)
        return true;
    fs_add_bool(fields, "isMember", false);

    const struct fs_write write = {
        .kind = FS_MERGE,
        .path = user->path,
        .fields = fields,
        .precondition = FS_MUST_EXIST,
        .server_times = {"membershipVerifiedAt"},
    };

    return firestore_commit(fs, &write, 1, NULL, a, deadline_ms, NULL, e) ||
           (e && (e->code == ERR_NOT_FOUND || e->code == ERR_FAILED_PRECONDITION));
}

/* Sessions are ended only where the account still said "member": a repeat signs nobody out again.
 */
static bool clear_account(struct identity_toolkit *it, struct str uid, int64_t now_s,
                          struct arena *a, int64_t deadline_ms, struct error *e)
{
    struct identity_account account;
    cJSON *changes = json_object(a);
    bool is_member = false;

    if (!identity_lookup(it, uid, a, deadline_ms, &account, e))
        return false;
    if (!account.exists || !json_bool(account.claims, "isMember", &is_member) || !is_member)
        return true;
    if (!identity_revoke_tokens(it, uid, now_s, a, deadline_ms, e))
        return false;
    json_add_bool(changes, "isMember", false);
    return identity_update_claims(it, uid, changes, a, deadline_ms, e) ||
           (e && e->code == ERR_NOT_FOUND);
}

bool member_access_end(struct firestore *fs, struct identity_toolkit *it, const char *kennitala,
                       int64_t now_s, struct arena *a, int64_t deadline_ms, size_t *ret_accounts,
                       struct error *e)
{
    const struct str forms[] = {
        str_from(kennitala),
        arena_printf(a, "%.6s-%s", kennitala, kennitala + 6),
    };
    struct error local = {0}, *why = e ? e : &local;
    size_t found = 0;

    for (size_t form = 0; form < ARRAY_LEN(forms); form++) {
        struct fs_document *users;
        size_t count;

        if (!find(fs, forms[form], a, deadline_ms, &users, &count, why))
            return false;
        for (size_t i = 0; i < count; i++) {
            /* The claims first: they are what opens doors. */
            if (!clear_account(it, users[i].id, now_s, a, deadline_ms, why) ||
                !clear_document(fs, &users[i], a, deadline_ms, why))
                return false;
        }
        found += count;
    }
    if (ret_accounts)
        *ret_accounts = found;
    return true;
}
