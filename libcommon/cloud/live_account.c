/* live_account.c - see live_account.h */
#include "cloud/live_account.h"

bool live_account_is_open(struct identity_toolkit *it, struct str uid, int64_t auth_time_s,
                          struct arena *a, int64_t deadline_ms, bool *ret, struct str *ret_email,
                          struct error *e)
{
    struct identity_account account;

    *ret = false;
    if (ret_email)
        *ret_email = STR("");
    if (!identity_lookup(it, uid, a, deadline_ms, &account, e))
        return false;
    *ret = account.exists && !account.disabled && auth_time_s >= account.valid_since_s;
    if (ret_email && account.exists)
        *ret_email = account.email;
    return true;
}

bool live_account_is_operator(struct firestore *fs, struct str uid, struct arena *a,
                              int64_t deadline_ms, bool *ret, struct error *e)
{
    struct fs_document user;
    const cJSON *roles, *role;

    *ret = false;
    if (!firestore_id_is_valid(uid))
        return true;
    if (!firestore_get(fs, arena_printf(a, "users/%.*s", STR_ARG(uid)), NULL, a, deadline_ms, &user,
                       e))
        return false;
    roles = user.exists ? fs_get_array(user.fields, "roles") : NULL;
    cJSON_ArrayForEach(role, roles)
    {
        struct str name = fs_value_str(role);

        *ret = *ret || str_eq_text(name, "admin") || str_eq_text(name, "superuser");
    }
    return true;
}
