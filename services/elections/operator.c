/* operator.c - who may administer elections; contract §1.3, V-D18, V-G6 */
#include "elections.h"

const struct pg_statement sql_audit_append = {
    .name = "audit_append",
    .sql = "select seq from elections.audit_append($1::uuid, $2::text, false, $3::text, $4::text, "
           "$5::uuid, $6::jsonb)",
};

/* What the token claims. The old single `role`, when there is one, is the only one that counts. */
static bool claims(const struct identity *id, enum operator_level level)
{
    if (id->legacy_role.len > 0)
        return str_eq_text(id->legacy_role, "superadmin") ||
               (level == OPERATOR_MANAGER && str_eq_text(id->legacy_role, "election-manager"));
    return identity_has_role(id, "superuser") ||
           (level == OPERATOR_MANAGER && identity_has_role(id, "admin"));
}

static const struct refusal refusals[] = {
    {"insufficient", ERR_FORBIDDEN, "You do not have permission to do this.",
     "INSUFFICIENT_PERMISSIONS"},
    {"superadmin", ERR_FORBIDDEN, "Only a superuser can do this.", "SUPERADMIN_REQUIRED"},
    {"unverified", ERR_FORBIDDEN, "Your role could not be confirmed. Please sign in again.",
     "ROLE_VERIFICATION_FAILED"},
    {NULL, ERR_NONE, NULL, NULL},
};

static const struct operator_rules rules = {
    .audit_append = &sql_audit_append, .claims = claims, .refusals = refusals};

void operator_audit_refusal(const struct request *req, const char *action, struct str election_id,
                            const char *code)
{
    operator_leave_refusal(req, &rules, action, election_id, code);
}

bool operator_may(const struct request *req, struct response *res, enum operator_level level,
                  const char *action)
{
    return operator_check(req, res, &rules, level, action);
}
