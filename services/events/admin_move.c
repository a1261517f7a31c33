/*
 * admin_move.c - operators move an election through its life: publish, pause, resume, close,
 * archive, delete
 *
 * Each move is one conditional change in the database: of two at once, one is told 400 (V-E5).
 * `open` made tokens for all members, which no operator may have (V-C7); it answers 410.
 */
#include "admin.h"

#define MOVE(function)                                                                             \
    "select code, election from events." function "($1::uuid, $2::text, $3::text, $4::uuid)"

const struct pg_statement sql_publish_election = {
    .name = "publish_election",
    .sql = "select code, election from events.open_election($1::uuid, $2::text, $3::text, "
           "$4::uuid, null, null)",
};
/* Of an election whose end has passed, the first move closes and counts it. */
#define LONG_MOVE(function)                                                                        \
    {                                                                                              \
        .name = function, .sql = MOVE(function), .long_running = true                              \
    }
const struct pg_statement sql_pause_election = LONG_MOVE("pause_election");
const struct pg_statement sql_resume_election = LONG_MOVE("resume_election");
const struct pg_statement sql_close_election = LONG_MOVE("close_election");
const struct pg_statement sql_archive_election = LONG_MOVE("archive_election");
const struct pg_statement sql_delete_draft = {.name = "delete_draft", .sql = MOVE("delete_draft")};

static const struct refusal refusals[] = {
    {"not_found", ERR_BAD_REQUEST, "There is no such election.", NULL},
    {"wrong_status", ERR_BAD_REQUEST, "The election is not in a state that allows this.", NULL},
    {"hidden", ERR_BAD_REQUEST, "A hidden election cannot be published.", NULL},
    {"bad_schedule", ERR_BAD_REQUEST,
     "The end of voting must be in the future and after its start.", NULL},
    {"has_ballots", ERR_BAD_REQUEST, "An election with votes cannot be deleted.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

static bool is_done(struct str code)
{
    static const char *const done[] = {"opened", "paused",   "resumed",
                                       "closed", "archived", "deleted"};

    for (size_t i = 0; i < ARRAY_LEN(done); i++) {
        if (str_eq_text(code, done[i]))
            return true;
    }
    return false;
}

static bool move(const struct request *req, struct response *res, enum operator_level level,
                 const char *action, const struct pg_statement *statement,
                 struct pg_result *ret_row)
{
    /* An id that is none is unknown like any other, and these routes say 400 to that. */
    struct str id = uuid_is_valid(req->params[0]) ? req->params[0]
                                                  : STR("00000000-0000-0000-0000-000000000000");

    if (!operator_is_allowed(req, res, level, action) ||
        !admin_call(req, res, statement, id, STR(""), ret_row))
        return false;
    if (is_done(pg_get(ret_row, 0, 0)))
        return true;
    refuse_with(res, refusals, pg_get(ret_row, 0, 0));
    return false;
}

static void move_and_answer(const struct request *req, struct response *res, const char *action,
                            const struct pg_statement *statement)
{
    struct pg_result row = {0};

    if (move(req, res, OPERATOR_MANAGER, action, statement, &row))
        respond_column(res, 200, &row, 1);
}

void admin_publish(const struct request *req, struct response *res)
{
    move_and_answer(req, res, "open_election", &sql_publish_election);
}

void admin_pause(const struct request *req, struct response *res)
{
    move_and_answer(req, res, "pause_election", &sql_pause_election);
}

void admin_resume(const struct request *req, struct response *res)
{
    move_and_answer(req, res, "resume_election", &sql_resume_election);
}

void admin_close(const struct request *req, struct response *res)
{
    move_and_answer(req, res, "close_election", &sql_close_election);
}

void admin_archive(const struct request *req, struct response *res)
{
    move_and_answer(req, res, "archive_election", &sql_archive_election);
}

void admin_open(const struct request *req, struct response *res)
{
    if (operator_is_allowed(req, res, OPERATOR_MANAGER, NULL))
        respond_error(res, ERR_GONE,
                      "Voting tokens are given to members only, by POST /api/request-token.");
}

void admin_delete_draft(const struct request *req, struct response *res)
{
    struct pg_result row = {0};

    if (!move(req, res, OPERATOR_SUPERADMIN, "delete_draft", &sql_delete_draft, &row))
        return;
    respond_text(res, 200, "application/json; charset=utf-8",
                 arena_printf(req->arena,
                              "{\"message\":\"The draft is deleted.\",\"election\":%.*s}",
                              STR_ARG(pg_get(&row, 0, 1))));
}
