/* registry.c - opening, lending and replacing the registry file */
#include "registry/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define PATH_MAX_BYTES 4096

/* One opened file with all its readers. */
struct snapshot {
    struct pack pack;
    void *blob;
    struct registry_info info;
    struct registry_reader *readers; /* array */
    struct registry_reader *free;
    unsigned reader_count;
    unsigned out;
    bool retired; /* a newer one serves; goes with the last reader */
};

struct registry {
    char *path;
    unsigned readers;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct snapshot *current;
};

static uint32_t big_endian(const unsigned char *p, size_t bytes)
{
    uint32_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

/* SQLite itself would find a cut file only when a query meets the missing part. Header layout:
 * sqlite.org/fileformat2.html §1.3. */
static bool check_header(const char *path, int64_t *ret_bytes, struct error *e)
{
    unsigned char head[100];
    struct stat st;
    uint32_t page;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return error_set(e, ERR_INTERNAL, "registry file cannot be opened: %s", strerror(errno));
    n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, head, sizeof head) : 0;
    close(fd);
    if (n != (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return error_set(e, ERR_INTERNAL, "registry file is not an SQLite file");
    if (big_endian(head + 68, 4) != REGISTRY_APPLICATION_ID)
        return error_set(e, ERR_INTERNAL, "registry file is an SQLite file of something else");
    if (big_endian(head + 60, 4) != PACK_SCHEMA)
        return error_set(e, ERR_INTERNAL, "registry file has version %u, need %u",
                         big_endian(head + 60, 4), PACK_SCHEMA);
    page = big_endian(head + 16, 2);
    page = page == 1 ? 65536 : page;
    if ((int64_t)page * big_endian(head + 28, 4) != (int64_t)st.st_size)
        return error_set(e, ERR_INTERNAL, "registry file is truncated: %lld bytes of %lld",
                         (long long)st.st_size, (long long)page * big_endian(head + 28, 4));
    *ret_bytes = st.st_size;
    return true;
}

static bool sqlite_failed(sqlite3 *db, const char *doing, struct error *e)
{
    return error_set(e, ERR_INTERNAL, "registry file: %s: SQLite result %d", doing,
                     db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM);
}

static bool open_database(const char *path, sqlite3 **ret, struct error *e)
{
    static const int flags =
        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    struct buf uri;
    bool ok;

    *ret = NULL;
    buf_init(&uri, 3 * PATH_MAX_BYTES + 64);
    buf_add_text(&uri, "file:");
    buf_add_url(&uri, str_from(path));
    buf_add_text(&uri, "?immutable=1");
    must(!uri.overflow);
    ok = sqlite3_open_v2(uri.ptr, ret, flags, NULL) == SQLITE_OK;
    buf_done(&uri);
    if (!ok)
        return sqlite_failed(*ret, "open", e);
    if (sqlite3_exec(*ret, "PRAGMA mmap_size=1073741824; PRAGMA cache_size=-128;", NULL, NULL,
                     NULL) != SQLITE_OK)
        return sqlite_failed(*ret, "settings", e);
    return true;
}

static bool prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct error *e)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return sqlite_failed(db, "prepare", e);
    return true;
}

static bool open_reader(const char *path, struct registry_reader *r, struct error *e)
{
    return open_database(path, &r->db, e) &&
           prepare(
               r->db,
               "SELECT number, suffix, special, hnitnum, landnr, lat, lon, range_from, range_to "
               "FROM door WHERE id = ?1",
               &r->door, e) &&
           prepare(r->db,
                   "SELECT id, doors FROM door_box WHERE north >= ?1 AND south <= ?2 AND east >= "
                   "?3 AND west <= ?4",
                   &r->boxes, e) &&
           prepare(r->db, "SELECT id, lat, lon FROM door WHERE id BETWEEN ?1 AND ?2", &r->positions,
                   e);
}

