/* Calls, values, errors and the queue. What happens when the server dies: pg_pool_faults_test.c. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg_pool_fixture.h"

/* ---- Values ---- */

static void test_pg_call_each_type_comes_back_as_sent(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    static const char bytes[] = "\0\x01\\x\xff'";
    const struct pg_param params[] = {PG_TEXT(STR("\xc3\x9e\xc3\xb3r 'x'; --")),
                                      pg_param_i64(f.arena, INT64_MIN), pg_param_bool(true),
                                      PG_BYTES(STR(bytes))};
    assert_true(
        pg_call(f.pool, &echo, params, 4, f.arena, clock_mono_ms() + LONG_MS, &f.result, &f.error));
    assert_int_equal(f.result.rows, 1);
    assert_string_equal(f.result.sqlstate, "");
    assert_true(str_eq(pg_get(&f.result, 0, 0), params[0].value));
    assert_true(str_eq(pg_get_named(&f.result, 0, "t"), params[0].value));
    assert_true(pg_get_i64(&f.result, 0, 1) == INT64_MIN);
    assert_true(pg_get_bool(&f.result, 0, 2));
    assert_true(str_eq(pg_get_bytes(&f.result, 0, 3, f.arena), STR(bytes)));
    fixture_done(&f);
}

static void test_pg_call_null_and_empty_stay_apart(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    const struct pg_param nulls[] = {PG_NULL, PG_NULL, PG_NULL, PG_NULL};
    assert_true(
        pg_call(f.pool, &echo, nulls, 4, f.arena, clock_mono_ms() + LONG_MS, &f.result, &f.error));
    for (int i = 0; i < 4; i++)
        assert_null(pg_get(&f.result, 0, i).ptr);
    assert_int_equal(pg_get_i64(&f.result, 0, 1), 0);
    assert_false(pg_get_bool(&f.result, 0, 2));
    assert_null(pg_get_bytes(&f.result, 0, 3, f.arena).ptr);

    const struct pg_param empties[] = {pg_param_text(""), pg_param_i64(f.arena, -7),
                                       pg_param_bool(false), PG_BYTES(STR(""))};
    assert_true(pg_call(f.pool, &echo, empties, 4, f.arena, clock_mono_ms() + LONG_MS, &f.result,
                        &f.error));
    assert_non_null(pg_get(&f.result, 0, 0).ptr);
    assert_int_equal(pg_get(&f.result, 0, 0).len, 0);
    assert_int_equal(pg_get_i64(&f.result, 0, 1), -7);
    assert_false(pg_get_bool(&f.result, 0, 2));
    struct str data = pg_get_bytes(&f.result, 0, 3, f.arena);
    assert_true(data.ptr != NULL && data.len == 0);
    fixture_done(&f);
}

static void test_pg_call_text_with_nul_is_refused_before_sending(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    const struct pg_param params[] = {PG_TEXT(STR("a\0b"))};
    assert_false(pg_call(f.pool, &to_int, params, 1, f.arena, clock_mono_ms() + LONG_MS, &f.result,
                         &f.error));
    assert_int_equal(f.error.code, ERR_BAD_REQUEST);
    assert_false(f.result.outcome_unknown);
    assert_int_equal(stats_of(&f).connects, 0);
    fixture_done(&f);
}

static void test_pg_call_large_value_passes_the_socket_buffers(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    enum { SIZE = 2000000 };
    char *big = arena_alloc(f.arena, SIZE);
    memset(big, 'x', SIZE);
    const struct pg_param params[] = {PG_NULL, PG_NULL, PG_NULL, PG_BYTES(str_n(big, SIZE))};
    assert_true(
        pg_call(f.pool, &echo, params, 4, f.arena, clock_mono_ms() + LONG_MS, &f.result, &f.error));
    assert_int_equal(pg_get_bytes(&f.result, 0, 3, f.arena).len, SIZE);
    fixture_done(&f);
}

