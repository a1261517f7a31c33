/*
 * pg_pool_fixture.h - one server, one schema and one pool for the test programs of the pool
 *
 * Included after cmocka.h.
 */
#ifndef TESTS_UNIT_STORE_PG_POOL_FIXTURE_H
#define TESTS_UNIT_STORE_PG_POOL_FIXTURE_H

#include "base/clock.h"
#include "base/encode.h"
#include "base/limits.h"
#include "pg_server.h"
#include "store/pg_pool.h"

#include <pthread.h>
#include <stdatomic.h>

/* Generous: tests that expect success never wait for it. */
#define LONG_MS 30000

static const struct pg_statement echo = {
    .name = "echo",
    .sql = "select $1::text as t, $2::bigint as n, $3::boolean as b, $4::bytea as d"};
static const struct pg_statement lock_row = {
    .name = "lock_row", .sql = "select id from item where id = $1::int for update nowait"};
static const struct pg_statement wait_row = {
    .name = "wait_row", .sql = "select id from item where id = $1::int for update"};
static const struct pg_statement nap = {.name = "nap", .sql = "select pg_sleep($1::float8)"};
static const struct pg_statement long_nap = {
    .name = "long_nap", .sql = "select pg_sleep($1::float8)", .long_running = true};
static const struct pg_statement add_item = {
    .name = "add_item", .sql = "insert into item (id, name) values ($1::int, $2)"};
static const struct pg_statement add_late = {
    .name = "add_late", .sql = "insert into late (id) values ($1::int) returning id"};
static const struct pg_statement to_int = {.name = "to_int", .sql = "select $1::text::int"};
static const struct pg_statement fail_as = {.name = "fail_as", .sql = "select fail_as($1::text)"};
static const struct pg_statement speak = {.name = "speak", .sql = "select speak()"};
static const struct pg_statement my_pid = {.name = "my_pid", .sql = "select pg_backend_pid()"};
static const struct pg_statement arrive = {.name = "arrive",
                                           .sql = "insert into arrival (who) values ($1::int)"};
static const struct pg_statement open_transaction = {.name = "open_transaction", .sql = "begin"};
static const struct pg_statement forget = {.name = "forget", .sql = "deallocate my_pid"};
static const struct pg_statement setting = {.name = "setting",
                                            .sql = "select current_setting($1::text)"};

static const struct pg_statement *const statements[] = {
    &echo,   &lock_row, &wait_row,         &nap,    &add_item, &add_late, &to_int, &fail_as, &speak,
    &my_pid, &arrive,   &open_transaction, &forget, &setting,  &long_nap, NULL};

static const char schema_sql[] =
    "create role svc login;"
    "create table item (id int primary key, name text);"
    "insert into item values (1, 'one'), (2, 'two');"
    "create table late (id int, constraint late_id unique (id) deferrable initially deferred);"
    "create table arrival (n serial, who int);"
    "create function fail_as(code text) returns void language plpgsql as"
    " $$ begin raise exception 'secret text' using errcode = code; end $$;"
    "create function speak() returns int language plpgsql as"
    " $$ begin raise warning 'secret text'; return 7; end $$;"
    "grant all on all tables in schema public to svc;"
    "grant all on all sequences in schema public to svc;";

static struct pg_server server;

static inline struct pg_pool_config config_of(unsigned size)
{
    return (struct pg_pool_config){
        .host = server.dir,
        .port = server.port,
        .database = "postgres",
        .user = "svc",
        .password = "",
        .application_name = "pool_test",
        .size = size,
        .acquire_timeout_ms = LONG_MS,
        .idle_close_ms = LONG_MS,
        .statement_timeout_ms = LONG_MS,
        .lock_timeout_ms = 200,
        .statements = statements,
        .require_durable = true,
    };
}

struct fixture {
    struct pg_pool *pool;
    struct arena *arena;
    struct pg_result result;
    struct error error;
};

static inline void fixture_init(struct fixture *f, const struct pg_pool_config *config)
{
    *f = (struct fixture){.pool = pg_pool_new(config), .arena = arena_new(ARENA_MAX_BYTES)};
}

static inline void fixture_done(struct fixture *f)
{
    arena_free(f->arena);
    pg_pool_free(f->pool);
}

static inline bool run_within(struct fixture *f, const struct pg_statement *statement,
                              const char *param, int64_t ms)
{
    struct pg_param params[1] = {pg_param_text(param)};
    f->error = (struct error){.code = ERR_NONE};
    return pg_call(f->pool, statement, params, param != NULL ? 1 : 0, f->arena,
                   clock_mono_ms() + ms, &f->result, &f->error);
}

static inline bool run(struct fixture *f, const struct pg_statement *statement, const char *param)
{
    return run_within(f, statement, param, LONG_MS);
}

static inline struct pg_pool_stats stats_of(struct fixture *f)
{
    struct pg_pool_stats stats;
    pg_pool_get_stats(f->pool, &stats);
    return stats;
}

/* A call on a thread of its own. */
struct side_call {
    struct fixture f;
    const struct pg_statement *statement;
    const char *param;
    int64_t within_ms;
    bool ok;
    pthread_t thread;
};

static inline void *side_call_run(void *arg)
{
    struct side_call *c = arg;
    c->ok = run_within(&c->f, c->statement, c->param, c->within_ms);
    return NULL;
}

static inline void side_call_start_within(struct side_call *c, struct fixture *f,
                                          const struct pg_statement *statement, const char *param,
                                          int64_t ms)
{
    *c = (struct side_call){.f = {.pool = f->pool, .arena = arena_new(ARENA_MAX_BYTES)},
                            .statement = statement,
                            .param = param,
                            .within_ms = ms};
    must(pthread_create(&c->thread, NULL, side_call_run, c) == 0);
}

static inline void side_call_start(struct side_call *c, struct fixture *f,
                                   const struct pg_statement *statement, const char *param)
{
    side_call_start_within(c, f, statement, param, LONG_MS);
}

static inline void side_call_finish(struct side_call *c)
{
    must(pthread_join(c->thread, NULL) == 0);
    arena_free(c->f.arena);
}

/* Sessions of the pool that run a statement like `pattern` now. */
static inline long sessions_running(PGconn *admin, const char *pattern)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql),
                   "select count(*) from pg_stat_activity where application_name = 'pool_test'"
                   " and state = 'active' and query like '%s'",
                   pattern);
    return pg_server_do(admin, sql);
}

static inline void wait_until_running(PGconn *admin, const char *pattern)
{
    for (int64_t until = clock_mono_ms() + LONG_MS; sessions_running(admin, pattern) == 0;) {
        must(clock_mono_ms() < until);
        (void)usleep(5000);
    }
}

static bool has_server;

static inline int group_start(void **state)
{
    (void)state;
    encode_init();
    has_server = pg_server_start(&server);
    if (!has_server) {
        (void)fprintf(stderr, "PostgreSQL 15 is not installed: the tests are skipped\n");
        return 0;
    }
    PGconn *admin = pg_server_admin(&server);
    (void)pg_server_do(admin, schema_sql);
    PQfinish(admin);
    return 0;
}

static inline void need_server(void **state)
{
    (void)state;
    if (!has_server)
        skip();
}

static inline int group_stop(void **state)
{
    (void)state;
    if (has_server)
        pg_server_stop(&server);
    return 0;
}

#endif
