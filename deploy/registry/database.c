/* database.c - tables and R-tree, the packed index behind them, then one rename */
#include "database.h"

#include "base/clock.h"
#include "registry/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>

#define PATH_BYTES 4200

/* Neighbouring doors of a street share a box of the R-tree: a tenth of the size, and the search for
 * the nearest looks into few boxes anyway. */
#define BOX_DOORS_MAX 16
#define BOX_SPAN_E8   1000000 /* 0.01 degrees, about a kilometre north to south */
#define E8_PER_E7     10

static const char attribution[] = "Staðfangaskrá, Húsnæðis- og mannvirkjastofnun (HMS), CC BY 4.0";

static const char schema[] =
    "PRAGMA journal_mode = OFF;"
    "PRAGMA synchronous = OFF;" /* fsync comes once, before the rename */
    "PRAGMA page_size = 4096;"
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE municipality(code INTEGER PRIMARY KEY, name TEXT NOT NULL);"
    "CREATE TABLE postcode(code INTEGER PRIMARY KEY, place TEXT NOT NULL, place_dative TEXT NOT "
    "NULL, region TEXT NOT NULL, region_dative TEXT NOT NULL, kind TEXT NOT NULL, municipality "
    "INTEGER NOT NULL REFERENCES municipality);"
    "CREATE TABLE street(id INTEGER PRIMARY KEY, name TEXT NOT NULL, postcode INTEGER NOT NULL "
    "REFERENCES postcode, municipality INTEGER NOT NULL REFERENCES municipality);"
    "CREATE TABLE door(id INTEGER PRIMARY KEY, street INTEGER NOT NULL REFERENCES street, number "
    "INTEGER, letter TEXT, suffix TEXT, special TEXT, hnitnum INTEGER NOT NULL, landnr INTEGER, "
    "lat "
    "INTEGER, lon INTEGER, range_from INTEGER, range_to INTEGER);"
    "CREATE VIRTUAL TABLE door_box USING rtree_i32(id, south, north, west, east, +doors INTEGER);"
    "CREATE TABLE refused(line INTEGER NOT NULL, reason TEXT NOT NULL);"
    "CREATE VIEW address AS SELECT d.hnitnum, s.name AS street, d.number, d.letter, d.suffix, "
    "d.special, s.postcode, p.place, m.name AS municipality, d.lat / 1e8 AS lat, d.lon / 1e8 AS "
    "lon "
    "FROM door d JOIN street s ON s.id = d.street JOIN postcode p ON p.code = s.postcode JOIN "
    "municipality m ON m.code = s.municipality;";

struct target {
    sqlite3 *db;
    const struct index *x;
};

int64_t database_rows(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t rows = -1;

    if (access(path, R_OK) == 0 &&
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = 'rows'", -1, &q, NULL) ==
            SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        rows = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return rows;
}

static bool failed(struct target *t, const char *doing, struct error *e)
{
    return error_set(e, ERR_INTERNAL, "%s: %s", doing, sqlite3_errmsg(t->db));
}

static sqlite3_stmt *prepare(struct target *t, const char *sql)
{
    sqlite3_stmt *q = NULL;

    /* The statements are ours and the tables were just made. */
    must(sqlite3_prepare_v2(t->db, sql, -1, &q, NULL) == SQLITE_OK);
    return q;
}

static bool run(struct target *t, sqlite3_stmt *q, const char *doing, struct error *e)
{
    bool ok = sqlite3_step(q) == SQLITE_DONE;

    if (!ok)
        failed(t, doing, e);
    sqlite3_reset(q);
    return ok;
}

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    if (text[0])
        sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(q, at);
}

static void bind_known(sqlite3_stmt *q, int at, bool known, int64_t value)
{
    if (known)
        sqlite3_bind_int64(q, at, value);
    else
        sqlite3_bind_null(q, at);
}