static void test_pg_call_session_has_limits_and_utc(void **state)
{
    need_server(state);
    static const char *const expected[][2] = {{"statement_timeout", "30s"},
                                              {"lock_timeout", "200ms"},
                                              {"idle_in_transaction_session_timeout", "10s"},
                                              {"TimeZone", "UTC"},
                                              {"client_encoding", "UTF8"},
                                              {"application_name", "pool_test"}};
    struct pg_pool_config config = config_of(1);
    config.host = "127.0.0.1";
    struct fixture f;
    fixture_init(&f, &config);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(run(&f, &setting, expected[i][0]));
        assert_true(str_eq_text(pg_get(&f.result, 0, 0), expected[i][1]));
    }
    fixture_done(&f);
}

/* ---- Errors of statements ---- */

static void assert_error(struct fixture *f, enum error_code code, const char *sqlstate)
{
    assert_string_equal(error_name(f->error.code), error_name(code));
    assert_string_equal(f->result.sqlstate, sqlstate);
    assert_non_null(strstr(f->error.detail, sqlstate));
    assert_null(strstr(f->error.detail, "secret"));
    assert_false(f->result.outcome_unknown);
    assert_null(f->result.handle);
}

static void test_pg_call_sqlstate_decides_the_error_and_keeps_the_connection(void **state)
{
    need_server(state);
    static const struct {
        const char *sqlstate;
        enum error_code code;
    } table[] = {{"40001", ERR_ABORTED},     {"40P01", ERR_ABORTED},     {"23505", ERR_CONFLICT},
                 {"23503", ERR_INTERNAL},    {"22P02", ERR_BAD_REQUEST}, {"22001", ERR_BAD_REQUEST},
                 {"53100", ERR_UNAVAILABLE}, {"53300", ERR_UNAVAILABLE}, {"57014", ERR_UNAVAILABLE},
                 {"57P03", ERR_UNAVAILABLE}, {"55P03", ERR_UNAVAILABLE}, {"08006", ERR_UNAVAILABLE},
                 {"P0001", ERR_INTERNAL},    {"42501", ERR_INTERNAL}};
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_false(run(&f, &fail_as, table[i].sqlstate));
        assert_error(&f, table[i].code, table[i].sqlstate);
    }
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(stats.lock_refusals, 1);
    assert_int_equal(stats.statement_timeouts, 1);
    fixture_done(&f);
}

static void test_pg_call_real_errors_are_mapped(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    config.statement_timeout_ms = 250;
    struct fixture f;
    fixture_init(&f, &config);
    assert_false(run(&f, &to_int, "abc"));
    assert_error(&f, ERR_BAD_REQUEST, "22P02");
    const struct pg_param one[] = {PG_TEXT(STR("1")), PG_TEXT(STR("secret"))};
    assert_false(pg_call(f.pool, &add_item, one, 2, f.arena, clock_mono_ms() + LONG_MS, &f.result,
                         &f.error));
    assert_error(&f, ERR_CONFLICT, "23505");
    assert_false(run(&f, &nap, "20"));
    assert_error(&f, ERR_UNAVAILABLE, "57014");
    assert_int_equal(stats_of(&f).dropped, 0);
    fixture_done(&f);
}

static void test_pg_call_held_row_is_refused_and_counted(void **state)
{
    need_server(state);
    PGconn *admin = pg_server_admin(&server);
    (void)pg_server_do(admin, "begin; select id from item where id = 2 for update");
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_false(run(&f, &lock_row, "2"));
    assert_error(&f, ERR_UNAVAILABLE, "55P03");
    assert_false(run(&f, &wait_row, "2")); /* lock_timeout */
    assert_error(&f, ERR_UNAVAILABLE, "55P03");
    assert_true(run(&f, &lock_row, "1"));
    (void)pg_server_do(admin, "rollback");
    assert_true(run(&f, &lock_row, "2"));
    assert_int_equal(stats_of(&f).lock_refusals, 2);
    fixture_done(&f);
    PQfinish(admin);
}

