/* store.c - the SQLite database; see store.h */
#include "store.h"
#include "ops/log.h"

#include <pthread.h>

#define STATEMENTS_MAX  48
#define BUSY_TIMEOUT_MS 5000

struct prepared {
    const char *sql;
    sqlite3_stmt *statement;
};

struct store {
    pthread_mutex_t lock;
    sqlite3 *db;
    struct prepared prepared[STATEMENTS_MAX];
    size_t prepared_count;
    int64_t last_time_us;
    bool failed;
};

/* collection_path is the document's path without its id; collection its last part. */
static const char schema[] =
    "create table if not exists documents (database text not null, path text not null,"
    " collection_path text not null, collection text not null, fields text not null,"
    " created_us integer not null, updated_us integer not null, primary key (database, path));"
    "create index if not exists documents_by_path on documents (database, collection_path);"
    "create index if not exists documents_by_collection on documents (database, collection);"
    "create table if not exists accounts (project text not null, uid text not null,"
    " account text not null, primary key (project, uid));"
    "create table if not exists refresh_tokens (token text primary key, project text not null,"
    " uid text not null, claims text not null, auth_time integer not null);";

static void note_failure(struct store *s, int code)
{
    if (!s->failed)
        log_error("sqlite failed", LOG_TEXT("reason", str_from(sqlite3_errstr(code))));
    s->failed = true;
}

static void execute(struct store *s, const char *sql)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

    if (code != SQLITE_OK)
        note_failure(s, code);
}

static int64_t latest_time_us(struct store *s)
{
    sqlite3_stmt *latest = store_statement(s, "select max(updated_us) from documents");
    int64_t us = store_step(s, latest) ? sqlite3_column_int64(latest, 0) : 0;

    sqlite3_reset(latest);
    return us;
}

struct store *store_open(const char *path, struct error *e)
{
    struct store *s = calloc(1, sizeof *s);

    must(s);
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    if (sqlite3_open(*path ? path : ":memory:", &s->db) != SQLITE_OK)
        s->failed = true;
    if (!s->failed) {
        /* Somebody may look with the sqlite3 program, or a second instance may share the file. */
        (void)sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
        /* Losing the last moment in a power cut is fine here; waiting for the disk is not. */
        execute(s, "pragma journal_mode = wal; pragma synchronous = off;");
        execute(s, schema);
    }
    if (!s->failed)
        s->last_time_us = latest_time_us(s);
    if (s->failed) {
        store_close(s);
        error_set(e, ERR_INTERNAL, "the database named by DATABASE_FILE cannot be opened");
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->prepared_count; i++)
        sqlite3_finalize(s->prepared[i].statement);
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void store_begin(struct store *s)
{
    must(pthread_mutex_lock(&s->lock) == 0);
    s->failed = false;
    execute(s, "begin immediate");
}

bool store_end(struct store *s, bool keep)
{
    bool good;

    if (keep && !s->failed)
        execute(s, "commit");
    if (!keep || s->failed)
        (void)sqlite3_exec(s->db, "rollback", NULL, NULL, NULL);
    good = !s->failed;
    must(pthread_mutex_unlock(&s->lock) == 0);
    return good;
}

sqlite3_stmt *store_statement(struct store *s, const char *sql)
{
    struct prepared *p;

    for (size_t i = 0; i < s->prepared_count; i++) {
        if (s->prepared[i].sql == sql) {
            sqlite3_reset(s->prepared[i].statement);
            return s->prepared[i].statement;
        }
    }
    must(s->prepared_count < STATEMENTS_MAX);
    p = &s->prepared[s->prepared_count++];
    p->sql = sql;
    must(sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &p->statement, NULL) ==
         SQLITE_OK);
    return p->statement;
}

void store_bind_str(sqlite3_stmt *statement, int index, struct str value)
{
    must(sqlite3_bind_text(statement, index, value.ptr ? value.ptr : "", (int)value.len,
                           SQLITE_TRANSIENT) == SQLITE_OK);
}

bool store_step(struct store *s, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        note_failure(s, code);
    sqlite3_reset(statement);
    return false;
}

void store_run(struct store *s, sqlite3_stmt *statement)
{
    while (store_step(s, statement))
        continue;
}

struct str store_column(sqlite3_stmt *statement, int index, struct arena *a)
{
    const unsigned char *text = sqlite3_column_text(statement, index);

    return arena_dup(a, str_n(text, (size_t)sqlite3_column_bytes(statement, index)));
}

static int64_t real_now_us(void)
{
    struct timespec now;

    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t store_now_us(const struct store *s)
{
    int64_t now_us = real_now_us();

    return now_us > s->last_time_us ? now_us : s->last_time_us;
}

int64_t store_new_time_us(struct store *s)
{
    int64_t now_us = real_now_us();

    s->last_time_us = now_us > s->last_time_us ? now_us : s->last_time_us + 1;
    return s->last_time_us;
}
