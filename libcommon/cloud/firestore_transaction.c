#include "base/clock.h"
#include "base/encode.h"
#include "cloud/firestore_private.h"
#include "net/backoff.h"

/* Wide: those who collided wait for each other's locks (the emulator for two seconds, and then all
 * give up at once), so coming back together only repeats it. */
#define BACKOFF_BASE_MS 200
#define BACKOFF_CAP_MS  5000
/* An open transaction keeps its locks for up to a minute: give them back, even when the deadline
 * has passed, but not for long. */
#define ROLLBACK_MIN_MS 250
#define ROLLBACK_MAX_MS 1000

void fs_transaction_add(const struct fs_transaction *tx, struct buf *b)
{
    if (!tx)
        return;
    must(tx->id.len > 0);
    buf_add(b, STR(",\"transaction\":"));
    buf_add_json_string(b, tx->id);
}

void firestore_transaction_write(struct fs_transaction *tx, const struct fs_write *write)
{
    must(!tx->ended && tx->write_count < FS_WRITES_MAX);
    if (tx->write_count > 0)
        buf_add_char(&tx->writes, ',');
    fs_write_add(tx->fs, write, &tx->writes);
    tx->write_count++;
}

/* Explicitly, not with the first read: when an answer gets lost on the way, a transaction without
 * a name would go on holding the locks of that read. */
static bool begin(struct fs_transaction *tx, struct str retry_of, struct arena *a,
                  int64_t deadline_ms, struct error *e)
{
    struct buf body;
    struct google_answer answer;
    fs_body_init(tx->fs, &body);
    buf_add(&body, STR("{\"options\":{\"readWrite\":{"));
    if (retry_of.len > 0) {
        buf_add(&body, STR("\"retryTransaction\":"));
        buf_add_json_string(&body, retry_of);
    }
    buf_add(&body, STR("}}}"));
    const struct fs_call call = {
        .what = "firestore begin",
        .verb = ":beginTransaction",
        .body = &body,
        .repeatable = true,
        .deadline_ms = deadline_ms,
    };
    if (!fs_run(tx->fs, &call, a, &answer, e))
        return false;
    if (!json_str(answer.json, "transaction", &tx->id) || tx->id.len == 0)
        return fs_unreadable(&call, e);
    return true;
}

static void roll_back(struct fs_transaction *tx, struct arena *a, int64_t deadline_ms)
{
    struct buf body;
    struct google_answer answer;
    int64_t wait_ms = clock_left_ms(deadline_ms);
    wait_ms = wait_ms < ROLLBACK_MIN_MS ? ROLLBACK_MIN_MS : wait_ms;
    wait_ms = wait_ms > ROLLBACK_MAX_MS ? ROLLBACK_MAX_MS : wait_ms;
    fs_body_init(tx->fs, &body);
    buf_add(&body, STR("{\"transaction\":"));
    buf_add_json_string(&body, tx->id);
    buf_add_char(&body, '}');
    const struct fs_call call = {
        .what = "firestore rollback",
        .verb = ":rollback",
        .body = &body,
        .in_transaction = true,
        .deadline_ms = clock_mono_ms() + wait_ms,
    };
    /* When it fails too, Firestore ends the transaction by itself. */
    if (!fs_run(tx->fs, &call, a, &answer, NULL))
        return;
}

struct run {
    struct firestore *fs;
    firestore_transaction_body *body;
    void *context;
    int64_t deadline_ms;
    char *last_id; /* of the run before: Firestore lets its successor go first */
    bool again;    /* nothing was written and another run may succeed */
};

static bool run_body(struct run *run, struct fs_transaction *tx, struct arena *a, struct error *e)
{
    bool ok = run->body(tx, run->context, a, e);
    if (ok && !tx->ended)
        ok = firestore_commit(run->fs, NULL, 0, tx, a, run->deadline_ms, NULL, e);
    /* Also when nobody knows: a commit that never arrived leaves locks that others wait for. */
    bool open = !tx->committed && !(tx->ended && e->code == ERR_ABORTED);
    if (!ok && open)
        roll_back(tx, a, run->deadline_ms);
    return ok;
}

static bool run_once(struct run *run, struct arena *a, struct error *e)
{
    struct fs_transaction *tx = ARENA_NEW(a, struct fs_transaction);
    tx->fs = run->fs;
    run->again = false;
    if (!begin(tx, str_from(run->last_id), a, run->deadline_ms, e)) {
        run->again = e->code == ERR_ABORTED;
        return false;
    }
    free(run->last_id);
    run->last_id = strndup(tx->id.ptr, tx->id.len);
    must(run->last_id);
    fs_body_init(run->fs, &tx->writes);
    bool ok = run_body(run, tx, a, e);
    buf_done(&tx->writes);
    run->again = !ok && !tx->committed && !tx->unsure && e->code == ERR_ABORTED;
    return ok;
}

static bool pause_before_run(unsigned runs, int64_t deadline_ms)
{
    int64_t cap_ms = clock_left_ms(deadline_ms) / 2;
    if (cap_ms < BACKOFF_BASE_MS)
        return false;
    int64_t wait_ms = backoff_full_jitter_ms(runs, BACKOFF_BASE_MS,
                                             cap_ms < BACKOFF_CAP_MS ? cap_ms : BACKOFF_CAP_MS);
    struct timespec left = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_nsec = (long)(wait_ms % 1000) * 1000000L};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
    return true;
}

bool firestore_transaction(struct firestore *fs, firestore_transaction_body *body, void *context,
                           int64_t deadline_ms, struct error *e)
{
    struct run run = {.fs = fs, .body = body, .context = context, .deadline_ms = deadline_ms};
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct error error = {.code = ERR_NONE};
    bool ok = run_once(&run, a, &error);
    for (unsigned runs = 0; !ok && run.again && pause_before_run(runs, deadline_ms); runs++) {
        arena_reset(a);
        error = (struct error){.code = ERR_NONE};
        ok = run_once(&run, a, &error);
    }
    free(run.last_id);
    arena_free(a);
    return ok || error_set(e, error.code, "%s", error.detail);
}