static void test_pg_call_long_running_has_the_callers_time_and_leaves_no_trace(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    config.statement_timeout_ms = 100;
    struct fixture f;
    fixture_init(&f, &config);
    assert_false(run(&f, &nap, "0.5"));
    assert_error(&f, ERR_UNAVAILABLE, "57014");
    assert_true(run(&f, &long_nap, "0.5"));
    assert_true(run(&f, &setting, "statement_timeout"));
    assert_true(str_eq_text(pg_get(&f.result, 0, 0), "100ms"));
    /* The server ends it before the deadline does, so its outcome is known. */
    assert_false(run_within(&f, &long_nap, "30", 1000));
    assert_error(&f, ERR_UNAVAILABLE, "57014");
    assert_true(run(&f, &setting, "statement_timeout"));
    assert_true(str_eq_text(pg_get(&f.result, 0, 0), "100ms"));
    assert_int_equal(stats_of(&f).connects, 1);
    fixture_done(&f);
}

static void test_pg_call_error_at_commit_beats_the_rows(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &add_late, "1"));
    assert_int_equal(f.result.rows, 1);
    assert_false(run(&f, &add_late, "1"));
    assert_error(&f, ERR_CONFLICT, "23505");
    assert_int_equal(f.result.rows, 0);
    assert_true(run(&f, &add_late, "2"));
    assert_int_equal(stats_of(&f).connects, 1);
    fixture_done(&f);
}

static void test_pg_call_warning_changes_nothing(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    for (int i = 0; i < 3; i++) {
        assert_true(run(&f, &speak, NULL));
        assert_int_equal(pg_get_i64(&f.result, 0, 0), 7);
    }
    assert_int_equal(stats_of(&f).connects, 1);
    fixture_done(&f);
}

static void test_pg_call_open_transaction_drops_the_connection(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    int64_t pid = pg_get_i64(&f.result, 0, 0);
    assert_false(run(&f, &open_transaction, NULL));
    assert_true(f.result.outcome_unknown);
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_int_equal(stats_of(&f).dropped, 1);
    assert_true(run(&f, &my_pid, NULL));
    assert_true(pg_get_i64(&f.result, 0, 0) != pid);
    fixture_done(&f);
}

static void test_pg_call_forgotten_statement_is_prepared_again(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &forget, NULL));
    assert_false(run(&f, &my_pid, NULL));
    assert_error(&f, ERR_INTERNAL, "26000");
    assert_true(run(&f, &my_pid, NULL));
    assert_int_equal(stats_of(&f).dropped, 1);
    fixture_done(&f);
}

/* ---- The queue ---- */

static void test_pg_call_no_free_connection_fails_after_the_acquire_time(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    config.acquire_timeout_ms = 100;
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    PGconn *admin = pg_server_admin(&server);
    struct side_call holder;
    side_call_start(&holder, &f, &nap, "1");
    wait_until_running(admin, "%pg_sleep%");

    assert_false(run(&f, &my_pid, NULL));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_false(f.result.outcome_unknown);
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.acquire_timeouts, 1);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.in_use, 1);

    side_call_finish(&holder);
    assert_true(holder.ok);
    assert_true(run(&f, &my_pid, NULL));
    assert_int_equal(stats_of(&f).connects, 1);
    PQfinish(admin);
    fixture_done(&f);
}

static void test_pg_call_waiting_ends_at_the_callers_deadline(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    struct side_call holder;
    side_call_start(&holder, &f, &nap, "1");
    wait_until_running(admin, "%pg_sleep%");
    assert_false(run_within(&f, &my_pid, NULL, 50));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_false(f.result.outcome_unknown);
    assert_int_equal(stats_of(&f).acquire_timeouts, 1);
    side_call_finish(&holder);
    PQfinish(admin);
    fixture_done(&f);
}

enum { WAITERS = 6 };

