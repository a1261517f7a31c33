/*
 * faults.c - the local cloud fails when it is told to
 *
 * A rule hits requests whose path starts with its prefix, `count` times; it may delay the real
 * answer, cut it short, or put an error in its place. The first rule that matches is the one.
 * Thread-safe.
 */
#include "faults.h"
#include "google.h"

#include <pthread.h>

#define RULES_MAX     64
#define PREFIX_BYTES  512
#define DELAY_MAX_MS  60000
#define COUNT_FOREVER (-1)

struct rule {
    char method[8]; /* "": any */
    char prefix[PREFIX_BYTES];
    enum gstatus status;
    int http; /* 0: no error */
    bool cut, after;
    int64_t delay_ms, retry_after_s;
    int64_t left; /* COUNT_FOREVER */
    int64_t hits;
};

struct faults {
    pthread_mutex_t lock;
    struct rule rules[RULES_MAX];
    size_t count;
};

struct faults *faults_new(void)
{
    struct faults *f = calloc(1, sizeof *f);

    must(f);
    must(pthread_mutex_init(&f->lock, NULL) == 0);
    return f;
}

void faults_free(struct faults *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* --- hitting --- */

static bool take_rule(struct faults *f, const struct request *req, struct rule *ret)
{
    struct str method = str_from(http_method_name(req->http->method));
    bool found = false;

    must(pthread_mutex_lock(&f->lock) == 0);
    for (size_t i = 0; !found && i < f->count; i++) {
        struct rule *rule = &f->rules[i];

        if (rule->left == 0 || !str_starts_with(req->http->path, str_from(rule->prefix)) ||
            (rule->method[0] && !str_eq_text(method, rule->method)))
            continue;
        if (rule->left > 0)
            rule->left--;
        rule->hits++;
        *ret = *rule;
        found = true;
    }
    must(pthread_mutex_unlock(&f->lock) == 0);
    return found;
}

static void wait_ms(int64_t ms)
{
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&rest, &rest) != 0)
        continue;
}

/* Half of what was promised is missing; the connection ends. */
static void cut_short(struct response *res)
{
    res->http->body.len /= 2;
    res->http->close = true;
}

static void answer_error(const struct rule *rule, struct response *res)
{
    struct refusal r;

    refuse(&r, rule->status, "as asked for by /_faults");
    reply_refusal(res, &r);
    res->http->status = rule->http;
    if (rule->retry_after_s >= 0)
        respond_retry_after(res, (unsigned)rule->retry_after_s);
}

void faults_around(const struct request *req, struct response *res, handler *played)
{
    struct cloud *cloud = req->own;
    struct rule rule;

    if (!take_rule(cloud->faults, req, &rule)) {
        played(req, res);
        return;
    }
    wait_ms(rule.delay_ms);
    /* "after": the work is done and the answer lost, which a client cannot tell from the rest. */
    if (rule.http == 0 || rule.after)
        played(req, res);
    if (rule.http != 0)
        answer_error(&rule, res);
    if (rule.cut)
        cut_short(res);
}

/* --- being told --- */

/* The code that Google sends with a status, the usual one where there are several. */
static enum gstatus status_of_http(int64_t http)
{
    static const struct {
        int http;
        enum gstatus status;
    } usual[] = {
        {400, GSTATUS_INVALID_ARGUMENT},  {401, GSTATUS_UNAUTHENTICATED},
        {403, GSTATUS_PERMISSION_DENIED}, {404, GSTATUS_NOT_FOUND},
        {409, GSTATUS_ABORTED},           {429, GSTATUS_RESOURCE_EXHAUSTED},
        {501, GSTATUS_UNIMPLEMENTED},     {503, GSTATUS_UNAVAILABLE},
        {504, GSTATUS_DEADLINE_EXCEEDED},
    };

    for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
        if (usual[i].http == http)
            return usual[i].status;
    }
    return GSTATUS_INTERNAL;
}

static const char *read_error(const cJSON *json, struct rule *rule)
{
    struct str code = {NULL, 0};
    int64_t http = 0;

    (void)json_i64(json, "status", &http);
    if (http != 0 && (http < 400 || http > 599))
        return "status must be one of 400 to 599";
    rule->status = status_of_http(http);
    rule->http = (int)http;
    if (!json_str(json, "code", &code))
        return NULL;
    if (!gstatus_parse(code, &rule->status) || rule->status == GSTATUS_OK)
        return "code must be one of google.rpc.Code, and not OK";
    if (http == 0)
        rule->http = gstatus_http(rule->status);
    return NULL;
}

static const char *read_rule(const cJSON *json, struct rule *rule)
{
    static const char *const known[] = {"path_prefix", "method", "status", "code",        "count",
                                        "delay_ms",    "cut",    "after",  "retry_after", NULL};
    struct str prefix, method = {NULL, 0};
    const char *fault;

    *rule = (struct rule){.left = 1, .retry_after_s = -1};
    if (json_unknown_member(json, known))
        return "the rule has a member that is not known";
    if (!json_str(json, "path_prefix", &prefix) || !str_starts_with(prefix, STR("/")) ||
        !str_copy(prefix, rule->prefix, sizeof rule->prefix))
        return "path_prefix must be a path";
    (void)json_str(json, "method", &method);
    if (!str_copy(method, rule->method, sizeof rule->method))
        return "method is none";
    fault = read_error(json, rule);
    if (fault)
        return fault;
    (void)json_bool(json, "cut", &rule->cut);
    (void)json_bool(json, "after", &rule->after);
    (void)json_i64(json, "count", &rule->left);
    (void)json_i64(json, "delay_ms", &rule->delay_ms);
    (void)json_i64(json, "retry_after", &rule->retry_after_s);
    if (rule->left < COUNT_FOREVER || rule->left == 0)
        return "count must be positive, or -1 for ever";
    if (rule->delay_ms < 0 || rule->delay_ms > DELAY_MAX_MS || rule->retry_after_s > 3600)
        return "delay_ms or retry_after is out of range";
    return NULL;
}

void add_fault(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    struct faults *f = cloud->faults;
    struct rule rule;
    const char *fault = read_rule(req->body, &rule);
    bool full = false;

    if (fault) {
        respond_error(res, ERR_BAD_REQUEST, fault);
        return;
    }
    must(pthread_mutex_lock(&f->lock) == 0);
    full = f->count == RULES_MAX;
    if (!full)
        f->rules[f->count++] = rule;
    must(pthread_mutex_unlock(&f->lock) == 0);
    if (full)
        respond_error(res, ERR_BAD_REQUEST, "64 rules are enough; delete them first");
    else
        respond_json(res, 201, json_object(req->arena));
}

void list_faults(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *reply = json_object(req->arena), *list = json_add_array(reply, "faults");

    must(pthread_mutex_lock(&cloud->faults->lock) == 0);
    for (size_t i = 0; i < cloud->faults->count; i++) {
        const struct rule *rule = &cloud->faults->rules[i];
        cJSON *item = json_add_object(list, NULL);

        json_add_text(item, "path_prefix", rule->prefix);
        json_add_i64(item, "status", rule->http);
        json_add_i64(item, "left", rule->left);
        json_add_i64(item, "hits", rule->hits);
    }
    must(pthread_mutex_unlock(&cloud->faults->lock) == 0);
    respond_json(res, 200, reply);
}

void delete_faults(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;

    must(pthread_mutex_lock(&cloud->faults->lock) == 0);
    cloud->faults->count = 0;
    must(pthread_mutex_unlock(&cloud->faults->lock) == 0);
    respond_json(res, 200, json_object(req->arena));
}
