/*
 * list_elections.c - GET /api/elections: what the caller may vote in, or could have
 *
 * Eligibility filters before paging, and `total` counts only what the caller may see (V-D11). The
 * caller is known by another value in each election, so who has voted where is a second call.
 */
#include "elections.h"

#define LIMIT_MAX 100

const struct pg_statement sql_list_member_elections = {
    .name = "list_member_elections",
    .sql = "select code, total, elections from elections.list_member_elections("
           "$1::uuid, $2::bool, $3::bool, $4::text, $5::int, $6::int)",
};
const struct pg_statement sql_voted_in = {
    .name = "voted_in",
    .sql = "select elections from elections.voted_in($1::uuid, $2::uuid[], $3::text[])",
};

static const struct refusal refusals[] = {
    {"bad_status", ERR_BAD_REQUEST,
     "The parameter status must be published, paused, closed or archived.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

/* Ids and slots as two array literals of PostgreSQL; neither holds a character that needs quotes.
 */
static void write_voters(const struct request *req, const cJSON *elections, struct buf *ids,
                         struct buf *slots)
{
    const cJSON *election;
    const char *separator = "{";

    cJSON_ArrayForEach(election, elections)
    {
        struct str id = json_str_value(json_get(election, "id"));
        unsigned char slot[SLOT_BYTES];
        char hex[SHA256_HEX_SIZE];

        caller_slot(req, id, slot);
        hex_encode(slot, sizeof slot, hex);
        buf_printf(ids, "%s%.*s", separator, STR_ARG(id));
        buf_printf(slots, "%s%s", separator, hex);
        separator = ",";
    }
    buf_add_char(ids, '}');
    buf_add_char(slots, '}');
}

static const cJSON *find_voted(const struct request *req, struct response *res,
                               const cJSON *elections)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct buf ids, slots;
    const cJSON *voted = NULL;

    buf_init(&ids, 64 * LIMIT_MAX);
    buf_init(&slots, 128 * LIMIT_MAX);
    write_voters(req, elections, &ids, &slots);
    must(!ids.overflow && !slots.overflow);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(buf_str(&ids)),
                                      PG_TEXT(buf_str(&slots))};

    if (pg_call(service_pool(req->state), &sql_voted_in, params, ARRAY_LEN(params), req->arena,
                req->deadline_ms, &row, &e))
        voted = json_parse(req->arena, pg_get(&row, 0, 0), &e);
    if (!voted)
        respond_failure(res, &e);
    buf_done(&ids);
    buf_done(&slots);
    return voted;
}

static bool is_among(const cJSON *ids, struct str id)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, ids)
    {
        if (str_eq(json_str_value(item), id))
            return true;
    }
    return false;
}

static void answer(const struct request *req, struct response *res, const cJSON *elections,
                   const cJSON *voted, struct page page, int64_t total)
{
    cJSON *body = json_object(req->arena);
    cJSON *list = json_add_array(body, "elections");
    const cJSON *election;

    cJSON_ArrayForEach(election, elections)
    {
        json_add_copy(list, NULL, election);
        json_add_bool(cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1), "has_voted",
                      is_among(voted, json_str_value(json_get(election, "id"))));
    }

    cJSON *pagination = json_add_object(body, "pagination");

    json_add_i64(pagination, "total", total);
    json_add_i64(pagination, "limit", page.limit);
    json_add_i64(pagination, "offset", page.offset);
    json_add_bool(pagination, "has_more", page.offset + cJSON_GetArraySize(elections) < total);
    respond_json(res, 200, body);
    respond_header(res, "Cache-Control", "private, no-cache");
}

void list_elections(const struct request *req, struct response *res)
{
    struct caller caller = caller_of(req);
    struct page page = page_read(req, LIMIT_MAX);
    struct pg_result row = {0};
    struct error e = {0};
    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      caller_is_member(&caller),
                                      caller_is_admin(&caller),
                                      PG_TEXT(page_status(req)),
                                      pg_param_i64(req->arena, page.limit),
                                      pg_param_i64(req->arena, page.offset)};

    if (!pg_call(service_pool(req->state), &sql_list_member_elections, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "ok")) {
        refuse_with(res, refusals, pg_get(&row, 0, 0));
        return;
    }
    if (!page_fits(res, pg_get(&row, 0, 2)))
        return;

    const cJSON *elections = json_parse(req->arena, pg_get(&row, 0, 2), &e);
    const cJSON *voted;

    if (!elections) {
        respond_failure(res, &e);
        return;
    }
    voted = elections->child ? find_voted(req, res, elections) : elections;
    if (voted)
        answer(req, res, elections, voted, page, pg_get_i64(&row, 0, 1));
}
