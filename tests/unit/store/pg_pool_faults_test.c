/* The server dies, refuses, hangs, or is not the one we want. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg_pool_fixture.h"

/* ---- Dying connections ---- */

static void test_pg_call_backend_terminated_mid_statement_has_unknown_outcome(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    int64_t pid = pg_get_i64(&f.result, 0, 0);
    PGconn *admin = pg_server_admin(&server);
    struct side_call victim;
    side_call_start(&victim, &f, &nap, "20");
    wait_until_running(admin, "%pg_sleep%");
    (void)pg_server_do(admin, "select pg_terminate_backend(pid) from pg_stat_activity"
                              " where application_name = 'pool_test'");
    side_call_finish(&victim);
    assert_false(victim.ok);
    assert_int_equal(victim.f.error.code, ERR_UNAVAILABLE);
    assert_true(victim.f.result.outcome_unknown);
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.dropped, 1);
    assert_int_equal(stats.open, 0);

    assert_true(run(&f, &my_pid, NULL));
    assert_true(pg_get_i64(&f.result, 0, 0) != pid);
    assert_int_equal(stats_of(&f).connects, 2);
    PQfinish(admin);
    fixture_done(&f);
}

static void *call_again(void *arg)
{
    struct side_call *c = arg;
    struct pg_param params[1] = {pg_param_text(c->param)};
    c->ok = pg_call_again(c->f.pool, c->statement, params, 1, c->f.arena, clock_mono_ms() + LONG_MS,
                          &c->f.result, &c->f.error);
    return NULL;
}

static void test_pg_call_again_lost_answer_is_asked_for_once_more_and_an_error_is_not(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    struct side_call c = {.f = {.pool = f.pool, .arena = f.arena}, .statement = &nap, .param = "2"};
    assert_int_equal(pthread_create(&c.thread, NULL, call_again, &c), 0);
    wait_until_running(admin, "%pg_sleep%");
    (void)pg_server_do(admin, "select pg_terminate_backend(pid) from pg_stat_activity"
                              " where application_name = 'pool_test'");
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    assert_true(c.ok);
    assert_int_equal(stats_of(&f).calls, 2);
    assert_int_equal(stats_of(&f).connects, 2);

    c.statement = &to_int;
    c.param = "no number";
    (void)call_again(&c);
    assert_false(c.ok);
    assert_int_equal(stats_of(&f).calls, 3);
    PQfinish(admin);
    fixture_done(&f);
}

static void test_pg_call_idle_connection_terminated_is_replaced_in_the_same_call(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    PGconn *admin = pg_server_admin(&server);
    for (unsigned i = 1; i <= 5; i++) {
        assert_true(run(&f, &my_pid, NULL));
        assert_int_equal(stats_of(&f).connects, i);
        (void)pg_server_do(admin, "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                                  " where application_name = 'pool_test'");
    }
    assert_int_equal(stats_of(&f).dropped, 4);
    PQfinish(admin);
    fixture_done(&f);
}

static void test_pg_call_deadline_during_statement_drops_the_connection(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    int64_t began_ms = clock_mono_ms();
    assert_false(run_within(&f, &nap, "20", 200));
    assert_in_range(clock_mono_ms() - began_ms, 195, 15000);
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_true(f.result.outcome_unknown);
    assert_int_equal(stats_of(&f).open, 0);
    assert_int_equal(stats_of(&f).dropped, 1);
    assert_true(run(&f, &my_pid, NULL));
    fixture_done(&f);
}

static void test_pg_call_deadline_passed_before_sending_keeps_the_connection(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    assert_false(run_within(&f, &arrive, "1", -1));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_false(f.result.outcome_unknown);
    assert_int_equal(stats_of(&f).dropped, 0);
    assert_int_equal(stats_of(&f).open, 1);
    fixture_done(&f);
}

/* ---- Restarts ---- */

static void test_pg_call_after_immediate_restart_recovers(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(3);
    struct fixture f;
    fixture_init(&f, &config);
    for (int round = 0; round < 2; round++) {
        assert_true(run(&f, &my_pid, NULL));
        assert_true(pg_server_ctl(&server, "restart", "immediate"));
        if (!run(&f, &my_pid, NULL)) {
            assert_int_equal(f.error.code, ERR_UNAVAILABLE);
            (void)usleep(1100000); /* the longest pause between two connects */
        }
        assert_true(run(&f, &my_pid, NULL));
    }
    assert_true(stats_of(&f).dropped >= 2);
    fixture_done(&f);
}

static void test_pg_call_server_down_fails_fast_and_returns_when_it_is_back(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(3);
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(run(&f, &my_pid, NULL));
    assert_true(pg_server_ctl(&server, "stop", "immediate"));

    unsigned calls = 0;
    for (int64_t until = clock_mono_ms() + 1500; clock_mono_ms() < until; calls++) {
        assert_false(run(&f, &my_pid, NULL));
        assert_int_equal(f.error.code, ERR_UNAVAILABLE);
        assert_false(f.result.outcome_unknown);
        (void)usleep(1000);
    }
    /* At least 100 ms apart, however many ask. */
    uint64_t failures = stats_of(&f).connect_failures;
    assert_in_range(failures, 1, 16);
    assert_true(calls > failures);
    assert_int_equal(stats_of(&f).open, 0);

    assert_true(pg_server_ctl(&server, "start", ""));
    int64_t back_ms = clock_mono_ms();
    while (!run(&f, &my_pid, NULL)) {
        assert_true(clock_mono_ms() - back_ms < 10000);
        (void)usleep(10000);
    }
    fixture_done(&f);
}

enum { THREADS = 8 };
static atomic_bool stop_calling;

static void *call_until_stopped(void *arg)
{
    struct side_call *c = arg;
    c->ok = true;
    while (!atomic_load(&stop_calling)) {
        if (!run_within(&c->f, &arrive, "7", 2000) && c->f.error.code != ERR_UNAVAILABLE)
            c->ok = false;
        arena_reset(c->f.arena);
    }
    return NULL;
}

static void test_pg_call_restarts_under_load_leave_the_pool_whole(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(3);
    config.acquire_timeout_ms = 500;
    struct fixture f;
    fixture_init(&f, &config);
    struct side_call callers[THREADS];
    atomic_store(&stop_calling, false);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct side_call){.f = {.pool = f.pool, .arena = arena_new(ARENA_MAX_BYTES)}};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_until_stopped, &callers[i]),
                         0);
    }
    for (int round = 0; round < 2; round++) {
        (void)usleep(300000);
        assert_true(pg_server_ctl(&server, "restart", "immediate"));
    }
    (void)usleep(1200000);
    atomic_store(&stop_calling, true);
    for (int i = 0; i < THREADS; i++) {
        side_call_finish(&callers[i]);
        assert_true(callers[i].ok);
    }
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.in_use, 0);
    assert_int_equal(stats.waiting, 0);
    assert_in_range(stats.open, 1, 3);
    assert_true(run(&f, &my_pid, NULL));
    fixture_done(&f);
}