static bool load_pack(struct snapshot *s, sqlite3 *db, struct error *e)
{
    sqlite3_stmt *q = NULL;
    bool ok = prepare(db, "SELECT data, (SELECT max(id) FROM door) FROM pack", &q, e);

    if (ok && sqlite3_step(q) != SQLITE_ROW)
        ok = sqlite_failed(db, "index", e);
    if (ok) {
        const void *data = sqlite3_column_blob(q, 0);
        size_t bytes = (size_t)sqlite3_column_bytes(q, 0);

        /* A copy, because SQLite takes its own back, and aligned for the arrays in it. */
        s->blob = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
        must(s->blob);
        if (bytes > 0)
            memcpy(s->blob, data, bytes);
        ok = pack_check(s->blob, bytes, &s->pack, e);
        if (ok && sqlite3_column_int64(q, 1) != s->pack.door_count)
            ok = error_set(e, ERR_INTERNAL, "registry file is damaged: doors and index differ");
    }
    sqlite3_finalize(q);
    return ok;
}

static bool load_info(struct snapshot *s, sqlite3 *db, struct error *e)
{
    struct registry_info *info = &s->info;
    sqlite3_stmt *q = NULL;
    const struct {
        const char *key;
        char *text;
        size_t size;
        int64_t *number;
    } wanted[] = {
        {"source_date", info->source_date, sizeof info->source_date, NULL},
        {"built_at", info->built_at, sizeof info->built_at, NULL},
        {"attribution", info->attribution, sizeof info->attribution, NULL},
        {"rows", NULL, 0, &info->rows},
        {"refused", NULL, 0, &info->refused},
    };

    if (!prepare(db, "SELECT value FROM meta WHERE key = ?1", &q, e))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        sqlite3_reset(q);
        sqlite3_bind_text(q, 1, wanted[i].key, -1, SQLITE_STATIC);
        if (sqlite3_step(q) != SQLITE_ROW) {
            sqlite3_finalize(q);
            return error_set(e, ERR_INTERNAL, "registry file does not say its %s", wanted[i].key);
        }
        if (wanted[i].number)
            *wanted[i].number = sqlite3_column_int64(q, 0);
        else
            (void)str_copy(str_from((const char *)sqlite3_column_text(q, 0)), wanted[i].text,
                           wanted[i].size);
    }
    sqlite3_finalize(q);
    info->version = ((const struct pack_header *)s->blob)->checksum ^
                    pack_checksum(info->built_at, strlen(info->built_at));
    info->names = s->pack.name_count;
    info->streets = s->pack.street_count;
    return true;
}

static void close_snapshot(struct snapshot *s)
{
    for (unsigned i = 0; i < s->reader_count; i++) {
        struct registry_reader *r = &s->readers[i];

        sqlite3_finalize(r->door);
        sqlite3_finalize(r->boxes);
        sqlite3_finalize(r->positions);
        sqlite3_close(r->db);
        free(r->name_costs);
        free(r->names_found);
    }
    free(s->readers);
    free(s->blob);
    free(s);
}

/* All readers open the same file: had it been replaced in between, their index would be another's.
 */
static bool same_file(const char *path, const struct stat *before)
{
    struct stat now;

    return stat(path, &now) == 0 && now.st_ino == before->st_ino && now.st_dev == before->st_dev;
}

static struct snapshot *open_snapshot(struct registry *r, struct error *e)
{
    struct snapshot *s = calloc(1, sizeof *s);
    struct stat before = {0};
    bool ok;

