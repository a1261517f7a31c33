/* caller.c - who may clean up; see cleanupauditlogs.h */
#include "cleanupauditlogs.h"

#include "cloud/live_account.h"

static bool refuse(struct response *res, enum error_code code, const char *message,
                   const char *reason)
{
    respond_error(res, code, message);
    res->log_reason = reason;
    return false;
}

bool caller_is_allowed(const struct request *req, struct response *res, struct str *ret_email)
{
    bool is_open, is_operator = false;
    struct error e = {0};

    if (!live_account_is_open(service_identity_toolkit(req->state), req->identity.uid,
                              req->identity.auth_time_s, req->arena, req->deadline_ms, &is_open,
                              ret_email, &e) ||
        (is_open && !live_account_is_operator(service_firestore(req->state), req->identity.uid,
                                              req->arena, req->deadline_ms, &is_operator, &e))) {
        respond_failure(res, &e);
        return false;
    }
    if (!is_open)
        return refuse(res, ERR_UNAUTHENTICATED, "Unauthenticated",
                      "the account is gone, disabled or signed out");
    return is_operator || refuse(res, ERR_FORBIDDEN, "Admin or superuser role required", "role");
}
