/*
 * store.h - the one SQLite database behind documents and accounts
 *
 * One connection, one user at a time: store_begin() waits for the others, store_end() lets go. All
 * other functions are for whoever is in between. A failure of SQLite is remembered, and store_end()
 * then rolls back and says so.
 */
#ifndef LOCAL_CLOUD_STORE_H
#define LOCAL_CLOUD_STORE_H

#include "base/arena.h"
#include "base/error.h"

#include <sqlite3.h>

struct store;

/* "" or ":memory:": gone with the process. ERR_INTERNAL when the file cannot be used. */
struct store *store_open(const char *path, struct error *e);
void store_close(struct store *s);

void store_begin(struct store *s);
/* keep: what was written stays. False when SQLite failed at any point. */
bool store_end(struct store *s, bool keep);

/* A statement, ready to bind. `sql` is a literal: its address finds the prepared one again. */
sqlite3_stmt *store_statement(struct store *s, const char *sql);
void store_bind_str(sqlite3_stmt *statement, int index, struct str value);
/* True while there are rows. */
bool store_step(struct store *s, sqlite3_stmt *statement);
/* For statements without rows: one step. */
void store_run(struct store *s, sqlite3_stmt *statement);
/* Copied into the arena. */
struct str store_column(sqlite3_stmt *statement, int index, struct arena *a);

/* Microseconds since 1970. A new time is later than any given before; "now" is not earlier. */
int64_t store_new_time_us(struct store *s);
int64_t store_now_us(const struct store *s);

#endif
