/*
 * firestore.c - which operation a Firestore request means
 *
 * GET, PATCH and DELETE name a document or collection; POST names one too, or a verb behind ':'.
 * Source: firebase.google.com/docs/firestore/reference/rest; transcoding as Google's emulator does.
 */
#include "change_events.h"
#include "documents.h"

#define CALL_MEMORY_MAX_BYTES (256U << 20)

struct verb {
    const char *name;
    operation *run;
    bool needs_empty_path; /* of the database, not of a document in it */
};

static const struct verb verbs[] = {
    {"batchGet", batch_get, true},
    {"commit", commit_writes, true},
    {"batchWrite", batch_write, true},
    {"beginTransaction", begin_transaction, true},
    {"rollback", roll_back, true},
    {"runQuery", run_query, false},
    {"runAggregationQuery", run_aggregation_query, false},
    {"listCollectionIds", list_collection_ids, false},
};

bool call_param(const struct call *c, const char *name, struct str *ret)
{
    for (size_t i = 0; i < c->param_count; i++) {
        if (str_eq_text(c->params[i].name, name)) {
            *ret = c->params[i].value;
            return true;
        }
    }
    return false;
}

/* Everything behind "/v1/projects/P/databases/D/", as sent: an escaped ':' is no verb. */
static struct str resource_of(const struct request *req)
{
    struct str rest = req->http->path, part;

    for (int i = 0; i < 6; i++)
        (void)str_split(&rest, '/', &part);
    return rest;
}

static const struct verb *take_verb(struct str *resource)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        struct str name = str_from(verbs[i].name);

        if (str_ends_with(*resource, name) && resource->len > name.len &&
            resource->ptr[resource->len - name.len - 1] == ':') {
            *resource = str_take(*resource, resource->len - name.len - 1);
            return &verbs[i];
        }
    }
    return NULL;
}

/* "documents/members/1" → "members/1", each part decoded. False when it is nothing of the kind. */
static bool read_path(struct call *c, struct str resource)
{
    struct str part, decoded;
    struct buf path;
    bool good = str_split(&resource, '/', &part) && str_eq(part, STR("documents"));

    buf_init(&path, HTTP_TARGET_MAX_BYTES);
    while (good && str_split(&resource, '/', &part)) {
        good = http_url_decode(c->a, part, false, &decoded);
        if (path.len > 0)
            buf_add_char(&path, '/');
        buf_add(&path, decoded);
    }
    c->path = arena_dup(c->a, buf_str(&path));
    buf_done(&path);
    return good;
}

static bool is_collection(const struct call *c)
{
    size_t slashes = 0;

    for (size_t i = 0; i < c->path.len; i++)
        slashes += c->path.ptr[i] == '/';
    return slashes % 2 == 0;
}

static operation *operation_of(struct call *c, struct str resource)
{
    const struct verb *verb = c->req->http->method == HTTP_POST ? take_verb(&resource) : NULL;

    if (!read_path(c, resource))
        return NULL;
    if (verb)
        return verb->needs_empty_path && c->path.len > 0 ? NULL : verb->run;
    if (c->path.len == 0)
        return NULL;
    switch (c->req->http->method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return is_collection(c) ? list_documents : get_document;
    case HTTP_POST:
        return create_document;
    case HTTP_PATCH:
        return patch_document;
    case HTTP_DELETE:
        return delete_document;
    case HTTP_PUT:
    case HTTP_OPTIONS:
    case HTTP_OTHER:
        return NULL;
    }
    return NULL;
}

/*
 * Google's clients bound a scan by a name that ends in NUL, which our strict reader refuses;
 * nothing stored lies between that and the next character. In writes NUL stays refused.
 */
static const cJSON *read_body(struct call *c)
{
    static const struct str nul = {"\\u0000", 6};
    struct http_request changed = *c->req->http;
    struct request req = *c->req;

    req.http = &changed;
    if (str_ends_with(c->req->http->path, STR("Query")) && str_contains(changed.body, nul)) {
        char *text = arena_alloc(c->a, changed.body.len + 1);

        memcpy(text, changed.body.ptr, changed.body.len);
        for (size_t i = 0; i + nul.len <= changed.body.len; i++) {
            if (memcmp(text + i, nul.ptr, nul.len) == 0)
                text[i + nul.len - 1] = '1';
        }
        changed.body = str_n(text, changed.body.len);
    }
    return body_object(&req, &c->refusal);
}

static bool read_call(struct call *c)
{
    if (!caller_is_allowed(c->req, &c->refusal))
        return false;
    if (!http_query_parse(c->a, c->req->http->query, c->params, &c->param_count))
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "the query string is malformed");
    c->body = read_body(c);
    return c->body != NULL;
}

static void run(struct call *c, operation *wanted, struct response *res)
{
    const cJSON *reply;
    bool good;

    store_begin(c->store);
    c->now_us = store_now_us(c->store);
    reply = wanted(c);
    good = store_end(c->store, reply != NULL);
    if (good && reply)
        change_events_send(c);
    else
        change_events_drop(c);
    if (!good)
        refuse(&c->refusal, GSTATUS_INTERNAL, "the local database failed");
    if (good && reply)
        reply_json(res, reply);
    else
        reply_refusal(res, &c->refusal);
}

void firestore(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    operation *wanted = NULL;
    struct call c = {
        .req = req,
        .a = arena_new(CALL_MEMORY_MAX_BYTES),
        .store = cloud->store,
        .transactions = cloud->transactions,
        .events = cloud->events,
    };

    c.database = arena_printf(c.a, "projects/%.*s/databases/%.*s", STR_ARG(req->params[0]),
                              STR_ARG(req->params[1]));
    if (read_call(&c)) {
        wanted = operation_of(&c, resource_of(req));
        if (!wanted)
            refuse(&c.refusal, GSTATUS_NOT_FOUND, "there is no such method");
    }
    if (wanted)
        run(&c, wanted, res);
    else
        reply_refusal(res, &c.refusal);
    arena_free(c.a);
}

void reset_documents(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    struct str database = arena_printf(req->arena, "projects/%.*s/databases/%.*s",
                                       STR_ARG(req->params[0]), STR_ARG(req->params[1]));
    sqlite3_stmt *all;

    store_begin(cloud->store);
    all = store_statement(cloud->store, "delete from documents where database = ?1");
    store_bind_str(all, 1, database);
    store_run(cloud->store, all);
    transactions_forget(cloud->transactions, database);
    (void)store_end(cloud->store, true);
    reply_json(res, json_object(req->arena));
}
