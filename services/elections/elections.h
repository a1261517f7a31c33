/*
 * elections.h - what the use cases of this service share
 *
 * Each route of elections.c's table is one file, named as its handler; small operator actions that
 * differ only in words share admin_transitions.c. They talk to the database through the statements
 * below, each of which is one SQL function: one statement, one transaction, one round trip
 * (sql/README.md says what the functions answer).
 */
#ifndef SERVICES_ELECTIONS_ELECTIONS_H
#define SERVICES_ELECTIONS_ELECTIONS_H

#include "service/account.h"
#include "service/idempotency.h"
#include "service/operator.h"
#include "service/refusal.h"
#include "service/service.h"
#include "store/pg_pool.h"

/* A slot is an HMAC-SHA256 of organisation, election and member (service/account.h). */
#define SLOT_BYTES SHA256_BYTES

/* A page of elections as JSON; more is refused, so that no page outgrows a request's memory. */
#define LIST_MAX_BYTES (2U << 20)

struct elections_settings {
    int64_t votes_per_minute;
    int64_t reads_per_minute;
    int64_t writes_per_minute;
    int64_t admin_per_minute;
    const char *voter_key;
    int64_t sweep_interval_s;
    int64_t close_timeout_ms;
    int64_t app_check_member_mode; /* enum app_check_mode */
    int64_t app_check_admin_mode;
    bool vote_queue; /* the rest means something only when it is on */
    const char *vote_queue_key;
    const char *vote_queue_topic, *vote_queue_subscription, *vote_queue_dead_topic;
    int64_t vote_queue_timeout_ms;
    const char *pubsub_emulator_host;
};

/* What start makes and every handler sees as req->own. */
struct sweeper;
struct vote_queue;
struct elections {
    const struct elections_settings *settings;
    struct sweeper *sweeper;
    struct vote_queue *queue; /* NULL: off */
};

extern const struct pg_statement sql_cast_token_vote;
extern const struct pg_statement sql_token_status;
extern const struct pg_statement sql_register_token;
extern const struct pg_statement sql_slot_status;
extern const struct pg_statement sql_results;
extern const struct pg_statement sql_list_member_elections;
extern const struct pg_statement sql_voted_in;
extern const struct pg_statement sql_get_member_election;
extern const struct pg_statement sql_cast_member_vote;
extern const struct pg_statement sql_member_results;
extern const struct pg_statement sql_list_elections;
extern const struct pg_statement sql_get_election;
extern const struct pg_statement sql_create_election;
extern const struct pg_statement sql_update_election;
extern const struct pg_statement sql_open_election;
extern const struct pg_statement sql_admin_results;
extern const struct pg_statement sql_close_election;
extern const struct pg_statement sql_pause_election;
extern const struct pg_statement sql_resume_election;
extern const struct pg_statement sql_archive_election;
extern const struct pg_statement sql_hide_election;
extern const struct pg_statement sql_unhide_election;
extern const struct pg_statement sql_delete_election;
extern const struct pg_statement sql_anonymize_election;
extern const struct pg_statement sql_audit_append;
extern const struct pg_statement sql_close_due;
extern const struct pg_statement sql_sweep;
extern const struct pg_statement sql_record_queued_vote;
extern const struct pg_statement sql_queued_vote_status;

/* The use cases, by the file that holds them. */
void cast_token_vote(const struct request *req, struct response *res);
void vote_status(const struct request *req, struct response *res);
void token_status(const struct request *req, struct response *res);
void register_token(const struct request *req, struct response *res);
void slot_status(const struct request *req, struct response *res);
void s2s_results(const struct request *req, struct response *res);

void list_elections(const struct request *req, struct response *res);
void get_election(const struct request *req, struct response *res);
void cast_member_vote(const struct request *req, struct response *res);
void member_results(const struct request *req, struct response *res);

void admin_list_elections(const struct request *req, struct response *res);
void admin_get_election(const struct request *req, struct response *res);
void admin_create_election(const struct request *req, struct response *res);
void admin_update_election(const struct request *req, struct response *res);
void admin_open_election(const struct request *req, struct response *res);
void admin_results(const struct request *req, struct response *res);
void admin_delete_election(const struct request *req, struct response *res);
void admin_anonymize_election(const struct request *req, struct response *res);
void admin_unknown(const struct request *req, struct response *res);
/* admin_transitions.c */
void admin_close_election(const struct request *req, struct response *res);
void admin_pause_election(const struct request *req, struct response *res);
void admin_resume_election(const struct request *req, struct response *res);
void admin_archive_election(const struct request *req, struct response *res);
void admin_hide_election(const struct request *req, struct response *res);
void admin_unhide_election(const struct request *req, struct response *res);

