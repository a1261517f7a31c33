#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/must.h"
#include "net/backoff.h"

enum { DRAWS = 4000 };

static void assert_covers(unsigned attempt, int64_t base_ms, int64_t cap_ms, int64_t limit_ms)
{
    int64_t lowest = INT64_MAX;
    int64_t highest = -1;
    for (int i = 0; i < DRAWS; i++) {
        int64_t ms = backoff_full_jitter_ms(attempt, base_ms, cap_ms);
        assert_in_range(ms, 0, limit_ms);
        lowest = ms < lowest ? ms : lowest;
        highest = ms > highest ? ms : highest;
    }
    /* 4000 draws miss a whole tenth of the range with probability 0.9^4000. */
    assert_true(lowest <= limit_ms / 10);
    assert_true(highest >= limit_ms - limit_ms / 10);
}

static void test_backoff_first_attempt_stays_within_base(void **state)
{
    (void)state;
    assert_covers(0, 50, 1000, 50);
}

static void test_backoff_later_attempts_double_the_range(void **state)
{
    (void)state;
    assert_covers(1, 50, 1000, 100);
    assert_covers(4, 50, 1000, 800);
}

static void test_backoff_many_attempts_stops_at_cap(void **state)
{
    (void)state;
    assert_covers(5, 50, 1000, 1000);
    assert_covers(63, 50, 1000, 1000);
    assert_covers(UINT32_MAX, 50, 1000, 1000);
}

static void test_backoff_smallest_range_gives_zero_and_one(void **state)
{
    (void)state;
    int seen[2] = {0, 0};
    for (int i = 0; i < DRAWS; i++) {
        int64_t ms = backoff_full_jitter_ms(9, 1, 1);
        assert_in_range(ms, 0, 1);
        seen[ms]++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
}

static void test_backoff_largest_cap_does_not_overflow(void **state)
{
    (void)state;
    for (int i = 0; i < DRAWS; i++)
        assert_true(backoff_full_jitter_ms(200, 3, (int64_t)UINT32_MAX - 1) >= 0);
}

int main(void)
{
    encode_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff_first_attempt_stays_within_base),
        cmocka_unit_test(test_backoff_later_attempts_double_the_range),
        cmocka_unit_test(test_backoff_many_attempts_stops_at_cap),
        cmocka_unit_test(test_backoff_smallest_range_gives_zero_and_one),
        cmocka_unit_test(test_backoff_largest_cap_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
