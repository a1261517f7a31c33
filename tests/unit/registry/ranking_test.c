/* The best few of many ranks, against sorting them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "registry/ranking.h"

#include <stdlib.h>

#define MANY 1000

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void check(size_t capacity, uint64_t modulus)
{
    uint64_t all[MANY], heap[MANY], seed = capacity + modulus;
    struct ranking k = {.heap = heap, .capacity = capacity};

    for (size_t i = 0; i < MANY; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        all[i] = (seed >> 16) % modulus;
        ranking_add(&k, all[i]);
    }
    qsort(all, MANY, sizeof *all, by_value);
    ranking_sort(&k);
    assert_int_equal(k.count, capacity);
    assert_memory_equal(heap, all, capacity * sizeof *heap);
}

static void test_ranking_add_many_keeps_the_smallest_in_order(void **state)
{
    static const size_t capacities[] = {1, 2, 3, 10, 255, MANY};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(capacities); i++) {
        check(capacities[i], UINT64_MAX);
        check(capacities[i], 50); /* with many equals */
    }
}

static void test_ranking_sort_empty_stays_empty(void **state)
{
    struct ranking k = {.heap = NULL};

    (void)state;
    ranking_sort(&k);
    assert_int_equal(k.count, 0);
}

static void test_rank_parts_come_back(void **state)
{
    uint64_t rank = RANK(1450u, 4294967295u, 23u, 1u);

    (void)state;
    assert_int_equal(RANK_COST(rank), 1450);
    assert_int_equal(RANK_DOOR(rank), 4294967295u);
    assert_int_equal(RANK_READING(rank), 23);
    assert_true(RANK_SINGLE(rank));
    assert_true(RANK(1u, 9u, 0u, 0u) < RANK(2u, 1u, 0u, 0u));
    assert_true(RANK(1u, 8u, 3u, 1u) < RANK(1u, 9u, 0u, 0u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranking_add_many_keeps_the_smallest_in_order),
        cmocka_unit_test(test_ranking_sort_empty_stays_empty),
        cmocka_unit_test(test_rank_parts_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