static void test_pg_call_waiters_are_served_in_order_of_arrival(void **state)
{
    need_server(state);
    static const char *const numbers[WAITERS] = {"0", "1", "2", "3", "4", "5"};
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    (void)pg_server_do(admin, "truncate arrival");
    struct side_call holder;
    side_call_start(&holder, &f, &nap, "1");
    wait_until_running(admin, "%pg_sleep%");

    struct side_call waiters[WAITERS];
    for (unsigned i = 0; i < WAITERS; i++) {
        side_call_start(&waiters[i], &f, &arrive, numbers[i]);
        while (stats_of(&f).waiting < i + 1 && stats_of(&f).in_use == 1)
            (void)usleep(1000);
    }
    assert_int_equal(stats_of(&f).waiting, WAITERS);
    side_call_finish(&holder);
    for (unsigned i = 0; i < WAITERS; i++) {
        side_call_finish(&waiters[i]);
        assert_true(waiters[i].ok);
    }
    assert_int_equal(pg_server_do(admin, "select count(*) from arrival"), WAITERS);
    assert_int_equal(
        pg_server_do(admin, "select count(*) from (select who, row_number() over (order by n) - 1"
                            " as place from arrival) x where who <> place"),
        0);
    assert_true(stats_of(&f).wait_us_total > 0);
    PQfinish(admin);
    fixture_done(&f);
}

/* From the middle of the queue and from its end: the next one is put behind who is left. */
static void test_pg_call_waiter_that_gives_up_leaves_the_others_their_places(void **state)
{
    need_server(state);
    enum { COUNT = 5 };
    static const struct {
        const char *number;
        int64_t within_ms;
    } rows[COUNT] = {{"0", LONG_MS}, {"9", 300}, {"1", LONG_MS}, {"9", 200}, {"2", LONG_MS}};
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    (void)pg_server_do(admin, "truncate arrival");
    struct side_call holder;
    side_call_start(&holder, &f, &nap, "2");
    wait_until_running(admin, "%pg_sleep%");

    struct side_call waiters[COUNT];
    for (unsigned i = 0; i < COUNT - 1; i++) {
        side_call_start_within(&waiters[i], &f, &arrive, rows[i].number, rows[i].within_ms);
        while (stats_of(&f).waits < i + 1)
            (void)usleep(1000);
    }
    while (stats_of(&f).acquire_timeouts < 2)
        (void)usleep(1000);
    side_call_start(&waiters[COUNT - 1], &f, &arrive, rows[COUNT - 1].number);
    while (stats_of(&f).waiting < 3 && stats_of(&f).in_use == 1)
        (void)usleep(1000);
    assert_int_equal(stats_of(&f).waiting, 3);
    side_call_finish(&holder);
    for (unsigned i = 0; i < COUNT; i++) {
        side_call_finish(&waiters[i]);
        assert_int_equal(waiters[i].ok, rows[i].within_ms == LONG_MS);
    }
    assert_int_equal(pg_server_do(admin,
                                  "select sum(who * 10 ^ (3 - place)) from (select who,"
                                  " row_number() over (order by n) as place from arrival) x"),
                     12);
    PQfinish(admin);
    fixture_done(&f);
}

enum { THREADS = 16, CALLS = 500 };

static void *call_often(void *arg)
{
    struct side_call *c = arg;
    intptr_t good = 0;
    for (int i = 0; i < CALLS; i++) {
        good += run(&c->f, &setting, "application_name") &&
                str_eq(pg_get(&c->f.result, 0, 0), STR("pool_test"));
        arena_reset(c->f.arena);
    }
    c->ok = good == CALLS;
    return NULL;
}

