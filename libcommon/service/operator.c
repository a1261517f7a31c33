/* operator.c - see operator.h */
#include "service/operator.h"

#include "ops/log.h"
#include "service/account.h"
#include "service/service.h"

void operator_leave_refusal(const struct request *req, const struct operator_rules *rules,
                            const char *action, struct str election_id, const char *code)
{
    struct str details = arena_printf(req->arena, "{\"code\":\"%s\"}", code);
    const struct pg_param params[] = {PG_TEXT(req->org_id),       pg_param_text(action),
                                      PG_TEXT(req->identity.uid), PG_TEXT(req->correlation_id),
                                      PG_TEXT(election_id),       PG_TEXT(details)};
    struct pg_result row = {0};
    struct error e = {0};

    if (!pg_call(service_pool(req->state), rules->audit_append, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e))
        log_error("refused action is not in the audit trail", LOG_TEXT("action", str_from(action)),
                  LOG_TEXT("correlation_id", req->correlation_id),
                  LOG_TEXT("reason", str_from(e.detail)));
}

static struct str valid_id_of(const struct request *req)
{
    return uuid_is_valid(req->params[0]) ? req->params[0] : (struct str){NULL, 0};
}

bool operator_check(const struct request *req, struct response *res,
                    const struct operator_rules *rules, enum operator_level level,
                    const char *action)
{
    const char *why = NULL;

    if (!rules->claims(&req->identity, level)) {
        why = level == OPERATOR_SUPERADMIN ? "superadmin" : "insufficient";
        if (!rules->claims(&req->identity, OPERATOR_MANAGER))
            action = NULL;
    } else {
        switch (account_confirms_role(req, level == OPERATOR_SUPERADMIN ? "superuser" : "admin")) {
        case MEMBERSHIP_PROVEN:
            return true;
        case MEMBERSHIP_UNKNOWN:
            respond_error(res, ERR_UNAVAILABLE,
                          "Your role cannot be checked right now. Please try again in a moment.");
            res->log_reason = "role unknown";
            return false;
        case MEMBERSHIP_NOT_PROVEN:
            why = "unverified";
        }
    }
    refuse_with(res, rules->refusals, str_from(why));
    if (action)
        operator_leave_refusal(req, rules, action, valid_id_of(req), why);
    return false;
}
