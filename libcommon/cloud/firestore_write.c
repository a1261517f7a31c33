#include "base/clock.h"
#include "cloud/firestore_private.h"
#include "net/backoff.h"

#define ROUNDS_MAX      5
#define BACKOFF_BASE_MS 100
#define BACKOFF_CAP_MS  2000

/* ---- A write as JSON ---- */

bool fs_write_is_repeatable(const struct fs_write *write)
{
    /* Not FS_MUST_EXIST: after the first time the document still exists. */
    return !write->increment || write->precondition == FS_MUST_NOT_EXIST ||
           write->precondition == FS_UPDATE_TIME;
}

static void mask_add(const struct fs_write *write, struct buf *b)
{
    buf_add(b, STR(",\"updateMask\":{\"fieldPaths\":["));
    if (!write->mask)
        fs_leaves_add_json(write->fields, b);
    for (size_t i = 0; write->mask && i < write->mask_count; i++) {
        if (i > 0)
            buf_add_char(b, ',');
        fs_field_path_add_json(write->mask[i], b);
    }
    buf_add(b, STR("]}"));
}

static void transforms_add(const struct fs_write *write, struct buf *b)
{
    const char *comma = "";
    buf_add(b, STR(",\"updateTransforms\":["));
    for (size_t i = 0; i < ARRAY_LEN(write->server_times) && write->server_times[i]; i++) {
        buf_printf(b, "%s{\"setToServerValue\":\"REQUEST_TIME\",\"fieldPath\":", comma);
        fs_field_path_add_json(str_from(write->server_times[i]), b);
        buf_add_char(b, '}');
        comma = ",";
    }
    if (write->increment) {
        buf_printf(b, "%s{\"increment\":{\"integerValue\":\"%lld\"},\"fieldPath\":", comma,
                   (long long)write->increment_by);
        fs_field_path_add_json(str_from(write->increment), b);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void precondition_add(const struct fs_write *write, struct buf *b)
{
    switch (write->precondition) {
    case FS_MUST_EXIST:
        buf_add(b, STR(",\"currentDocument\":{\"exists\":true}"));
        break;
    case FS_MUST_NOT_EXIST:
        buf_add(b, STR(",\"currentDocument\":{\"exists\":false}"));
        break;
    case FS_UPDATE_TIME:
        must(write->update_time.len > 0);
        buf_add(b, STR(",\"currentDocument\":{\"updateTime\":"));
        buf_add_json_string(b, write->update_time);
        buf_add_char(b, '}');
        break;
    case FS_ANY:
    default:
        break;
    }
}

void fs_write_add(const struct firestore *fs, const struct fs_write *write, struct buf *b)
{
    bool transforms = write->server_times[0] || write->increment;
    if (write->kind == FS_DELETE) {
        must(!transforms && !write->fields && !write->mask);
        buf_add(b, STR("{\"delete\":"));
        fs_name_add(fs, write->path, b);
    } else {
        must(write->kind == FS_MERGE || !write->mask);
        buf_add(b, STR("{\"update\":{\"name\":"));
        fs_name_add(fs, write->path, b);
        if (write->fields) {
            buf_add(b, STR(",\"fields\":"));
            json_write(b, write->fields);
        }
        buf_add_char(b, '}');
        if (write->kind == FS_MERGE)
            mask_add(write, b);
        if (transforms)
            transforms_add(write, b);
    }
    precondition_add(write, b);
    buf_add_char(b, '}');
}

/* ---- Commit ---- */

static void read_update_times(const cJSON *answer, size_t count, struct str *ret)
{
    const cJSON *result = cJSON_GetArrayItem(json_get(answer, "writeResults"), 0);
    for (size_t i = 0; i < count; i++) {
        ret[i] = STR("");
        (void)json_str(result, "updateTime", &ret[i]); /* a delete has none */
        result = result ? result->next : NULL;
    }
}

static bool run_commit(struct firestore *fs, struct buf *body, struct fs_transaction *tx,
                       bool repeatable, struct arena *a, int64_t deadline_ms,
                       struct google_answer *answer, struct error *e)
{
    const struct fs_call call = {
        .what = "firestore commit",
        .verb = ":commit",
        .body = body,
        /* A transaction commits once: the second time it is closed. */
        .repeatable = repeatable || tx,
        .in_transaction = tx != NULL,
        .deadline_ms = deadline_ms,
    };
    bool ok = fs_run(fs, &call, a, answer, e);
    if (!tx)
        return ok;
    tx->ended = true;
    tx->committed = ok;
    tx->unsure = !ok && answer->unsure;
    /* After an attempt that may have been carried out, the refusal of a repeat proves nothing. */
    if (tx->unsure && rpc_fate(answer->code) != RPC_NOBODY_KNOWS)
        return error_set(e, ERR_UNAVAILABLE, "firestore commit: outcome unknown");
    return ok;
}

bool firestore_commit(struct firestore *fs, const struct fs_write *writes, size_t count,
                      struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                      struct str *ret_update_times, struct error *e)
{
    struct buf body;
    struct google_answer answer;
    bool repeatable = true;
    must(!tx || !tx->ended);
    must(count + (tx ? tx->write_count : 0) <= FS_WRITES_MAX);
    fs_body_init(fs, &body);
    buf_add(&body, STR("{\"writes\":["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(&body, ',');
        fs_write_add(fs, &writes[i], &body);
        repeatable = repeatable && fs_write_is_repeatable(&writes[i]);
    }
    if (tx && tx->write_count > 0) {
        if (count > 0)
            buf_add_char(&body, ',');
        buf_add(&body, buf_str(&tx->writes));
        body.overflow = body.overflow || tx->writes.overflow;
    }
    buf_add_char(&body, ']');
    fs_transaction_add(tx, &body);
    buf_add_char(&body, '}');
    if (!run_commit(fs, &body, tx, repeatable, a, deadline_ms, &answer, e))
        return false;
    if (ret_update_times)
        read_update_times(answer.json, count, ret_update_times);
    return true;
}

/* ---- Batch ---- */

struct batch {
    struct firestore *fs;
    const struct fs_write *writes;
    size_t count;
    enum error_code *errors; /* of the caller */
    bool *pending;
    struct arena *arena;
    int64_t deadline_ms;
    bool heard; /* something was said about some write */
    struct error last_error;
    /* The request being filled. */
    struct buf body;
    size_t chunk[FS_WRITES_MAX]; /* which writes it holds */
    size_t chunk_count;
    bool repeatable;
};

static void chunk_begin(struct batch *batch)
{
    fs_body_init(batch->fs, &batch->body);
    buf_add(&batch->body, STR("{\"writes\":["));
    batch->chunk_count = 0;
    batch->repeatable = true;
}

static void say(struct batch *batch, size_t i, enum rpc_code code)
{
    bool again = google_may_repeat(code, true, fs_write_is_repeatable(&batch->writes[i]), false);
    batch->errors[i] = rpc_error(code);
    batch->pending[i] = again;
    batch->heard = true;
}

static void read_statuses(struct batch *batch, const cJSON *answer)
{
    const cJSON *status = cJSON_GetArrayItem(json_get(answer, "status"), 0);
    for (size_t n = 0; n < batch->chunk_count; n++) {
        int64_t code = RPC_OK;
        if (json_get(status, "code") && !json_i64(status, "code", &code))
            code = RPC_UNKNOWN;
        say(batch, batch->chunk[n], status ? rpc_code_of_number(code) : RPC_UNKNOWN);
        status = status ? status->next : NULL;
    }
}

static void chunk_send(struct batch *batch)
{
    struct google_answer answer;
    if (batch->chunk_count == 0) {
        buf_done(&batch->body);
        return;
    }
    buf_add(&batch->body, STR("]}"));
    const struct fs_call call = {
        .what = "firestore batch",
        .verb = ":batchWrite",
        .body = &batch->body,
        .repeatable = batch->repeatable,
        .deadline_ms = batch->deadline_ms,
    };
    if (fs_run(batch->fs, &call, batch->arena, &answer, &batch->last_error)) {
        read_statuses(batch, answer.json);
        return;
    }
    /* Refused as a whole; it was repeated as often as is sensible. */
    for (size_t n = 0; n < batch->chunk_count; n++) {
        batch->errors[batch->chunk[n]] = batch->last_error.code;
        batch->pending[batch->chunk[n]] = false;
    }
}

/* A document may come once in a request, and later writes of it must come later. */
static bool chunk_has(const struct batch *batch, struct str path)
{
    for (size_t n = 0; n < batch->chunk_count; n++) {
        if (str_eq(batch->writes[batch->chunk[n]].path, path))
            return true;
    }
    return false;
}

/* An earlier write of the same document is to be tried again: this one must not overtake it. */
static bool must_wait(const struct batch *batch, size_t i)
{
    for (size_t n = 0; n < i; n++) {
        if (batch->pending[n] && str_eq(batch->writes[n].path, batch->writes[i].path))
            return true;
    }
    return false;
}

static void chunk_add(struct batch *batch, size_t i)
{
    const struct fs_write *write = &batch->writes[i];
    struct buf text;
    if (chunk_has(batch, write->path)) {
        chunk_send(batch);
        chunk_begin(batch);
    }
    if (must_wait(batch, i))
        return;
    buf_init(&text, batch->fs->request_max_bytes);
    fs_write_add(batch->fs, write, &text);
    const size_t frame = sizeof("{\"writes\":[]},");
    if (text.overflow || text.len + frame > batch->fs->request_max_bytes) {
        batch->errors[i] = ERR_TOO_LARGE;
        batch->pending[i] = false;
        batch->heard = true;
        buf_done(&text);
        return;
    }
    if (batch->chunk_count == FS_WRITES_MAX ||
        batch->body.len + text.len + frame > batch->fs->request_max_bytes) {
        chunk_send(batch);
        chunk_begin(batch);
    }
    if (batch->chunk_count > 0)
        buf_add_char(&batch->body, ',');
    buf_add(&batch->body, buf_str(&text));
    buf_done(&text);
    batch->chunk[batch->chunk_count++] = i;
    batch->repeatable = batch->repeatable && fs_write_is_repeatable(write);
}

static size_t run_round(struct batch *batch)
{
    size_t left = 0;
    chunk_begin(batch);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->pending[i])
            chunk_add(batch, i);
    }
    chunk_send(batch);
    for (size_t i = 0; i < batch->count; i++)
        left += batch->pending[i] ? 1 : 0;
    return left;
}

static bool pause_before_round(unsigned round, int64_t deadline_ms)
{
    int64_t wait_ms = backoff_full_jitter_ms(round, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    if (wait_ms >= clock_left_ms(deadline_ms))
        return false;
    struct timespec left = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_nsec = (long)(wait_ms % 1000) * 1000000L};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
    return true;
}

bool firestore_batch_write(struct firestore *fs, const struct fs_write *writes, size_t count,
                           struct arena *a, int64_t deadline_ms, enum error_code *ret_errors,
                           struct error *e)
{
    struct batch *batch = ARENA_NEW(a, struct batch);
    *batch = (struct batch){
        .fs = fs,
        .writes = writes,
        .count = count,
        .errors = ret_errors,
        .pending = arena_alloc_array(a, count, sizeof(bool)),
        .arena = a,
        .deadline_ms = deadline_ms,
    };
    for (size_t i = 0; i < count; i++) {
        batch->pending[i] = true;
        ret_errors[i] = ERR_UNAVAILABLE; /* of what its turn never came to */
    }
    for (unsigned round = 0; run_round(batch) > 0 && round + 1 < ROUNDS_MAX; round++) {
        if (!pause_before_round(round, deadline_ms))
            break;
    }
    if (batch->heard || count == 0)
        return true;
    return error_set(e, batch->last_error.code, "%s", batch->last_error.detail);
}