static bool write_meta_item(struct target *t, sqlite3_stmt *q, const char *key, const char *text,
                            int64_t number, struct error *e)
{
    sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
    if (text)
        sqlite3_bind_text(q, 2, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_int64(q, 2, number);
    return run(t, q, "meta", e);
}

static bool write_meta(struct target *t, const struct database_facts *facts, struct error *e)
{
    const struct source *s = t->x->source;
    char built[CLOCK_ISO_SIZE];
    const struct {
        const char *key, *text;
        int64_t number;
    } items[] = {
        {"attribution", attribution, 0},
        {"built_at", built, 0},
        {"source", facts->source_name, 0},
        {"source_date", facts->source_date, 0},
        {"rows", NULL, (int64_t)s->row_count},
        {"rows_read", NULL, s->rows_read},
        {"refused", NULL, source_refused(s)},
        {"names", NULL, (int64_t)t->x->name_count},
        {"streets", NULL, (int64_t)t->x->street_count},
    };
    sqlite3_stmt *q = prepare(t, "INSERT INTO meta VALUES(?1, ?2)");
    bool ok = true;

    clock_iso_utc(facts->built_unix_ms, built);
    for (size_t i = 0; i < ARRAY_LEN(items) && ok; i++)
        ok = write_meta_item(t, q, items[i].key, items[i].text, items[i].number, e);
    sqlite3_finalize(q);
    return ok;
}

static bool write_areas(struct target *t, struct error *e)
{
    static const char *const kinds[POSTCODE_KIND_COUNT] = {"town", "rural", "po_box"};
    const struct source *s = t->x->source;
    sqlite3_stmt *q = prepare(t, "INSERT INTO municipality VALUES(?1, ?2)");
    bool ok = true;

    for (size_t i = 0; i < s->municipality_count && ok; i++) {
        sqlite3_bind_int64(q, 1, s->municipalities[i].code);
        bind_text(q, 2, source_text(s, s->municipalities[i].name));
        ok = run(t, q, "municipality", e);
    }
    sqlite3_finalize(q);
    q = prepare(t, "INSERT INTO postcode VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    for (size_t i = 0; i < s->postcode_count && ok; i++) {
        const struct source_postcode *p = &s->postcodes[i];

        sqlite3_bind_int(q, 1, p->code);
        bind_text(q, 2, source_text(s, p->place));
        bind_text(q, 3, source_text(s, p->place_dative));
        bind_text(q, 4, source_text(s, p->region));
        bind_text(q, 5, source_text(s, p->region_dative));
        bind_text(q, 6, kinds[p->kind]);
        sqlite3_bind_int64(q, 7, s->municipalities[p->municipality].code);
        ok = run(t, q, "postcode", e);
    }
    sqlite3_finalize(q);
    return ok;
}

static bool write_streets(struct target *t, struct error *e)
{
    const struct source *s = t->x->source;
    sqlite3_stmt *q = prepare(t, "INSERT INTO street VALUES(?1, ?2, ?3, ?4)");
    bool ok = true;

    for (size_t i = 0; i < t->x->street_count && ok; i++) {
        const struct pack_street *street = &t->x->streets[i];

        sqlite3_bind_int64(q, 1, (sqlite3_int64)i + 1);
        bind_text(q, 2, source_text(s, t->x->names[street->name].text));
        sqlite3_bind_int(q, 3, s->postcodes[street->postcode].code);
        sqlite3_bind_int64(q, 4, s->municipalities[street->municipality].code);
        ok = run(t, q, "street", e);
    }
    sqlite3_finalize(q);
    return ok;
}

static void bind_door(sqlite3_stmt *q, const struct source *s, const struct source_row *row)
{
    bool placed = row->latitude_e8 != SOURCE_NO_POSITION;

    bind_known(q, 3, row->has_number, row->number);
    bind_text(q, 4, source_text(s, s->letters[row->letter]));
    bind_text(q, 5, source_text(s, row->suffix));
    bind_text(q, 6, source_text(s, row->special));
    sqlite3_bind_int64(q, 7, row->hnitnum);
    bind_known(q, 8, row->landnr > 0, row->landnr);
    bind_known(q, 9, placed, row->latitude_e8);
    bind_known(q, 10, placed, row->longitude_e8);
    bind_known(q, 11, row->range_to > 0, row->number);
    bind_known(q, 12, row->range_to > 0, row->range_to);
}

static bool write_doors(struct target *t, struct error *e)
{
    const struct source *s = t->x->source;
    sqlite3_stmt *q =
        prepare(t, "INSERT INTO door VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    size_t street = 0;
    bool ok = true;

    for (size_t i = 0; i < s->row_count && ok; i++) {
        while (t->x->streets[street + 1].first_door <= i)
            street++;
        sqlite3_bind_int64(q, 1, (sqlite3_int64)i + 1);
        sqlite3_bind_int64(q, 2, (sqlite3_int64)street + 1);
        bind_door(q, s, &s->rows[i]);
        ok = run(t, q, "door", e);
    }
    sqlite3_finalize(q);
    return ok;
}

struct box {
    int64_t south, north, west, east;
    size_t first, doors;
};

static bool write_box(struct target *t, sqlite3_stmt *q, const struct box *b, struct error *e)
{
    /* Outwards, so that a door on the edge stays inside. Longitudes are negative here. */
    sqlite3_bind_int64(q, 1, (sqlite3_int64)b->first + 1);
    sqlite3_bind_int64(q, 2, b->south / E8_PER_E7 - 1);
    sqlite3_bind_int64(q, 3, b->north / E8_PER_E7 + 1);
    sqlite3_bind_int64(q, 4, b->west / E8_PER_E7 - 1);
    sqlite3_bind_int64(q, 5, b->east / E8_PER_E7 + 1);
    sqlite3_bind_int64(q, 6, (sqlite3_int64)b->doors);
    return run(t, q, "door_box", e);
}

/* Widens the box by a door; false when it should begin a new one. */
static bool extend(struct box *b, const struct source_row *row)
{
    struct box wide = *b;

    if (b->doors == 0) {
        wide.south = wide.north = row->latitude_e8;
        wide.west = wide.east = row->longitude_e8;
    }
    wide.south = row->latitude_e8 < wide.south ? row->latitude_e8 : wide.south;
    wide.north = row->latitude_e8 > wide.north ? row->latitude_e8 : wide.north;
    wide.west = row->longitude_e8 < wide.west ? row->longitude_e8 : wide.west;
    wide.east = row->longitude_e8 > wide.east ? row->longitude_e8 : wide.east;
    if (b->doors == BOX_DOORS_MAX || wide.north - wide.south > BOX_SPAN_E8 ||
        wide.east - wide.west > 2 * BOX_SPAN_E8)
        return false;
    wide.doors++;
    *b = wide;
    return true;
}

static bool write_boxes(struct target *t, struct error *e)
{
    const struct source *s = t->x->source;
    sqlite3_stmt *q = prepare(t, "INSERT INTO door_box VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
    struct box b = {.doors = 0};
    bool ok = true;

    for (size_t i = 0; i < s->row_count && ok; i++) {
        bool placed = s->rows[i].latitude_e8 != SOURCE_NO_POSITION;

        /* The doors of a box follow each other. */
        if (b.doors > 0 && placed && b.first + b.doors == i && extend(&b, &s->rows[i]))
            continue;
        if (b.doors > 0)
            ok = write_box(t, q, &b, e);
        b = (struct box){.first = i};
        if (placed)
            (void)extend(&b, &s->rows[i]);
    }
    if (ok && b.doors > 0)
        ok = write_box(t, q, &b, e);
    sqlite3_finalize(q);
    return ok;
}

static bool write_refused(struct target *t, struct error *e)
{
    const struct source *s = t->x->source;
    sqlite3_stmt *q = prepare(t, "INSERT INTO refused VALUES(?1, ?2)");
    bool ok = true;

    for (size_t i = 0; i < s->kept_count && ok; i++) {
        sqlite3_bind_int64(q, 1, s->kept[i].line);
        bind_text(q, 2, refusal_text(s->kept[i].why));
        ok = run(t, q, "refused", e);
    }
    sqlite3_finalize(q);
    return ok;
}

static bool fill(struct target *t, const struct database_facts *facts, struct error *e)
{
    char marks[128];

    (void)snprintf(marks, sizeof marks, "PRAGMA application_id = %d; PRAGMA user_version = %u;",
                   REGISTRY_APPLICATION_ID, PACK_SCHEMA);
    if (sqlite3_exec(t->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(t->db, marks, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(t->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return failed(t, "schema", e);
    if (!write_meta(t, facts, e) || !write_areas(t, e) || !write_streets(t, e) ||
        !write_doors(t, e) || !write_boxes(t, e) || !write_refused(t, e))
        return false;
    return sqlite3_exec(t->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK || failed(t, "commit", e);
}

/* Behind the last page, where SQLite does not look: its header says how many pages it has. */
static bool append_index(const char *path, const struct index *x, struct error *e)
{
    FILE *out = fopen(path, "ae");
    bool ok = out && fwrite(x->blob.ptr, 1, x->blob.len, out) == x->blob.len;

    if (out && fclose(out) != 0)
        ok = false;
    return ok || error_set(e, ERR_INTERNAL, "index: %s", strerror(errno));
}

static bool sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool replace(const char *from, const char *to, struct error *e)
{
    char folder[PATH_BYTES];

    (void)str_copy(str_from(to), folder, sizeof folder);
    if (!sync_path(from, O_RDWR) || rename(from, to) != 0 ||
        !sync_path(dirname(folder), O_RDONLY | O_DIRECTORY))
        return error_set(e, ERR_INTERNAL, "the new file cannot take its place: %s",
                         strerror(errno));
    return true;
}

bool database_write(const char *path, const struct index *x, const struct database_facts *facts,
                    struct error *e)
{
    struct target t = {.x = x};
    char beside[PATH_BYTES];
    bool ok;

    if (strlen(path) > PATH_BYTES - 32)
        return error_set(e, ERR_BAD_REQUEST, "the path is too long");
    (void)snprintf(beside, sizeof beside, "%s.new.%ld", path, (long)getpid());
    (void)unlink(beside);
    if (sqlite3_open_v2(beside, &t.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
        SQLITE_OK)
        ok = fill(&t, facts, e);
    else
        ok = failed(&t, "the new file cannot be made", e);
    if (sqlite3_close(t.db) != SQLITE_OK && ok)
        ok = error_set(e, ERR_INTERNAL, "the new file cannot be closed");
    ok = ok && append_index(beside, x, e) && replace(beside, path, e);
    if (!ok)
        (void)unlink(beside);
    return ok;
}
