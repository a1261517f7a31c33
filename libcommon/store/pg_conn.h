/*
 * pg_conn.h - one PostgreSQL connection, spoken to without blocking past a deadline
 *
 * Private to pg_pool.c; pg_value.c has the parameters and getters. A connection belongs to one
 * thread at a time. Every function returns by its deadline (clock_mono_ms()), but for the name
 * look-up of a host that is no address, which libpq does by itself. Notices of the server are never
 * printed. Source: PostgreSQL 15 manual, chapter 34 (libpq).
 */
#ifndef LIBCOMMON_STORE_PG_CONN_H
#define LIBCOMMON_STORE_PG_CONN_H

#include "store/pg_pool.h"

struct pg_conn;

/*
 * Connects, prepares all statements and asks for durability in one further round trip. NULL:
 * ERR_UNAVAILABLE, ERR_FAILED_PRECONDITION (not durable), or the SQLSTATE's code when a statement
 * cannot be prepared.
 */
struct pg_conn *pg_conn_open(const struct pg_pool_config *config, int64_t deadline_ms,
                             struct error *e);
void pg_conn_close(struct pg_conn *c); /* NULL is fine; does not wait for the server */

/* For a connection that was idle: false when the server closed it, or announced to. No round trip.
 */
bool pg_conn_is_alive(struct pg_conn *c);

/* False after anything that leaves its protocol state in doubt: close it then. */
bool pg_conn_is_reusable(const struct pg_conn *c);

/* Parameters in libpq's shape. */
struct pg_values {
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX];
    int formats[PG_PARAMS_MAX];
    int count;
};

/* Text is copied into the arena; bytes are borrowed. ERR_BAD_REQUEST: a text with NUL in it. */
bool pg_values_fill(struct pg_values *v, const struct pg_param *params, size_t count,
                    struct arena *a, struct error *e);

bool pg_conn_call(struct pg_conn *c, const struct pg_statement *statement,
                  const struct pg_values *values, struct arena *a, int64_t deadline_ms,
                  struct pg_result *ret, struct error *e);

/* One round trip that does nothing. */
bool pg_conn_ping(struct pg_conn *c, int64_t deadline_ms, struct error *e);

#endif
