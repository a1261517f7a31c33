/* get_election.c - GET /api/election: what is being voted on */
#include "events.h"

/* Starts with the word the test page looks for (contract §3.2). */
static struct str status_message(const struct request *req, const struct current_election *election)
{
    if (str_eq_text(election->phase, "scheduled"))
        return arena_printf(req->arena, "Scheduled: voting starts at %.*s",
                            STR_ARG(election->starts_at));
    if (str_eq_text(election->phase, "ended"))
        return arena_printf(req->arena, "Ended: voting ended at %.*s", STR_ARG(election->ends_at));
    if (str_eq_text(election->phase, "closed"))
        return STR("Closed");
    if (str_eq_text(election->phase, "paused"))
        return STR("Paused");
    return STR("Active");
}

void get_election(const struct request *req, struct response *res)
{
    struct current_election election;

    if (!member_is_proven(req, res) || !current_election_find(req, res, &election))
        return;

    cJSON *body = json_object(req->arena);

    json_add_str(body, "id", election.id);
    json_add_str(body, "title", election.title);
    json_add_str_or_null(body, "description", election.description);
    json_add_str(body, "question_text", election.question);
    json_add_str(body, "status", election.status);
    json_add_str(body, "status_message", status_message(req, &election));
    json_add_str_or_null(body, "voting_starts_at", election.starts_at);
    json_add_str_or_null(body, "voting_ends_at", election.ends_at);
    respond_json(res, 200, body);
}
