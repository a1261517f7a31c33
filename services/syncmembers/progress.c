/* progress.c - sync_runs/{id}: how far a run is, for who watches and for who goes on */
#include "base/clock.h"
#include "syncmembers.h"

#define CALL_TIME_MS     15000
#define RESUME_WITHIN_MS 3600000 /* what was read longer ago is read again */
#define ARENA_BYTES      (2U << 20)
#define CURRENT          "sync_state/current"

struct counter {
    const char *name;
    size_t offset;
};
static const struct counter counters[] = {
    {"total_members", offsetof(struct sync_counts, total)},
    {"synced", offsetof(struct sync_counts, synced)},
    {"failed", offsetof(struct sync_counts, failed)},
    {"skipped", offsetof(struct sync_counts, skipped)},
    {"pages_processed", offsetof(struct sync_counts, pages)},
    {"deactivated", offsetof(struct sync_counts, deactivated)},
    {"roles_changed", offsetof(struct sync_counts, roles_changed)},
    {"unchanged", offsetof(struct sync_counts, unchanged)},
};

static int64_t *counter_of(struct sync_counts *counts, const struct counter *counter)
{
    return (int64_t *)(void *)((char *)counts + counter->offset);
}

/* "2026-11-21T22:32:34.657000+00:00", as the admin page has always had it. */
static struct str iso(struct arena *a, int64_t unix_ms)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso_utc(unix_ms, text);
    return arena_printf(a, "%.23s000+00:00", text);
}

void progress_add_stats(const struct sync_run *run, cJSON *to)
{
    struct sync_counts counts = run->counts;
    struct arena *a = arena_new(4096);

    for (size_t i = 0; i < ARRAY_LEN(counters); i++)
        json_add_i64(to, counters[i].name, *counter_of(&counts, &counters[i]));
    json_add_str(to, "started_at", iso(a, run->started_ms));
    if (run->completed_ms > 0)
        json_add_str(to, "completed_at", iso(a, run->completed_ms));
    else
        json_add_null(to, "completed_at");
    arena_free(a);
}

static cJSON *run_fields(const struct sync_run *run, struct arena *a)
{
    cJSON *fields = fs_fields(a);
    struct sync_counts counts = run->counts;

    fs_add_text(fields, "state", run->state);
    fs_add_text(fields, "cause", run->cause);
    for (size_t i = 0; i < ARRAY_LEN(counters); i++)
        fs_add_i64(fields, counters[i].name, *counter_of(&counts, &counters[i]));
    fs_add_i64(fields, "done_id", run->done_id);
    fs_add_bool(fields, "resumed", run->resumed);
    fs_add_str(fields, "started_by", run->actor);
    fs_add_str(fields, "correlation_id", run->correlation_id);
    fs_add_time_ms(fields, "started_at", run->started_ms);
    if (run->completed_ms > 0)
        fs_add_time_ms(fields, "completed_at", run->completed_ms);
    return fields;
}

bool progress_save(const struct sync_run *run, struct error *e)
{
    struct arena *a = arena_new(ARENA_BYTES);
    cJSON *current = fs_fields(a);
    bool ok;

    fs_add_text(current, "run", run->id);

    const struct fs_write writes[] = {
        {.kind = FS_SET,
         .path = arena_printf(a, "sync_runs/%s", run->id),
         .fields = run_fields(run, a),
         .server_times = {"updated_at"}},
        {.kind = FS_SET, .path = STR(CURRENT), .fields = current},
    };

    ok = firestore_commit(run->firestore, writes, ARRAY_LEN(writes), NULL, a,
                          clock_mono_ms() + CALL_TIME_MS, NULL, e);
    arena_free(a);
    return ok;
}

static bool read_run(struct firestore *fs, struct str id, struct arena *a, struct fs_document *ret,
                     struct error *e)
{
    struct fs_document current;

    *ret = (struct fs_document){.exists = false};
    if (id.len == 0) {
        if (!firestore_get(fs, STR(CURRENT), NULL, a, clock_mono_ms() + CALL_TIME_MS, &current, e))
            return false;
        if (!current.exists || !fs_get_str(current.fields, "run", &id))
            return true;
    }
    return !firestore_id_is_valid(id) ||
           firestore_get(fs, arena_printf(a, "sync_runs/%.*s", STR_ARG(id)), NULL, a,
                         clock_mono_ms() + CALL_TIME_MS, ret, e);
}

static bool is_resumable(const struct fs_document *document)
{
    struct str state;
    int64_t updated_ms, done_id;

    return document->exists && fs_get_str(document->fields, "state", &state) &&
           !str_eq_text(state, "done") &&
           fs_get_time_ms(document->fields, "updated_at", &updated_ms) &&
           clock_unix_ms() - updated_ms < RESUME_WITHIN_MS &&
           fs_get_i64(document->fields, "done_id", &done_id) && done_id > 0 &&
           document->id.len == sizeof(((struct sync_run *)0)->id) - 1;
}

bool progress_resume(struct sync_run *run, struct error *e)
{
    struct arena *a = arena_new(ARENA_BYTES);
    struct fs_document document;
    bool ok = read_run(run->firestore, STR(""), a, &document, e);

    firestore_auto_id(run->id);
    if (ok && is_resumable(&document)) {
        run->resumed = true;
        (void)str_copy(document.id, run->id, sizeof run->id);
        for (size_t i = 0; i < ARRAY_LEN(counters); i++)
            (void)fs_get_i64(document.fields, counters[i].name,
                             counter_of(&run->counts, &counters[i]));
        (void)fs_get_i64(document.fields, "done_id", &run->done_id);
        (void)fs_get_time_ms(document.fields, "started_at", &run->started_ms);
    }
    arena_free(a);
    return ok;
}

/* --- GET --- */

void sync_status(const struct request *req, struct response *res)
{
    struct fs_document document;
    struct str id = STR("");
    struct error e = {0};
    cJSON *body;

    if (!caller_is_operator(req, res))
        return;
    (void)request_query(req, "run", &id);
    if (!read_run(service_firestore(req->state), id, req->arena, &document, &e)) {
        respond_failure(res, &e);
    } else if (!document.exists) {
        respond_error(res, ERR_NOT_FOUND, "There is no such run.");
    } else {
        body = json_object(req->arena);
        json_add_str(body, "run", document.id);
        json_add_copy(body, "progress", fs_to_plain(req->arena, document.fields));
        respond_json(res, 200, body);
    }
}
