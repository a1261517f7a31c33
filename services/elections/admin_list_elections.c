/* admin_list_elections.c - GET /api/admin/elections: all elections, with how many have voted */
#include "elections.h"

#define LIMIT_MAX        200
#define SEARCH_MAX_BYTES 400

const struct pg_statement sql_list_elections = {
    .name = "list_elections",
    .sql = "select code, total, elections, jsonb_array_length(elections) from "
           "elections.list_elections($1::uuid, $2::text, $3::bool, $4::text, $5::int, $6::int)",
};

static const struct refusal refusals[] = {
    {"bad_status", ERR_BAD_REQUEST,
     "The parameter status must be draft, published, paused, closed or archived.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

static struct str answer_body(const struct request *req, const struct pg_result *row,
                              struct page page)
{
    int64_t total = pg_get_i64(row, 0, 1);
    bool has_more = page.offset + pg_get_i64(row, 0, 3) < total;

    return arena_printf(req->arena,
                        "{\"elections\":%.*s,\"pagination\":{\"total\":%lld,\"limit\":%lld,"
                        "\"offset\":%lld,\"hasMore\":%s}}",
                        STR_ARG(pg_get(row, 0, 2)), (long long)total, (long long)page.limit,
                        (long long)page.offset, has_more ? "true" : "false");
}

void admin_list_elections(const struct request *req, struct response *res)
{
    struct page page = page_read(req, LIMIT_MAX);
    struct str hidden = {NULL, 0}, search = {NULL, 0};
    struct pg_result row = {0};
    struct error e = {0};

    if (!operator_may(req, res, OPERATOR_MANAGER, NULL))
        return;
    /* Hidden ones only for exactly this value, no wider than asked (V-D13). */
    (void)request_query(req, "includeHidden", &hidden);
    if (request_query(req, "search", &search) && search.len > SEARCH_MAX_BYTES) {
        respond_error(res, ERR_BAD_REQUEST, "The parameter search is too long.");
        return;
    }

    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      PG_TEXT(page_status(req)),
                                      pg_param_bool(str_eq_text(hidden, "true")),
                                      PG_TEXT(search),
                                      pg_param_i64(req->arena, page.limit),
                                      pg_param_i64(req->arena, page.offset)};

    if (!pg_call(service_pool(req->state), &sql_list_elections, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok"))
        refuse_with(res, refusals, pg_get(&row, 0, 0));
    else if (page_fits(res, pg_get(&row, 0, 2).len))
        respond_text(res, 200, "application/json; charset=utf-8", answer_body(req, &row, page));
}
