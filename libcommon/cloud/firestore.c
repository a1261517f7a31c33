#include "cloud/firestore.h"

#include "cloud/firestore_private.h"

#define GET_ALL_MAX 300
/* Google's emulator refuses messages above 4 MiB. */
#define EMULATOR_REQUEST_MAX_BYTES (3500U << 10)
#define URL_MAX_BYTES              8192

/* ---- Life ---- */

static char *take_text(struct buf *b)
{
    must(!b->overflow);
    return buf_take(b, NULL);
}

struct firestore *firestore_new(const struct firestore_config *config)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-:.";
    must(str_only(str_from(config->project_id), allowed));
    must(strcmp(config->database, "(default)") == 0 ||
         str_only(str_from(config->database), allowed));
    struct firestore *fs = calloc(1, sizeof(*fs));
    struct buf b;
    must(fs);
    fs->api = (struct google_api){.client = config->client, .tokens = config->tokens};
    bool emulator = config->emulator_host && config->emulator_host[0] != '\0';
    fs->request_max_bytes = emulator ? EMULATOR_REQUEST_MAX_BYTES : FS_COMMIT_MAX_BYTES;

    buf_init(&b, URL_MAX_BYTES);
    buf_printf(&b, "projects/%s/databases/%s/documents", config->project_id, config->database);
    fs->root_name = take_text(&b);
    char *base = google_base_url("firestore.googleapis.com", config->emulator_host, false);
    buf_init(&b, URL_MAX_BYTES);
    buf_printf(&b, "%sv1/%s", base, fs->root_name);
    fs->root_url = take_text(&b);
    free(base);
    return fs;
}

void firestore_free(struct firestore *fs)
{
    if (!fs)
        return;
    free(fs->root_name);
    free(fs->root_url);
    free(fs);
}

/* ---- One request ---- */

void fs_body_init(const struct firestore *fs, struct buf *b)
{
    buf_init(b, fs->request_max_bytes);
}

/* NULL when the parent's name is too long for a URL. */
static struct str url_of(const struct firestore *fs, const struct fs_call *call, struct arena *a)
{
    struct buf b;
    struct str url = {NULL, 0};
    buf_init(&b, URL_MAX_BYTES);
    buf_add_text(&b, fs->root_url);
    if (call->parent.len > 0)
        fs_path_add_url(call->parent, &b);
    buf_add_text(&b, call->verb);
    if (!b.overflow)
        url = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return url;
}

bool fs_run(struct firestore *fs, const struct fs_call *call, struct arena *a,
            struct google_answer *ret, struct error *e)
{
    *ret = (struct google_answer){.code = RPC_INVALID_ARGUMENT};
    if (call->body->overflow) {
        buf_done(call->body);
        return error_set(e, ERR_TOO_LARGE, "%s: more than %zu bytes", call->what,
                         fs->request_max_bytes);
    }
    struct str url = url_of(fs, call, a);
    if (!url.ptr) {
        buf_done(call->body);
        return error_set(e, ERR_BAD_REQUEST, "%s: name too long", call->what);
    }
    const struct google_call google = {
        .what = call->what,
        .url = url,
        .body = buf_str(call->body),
        .repeatable = call->repeatable,
        .in_transaction = call->in_transaction,
        .deadline_ms = call->deadline_ms,
    };
    bool ok = google_call(&fs->api, &google, a, ret, e);
    buf_done(call->body);
    return ok;
}

bool fs_unreadable(const struct fs_call *call, struct error *e)
{
    return error_set(e, ERR_BAD_GATEWAY, "%s: answer in an unknown shape", call->what);
}

bool fs_document_read(const struct firestore *fs, const cJSON *document, struct fs_document *ret)
{
    static const cJSON no_fields = {.type = cJSON_Object};
    struct str name;
    const cJSON *fields = json_get(document, "fields");
    *ret = (struct fs_document){.exists = true, .fields = fields ? fields : &no_fields};
    if (!json_str(document, "name", &name) || !fs_path_of_name(fs, name, &ret->path) ||
        !json_str(document, "createTime", &ret->create_time) ||
        !json_str(document, "updateTime", &ret->update_time) || !cJSON_IsObject(ret->fields))
        return false;
    ret->id = ret->path;
    size_t slash;
    while ((slash = str_find_char(ret->id, '/')) < ret->id.len)
        ret->id = str_skip(ret->id, slash + 1);
    return true;
}

/* ---- Reading documents ---- */

/* Never GET: inside a transaction the emulator does not answer it, and a 404 of whoever else may
 * stand in between would read as "no such document". */
static void batch_get_body(const struct firestore *fs, const struct str *paths, size_t count,
                           const struct fs_transaction *tx, struct buf *b)
{
    fs_body_init(fs, b);
    buf_add(b, STR("{\"documents\":["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(b, ',');
        fs_name_add(fs, paths[i], b);
    }
    buf_add_char(b, ']');
    fs_transaction_add(tx, b);
    buf_add_char(b, '}');
}

/* The answer comes in any order, and names a document once that was asked for twice. */
static void place(const struct str *paths, size_t count, const struct fs_document *document,
                  bool *seen, struct fs_document *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(paths[i], document->path)) {
            ret[i] = *document;
            seen[i] = true;
        }
    }
}

static bool read_found(const struct firestore *fs, const cJSON *element, struct fs_document *ret)
{
    struct str name;
    const cJSON *found = json_get(element, "found");
    if (found)
        return fs_document_read(fs, found, ret);
    *ret = (struct fs_document){.exists = false};
    return json_str(element, "missing", &name) && fs_path_of_name(fs, name, &ret->path);
}

static bool read_batch(const struct firestore *fs, const cJSON *answer, const struct str *paths,
                       size_t count, struct arena *a, struct fs_document *ret)
{
    bool *seen = arena_alloc_array(a, count, sizeof(*seen));
    const cJSON *element = NULL;
    if (!cJSON_IsArray(answer))
        return false;
    cJSON_ArrayForEach(element, answer)
    {
        struct fs_document document;
        if (!json_get(element, "found") && !json_get(element, "missing"))
            continue; /* only says when it was read */
        if (!read_found(fs, element, &document))
            return false;
        place(paths, count, &document, seen, ret);
    }
    for (size_t i = 0; i < count; i++) {
        if (!seen[i])
            return false;
    }
    return true;
}

bool firestore_get_all(struct firestore *fs, const struct str *paths, size_t count,
                       const struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                       struct fs_document *ret, struct error *e)
{
    struct buf body;
    struct google_answer answer;
    must(count <= GET_ALL_MAX);
    if (count == 0)
        return true;
    batch_get_body(fs, paths, count, tx, &body);
    const struct fs_call call = {
        .what = "firestore get",
        .verb = ":batchGet",
        .body = &body,
        .repeatable = true,
        .in_transaction = tx != NULL,
        .deadline_ms = deadline_ms,
    };
    if (!fs_run(fs, &call, a, &answer, e))
        return false;
    return read_batch(fs, answer.json, paths, count, a, ret) || fs_unreadable(&call, e);
}

bool firestore_get(struct firestore *fs, struct str path, const struct fs_transaction *tx,
                   struct arena *a, int64_t deadline_ms, struct fs_document *ret, struct error *e)
{
    return firestore_get_all(fs, &path, 1, tx, a, deadline_ms, ret, e);
}
