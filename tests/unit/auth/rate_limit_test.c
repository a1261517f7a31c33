#include "auth/testing.h"

#include "auth/rate_limit.h"

#include <pthread.h>
#include <stdatomic.h>

#define START_MS (NOW_S * 1000) /* the start of a window of a minute */
#define MINUTE_S 60
#define THREADS  64

static int init(void **state)
{
    (void)state;
    encode_init();
    return 0;
}

static unsigned take_many(struct rate_limiter *l, struct str key, int64_t now_ms, unsigned count)
{
    unsigned allowed = 0;
    for (unsigned i = 0; i < count; i++)
        allowed += rate_limiter_take(l, key, now_ms).allowed ? 1 : 0;
    return allowed;
}

static void test_rate_limiter_take_limit_is_exact_and_told(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(3, MINUTE_S, 100);
    for (unsigned i = 0; i < 3; i++) {
        struct rate_verdict v = rate_limiter_take(l, STR("a"), START_MS + 15000);
        assert_true(v.allowed);
        assert_int_equal(v.limit, 3);
        assert_int_equal(v.remaining, 2 - i);
        assert_int_equal(v.reset_s, 45);
        assert_int_equal(v.retry_after_s, 0);
    }
    struct rate_verdict v = rate_limiter_take(l, STR("a"), START_MS + 15000);
    assert_false(v.allowed);
    assert_int_equal(v.remaining, 0);
    assert_true(v.retry_after_s >= 45);
    rate_limiter_free(l);
    rate_limiter_free(NULL);
}

static void test_rate_limiter_take_keys_do_not_share(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(2, MINUTE_S, 100);
    assert_int_equal(take_many(l, STR("a"), START_MS, 5), 2);
    assert_int_equal(take_many(l, STR("b"), START_MS, 5), 2);
    assert_int_equal(take_many(l, STR(""), START_MS, 5), 2);
    assert_int_equal(take_many(l, STR("a\0b"), START_MS, 5), 2);
    assert_int_equal(rate_limiter_keys(l), 4);
    rate_limiter_free(l);
}

/* M-F46: a full burst at the end of one window leaves nothing for the start of the next. */
static void test_rate_limiter_take_no_double_burst_at_the_edge(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(10, 600, 100);
    int64_t edge_ms = START_MS + 600000;
    assert_int_equal(take_many(l, STR("a"), edge_ms - 1, 20), 10);
    assert_int_equal(take_many(l, STR("a"), edge_ms, 20), 0);
    assert_int_equal(take_many(l, STR("a"), edge_ms + 59999, 20), 0);
    assert_int_equal(take_many(l, STR("a"), edge_ms + 60000, 20), 1);
    assert_int_equal(take_many(l, STR("a"), edge_ms + 300000, 20), 4);
    assert_int_equal(take_many(l, STR("a"), edge_ms + 599999, 20), 4);
    /* Two windows later the past is forgotten. */
    assert_int_equal(take_many(l, STR("a"), edge_ms + 1800000, 20), 10);
    rate_limiter_free(l);
}

/* For any history: refused now, the wait told is enough, and a second less is not. */
static void test_rate_limiter_take_retry_after_is_the_real_remainder(void **state)
{
    (void)state;
    static const unsigned limits[] = {1, 2, 3, 7, 10, 100};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        for (unsigned round = 0; round < 200; round++) {
            struct rate_limiter *l = rate_limiter_new(limits[i], MINUTE_S, 4);
            int64_t first_ms = START_MS + random_below(60000);
            unsigned before = 1 + random_below(2 * limits[i]);
            for (unsigned n = 0; n < before; n++)
                rate_limiter_count(l, STR("a"), first_ms);
            int64_t now_ms = first_ms + random_below(90000);
            (void)take_many(l, STR("a"), now_ms, limits[i]);
            struct rate_verdict v = rate_limiter_peek(l, STR("a"), now_ms);
            if (!v.allowed) {
                int64_t wait_ms = v.retry_after_s * 1000LL;
                assert_true(v.retry_after_s >= 1);
                assert_true(rate_limiter_peek(l, STR("a"), now_ms + wait_ms).allowed);
                if (v.retry_after_s > 1)
                    assert_false(rate_limiter_peek(l, STR("a"), now_ms + wait_ms - 1000).allowed);
            }
            rate_limiter_free(l);
        }
    }
}