    must(s);
    s->readers = calloc(r->readers, sizeof *s->readers);
    must(s->readers);
    s->reader_count = r->readers;
    ok = check_header(r->path, &s->info.file_bytes, e);
    (void)stat(r->path, &before);
    for (unsigned i = 0; i < r->readers && ok; i++) {
        struct registry_reader *reader = &s->readers[i];

        ok = open_reader(r->path, reader, e);
        if (ok && i == 0)
            ok = load_pack(s, reader->db, e) && load_info(s, reader->db, e);
        if (!ok)
            break;
        reader->pack = &s->pack;
        reader->registry = r;
        reader->snapshot = s;
        reader->name_costs = calloc(s->pack.name_count, sizeof *reader->name_costs);
        reader->names_found = calloc(s->pack.name_count, sizeof *reader->names_found);
        must(reader->name_costs && reader->names_found);
        reader->next = s->free;
        s->free = reader;
    }
    if (ok && !same_file(r->path, &before))
        ok = error_set(e, ERR_INTERNAL, "registry file was replaced while it was opened");
    if (ok)
        return s;
    close_snapshot(s);
    return NULL;
}

struct registry *registry_open(const char *path, unsigned readers, struct error *e)
{
    struct registry *r;

    if (strlen(path) == 0 || strlen(path) >= PATH_MAX_BYTES) {
        error_set(e, ERR_INTERNAL, "registry file has no name, or one too long");
        return NULL;
    }
    r = calloc(1, sizeof *r);
    must(r);
    r->path = strdup(path);
    must(r->path);
    r->readers = readers > 0 ? readers : 1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->returned, NULL);
    r->current = open_snapshot(r, e);
    if (r->current)
        return r;
    registry_close(r);
    return NULL;
}

void registry_close(struct registry *r)
{
    if (!r)
        return;
    if (r->current) {
        must(r->current->out == 0);
        close_snapshot(r->current);
    }
    pthread_cond_destroy(&r->returned);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

bool registry_reload(struct registry *r, struct error *e)
{
    struct snapshot *fresh = open_snapshot(r, e), *old;

    if (!fresh)
        return false;
    pthread_mutex_lock(&r->lock);
    old = r->current;
    r->current = fresh;
    old->retired = true;
    if (old->out > 0)
        old = NULL; /* its last reader closes it */
    pthread_cond_broadcast(&r->returned);
    pthread_mutex_unlock(&r->lock);
    if (old)
        close_snapshot(old);
    return true;
}

struct registry_reader *registry_acquire(struct registry *r)
{
    struct registry_reader *reader;

    pthread_mutex_lock(&r->lock);
    while (!r->current->free)
        pthread_cond_wait(&r->returned, &r->lock);
    reader = r->current->free;
    r->current->free = reader->next;
    r->current->out++;
    pthread_mutex_unlock(&r->lock);
    return reader;
}

void registry_release(struct registry_reader *reader)
{
    struct registry *r = reader->registry;
    struct snapshot *s = reader->snapshot, *over = NULL;

    pthread_mutex_lock(&r->lock);
    reader->next = s->free;
    s->free = reader;
    s->out--;
    if (s->retired && s->out == 0)
        over = s;
    pthread_cond_signal(&r->returned);
    pthread_mutex_unlock(&r->lock);
    if (over)
        close_snapshot(over);
}

uint64_t registry_version(const struct registry_reader *reader)
{
    return reader->snapshot->info.version;
}

void registry_describe(struct registry *r, struct registry_info *ret)
{
    pthread_mutex_lock(&r->lock);
    *ret = r->current->info;
    pthread_mutex_unlock(&r->lock);
}

void registry_write_health(struct registry *r, struct buf *out)
{
    struct registry_info info;

    registry_describe(r, &info);
    buf_printf(out,
               ",\"registry\":{\"rows\":%lld,\"refused\":%lld,\"names\":%u,\"streets\":%u,"
               "\"fileBytes\":%lld,\"version\":\"%016llx\",\"sourceDate\":",
               (long long)info.rows, (long long)info.refused, info.names, info.streets,
               (long long)info.file_bytes, (unsigned long long)info.version);
    buf_add_json_string(out, str_from(info.source_date));
    buf_add_text(out, ",\"builtAt\":");
    buf_add_json_string(out, str_from(info.built_at));
    buf_add_text(out, ",\"attribution\":");
    buf_add_json_string(out, str_from(info.attribution));
    buf_add_char(out, '}');
}
