/*
 * results_body.c - a count in the shape the portals read; see elections.h
 *
 * `percentage` is a share of the voters, so that in an election with several choices it says how
 * many people wanted an option; `percentage_of_selections` is the share of all choices made
 * (V-A8). Options nobody chose come last with 0. On a tie there is no winner (V-A9).
 */
#include "elections.h"

/* In percent, two decimals, halves up as in the database. */
static double share(int64_t part, int64_t whole)
{
    int64_t hundredths = whole > 0 ? (part * 20000 + whole) / (2 * whole) : 0;

    return (double)hundredths / 100.0;
}

/* One of the rows the database stored at closing. */
static void add_row(cJSON *to, const char *name, const cJSON *stored, int64_t selections,
                    const struct results_shape *shape)
{
    cJSON *row = json_add_object(to, name);
    const cJSON *percentage = json_get(stored, "percentage");
    int64_t votes = 0;

    (void)json_i64(stored, "votes", &votes);
    json_add_str(row, "answer_id", json_str_value(json_get(stored, "answer_id")));
    json_add_str(row, shape->text_name, json_str_value(json_get(stored, "text")));
    json_add_i64(row, "votes", votes);
    json_add_double(row, "percentage", cJSON_IsNumber(percentage) ? percentage->valuedouble : 0);
    json_add_double(row, "percentage_of_selections", share(votes, selections));
}

static void add_copy_of(cJSON *body, const cJSON *election, const char *const *names)
{
    for (; *names; names++)
        json_add_copy(body, *names, json_get(election, *names));
}

struct count {
    const cJSON *election, *totals, *winner, *tie, *counts; /* NULL where the database has none */
};

static const cJSON *read_json(const struct request *req, const struct pg_result *row, int column,
                              struct error *e)
{
    struct str text = pg_get(row, 0, column);

    return text.ptr ? json_parse(req->arena, text, e) : NULL;
}

static bool read_count(const struct request *req, const struct pg_result *row, struct count *ret,
                       struct error *e)
{
    *ret = (struct count){
        .election = read_json(req, row, 1, e),
        .totals = read_json(req, row, 2, e),
        .winner = read_json(req, row, 5, e),
        .tie = read_json(req, row, 6, e),
        .counts = read_json(req, row, 7, e),
    };
    return ret->election && ret->totals && e->code == ERR_NONE;
}

static void add_rows(cJSON *body, const char *name, const cJSON *stored, int64_t selections,
                     const struct results_shape *shape)
{
    cJSON *rows = json_add_array(body, name);
    const cJSON *row;

    cJSON_ArrayForEach(row, stored) add_row(rows, NULL, row, selections, shape);
}

void results_respond(const struct request *req, struct response *res, const struct pg_result *row,
                     const struct results_shape *shape)
{
    static const char *const head[] = {"title", "question", "status", "voting_type", NULL};
    static const char *const tail[] = {"answers", "closed_at", NULL};
    int64_t selections = pg_get_i64(row, 0, 4);
    struct count count;
    struct error e = {0};

    if (!read_count(req, row, &count, &e)) {
        respond_failure(res, &e);
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_copy(body, "election_id", json_get(count.election, "id"));
    add_copy_of(body, count.election, head);
    json_add_i64(body, "total_votes", selections);
    json_add_i64(body, "total_voters", pg_get_i64(row, 0, 3));
    add_rows(body, "results", count.totals, selections, shape);
    if (count.winner)
        add_row(body, "winner", count.winner, selections, shape);
    else
        json_add_null(body, "winner");
    if (count.tie)
        add_rows(body, "tie", count.tie, selections, shape);
    else
        json_add_null(body, "tie");
    if (shape->for_operators) {
        add_copy_of(body, count.election, tail);
        if (count.counts)
            json_add_copy(body, "counts", count.counts);
        json_add_str_or_null(body, "sealed", pg_get(row, 0, 8));
    }
    respond_json(res, 200, body);
}
