/* registry.c - opening, lending and replacing the registry file */
#include "registry/registry.h"

#include "registry/match.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PATH_MAX_BYTES 4096

/* One opened file with all its readers. */
struct snapshot {
    struct pack pack;
    unsigned char *map;
    size_t map_bytes;
    size_t database_bytes; /* the packed index follows them */
    uint64_t *name_pairs;
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
static bool check_header(struct snapshot *s, struct error *e)
{
    const unsigned char *head = s->map;
    size_t bytes = s->map_bytes;
    uint64_t page;

    if (!head || bytes < 100 || memcmp(head, "SQLite format 3", 16) != 0)
        return error_set(e, ERR_INTERNAL, "registry file is not an SQLite file");
    if (big_endian(head + 68, 4) != REGISTRY_APPLICATION_ID)
        return error_set(e, ERR_INTERNAL, "registry file is an SQLite file of something else");
    if (big_endian(head + 60, 4) != PACK_SCHEMA)
        return error_set(e, ERR_INTERNAL, "registry file has version %u, need %u",
                         big_endian(head + 60, 4), PACK_SCHEMA);
    page = big_endian(head + 16, 2);
    page = (page == 1 ? 65536 : page) * big_endian(head + 28, 4);
    if (bytes < page + sizeof(struct pack_header))
        return error_set(e, ERR_INTERNAL, "registry file is truncated: %zu bytes of %llu", bytes,
                         (unsigned long long)page + sizeof(struct pack_header));
    s->database_bytes = (size_t)page;
    return true;
}

/* The file is mapped once for all readers, and stays what it was when another takes its place. */
static bool map_file(const char *path, struct snapshot *s, struct error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;

    if (!ok) {
        error_set(e, ERR_INTERNAL, "registry file cannot be opened: %s", strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        ok = error_set(e, ERR_INTERNAL, "registry file is not an SQLite file");
    } else {
        s->map_bytes = (size_t)st.st_size;
        s->map = mmap(NULL, s->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (s->map == MAP_FAILED) {
            s->map = NULL;
            ok = error_set(e, ERR_INTERNAL, "registry file cannot be mapped: %s", strerror(errno));
        }
    }
    if (fd >= 0)
        close(fd);
    return ok && check_header(s, e);
}

static bool sqlite_failed(sqlite3 *db, const char *doing, struct error *e)
{
    return error_set(e, ERR_INTERNAL, "registry file: %s: SQLite result %d", doing,
                     db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM);
}

/* A connection that reads the mapped bytes where they lie. */
static bool open_database(struct snapshot *s, sqlite3 **ret, struct error *e)
{
    static const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;

    *ret = NULL;
    if (sqlite3_open_v2(":memory:", ret, flags, NULL) != SQLITE_OK ||
        sqlite3_deserialize(*ret, "main", s->map, (sqlite3_int64)s->database_bytes,
                            (sqlite3_int64)s->database_bytes,
                            SQLITE_DESERIALIZE_READONLY) != SQLITE_OK ||
        sqlite3_exec(*ret, "PRAGMA mmap_size = 1073741824; PRAGMA cache_size = -64", NULL, NULL,
                     NULL) != SQLITE_OK)
        return sqlite_failed(*ret, "open", e);
    return true;
}

static bool prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct error *e)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
        return sqlite_failed(db, "prepare", e);
    return true;
}

static bool open_reader(struct snapshot *s, struct registry_reader *r, struct error *e)
{
    return open_database(s, &r->db, e) &&
           prepare(r->db,
                   "SELECT id, doors FROM door_box WHERE north >= ?1 AND south <= ?2 AND east >= "
                   "?3 AND west <= ?4",
                   &r->boxes, e) &&
           /* One read transaction for ever: nothing will change, so nothing need be asked again. */
           (sqlite3_exec(r->db, "BEGIN; SELECT 1 FROM meta", NULL, NULL, NULL) == SQLITE_OK ||
            sqlite_failed(r->db, "begin", e));
}

static void note_pairs(struct snapshot *s)
{
    s->name_pairs = calloc((size_t)s->pack.name_count + 1, sizeof *s->name_pairs);
    must(s->name_pairs);
    for (uint32_t i = 0; i < s->pack.name_count; i++)
        s->name_pairs[i] = match_pairs(pack_name_key(&s->pack, i));
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
    info->version = s->pack.checksum ^ pack_checksum(info->built_at, strlen(info->built_at));
    info->names = s->pack.name_count;
    info->streets = s->pack.street_count;
    return true;
}

static void close_snapshot(struct snapshot *s)
{
    for (unsigned i = 0; i < s->reader_count; i++) {
        struct registry_reader *r = &s->readers[i];

        sqlite3_finalize(r->boxes);
        sqlite3_close(r->db);
        free(r->name_costs);
        free(r->names_found);
    }
    if (s->map)
        (void)munmap(s->map, s->map_bytes);
    free(s->readers);
    free(s->name_pairs);
    free(s);
}

static struct snapshot *open_snapshot(struct registry *r, struct error *e)
{
    struct snapshot *s = calloc(1, sizeof *s);
    bool ok;

    must(s);
    s->readers = calloc(r->readers, sizeof *s->readers);
    must(s->readers);
    s->reader_count = r->readers;
    ok = map_file(r->path, s, e);
    s->info.file_bytes = (int64_t)s->map_bytes;
    for (unsigned i = 0; i < r->readers && ok; i++) {
        struct registry_reader *reader = &s->readers[i];

        ok = open_reader(s, reader, e);
        if (ok && i == 0)
            ok = pack_check(s->map + s->database_bytes, s->map_bytes - s->database_bytes, &s->pack,
                            e) &&
                 load_info(s, reader->db, e);
        if (!ok)
            break;
        if (i == 0)
            note_pairs(s);
        reader->pack = &s->pack;
        reader->name_pairs = s->name_pairs;
        reader->registry = r;
        reader->snapshot = s;
        must(s->pack.name_count > 0);
        reader->name_costs = calloc(s->pack.name_count, sizeof *reader->name_costs);
        reader->names_found = calloc(s->pack.name_count, sizeof *reader->names_found);
        must(reader->name_costs && reader->names_found);
        reader->next = s->free;
        s->free = reader;
    }
    if (ok) {
        /* Checking touched all of the index; what searches need comes back by itself. */
        (void)madvise(s->map, s->map_bytes, MADV_DONTNEED);
        return s;
    }
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
