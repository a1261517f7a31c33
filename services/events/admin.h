/*
 * admin.h - what the operators' routes share (contract voting.md §3.3, §3.4)
 *
 * Every action is one SQL function that moves the election and writes its audit row in one
 * transaction; refused ones are audited too.
 */
#ifndef SERVICES_EVENTS_ADMIN_H
#define SERVICES_EVENTS_ADMIN_H

#include "events.h"
#include "service/operator.h"

/* A proven member with the role; else answers 401 or 403. Superusers are admins too. action: as in
 * operator_check(). */
bool operator_is_allowed(const struct request *req, struct response *res, enum operator_level level,
                         const char *action);
/* As operator_leave_refusal(), with the rules of this service. */
void operator_audit_refusal(const struct request *req, const char *action, struct str election_id,
                            const char *code);

/*
 * Calls a statement whose first parameters are organisation, actor, correlation id and, when
 * election_id is not empty, the election; then `more`. False: res is answered.
 */
bool admin_call(const struct request *req, struct response *res,
                const struct pg_statement *statement, struct str election_id, struct str more,
                struct pg_result *ret_row);

/* Answers with the JSON text of a column, as it is. */
void respond_column(struct response *res, int status, const struct pg_result *row, int column);

/* The same column parsed, in the arena. must(): the database gives JSON there. */
const cJSON *admin_column(const struct request *req, const struct pg_result *row, int column);

/* The election named in the path; a malformed id is answered 404 (V-D8). */
bool admin_election_id(const struct request *req, struct response *res, struct str *ret_id);

/* The members of the body that the database knows as fields of an election, as a JSON text for
 * p_fields. */
struct str admin_fields(const struct request *req, const char *const *names);

extern const struct pg_statement sql_create_election, sql_update_draft, sql_update_metadata;
extern const struct pg_statement sql_publish_election, sql_pause_election, sql_resume_election,
    sql_close_election, sql_archive_election, sql_delete_draft;
extern const struct pg_statement sql_list_elections, sql_get_election, sql_election_results,
    sql_token_counts;
extern const struct pg_statement sql_reset_election, sql_audit_append;

void admin_list_elections(const struct request *req, struct response *res);
void admin_get_election(const struct request *req, struct response *res);
void admin_create_election(const struct request *req, struct response *res);
void admin_update_draft(const struct request *req, struct response *res);
void admin_update_metadata(const struct request *req, struct response *res);
void admin_publish(const struct request *req, struct response *res);
void admin_open(const struct request *req, struct response *res);
void admin_pause(const struct request *req, struct response *res);
void admin_resume(const struct request *req, struct response *res);
void admin_close(const struct request *req, struct response *res);
void admin_archive(const struct request *req, struct response *res);
void admin_delete_draft(const struct request *req, struct response *res);
void admin_election_status(const struct request *req, struct response *res);
void admin_election_results(const struct request *req, struct response *res);
void admin_election_tokens(const struct request *req, struct response *res);
void admin_unknown(const struct request *req, struct response *res);
void reset_election(const struct request *req, struct response *res);

#endif
