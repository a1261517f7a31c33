/*
 * registry.h - the address registry: one read-only SQLite file, opened once, replaced while serving
 *
 * The file is memory-mapped once, read-only; the packed index is used and SQLite reads where it
 * lies: nothing can change it, and a file renamed over it is another one. A reader is one SQLite
 * connection with scratch memory; a worker borrows one for a request. registry_reload() opens the
 * file anew and swaps it in; readers of the old file finish on the old one, which is closed with
 * the last of them. Thread-safe but for the readers themselves, which belong to one thread at a
 * time. Files are made by deploy/registry/build.
 */
#ifndef LIBCOMMON_REGISTRY_REGISTRY_H
#define LIBCOMMON_REGISTRY_REGISTRY_H

#include "base/buf.h"
#include "base/error.h"
#include "registry/pack.h"

#define REGISTRY_APPLICATION_ID 0x454b5247 /* "EKRG" in the header of the file */

struct registry;
struct sqlite3;
struct sqlite3_stmt;

struct registry_info {
    int64_t rows;    /* doors that are served */
    int64_t refused; /* rows of the source that are not */
    int64_t file_bytes;
    uint32_t names, streets;
    uint64_t version;      /* changes with the content */
    char source_date[16];  /* "2022-11-20" */
    char built_at[32];     /* UTC */
    char attribution[160]; /* what the licence asks to be shown */
};

/* One connection. Read `pack`; the rest is for this layer. */
struct registry_reader {
    const struct pack *pack;
    struct registry *registry;
    struct snapshot *snapshot;
    struct registry_reader *next; /* while it is free */
    struct sqlite3 *db;
    struct sqlite3_stmt *boxes;
    uint16_t *name_costs; /* by name: scratch of a search, all zero between two */
    uint32_t *names_found;
    const uint64_t *name_pairs; /* by name: match_pairs() of its key */
};

/*
 * Opens `path` for at most `readers` requests at a time. NULL when the file is missing, truncated,
 * foreign, of another version or damaged; the detail says which.
 */
struct registry *registry_open(const char *path, unsigned readers, struct error *e);
void registry_close(struct registry *r); /* all readers are back */

/* Opens the file again. On failure false, and the old one stays. One caller at a time. */
bool registry_reload(struct registry *r, struct error *e) MUST_CHECK;

/* Waits while all readers are out. */
struct registry_reader *registry_acquire(struct registry *r);
void registry_release(struct registry_reader *reader);

/* Changes with each build of the file. */
uint64_t registry_version(const struct registry_reader *reader);

void registry_describe(struct registry *r, struct registry_info *ret);
/* `,"registry":{…}` for the body of /health. */
void registry_write_health(struct registry *r, struct buf *out);

#endif