/* Two calls a second for a hundred minutes against ten a minute. */
static void test_rate_limiter_take_steady_stream_keeps_to_the_limit(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(10, MINUTE_S, 100);
    unsigned allowed = 0;
    for (int64_t at_ms = 0; at_ms < 6000000; at_ms += 500)
        allowed += rate_limiter_take(l, STR("a"), START_MS + at_ms).allowed ? 1 : 0;
    assert_in_range(allowed, 100 * 10 - 100, 100 * 10);
    rate_limiter_free(l);
}

static void test_rate_limiter_peek_counts_nothing_and_keeps_nothing(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(2, MINUTE_S, 100);
    for (unsigned i = 0; i < 10; i++) {
        struct rate_verdict v = rate_limiter_peek(l, STR("a"), START_MS);
        assert_true(v.allowed);
        assert_int_equal(v.remaining, 2);
    }
    assert_int_equal(rate_limiter_keys(l), 0);
    rate_limiter_count(l, STR("a"), START_MS);
    assert_int_equal(rate_limiter_peek(l, STR("a"), START_MS).remaining, 1);
    rate_limiter_count(l, STR("a"), START_MS);
    struct rate_verdict v = rate_limiter_peek(l, STR("a"), START_MS);
    assert_false(v.allowed);
    assert_true(v.retry_after_s >= 1);
    assert_int_equal(rate_limiter_keys(l), 1);
    rate_limiter_free(l);
}

/* V-G3: failures are counted after the fact, so counts may pass the limit; they fade all the same.
 */
static void test_rate_limiter_count_beyond_the_limit_fades(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(2, MINUTE_S, 100);
    for (unsigned i = 0; i < 8; i++)
        rate_limiter_count(l, STR("a"), START_MS);
    assert_false(rate_limiter_peek(l, STR("a"), START_MS).allowed);
    assert_int_equal(rate_limiter_peek(l, STR("a"), START_MS).remaining, 0);
    assert_false(rate_limiter_peek(l, STR("a"), START_MS + 60000 + 52499).allowed);
    assert_true(rate_limiter_peek(l, STR("a"), START_MS + 60000 + 52500).allowed);
    rate_limiter_free(l);
}

static void test_rate_limiter_take_refused_calls_cost_nothing(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(1, MINUTE_S, 100);
    assert_int_equal(take_many(l, STR("a"), START_MS, 1000), 1);
    assert_true(rate_limiter_take(l, STR("a"), START_MS + 120000).allowed);
    rate_limiter_free(l);
}

static void test_rate_limiter_take_clock_stepping_back_gives_nothing_away(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(2, MINUTE_S, 100);
    assert_int_equal(take_many(l, STR("a"), START_MS + 60000, 5), 2);
    assert_int_equal(take_many(l, STR("a"), START_MS, 5), 0);
    assert_int_equal(take_many(l, STR("a"), START_MS - 3600000, 5), 0);
    assert_int_equal(take_many(l, STR("b"), -5, 5), 2);
    rate_limiter_free(l);
}

static struct str key_number(char text[32], unsigned number)
{
    int len = snprintf(text, 32, "key-%u", number);
    return str_n(text, (size_t)len);
}

