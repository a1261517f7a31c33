#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "net/breaker.h"

static void call(struct breaker *b, bool success, int64_t now_ms)
{
    assert_true(breaker_allow(b, now_ms));
    breaker_report(b, success, now_ms);
}

static void test_breaker_failures_in_a_row_open_it(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 3, 1000);
    call(&b, false, 10);
    call(&b, false, 20);
    assert_int_equal(breaker_state_now(&b, 20), BREAKER_CLOSED);
    call(&b, false, 30);
    assert_int_equal(breaker_state_now(&b, 30), BREAKER_OPEN);
    assert_false(breaker_allow(&b, 31));
    assert_false(breaker_allow(&b, 1029));
    breaker_done(&b);
}

static void test_breaker_success_between_failures_keeps_it_closed(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 2, 1000);
    for (int i = 0; i < 20; i++) {
        call(&b, false, i);
        call(&b, true, i);
    }
    assert_int_equal(breaker_state_now(&b, 20), BREAKER_CLOSED);
    breaker_done(&b);
}

static void test_breaker_half_open_lets_one_probe_pass(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 1, 100);
    call(&b, false, 0);
    assert_false(breaker_allow(&b, 99));
    assert_int_equal(breaker_state_now(&b, 100), BREAKER_HALF_OPEN);
    assert_true(breaker_allow(&b, 100));
    assert_false(breaker_allow(&b, 100));
    assert_false(breaker_allow(&b, 100000));
    breaker_done(&b);
}

static void test_breaker_probe_success_closes_it(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 2, 100);
    call(&b, false, 0);
    call(&b, false, 0);
    call(&b, true, 150);
    assert_int_equal(breaker_state_now(&b, 150), BREAKER_CLOSED);
    /* The count starts anew: one failure does not open it. */
    call(&b, false, 151);
    assert_int_equal(breaker_state_now(&b, 151), BREAKER_CLOSED);
    breaker_done(&b);
}

static void test_breaker_probe_failure_opens_it_for_the_full_time_again(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 3, 100);
    for (int i = 0; i < 3; i++)
        call(&b, false, 0);
    call(&b, false, 140);
    assert_int_equal(breaker_state_now(&b, 140), BREAKER_OPEN);
    assert_false(breaker_allow(&b, 239));
    assert_true(breaker_allow(&b, 240));
    breaker_done(&b);
}

static void test_breaker_late_reports_do_not_extend_the_open_time(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 1, 100);
    assert_true(breaker_allow(&b, 0));
    assert_true(breaker_allow(&b, 0));
    assert_true(breaker_allow(&b, 0));
    breaker_report(&b, false, 10);
    breaker_report(&b, false, 90);
    breaker_report(&b, true, 95);
    assert_int_equal(breaker_state_now(&b, 109), BREAKER_OPEN);
    assert_true(breaker_allow(&b, 110));
    breaker_done(&b);
}

static void test_breaker_zero_failures_never_opens(void **state)
{
    (void)state;
    struct breaker b;
    breaker_init(&b, 0, 100);
    for (int i = 0; i < 1000; i++)
        call(&b, false, i);
    assert_int_equal(breaker_state_now(&b, 1000), BREAKER_CLOSED);
    breaker_done(&b);
}

enum { THREADS = 4, ROUNDS = 5000 };

struct shared {
    struct breaker breaker;
    int allowed[THREADS];
};
struct worker {
    struct shared *shared;
    int index;
};

static void *probe_often(void *arg)
{
    const struct worker *w = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (breaker_allow(&w->shared->breaker, 500))
            w->shared->allowed[w->index]++;
    }
    return NULL;
}

static void test_breaker_half_open_under_threads_lets_one_probe_pass(void **state)
{
    (void)state;
    struct shared shared = {.allowed = {0}};
    breaker_init(&shared.breaker, 1, 100);
    call(&shared.breaker, false, 0);

    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&shared, i};
        assert_int_equal(pthread_create(&threads[i], NULL, probe_often, &workers[i]), 0);
    }
    int allowed = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        allowed += shared.allowed[i];
    }
    assert_int_equal(allowed, 1);
    breaker_done(&shared.breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_failures_in_a_row_open_it),
        cmocka_unit_test(test_breaker_success_between_failures_keeps_it_closed),
        cmocka_unit_test(test_breaker_half_open_lets_one_probe_pass),
        cmocka_unit_test(test_breaker_probe_success_closes_it),
        cmocka_unit_test(test_breaker_probe_failure_opens_it_for_the_full_time_again),
        cmocka_unit_test(test_breaker_late_reports_do_not_extend_the_open_time),
        cmocka_unit_test(test_breaker_zero_failures_never_opens),
        cmocka_unit_test(test_breaker_half_open_under_threads_lets_one_probe_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
