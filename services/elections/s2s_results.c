/* s2s_results.c - GET /api/s2s/results[?election_id=]: the count, once nobody can vote any more
 * (V-A5, V-A6) */
#include "elections.h"

#include "base/encode.h"

const struct pg_statement sql_results = {
    .name = "results",
    .long_running = true, /* the first to ask after the end closes and counts */
    .sql = "select code, election, totals, total_voters from elections.results($1::uuid, $2::uuid)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", "NO_ELECTION"},
    {"not_closed", ERR_FORBIDDEN, "Results are available once voting has ended.", "NOT_CLOSED"},
    {NULL, ERR_NONE, NULL, NULL},
};

/* yes, no and abstain are always there, under these names whatever case the election wrote them in;
 * other answers follow under their text. */
static cJSON *results_by_answer(const cJSON *totals)
{
    static const char *const fixed[] = {"yes", "no", "abstain"};
    cJSON *results = cJSON_CreateObject();
    const cJSON *row;

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        json_add_i64(results, fixed[i], 0);
    cJSON_ArrayForEach(row, totals)
    {
        struct str name = json_str_value(json_get(row, "answer_id"));
        int64_t votes = 0;
        bool is_fixed = false;

        (void)json_i64(row, "votes", &votes);
        for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
            if (str_eq_ci(name, str_from(fixed[i]))) {
                cJSON_SetNumberValue(cJSON_GetObjectItemCaseSensitive(results, fixed[i]),
                                     (double)votes);
                is_fixed = true;
            }
        }
        if (!is_fixed)
            json_add_i64(results, json_get(row, "text")->valuestring, votes);
    }
    return results;
}

void s2s_results(const struct request *req, struct response *res)
{
    struct str election_id = {NULL, 0};
    struct pg_result row = {0};
    struct error e = {0};

    if (request_query(req, "election_id", &election_id) && !uuid_is_valid(election_id)) {
        respond_error(res, ERR_NOT_FOUND, "There is no such election.");
        return;
    }

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(election_id)};

    if (!pg_call(service_pool(req->state), &sql_results, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok")) {
        refuse_with(res, refusals, pg_get(&row, 0, 0));
        return;
    }

    const cJSON *election = json_parse(req->arena, pg_get(&row, 0, 1), &e);
    const cJSON *totals = json_parse(req->arena, pg_get(&row, 0, 2), &e);

    if (!election || !totals) {
        respond_failure(res, &e);
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_i64(body, "total_ballots", pg_get_i64(&row, 0, 3));
    json_add_item(body, "results", results_by_answer(totals));
    json_add_str(body, "election_title", json_str_value(json_get(election, "title")));
    json_add_str(body, "election_id", json_str_value(json_get(election, "id")));
    json_add_str(body, "election_status", json_str_value(json_get(election, "status")));
    respond_json(res, 200, body);
}
