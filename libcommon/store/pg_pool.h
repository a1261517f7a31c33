/*
 * pg_pool.h - a strict pool of PostgreSQL connections; one statement is one round trip
 *
 * Connections are made on demand up to `size`, prepared once, closed after idle_close_ms, dropped
 * on any doubt about their protocol state and never reused then. A caller waits at most
 * acquire_timeout_ms (and never past its deadline) for one, in order of arrival. Blocking, for
 * worker threads; thread-safe.
 *
 * Each pg_call() is one prepared statement in its own implicit transaction. The server bounds it
 * too: statement_timeout and lock_timeout are set on the connection, shorter than any request's
 * budget, so a vote cannot commit long after its caller gave up without the retry being told. A
 * connection found dead before the statement was sent is replaced within the same call; after
 * sending, the outcome is unknown and the caller gets ERR_UNAVAILABLE with
 * pg_result.outcome_unknown set. The same holds when the deadline passes first: the connection is
 * dropped and the server's own statement_timeout ends the statement. A text parameter with a NUL in
 * it is ERR_BAD_REQUEST. Times come in UTC (TimeZone is set on the connection).
 *
 * After a failed connect the next attempt waits a jittered 100 ms to 1 s. Until then calls use the
 * connections that still live, or fail at once with ERR_UNAVAILABLE when there is none.
 *
 * SQLSTATE → error: 55P03 → ERR_UNAVAILABLE (lock refused; counted apart), 57014 → ERR_UNAVAILABLE
 * (statement timeout), 08xxx, 57P0x, 53xxx → ERR_UNAVAILABLE, 40001, 40P01 → ERR_ABORTED, 23505 →
 * ERR_CONFLICT, 22xxx → ERR_BAD_REQUEST, other → ERR_INTERNAL. The detail carries the SQLSTATE and
 * the statement's name only.
 */
#ifndef LIBCOMMON_STORE_PG_POOL_H
#define LIBCOMMON_STORE_PG_POOL_H

#include "base/arena.h"
#include "base/error.h"

#define PG_PARAMS_MAX 24

/* A statement: prepared under its name on each connection. Static. */
struct pg_statement {
    const char *name; /* [a-z_]+ */
    const char *sql;  /* one statement, $1.. parameters with explicit casts */
    /* Its limit on the server is nine tenths of what is left to the caller's deadline, whatever
     * statement_timeout_ms says; costs two short round trips more. */
    bool long_running;
};

struct pg_pool_config {
    const char *host; /* name, address, or directory of a Unix socket ("/cloudsql/…") */
    uint16_t port;    /* ignored for a socket directory only when 0 */
    const char *database;
    const char *user;
    const char *password;         /* may be "" */
    const char *application_name; /* the service's name */
    unsigned size;                /* 1..64 */
    int64_t acquire_timeout_ms;
    int64_t idle_close_ms;
    int64_t statement_timeout_ms; /* set on the connection */
    int64_t lock_timeout_ms;
    const struct pg_statement *const
        *statements;      /* NULL-terminated; prepared on connect; may be NULL */
    bool require_durable; /* refuse a server with fsync, full_page_writes or synchronous_commit off
                             (DESIGN §3) */
};

struct pg_pool;

/* Connects to nothing. Strings are copied. */
struct pg_pool *pg_pool_new(const struct pg_pool_config *config);
void pg_pool_free(struct pg_pool *p); /* waits for calls in progress */

/* Opens one connection and checks the server; for start-up and /health/ready. A server that is not
 * durable: ERR_FAILED_PRECONDITION. */
bool pg_pool_check(struct pg_pool *p, int64_t deadline_ms, struct error *e) MUST_CHECK;

/* Text parameters; bytea as PG_BYTES. A parameter with ptr NULL is SQL NULL. */
struct pg_param {
    struct str value;
    bool binary; /* value is sent in binary format: only for bytea */
};
#define PG_TEXT(s)  ((struct pg_param){(s), false})
#define PG_BYTES(s) ((struct pg_param){(s), true})
#define PG_NULL     ((struct pg_param){{NULL, 0}, false})
struct pg_param pg_param_text(const char *text); /* borrowed; NULL is SQL NULL */
struct pg_param pg_param_i64(struct arena *a, int64_t value);
struct pg_param pg_param_bool(bool value);

struct pg_result {
    void *handle; /* PGresult; freed with the arena */
    int rows;
    bool outcome_unknown; /* set on failure: the statement may have committed */
    char sqlstate[6];     /* "" when none */
};

bool pg_call(struct pg_pool *p, const struct pg_statement *statement, const struct pg_param *params,
             size_t param_count, struct arena *a, int64_t deadline_ms, struct pg_result *ret,
             struct error *e) MUST_CHECK;

/* For a statement that does no more the second time than the first: one whose answer was lost is
 * called once more. */
bool pg_call_again(struct pg_pool *p, const struct pg_statement *statement,
                   const struct pg_param *params, size_t param_count, struct arena *a,
                   int64_t deadline_ms, struct pg_result *ret, struct error *e) MUST_CHECK;

/* Borrowed from the result. SQL NULL is an empty str with ptr NULL. must(): row and column exist.
 */
struct str pg_get(const struct pg_result *r, int row, int column);
struct str pg_get_named(const struct pg_result *r, int row, const char *column);
int64_t pg_get_i64(const struct pg_result *r, int row,
                   int column); /* must(): is an integer; NULL gives 0 */
bool pg_get_bool(const struct pg_result *r, int row, int column); /* NULL gives false */
/* A bytea column, decoded into the arena; must(): is one. SQL NULL is an empty str, ptr NULL. */
struct str pg_get_bytes(const struct pg_result *r, int row, int column, struct arena *a);

/* Closes what has been idle for idle_close_ms. Never waits for the server or for a caller; the
 * service's one-second tick calls it, calls do it on the way as well. */
void pg_pool_reap_idle(struct pg_pool *p);

struct pg_pool_stats {
    unsigned size, open, in_use, waiting;
    uint64_t calls, waits, acquire_timeouts, connects, connect_failures, dropped, lock_refusals,
        statement_timeouts;
    int64_t wait_us_total;
};
void pg_pool_get_stats(const struct pg_pool *p, struct pg_pool_stats *ret);

#endif