/* ---- Connecting ---- */

static void test_pg_call_server_at_its_limit_shares_what_was_got(void **state)
{
    need_server(state);
    PGconn *admin = pg_server_admin(&server);
    (void)pg_server_do(admin, "alter role svc connection limit 1");
    struct pg_pool_config config = config_of(3);
    struct fixture f;
    fixture_init(&f, &config);
    struct side_call callers[4];
    side_call_start(&callers[0], &f, &nap, "0.3");
    wait_until_running(admin, "%pg_sleep%");
    for (size_t i = 1; i < ARRAY_LEN(callers); i++)
        side_call_start(&callers[i], &f, &nap, "0.01");
    for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
        side_call_finish(&callers[i]);
        assert_true(callers[i].ok);
    }
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.connects, 1);
    assert_true(stats.connect_failures >= 1);
    (void)pg_server_do(admin, "alter role svc connection limit -1");
    PQfinish(admin);
    fixture_done(&f);
}

static void assert_check_fails(const struct pg_pool_config *config, enum error_code code,
                               const char *detail)
{
    struct fixture f;
    fixture_init(&f, config);
    assert_false(pg_pool_check(f.pool, clock_mono_ms() + LONG_MS, &f.error));
    assert_string_equal(error_name(f.error.code), error_name(code));
    assert_non_null(strstr(f.error.detail, detail));
    /* The same reason while no new attempt is due. */
    assert_false(pg_pool_check(f.pool, clock_mono_ms() + LONG_MS, &f.error));
    assert_string_equal(error_name(f.error.code), error_name(code));
    /* To a request it is just no database. */
    assert_false(run(&f, &my_pid, NULL));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_false(f.result.outcome_unknown);
    assert_int_equal(stats_of(&f).open, 0);
    fixture_done(&f);
}

static void test_pg_pool_check_server_not_durable_is_refused(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    PGconn *admin = pg_server_admin(&server);
    static const char *const names[] = {"fsync", "full_page_writes"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char sql[80];
        (void)snprintf(sql, sizeof(sql), "alter system set %s = off", names[i]);
        (void)pg_server_do(admin, sql);
        (void)pg_server_do(admin, "select pg_reload_conf()");
        do {
            (void)usleep(10000);
            (void)snprintf(sql, sizeof(sql), "select (current_setting('%s') = 'on')::int",
                           names[i]);
        } while (pg_server_do(admin, sql) != 0);
        assert_check_fails(&config, ERR_FAILED_PRECONDITION, names[i]);
        (void)pg_server_do(admin, "alter system reset all");
        (void)pg_server_do(admin, "select pg_reload_conf()");
        while (pg_server_do(admin, sql) == 0)
            (void)usleep(10000);
    }
    (void)pg_server_do(admin, "alter role svc set synchronous_commit = off");
    assert_check_fails(&config, ERR_FAILED_PRECONDITION, "synchronous_commit");

    config.require_durable = false;
    struct fixture f;
    fixture_init(&f, &config);
    assert_true(pg_pool_check(f.pool, clock_mono_ms() + LONG_MS, &f.error));
    fixture_done(&f);
    (void)pg_server_do(admin, "alter role svc reset all");
    PQfinish(admin);
}

