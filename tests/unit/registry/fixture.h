/*
 * fixture.h - registry files for tests: the small fixture, the real rows where they are, or any
 * text
 *
 * Every file is made by the code of registry-build and lives in a directory of the test's own.
 */
#ifndef TESTS_UNIT_REGISTRY_FIXTURE_H
#define TESTS_UNIT_REGISTRY_FIXTURE_H

#include "database.h"
#include "registry/address.h"

#include <ftw.h>
#include <libgen.h>

static char fixture_dir[64];

/* Path of something in the checkout, found from this file's own. Static memory. */
static inline const char *checkout(const char *rest)
{
    static char path[4096];
#ifdef FUZZ_ROOT
    (void)snprintf(path, sizeof path, "%s/%s", FUZZ_ROOT, rest);
#else
    char here[4096];

    (void)str_copy(str_from(__FILE__), here, sizeof here);
    (void)snprintf(path, sizeof path, "%s/../../../%s", dirname(here), rest);
#endif
    return path;
}

static inline const char *scratch(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *out = path[turn++ % 4];

    (void)snprintf(out, sizeof path[0], "%s/%s", fixture_dir, name);
    return out;
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static inline int make_scratch(void **state)
{
    (void)state;
    (void)snprintf(fixture_dir, sizeof fixture_dir, "/tmp/registry-test-XXXXXX");
    return mkdtemp(fixture_dir) ? 0 : -1;
}

static inline int drop_scratch(void **state)
{
    (void)state;
    return nftw(fixture_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline bool read_own_tables(struct source *s, struct error *e)
{
    FILE *in = fopen(checkout("deploy/registry/municipalities.csv"), "re");
    bool ok = in && source_read_municipalities(s, in, e);

    if (in)
        (void)fclose(in);
    in = fopen(checkout("deploy/registry/postcodes.csv"), "re");
    ok = ok && in && source_read_postcodes(s, in, e);
    if (in)
        (void)fclose(in);
    return ok;
}

/* Builds `db` from rows; the source goes to *ret_source when that is not NULL. */
static inline bool build_from(FILE *rows, const char *db, struct source **ret_source,
                              struct error *e)
{
    const struct database_facts facts = {
        .source_date = "2022-11-20", .source_name = "test", .built_unix_ms = 1700000000000};
    struct source *s = source_new();
    bool ok = read_own_tables(s, e) && source_read_rows(s, rows, NULL, e);

    if (ok) {
        struct index *x = index_build(s);

        ok = database_write(db, x, &facts, e);
        index_free(x);
    }
    if (ret_source)
        *ret_source = s;
    else
        source_free(s);
    return ok;
}

static inline struct registry *open_fixture(unsigned readers)
{
    struct error e = {0};
    struct registry *r;
    FILE *in = fopen(checkout("tests/data/registry/Stadfangaskra.csv"), "re");
    bool ok = in && build_from(in, scratch("fixture.db"), NULL, &e);

    if (!ok) {
        printf("fixture: %s\n", e.detail);
        abort();
    }
    (void)fclose(in);
    r = registry_open(scratch("fixture.db"), readers, &e);
    must(r);
    return r;
}

/* NULL, and says so, when the real rows are not beside the checkout. */
static inline struct registry *open_real(void)
{
    const char *vectors = getenv("VECTORS_DIR");
    char command[4200], path[4096];
    struct error e = {0};
    struct registry *r;
    FILE *in;
    bool ok;

    (void)snprintf(path, sizeof path, "%s/../data/Stadfangaskra.csv.gz", vectors ? vectors : "");
    if (!vectors || access(path, R_OK) != 0) {
        printf("skipped: the real rows (../shared/data) are not here\n");
        return NULL;
    }
    (void)snprintf(command, sizeof command, "exec gzip -dc '%s'", path);
    in = popen(command, "re");
    ok = in && build_from(in, scratch("real.db"), NULL, &e);
    if (!ok)
        printf("real rows: %s\n", e.detail);
    must(ok);
    must(pclose(in) == 0);
    r = registry_open(scratch("real.db"), 1, &e);
    must(r);
    return r;
}

/* "Laugavegur 22, 101 Reykjavík" */
static inline struct str display_of(struct registry_reader *r, struct arena *a, uint32_t door)
{
    struct address address;

    address_read(r->pack, door, &address);
    return address_display(a, &address);
}

#endif
