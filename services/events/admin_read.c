/* admin_read.c - operators look: lists, one election, its state, its result, its tokens */
#include "admin.h"

#define LIST_LIMIT_USUAL 50
#define LIST_LIMIT_MAX   200

const struct pg_statement sql_list_elections = {
    .name = "list_elections",
    .sql = "select code, total, elections from events.list_elections($1::uuid, $2::text, $3::int, "
           "$4::int)",
};
const struct pg_statement sql_get_election = {
    .name = "get_election",
    .sql = "select code, election from events.get_election($1::uuid, $2::uuid)",
};
const struct pg_statement sql_election_results = {
    .name = "election_results",
    .long_running = true, /* the first to ask after the end closes and counts */
    .sql = "select code, election, totals, total_voters, total_selections, counts from "
           "events.results($1::uuid, $2::uuid)",
};
const struct pg_statement sql_token_counts = {
    .name = "token_counts",
    .sql = "select code, election, issued, registered, used, unused, expired, first_issued, "
           "last_issued,"
           " avg_expiration_hours from events.token_counts($1::uuid, $2::uuid)",
};

/* A number that is none, or out of range, falls back (V-D10). */
static int64_t paging(const struct request *req, const char *name, int64_t usual, int64_t min,
                      int64_t max)
{
    struct str text;
    int64_t value;

    if (!request_query(req, name, &text) || !str_parse_i64(text, INT32_MIN, INT32_MAX, &value) ||
        value < min)
        return usual;
    return value > max ? max : value;
}

static bool look(const struct request *req, struct response *res,
                 const struct pg_statement *statement, struct pg_result *ret_row)
{
    struct error e = {0};
    struct str id;

    if (!operator_is_allowed(req, res, OPERATOR_MANAGER, NULL) || !admin_election_id(req, res, &id))
        return false;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), statement, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, ret_row, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (str_eq_text(pg_get(ret_row, 0, 0), "not_found")) {
        respond_error(res, ERR_NOT_FOUND, "There is no such election.");
        return false;
    }
    return true;
}

/* The named members of `from`, in order, as a new object. */
static cJSON *pick(const cJSON *from, const char *const *names)
{
    cJSON *to = cJSON_CreateObject();

    for (; *names; names++) {
        const cJSON *value = json_get(from, *names);

        json_add_item(to, *names, value ? cJSON_Duplicate(value, true) : cJSON_CreateNull());
    }
    return to;
}

/* "54.36%"; none is shown where there is nothing to divide by. */
static void add_percent(const struct request *req, cJSON *to, const char *name, int64_t part,
                        int64_t whole, const char *none)
{
    if (whole <= 0)
        json_add_text(to, name, none);
    else
        json_add_str(to, name,
                     arena_printf(req->arena, "%.2f%%", 100.0 * (double)part / (double)whole));
}

void admin_list_elections(const struct request *req, struct response *res)
{
    static const char *const shown[] = {"id",         "title",      "description", "status",
                                        "created_at", "updated_at", "created_by",  NULL};
    struct str status = {NULL, 0};
    struct pg_result row = {0};
    struct error e = {0};
    const cJSON *election;

    if (!operator_is_allowed(req, res, OPERATOR_MANAGER, NULL))
        return;
    (void)request_query(req, "status", &status);

    int64_t limit = paging(req, "limit", LIST_LIMIT_USUAL, 1, LIST_LIMIT_MAX);
    int64_t offset = paging(req, "offset", 0, 0, INT32_MAX);
    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      status.len > 0 ? PG_TEXT(status) : PG_NULL,
                                      PG_TEXT(arena_printf(req->arena, "%lld", (long long)limit)),
                                      PG_TEXT(arena_printf(req->arena, "%lld", (long long)offset))};

    if (!pg_call(service_pool(req->state), &sql_list_elections, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok")) {
        respond_error(res, ERR_BAD_REQUEST, "There is no such status.");
        return;
    }

    cJSON *body = json_object(req->arena), *list = json_add_array(body, "elections");

    cJSON_ArrayForEach(election, admin_column(req, &row, 2))
    {
        cJSON_AddItemToArray(list, pick(election, shown));
    }
    json_add_i64(body, "limit", limit);
    json_add_i64(body, "offset", offset);
    json_add_i64(body, "count", cJSON_GetArraySize(list));
    respond_json(res, 200, body);
}

void admin_get_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};

    if (look(req, res, &sql_get_election, &row))
        respond_column(res, 200, &row, 1);
}