static void test_pg_pool_check_statement_that_cannot_be_prepared_is_named(void **state)
{
    need_server(state);
    static const struct pg_statement wrong = {.name = "wrong",
                                              .sql = "select nothing from nowhere"};
    static const struct pg_statement *const list[] = {&my_pid, &wrong, &echo, NULL};
    struct pg_pool_config config = config_of(1);
    config.statements = list;
    assert_check_fails(&config, ERR_INTERNAL, "wrong cannot be prepared: SQLSTATE 42P01");
}

static void test_pg_pool_check_connect_refused_names_the_sqlstate(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(1);
    config.database = "no_such_database";
    assert_check_fails(&config, ERR_UNAVAILABLE, "SQLSTATE 3D000");
    config = config_of(1);
    config.user = "nobody_known";
    config.host = "127.0.0.1";
    assert_check_fails(&config, ERR_UNAVAILABLE, "SQLSTATE 28000");
    config = config_of(1);
    config.host = "/nonexistent";
    assert_check_fails(&config, ERR_UNAVAILABLE, "database connect failed");
}

static void test_pg_pool_check_server_that_never_answers_ends_in_time(void **state)
{
    need_server(state);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address.in);
    assert_int_equal(bind(fd, &address.any, len), 0);
    assert_int_equal(getsockname(fd, &address.any, &len), 0);
    assert_int_equal(listen(fd, 8), 0);

    struct pg_pool_config config = config_of(1);
    config.host = "127.0.0.1";
    config.port = ntohs(address.in.sin_port);
    struct fixture f;
    fixture_init(&f, &config);
    int64_t began_ms = clock_mono_ms();
    assert_false(pg_pool_check(f.pool, began_ms + 300, &f.error));
    assert_int_equal(f.error.code, ERR_UNAVAILABLE);
    assert_in_range(clock_mono_ms() - began_ms, 295, 15000);
    /* A caller in a hurry proves nothing: the next one tries again, under the limit of 2 s. */
    assert_false(pg_pool_check(f.pool, clock_mono_ms() + LONG_MS, &f.error));
    assert_in_range(clock_mono_ms() - began_ms, 2000, 20000);
    (void)usleep(1100000);
    assert_false(run_within(&f, &my_pid, NULL, 100));
    assert_int_equal(stats_of(&f).connect_failures, 3);
    fixture_done(&f);
    (void)close(fd);
}

static void test_pg_pool_check_live_server_keeps_the_connection_for_calls(void **state)
{
    need_server(state);
    struct pg_pool_config config = config_of(2);
    struct fixture f;
    fixture_init(&f, &config);
    for (int i = 0; i < 3; i++)
        assert_true(pg_pool_check(f.pool, clock_mono_ms() + LONG_MS, &f.error));
    assert_true(run(&f, &my_pid, NULL));
    struct pg_pool_stats stats = stats_of(&f);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.calls, 1);
    assert_int_equal(stats.size, 2);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_call_backend_terminated_mid_statement_has_unknown_outcome),
        cmocka_unit_test(test_pg_call_again_lost_answer_is_asked_for_once_more_and_an_error_is_not),
        cmocka_unit_test(test_pg_call_idle_connection_terminated_is_replaced_in_the_same_call),
        cmocka_unit_test(test_pg_call_deadline_during_statement_drops_the_connection),
        cmocka_unit_test(test_pg_call_deadline_passed_before_sending_keeps_the_connection),
        cmocka_unit_test(test_pg_call_after_immediate_restart_recovers),
        cmocka_unit_test(test_pg_call_server_down_fails_fast_and_returns_when_it_is_back),
        cmocka_unit_test(test_pg_call_restarts_under_load_leave_the_pool_whole),
        cmocka_unit_test(test_pg_call_server_at_its_limit_shares_what_was_got),
        cmocka_unit_test(test_pg_pool_check_server_not_durable_is_refused),
        cmocka_unit_test(test_pg_pool_check_statement_that_cannot_be_prepared_is_named),
        cmocka_unit_test(test_pg_pool_check_connect_refused_names_the_sqlstate),
        cmocka_unit_test(test_pg_pool_check_server_that_never_answers_ends_in_time),
        cmocka_unit_test(test_pg_pool_check_live_server_keeps_the_connection_for_calls),
    };
    return cmocka_run_group_tests(tests, group_start, group_stop);
}
