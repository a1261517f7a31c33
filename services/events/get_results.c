/* get_results.c - GET /api/results: the count, fetched from elections, which gives it to nobody
 * before the end (V-A5) */
#include "events.h"

#include "elections_client.h"

static void add_head(cJSON *body, const struct current_election *election)
{
    json_add_str(body, "election_id", election->id);
    json_add_str(body, "election_title", election->title);
    json_add_str(body, "election_status", election->status);
}

/* Elections is away: the page still gets its shape, without numbers (contract §3.2). */
static void answer_without_numbers(const struct request *req, struct response *res,
                                   const struct current_election *election, const struct error *e)
{
    cJSON *body = json_object(req->arena);

    add_head(body, election);
    json_add_i64(body, "total_ballots", 0);
    json_add_null(body, "results");
    json_add_text(body, "error", error_text(ERR_UNAVAILABLE));
    json_add_text(body, "message",
                  "The result could not be fetched. Please try again in a moment.");
    respond_json(res, 200, body);
    res->log_reason = arena_text(req->arena, str_from(e->detail));
}

static void answer(const struct request *req, struct response *res,
                   const struct current_election *election, const cJSON *counted)
{
    cJSON *body = json_object(req->arena);
    char now[CLOCK_ISO_SIZE];
    int64_t total = 0;

    clock_iso_utc(clock_unix_ms(), now);
    (void)json_i64(counted, "total_ballots", &total);
    add_head(body, election);
    json_add_i64(body, "total_ballots", total);
    json_add_item(body, "results", cJSON_Duplicate(json_get(counted, "results"), true));
    json_add_text(body, "fetched_at", now);
    respond_json(res, 200, body);
}

void get_results(const struct request *req, struct response *res)
{
    struct current_election election;
    struct elections_answer counted;
    struct error e = {0};

    if (!member_is_proven(req, res) || !current_election_find(req, res, &election))
        return;
    bool asked = elections_results(req, election.id, &counted, &e);

    if (asked && counted.status == 403)
        respond_error(res, ERR_FORBIDDEN, "Results are available once voting has ended.");
    else if (!asked || counted.status != 200 || !cJSON_IsObject(json_get(counted.body, "results")))
        answer_without_numbers(req, res, &election, &e);
    else
        answer(req, res, &election, counted.body);
}
