/*
 * admin_transitions.c - the operator actions that move an election from one state to the next:
 * close, pause, resume, archive, hide, unhide
 *
 * Each is one conditional change with its audit row in the same transaction (V-E5), so of two equal
 * calls at once one gets 400. What differs is in the table. All of them are long_running: one whose
 * end has passed is closed and counted first.
 */
#include "elections.h"

#define TRANSITION(verb_)                                                                          \
    {                                                                                              \
        .name = verb_ "_election", .long_running = true,                                           \
        .sql = "select code, election from elections." verb_                                       \
               "_election($1::uuid, $2::text, $3::text, $4::uuid)"                                 \
    }
const struct pg_statement sql_close_election = TRANSITION("close");
const struct pg_statement sql_pause_election = TRANSITION("pause");
const struct pg_statement sql_resume_election = TRANSITION("resume");
const struct pg_statement sql_archive_election = TRANSITION("archive");
const struct pg_statement sql_hide_election = TRANSITION("hide");
const struct pg_statement sql_unhide_election = TRANSITION("unhide");

struct transition {
    const struct pg_statement *statement;
    const char *action;  /* in the audit trail */
    const char *done;    /* code of the function when it happened */
    const char *message; /* to the operator then */
    const char *refused; /* and when the status does not allow it */
};

static void move(const struct request *req, struct response *res, const struct transition *t)
{
    const struct refusal refusals[] = {
        {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
        {"wrong_status", ERR_BAD_REQUEST, t->refused, "WRONG_STATUS"},
        {NULL, ERR_NONE, NULL, NULL},
    };
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_MANAGER, t->action) || !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), t->statement, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), t->done))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else
        respond_election(req, res, 200, pg_get(&row, 0, 1), t->message);
}

#define HANDLER(verb_, done_, message_, refused_)                                                  \
    void admin_##verb_##_election(const struct request *req, struct response *res)                 \
    {                                                                                              \
        static const struct transition transition = {&sql_##verb_##_election, #verb_ "_election",  \
                                                     done_, message_, refused_};                   \
        move(req, res, &transition);                                                               \
    }

HANDLER(close, "closed", "The election is closed and its votes are counted.",
        "Only an election that is open or paused can be closed.")
HANDLER(pause, "paused", "Voting is paused.", "Only an election that is open can be paused.")
HANDLER(resume, "resumed", "Voting goes on.", "Only an election that is paused can be resumed.")
HANDLER(archive, "archived", "The election is archived.",
        "Only an election that is closed can be archived.")
HANDLER(hide, "hidden", "The election is hidden.", "The election is hidden already.")
HANDLER(unhide, "unhidden", "The election is visible again.", "The election is not hidden.")
