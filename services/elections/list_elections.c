/*
 * list_elections.c - GET /api/elections: what the caller may vote in, or could have
 *
 * Eligibility filters before paging, and `total` counts only what the caller may see (V-D11). The
 * caller is known by another value in each election, so who has voted where is a second call.
 */
#include "elections.h"

#define LIMIT_MAX 100

/* One row for each election, so that their texts are passed on and never parsed: a hall refreshes
 * this list all the time. */
const struct pg_statement sql_list_member_elections = {
    .name = "list_member_elections",
    .sql = "select l.code, l.total, e.value->>'id', e.value from elections.list_member_elections("
           "$1::uuid, $2::bool, $3::bool, $4::text, $5::int, $6::int) l left join lateral "
           "jsonb_array_elements(l.elections) with ordinality e on true order by e.ordinality",
};
const struct pg_statement sql_voted_in = {
    .name = "voted_in",
    .sql = "select jsonb_array_elements_text(elections) from elections.voted_in($1::uuid, "
           "$2::uuid[], $3::text[])",
};

enum { CODE, TOTAL, ID, ELECTION };

static const struct refusal refusals[] = {
    {"bad_status", ERR_BAD_REQUEST,
     "The parameter status must be published, paused, closed or archived.", NULL},
    {NULL, ERR_NONE, NULL, NULL},
};

/* An empty page still is one row, which tells the total. */
static int count_of(const struct pg_result *listed)
{
    return pg_get(listed, 0, ID).len == 0 ? 0 : listed->rows;
}

/* Ids and slots as two array literals of PostgreSQL; neither holds a character that needs quotes.
 */
static void write_voters(const struct request *req, const struct pg_result *listed, struct buf *ids,
                         struct buf *slots)
{
    for (int i = 0; i < count_of(listed); i++) {
        struct str id = pg_get(listed, i, ID);
        unsigned char slot[SLOT_BYTES];
        char hex[SHA256_HEX_SIZE];

        caller_slot(req, id, slot);
        hex_encode(slot, sizeof slot, hex);
        buf_add_char(ids, i > 0 ? ',' : '{');
        buf_add(ids, id);
        buf_add_char(slots, i > 0 ? ',' : '{');
        buf_add_text(slots, hex);
    }
    buf_add_char(ids, '}');
    buf_add_char(slots, '}');
}

static bool find_voted(const struct request *req, struct response *res,
                       const struct pg_result *listed, struct pg_result *ret_voted)
{
    struct error e = {0};
    struct buf ids, slots;
    bool ok;

    buf_init(&ids, 64 * LIMIT_MAX);
    buf_init(&slots, 128 * LIMIT_MAX);
    write_voters(req, listed, &ids, &slots);
    must(!ids.overflow && !slots.overflow);

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(buf_str(&ids)),
                                      PG_TEXT(buf_str(&slots))};

    ok = pg_call(service_pool(req->state), &sql_voted_in, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, ret_voted, &e);
    if (!ok)
        respond_failure(res, &e);
    buf_done(&ids);
    buf_done(&slots);
    return ok;
}

static bool is_among(const struct pg_result *ids, struct str id)
{
    for (int i = 0; i < ids->rows; i++) {
        if (str_eq(pg_get(ids, i, 0), id))
            return true;
    }
    return false;
}

static void answer(struct response *res, const struct pg_result *listed,
                   const struct pg_result *voted, struct page page)
{
    int count = count_of(listed);
    int64_t total = pg_get_i64(listed, 0, TOTAL);
    struct buf body;

    buf_init(&body, LIST_MAX_BYTES + (1U << 16));
    buf_add(&body, STR("{\"elections\":["));
    for (int i = 0; i < count; i++) {
        struct str election = pg_get(listed, i, ELECTION);

        must(str_ends_with(election, STR("}")));
        if (i > 0)
            buf_add_char(&body, ',');
        buf_add(&body, str_take(election, election.len - 1));
        buf_add(&body, is_among(voted, pg_get(listed, i, ID)) ? STR(",\"has_voted\":true}")
                                                              : STR(",\"has_voted\":false}"));
    }
    buf_printf(&body,
               "],\"pagination\":{\"total\":%lld,\"limit\":%lld,\"offset\":%lld,\"has_more\":%s}}",
               (long long)total, (long long)page.limit, (long long)page.offset,
               page.offset + count < total ? "true" : "false");
    must(!body.overflow);
    respond_text(res, 200, "application/json; charset=utf-8", buf_str(&body));
    respond_header(res, "Cache-Control", "private, no-cache");
    buf_done(&body);
}

static size_t size_of(const struct pg_result *listed)
{
    size_t size = 0;

    for (int i = 0; i < count_of(listed); i++)
        size += pg_get(listed, i, ELECTION).len;
    return size;
}

void list_elections(const struct request *req, struct response *res)
{
    struct caller caller = caller_of(req);
    struct page page = page_read(req, LIMIT_MAX);
    struct pg_result listed = {0}, voted = {0};
    struct error e = {0};
    const struct pg_param params[] = {PG_TEXT(req->org_id),
                                      caller_is_member(&caller),
                                      caller_is_admin(&caller),
                                      PG_TEXT(page_status(req)),
                                      pg_param_i64(req->arena, page.limit),
                                      pg_param_i64(req->arena, page.offset)};

    if (!pg_call(service_pool(req->state), &sql_list_member_elections, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &listed, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&listed, 0, CODE), "ok")) {
        refuse_with(res, refusals, pg_get(&listed, 0, CODE));
        return;
    }
    if (page_fits(res, size_of(&listed)) &&
        (count_of(&listed) == 0 || find_voted(req, res, &listed, &voted)))
        answer(res, &listed, &voted, page);
}
