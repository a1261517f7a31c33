/*
 * operator.h - may this caller administer elections, and the trail of those who may not
 *
 * The token's claim first, then the live record (V-G6). Which claims count differs between the
 * services (contract voting.md §1.3) and is given as rules.
 */
#ifndef LIBCOMMON_SERVICE_OPERATOR_H
#define LIBCOMMON_SERVICE_OPERATOR_H

#include "service/refusal.h"
#include "store/pg_pool.h"

enum operator_level { OPERATOR_MANAGER, OPERATOR_SUPERADMIN };

struct operator_rules {
    /* audit_append of the service's schema: organisation, action, actor, correlation id, election,
     * details; success is false. */
    const struct pg_statement *audit_append;
    bool (*claims)(const struct identity *id, enum operator_level level);
    const struct refusal *refusals; /* insufficient, superadmin, unverified */
};

/*
 * False: 403 is answered, or 503 when the record cannot be asked. When an operator tried more than
 * their role allows, `action` (NULL for reads) is in the audit trail as refused; strangers leave a
 * log line only, because the trail must not grow at anybody's wish.
 */
bool operator_check(const struct request *req, struct response *res,
                    const struct operator_rules *rules, enum operator_level level,
                    const char *action) MUST_CHECK;

/* A refusal that did not reach the election's own function still leaves its row (V-F2). election_id
 * may be empty. The refusal stands when the row cannot be written; the log then says so. */
void operator_leave_refusal(const struct request *req, const struct operator_rules *rules,
                            const char *action, struct str election_id, const char *code);

#endif