void admin_election_status(const struct request *req, struct response *res)
{
    static const char *const shown[] = {"id",         "title",      "description", "status",
                                        "created_at", "updated_at", NULL};
    struct pg_result row = {0};

    if (!look(req, res, &sql_token_counts, &row))
        return;

    cJSON *body = json_object(req->arena), *statistics;
    const cJSON *stored = admin_column(req, &row, 1);
    cJSON *election = pick(stored, shown), *period = cJSON_CreateObject();
    int64_t issued = pg_get_i64(&row, 0, 2), used = pg_get_i64(&row, 0, 4);

    json_add_item(period, "start", cJSON_Duplicate(json_get(stored, "voting_starts_at"), true));
    json_add_item(period, "end", cJSON_Duplicate(json_get(stored, "voting_ends_at"), true));
    json_add_item(period, "published_at", cJSON_Duplicate(json_get(stored, "published_at"), true));
    json_add_item(period, "closed_at", cJSON_Duplicate(json_get(stored, "closed_at"), true));
    json_add_item(election, "voting_period", period);
    json_add_item(body, "election", election);
    statistics = json_add_object(body, "token_statistics");
    json_add_i64(statistics, "total", issued);
    json_add_i64(statistics, "used", used);
    json_add_i64(statistics, "unused", pg_get_i64(&row, 0, 5));
    add_percent(req, statistics, "participation_rate", used, issued, "N/A");
    respond_json(res, 200, body);
}

void admin_election_tokens(const struct request *req, struct response *res)
{
    static const char *const shown[] = {"id", "title", "status", NULL};
    struct pg_result row = {0};

    if (!look(req, res, &sql_token_counts, &row))
        return;

    cJSON *body = json_object(req->arena), *distribution, *timeline;
    int64_t issued = pg_get_i64(&row, 0, 2), used = pg_get_i64(&row, 0, 4);
    struct str hours = pg_get(&row, 0, 9);
    double average = 0;

    json_add_item(body, "election", pick(admin_column(req, &row, 1), shown));
    distribution = json_add_object(body, "token_distribution");
    json_add_i64(distribution, "total", issued);
    json_add_i64(distribution, "used", used);
    json_add_i64(distribution, "unused", pg_get_i64(&row, 0, 5));
    json_add_i64(distribution, "expired", pg_get_i64(&row, 0, 6));
    add_percent(req, distribution, "usage_rate", used, issued, "N/A");
    timeline = json_add_object(body, "token_timeline");
    json_add_str_or_null(timeline, "first_issued", pg_get(&row, 0, 7));
    json_add_str_or_null(timeline, "last_issued", pg_get(&row, 0, 8));
    json_add_str(timeline, "avg_expiration_hours",
                 str_parse_double(hours, &average) ? arena_printf(req->arena, "%.2f", average)
                                                   : STR("N/A"));
    respond_json(res, 200, body);
}

/* Shares are of voters, so that several choices of one voter never add up to more than they are
 * (V-A8). */
static void add_answers(const struct request *req, cJSON *results, const cJSON *totals,
                        int64_t voters)
{
    cJSON *answers = json_add_array(results, "answers");
    const cJSON *counted;

    cJSON_ArrayForEach(counted, totals)
    {
        cJSON *answer = json_add_object(answers, NULL);
        int64_t votes = 0;

        (void)json_i64(counted, "votes", &votes);
        json_add_str(answer, "text", json_str_value(json_get(counted, "text")));
        json_add_i64(answer, "votes", votes);
        if (votes == 0)
            json_add_text(answer, "percentage", "0%");
        else
            add_percent(req, answer, "percentage", votes, voters, "0%");
    }
}

void admin_election_results(const struct request *req, struct response *res)
{
    static const char *const shown[] = {"id", "title", "question", "status", NULL};
    struct pg_result row = {0};
    int64_t voters, issued = 0;

    if (!look(req, res, &sql_election_results, &row))
        return;
    if (!str_eq_text(pg_get(&row, 0, 0), "ok")) {
        respond_error(res, ERR_FORBIDDEN, "Results are available once voting has ended.");
        return;
    }

    cJSON *body = json_object(req->arena), *results;

    voters = pg_get_i64(&row, 0, 3);
    (void)json_i64(admin_column(req, &row, 5), "issued", &issued);
    json_add_item(body, "election", pick(admin_column(req, &row, 1), shown));
    results = json_add_object(body, "results");
    json_add_i64(results, "total_votes", pg_get_i64(&row, 0, 4));
    json_add_i64(results, "total_voters", voters);
    json_add_i64(results, "eligible_voters", issued);
    add_percent(req, results, "participation_rate", voters, issued, "0%");
    add_answers(req, results, admin_column(req, &row, 2), voters);
    respond_json(res, 200, body);
}

/* Who is no operator does not learn which paths there are (contract §1.4). */
void admin_unknown(const struct request *req, struct response *res)
{
    if (operator_is_allowed(req, res, OPERATOR_MANAGER, NULL))
        respond_error(res, ERR_NOT_FOUND, "There is nothing at this address.");
}