static void test_rate_limiter_take_small_table_holds_keys_max_exactly(void **state)
{
    (void)state;
    char text[32];
    struct rate_limiter *l = rate_limiter_new(1, MINUTE_S, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_true(rate_limiter_take(l, key_number(text, i), START_MS + i).allowed);
    for (unsigned i = 0; i < 5; i++) /* all five are still known */
        assert_false(rate_limiter_peek(l, key_number(text, i), START_MS + 10).allowed);
    /* Key 0 is used again, so the sixth drives out key 1, the longest idle. */
    assert_false(rate_limiter_take(l, key_number(text, 0), START_MS + 11).allowed);
    assert_true(rate_limiter_take(l, key_number(text, 5), START_MS + 12).allowed);
    assert_int_equal(rate_limiter_keys(l), 5);
    assert_true(rate_limiter_peek(l, key_number(text, 1), START_MS + 13).allowed);
    assert_false(rate_limiter_peek(l, key_number(text, 0), START_MS + 13).allowed);
    assert_false(rate_limiter_peek(l, key_number(text, 2), START_MS + 13).allowed);
    rate_limiter_free(l);
}

static void test_rate_limiter_take_one_key_table_works(void **state)
{
    (void)state;
    struct rate_limiter *l = rate_limiter_new(1, MINUTE_S, 1);
    assert_true(rate_limiter_take(l, STR("a"), START_MS).allowed);
    assert_false(rate_limiter_take(l, STR("a"), START_MS).allowed);
    assert_true(rate_limiter_take(l, STR("b"), START_MS).allowed);
    assert_int_equal(rate_limiter_keys(l), 1);
    rate_limiter_free(l);
}

static void test_rate_limiter_take_flood_of_keys_is_bounded(void **state)
{
    (void)state;
    char text[32];
    struct rate_limiter *l = rate_limiter_new(5, MINUTE_S, 2000);
    for (unsigned i = 0; i < 50000; i++) {
        assert_true(rate_limiter_take(l, key_number(text, i), START_MS + i / 10).allowed);
        if (i % 1000 == 0)
            assert_true(rate_limiter_keys(l) <= 2000);
    }
    assert_in_range(rate_limiter_keys(l), 1900, 2000);
    rate_limiter_free(l);
}

static void test_rate_limiter_take_idle_keys_are_let_go(void **state)
{
    (void)state;
    char text[32];
    struct rate_limiter *l = rate_limiter_new(5, MINUTE_S, 1000);
    for (unsigned i = 0; i < 900; i++)
        (void)rate_limiter_take(l, key_number(text, i), START_MS);
    assert_int_equal(rate_limiter_keys(l), 900);
    for (unsigned i = 0; i < 200; i++)
        (void)rate_limiter_take(l, key_number(text, 10000 + i), START_MS + 120000);
    assert_int_equal(rate_limiter_keys(l), 200);
    rate_limiter_free(l);
}

struct crowd {
    struct rate_limiter *limiter;
    pthread_barrier_t start;
    atomic_uint ready, allowed;
};

static void *take_in_crowd(void *arg)
{
    struct crowd *c = arg;
    (void)pthread_barrier_wait(&c->start);
    for (unsigned i = 0; i < 200; i++)
        if (rate_limiter_take(c->limiter, STR("one key"), START_MS + 500).allowed)
            atomic_fetch_add(&c->allowed, 1U);
    return NULL;
}

static void test_rate_limiter_take_64_threads_allow_exactly_the_limit(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct crowd c = {.limiter = rate_limiter_new(1000, MINUTE_S, 5000)};
    assert_int_equal(pthread_barrier_init(&c.start, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_in_crowd, &c), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&c.allowed), 1000);
    pthread_barrier_destroy(&c.start);
    rate_limiter_free(c.limiter);
}

static void *take_many_keys(void *arg)
{
    struct crowd *c = arg;
    char text[32];
    unsigned first = atomic_fetch_add(&c->ready, 1U);
    for (unsigned i = 0; i < 2000; i++) {
        struct str key = key_number(text, (first * 37 + i) % 3000);
        if (rate_limiter_take(c->limiter, key, START_MS + i).allowed)
            atomic_fetch_add(&c->allowed, 1U);
        (void)rate_limiter_peek(c->limiter, key, START_MS + i);
        rate_limiter_count(c->limiter, key, START_MS + i);
    }
    return NULL;
}

static void test_rate_limiter_take_threads_and_evictions_stay_consistent(void **state)
{
    (void)state;
    pthread_t threads[8];
    struct crowd c = {.limiter = rate_limiter_new(3, MINUTE_S, 1024)};
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many_keys, &c), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(rate_limiter_keys(c.limiter) <= 1024);
    assert_true(rate_limiter_keys(c.limiter) > 900);
    assert_true(atomic_load(&c.allowed) > 0);
    rate_limiter_free(c.limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_limiter_take_limit_is_exact_and_told),
        cmocka_unit_test(test_rate_limiter_take_keys_do_not_share),
        cmocka_unit_test(test_rate_limiter_take_no_double_burst_at_the_edge),
        cmocka_unit_test(test_rate_limiter_take_retry_after_is_the_real_remainder),
        cmocka_unit_test(test_rate_limiter_take_steady_stream_keeps_to_the_limit),
        cmocka_unit_test(test_rate_limiter_peek_counts_nothing_and_keeps_nothing),
        cmocka_unit_test(test_rate_limiter_count_beyond_the_limit_fades),
        cmocka_unit_test(test_rate_limiter_take_refused_calls_cost_nothing),
        cmocka_unit_test(test_rate_limiter_take_clock_stepping_back_gives_nothing_away),
        cmocka_unit_test(test_rate_limiter_take_small_table_holds_keys_max_exactly),
        cmocka_unit_test(test_rate_limiter_take_one_key_table_works),
        cmocka_unit_test(test_rate_limiter_take_flood_of_keys_is_bounded),
        cmocka_unit_test(test_rate_limiter_take_idle_keys_are_let_go),
        cmocka_unit_test(test_rate_limiter_take_64_threads_allow_exactly_the_limit),
        cmocka_unit_test(test_rate_limiter_take_threads_and_evictions_stay_consistent),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