static void test_pg_call_many_threads_share_few_connections(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(3);
    struct fixture f;
    fixture_init(&f, &config);
    struct side_call callers[THREADS];
    int64_t began_us = clock_mono_us();
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct side_call){.f = {.pool = f.pool, .arena = arena_new(ARENA_MAX_BYTES)}};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        side_call_finish(&callers[i]);
        assert_true(callers[i].ok);
    }
    print_message("%.1f us a call\n", (double)(clock_mono_us() - began_us) / (THREADS * CALLS));
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.calls, THREADS * CALLS);
    assert_int_equal(stats.connects, 3);
    assert_int_equal(stats.open, 3);
    assert_int_equal(stats.in_use, 0);
    assert_int_equal(stats.dropped, 0);
    fixture_done(&f);
}

/* ---- Idle connections ---- */

static void test_pg_pool_reap_idle_closes_only_what_was_idle_too_long(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(2);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    pg_pool_reap_idle(f.pool);
    assert_int_equal(stats_of(&f).open, 1);
    fixture_done(&f);

    config.idle_close_ms = 50;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    assert_int_equal(stats_of(&f).open, 1);
    (void)usleep(60000);
    pg_pool_reap_idle(f.pool);
    assert_int_equal(stats_of(&f).open, 0);
    assert_int_equal(stats_of(&f).dropped, 0);
    PGconn *admin = pg_server_admin(&server);
    while (pg_server_do(admin, "select count(*) from pg_stat_activity"
                               " where application_name = 'pool_test'") > 0)
        (void)usleep(5000);
    PQfinish(admin);
    assert_true(run(&f, &my_pid, NULL));
    fixture_done(&f);
}

static void test_pg_call_release_closes_another_connection_idle_too_long(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(2);
    config.idle_close_ms = 200;
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    struct side_call holder;
    side_call_start(&holder, &f, &nap, "0.05");
    wait_until_running(admin, "%pg_sleep%");
    assert_true(run(&f, &my_pid, NULL));
    side_call_finish(&holder);
    assert_int_equal(stats_of(&f).connects, 2);
    for (int64_t until = clock_mono_ms() + LONG_MS; stats_of(&f).open == 2;) {
        assert_true(clock_mono_ms() < until);
        assert_true(run(&f, &my_pid, NULL)); /* keeps one warm */
        (void)usleep(10000);
    }
    assert_int_equal(stats_of(&f).open, 1);
    PQfinish(admin);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_call_each_type_comes_back_as_sent),
        cmocka_unit_test(test_pg_call_null_and_empty_stay_apart),
        cmocka_unit_test(test_pg_call_text_with_nul_is_refused_before_sending),
        cmocka_unit_test(test_pg_call_large_value_passes_the_socket_buffers),
        cmocka_unit_test(test_pg_call_session_has_limits_and_utc),
        cmocka_unit_test(test_pg_call_sqlstate_decides_the_error_and_keeps_the_connection),
        cmocka_unit_test(test_pg_call_real_errors_are_mapped),
        cmocka_unit_test(test_pg_call_held_row_is_refused_and_counted),
        cmocka_unit_test(test_pg_call_long_running_has_the_callers_time_and_leaves_no_trace),
        cmocka_unit_test(test_pg_call_error_at_commit_beats_the_rows),
        cmocka_unit_test(test_pg_call_warning_changes_nothing),
        cmocka_unit_test(test_pg_call_open_transaction_drops_the_connection),
        cmocka_unit_test(test_pg_call_forgotten_statement_is_prepared_again),
        cmocka_unit_test(test_pg_call_no_free_connection_fails_after_the_acquire_time),
        cmocka_unit_test(test_pg_call_waiting_ends_at_the_callers_deadline),
        cmocka_unit_test(test_pg_call_waiters_are_served_in_order_of_arrival),
        cmocka_unit_test(test_pg_call_waiter_that_gives_up_leaves_the_others_their_places),
        cmocka_unit_test(test_pg_call_many_threads_share_few_connections),
        cmocka_unit_test(test_pg_pool_reap_idle_closes_only_what_was_idle_too_long),
        cmocka_unit_test(test_pg_call_release_closes_another_connection_idle_too_long),
    };
    return cmocka_run_group_tests(tests, group_start, group_stop);
}
