/* search.c - POST (callable) and GET: addresses for what was typed */
#include "search_addresses.h"

#include "base/fold.h"
#include "registry/query.h"
#include "registry/search.h"

struct question {
    struct str text;
    size_t limit;
    const char *error; /* NULL: fine */
};

/* Numbers as text and text as numbers are both understood; absent and null are empty. */
static bool read_text(const cJSON *data, const char *name, struct arena *a, struct str *ret)
{
    const cJSON *item = json_get(data, name);
    int64_t number;

    *ret = str_from("");
    if (!item || cJSON_IsNull(item))
        return true;
    if (cJSON_IsString(item)) {
        *ret = str_trim(json_str_value(item));
        return true;
    }
    if (!json_i64(data, name, &number))
        return false;
    *ret = arena_printf(a, "%lld", (long long)number);
    return true;
}

static bool read_count(const cJSON *data, struct arena *a, size_t *ret)
{
    const cJSON *item = json_get(data, "limit");
    struct str text;
    int64_t value;

    *ret = LIMIT_DEFAULT;
    if (!item || cJSON_IsNull(item))
        return true;
    if (!read_text(data, "limit", a, &text) || !str_parse_i64(text, 1, INT64_MAX, &value))
        return false;
    *ret = value < LIMIT_MAX ? (size_t)value : LIMIT_MAX;
    return true;
}

static struct question read_question(const struct request *req)
{
    const cJSON *data = req->body;
    struct question q = {.limit = LIMIT_DEFAULT};

    if (!cJSON_IsObject(data) && !cJSON_IsNull(data))
        q.error = "data must be an object";
    else if (!read_text(data, "query", req->arena, &q.text))
        q.error = "query must be a text";
    else if (!read_count(data, req->arena, &q.limit))
        q.error = "limit must be a whole number from 1";
    else if (q.text.len > QUERY_MAX_BYTES)
        q.error = "query is too long";
    return q;
}

/* Letters and digits that count, whatever their bytes. */
static bool is_long_enough(struct str text)
{
    size_t letters = 0;

    for (size_t i = 0; i < text.len && letters < QUERY_LETTERS_MIN; i++)
        letters += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return letters >= QUERY_LETTERS_MIN;
}

static void write_results(struct buf *out, const struct pack *p, struct arena *a,
                          const struct search_result *found, enum address_style style)
{
    struct address address;

    buf_add_text(out, "\"results\":[");
    for (size_t i = 0; i < found->count; i++) {
        address_read(p, found->doors[i], &address);
        if (i > 0)
            buf_add_char(out, ',');
        address_write(out, &address, style, -1);
    }
    buf_add_char(out, ']');
    if (found->count > 0)
        return;
    buf_add_text(out, ",\"suggestions\":[");
    for (size_t i = 0; i < found->suggestion_count; i++) {
        address_read(p, found->suggestions[i], &address);
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_json_string(out, address_display(a, &address));
    }
    buf_add_char(out, ']');
}

static void respond_body(struct response *res, struct buf *body)
{
    must(!body->overflow);
    respond_text(res, 200, "application/json; charset=utf-8", buf_str(body));
}

void call_search(const struct request *req, struct response *res)
{
    struct question q = read_question(req);
    struct search_result found = {.count = 0};
    char memory[BODY_MAX_BYTES];
    struct buf body;

    buf_init_fixed(&body, memory, sizeof memory); /* it is copied once, not grown five times */
    if (q.error) {
        registry_count(req, LOOKUP_INVALID);
        buf_printf(&body, "{\"result\":{\"results\":[],\"error\":\"%s\"}}", q.error);
    } else {
        struct registry_reader *r = registry_borrow(req);

        if (is_long_enough(q.text))
            search_doors(r, req->arena, q.text, q.limit, &found);
        registry_count(req, found.count > 0 ? LOOKUP_FOUND : LOOKUP_NOTHING);
        buf_add_text(&body, "{\"result\":{");
        write_results(&body, r->pack, req->arena, &found, ADDRESS_SEARCH);
        buf_add_text(&body, ",\"error\":null}}");
        registry_release(r);
    }
    respond_body(res, &body);
}

void get_search(const struct request *req, struct response *res)
{
    struct search_result found = {.count = 0};
    struct registry_reader *r;
    struct str text = {NULL, 0};
    char memory[BODY_MAX_BYTES];
    struct buf body;
    size_t limit;

    if (!read_limit(req, res, LIMIT_DEFAULT, &limit))
        return;
    if (!request_query(req, "q", &text) || text.len > QUERY_MAX_BYTES) {
        registry_count(req, LOOKUP_INVALID);
        respond_error(res, ERR_BAD_REQUEST, "q must be a text of at most 200 bytes");
        return;
    }
    r = registry_borrow(req);
    if (is_unchanged(req, res, r)) {
        registry_release(r);
        return;
    }
    buf_init_fixed(&body, memory, sizeof memory); /* it is copied once, not grown five times */
    if (is_long_enough(str_trim(text)))
        search_doors(r, req->arena, text, limit, &found);
    registry_count(req, found.count > 0 ? LOOKUP_FOUND : LOOKUP_NOTHING);
    buf_add_char(&body, '{');
    write_results(&body, r->pack, req->arena, &found, ADDRESS_PLAIN);
    buf_add_char(&body, '}');
    registry_release(r);
    respond_body(res, &body);
}
