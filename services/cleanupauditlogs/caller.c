/* caller.c - who may clean up; see cleanupauditlogs.h */
#include "cleanupauditlogs.h"

#include "cloud/identity_toolkit.h"

static bool refuse(struct response *res, enum error_code code, const char *message,
                   const char *reason)
{
    respond_error(res, code, message);
    res->log_reason = reason;
    return false;
}

static bool account_is_live(const struct request *req, struct response *res, struct str *ret_email)
{
    struct identity_account account;
    struct error e = {0};

    if (!identity_lookup(service_identity_toolkit(req->state), req->identity.uid, req->arena,
                         req->deadline_ms, &account, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (!account.exists || account.disabled || req->identity.auth_time_s < account.valid_since_s)
        return refuse(res, ERR_UNAUTHENTICATED, "Unauthenticated",
                      "the account is gone, disabled or signed out");
    *ret_email = account.email;
    return true;
}

static bool has_role(const struct fs_document *user)
{
    const cJSON *roles = user->exists ? fs_get_array(user->fields, "roles") : NULL, *role;

    cJSON_ArrayForEach(role, roles)
    {
        if (str_eq_text(fs_value_str(role), "admin") ||
            str_eq_text(fs_value_str(role), "superuser"))
            return true;
    }
    return false;
}

bool caller_is_allowed(const struct request *req, struct response *res, struct str *ret_email)
{
    struct fs_document user;
    struct error e = {0};

    if (!firestore_id_is_valid(req->identity.uid))
        return refuse(res, ERR_UNAUTHENTICATED, "Unauthenticated", "the uid is no document id");
    if (!account_is_live(req, res, ret_email))
        return false;
    if (!firestore_get(service_firestore(req->state),
                       arena_printf(req->arena, "users/%.*s", STR_ARG(req->identity.uid)), NULL,
                       req->arena, req->deadline_ms, &user, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (has_role(&user))
        return true;
    return refuse(res, ERR_FORBIDDEN, "Admin or superuser role required", "role");
}