/* What the database says no to a voting token with, in the words of the wire. */
extern const struct refusal cast_token_vote_refusals[];

/* --- vote_queue.c: votes the database cannot take now; VOTE_QUEUE --- */

/* *ret is NULL when it is off; then the two below answer false at once. */
bool vote_queue_open(struct service_state *state, const struct elections_settings *set,
                     struct vote_queue **ret, struct error *e) MUST_CHECK;
void vote_queue_close(struct vote_queue *q); /* NULL is fine */
/* Is it better not to ask the database now? */
bool vote_queue_diverts(const struct request *req);
/* After vote_queue_diverts(), or a failed call with the parameters of sql_cast_token_vote. True:
 * 202 is answered. False: `e` says what to answer. */
bool vote_queue_take(const struct request *req, struct response *res, const struct pg_param *vote,
                     const struct pg_result *result, struct error *e) MUST_CHECK;

/* --- caller.c: who asks, and about which election --- */

/* What an election's eligibility is held against. */
struct caller {
    enum membership membership;
    enum membership admin; /* holds an operator's role */
};
struct caller caller_of(const struct request *req);
struct pg_param caller_is_member(const struct caller *c);
struct pg_param caller_is_admin(const struct caller *c);
/* 403, or 503 when it only is not known whether the caller may. */
void caller_refuse(struct response *res, const struct caller *c);

/* The {id} of the path in lower case, as the database writes it: slots depend on it. False: 404 is
 * answered. */
bool election_id_of(const struct request *req, struct response *res, struct str *ret);

/* How long the request waited in this process: the window is judged at the instant it arrived
 * (V-A16). */
struct str waited_ms(const struct request *req);

/* The caller's slot in that election. */
void caller_slot(const struct request *req, struct str election_id,
                 unsigned char ret_slot[SLOT_BYTES]);

/* --- operator.c: who may administer --- */

/*
 * Token roles first (contract §1.3), then the live record. False: 403 is answered; when an operator
 * tried more than their role allows, `action` (NULL for reads) is in the audit trail as refused.
 */
bool operator_may(const struct request *req, struct response *res, enum operator_level level,
                  const char *action);
/* A refusal that did not reach the election's own function still leaves its row (V-F2). */
void operator_audit_refusal(const struct request *req, const char *action, struct str election_id,
                            const char *code);

/* --- page.c: lists --- */

struct page {
    int64_t limit, offset;
};
/* limit: default 50, 1..limit_max; offset: default 0. What is no number counts as absent. */
struct page page_read(const struct request *req, int64_t limit_max);
/* The query's status; ptr NULL when absent or empty. */
struct str page_status(const struct request *req);
/* False, and 400 is answered, when the elections of the page are more than LIST_MAX_BYTES. */
bool page_fits(struct response *res, size_t bytes);

/* --- results_body.c: a count as members and operators see it --- */

struct results_shape {
    const char *text_name; /* "text" for members, "answer_text" for operators */
    bool for_operators;    /* adds answers, closed_at, counts and the seal */
};
/* Row 0 of a call of results or member_results with code "ok". */
void results_respond(const struct request *req, struct response *res, const struct pg_result *row,
                     const struct results_shape *shape);

/* --- admin_body.c: elections on their way in and out --- */

/* The body as text for a jsonb parameter. */
struct str body_text(const struct request *req);
/* {success, election, message}; message may be NULL. */
void respond_election(const struct request *req, struct response *res, int status,
                      struct str election, const char *message);

/* --- sweep.c: elections close although nobody asks --- */

/* NULL when interval_s is 0. The thread ends in sweeper_stop(). */
struct sweeper *sweeper_start(struct pg_pool *pool, int64_t interval_s, int64_t close_timeout_ms);
void sweeper_stop(struct sweeper *s); /* NULL is fine. Of a long closing, ends the process. */

#endif
