/* The nearest doors, against looking at every door. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"
#include "registry/nearest.h"

static struct registry *registry;
static struct registry_reader *reader;

static int set_up(void **state)
{
    if (make_scratch(state) != 0)
        return -1;
    registry = open_fixture(1);
    reader = registry_acquire(registry);
    return 0;
}

static int tear_down(void **state)
{
    registry_release(reader);
    registry_close(registry);
    return drop_scratch(state);
}

static size_t find(int64_t lat_e8, int64_t lon_e8, size_t limit, struct nearest_door *doors)
{
    struct error e = {0};
    size_t count = 0;

    assert_true(nearest_doors(reader, lat_e8, lon_e8, limit, doors, &count, &e));
    assert_true(count <= limit);
    for (size_t i = 1; i < count; i++)
        assert_true(doors[i - 1].square_m2 <= doors[i].square_m2);
    return count;
}

/* Sine by its series: enough for angles up to half a turn, and no library. */
static double sine(double x)
{
    double term = x, sum = x;

    for (int n = 1; n < 20; n++) {
        term *= -x * x / (2 * n * (2 * n + 1));
        sum += term;
    }
    return sum;
}

static double root(double x)
{
    double guess = x > 1 ? x : 1;

    for (int i = 0; i < 60; i++)
        guess = (guess + x / guess) / 2;
    return guess;
}

/* Straight through the sphere, which at these distances is the way along it. */
static double metres(int64_t lat_a, int64_t lon_a, int64_t lat_b, int64_t lon_b)
{
    const double pi = 3.14159265358979323846, degree = pi / 180 * 1e-8;
    double dy = sine((double)(lat_a - lat_b) * degree / 2);
    double dx = sine((double)(lon_a - lon_b) * degree / 2);
    double cosines = sine(pi / 2 - (double)lat_a * degree) * sine(pi / 2 - (double)lat_b * degree);

    return 2 * 6371000 * root(dy * dy + cosines * dx * dx);
}

static void test_nearest_doors_each_door_finds_itself(void **state)
{
    struct nearest_door doors[NEAREST_LIMIT_MAX];

    (void)state;
    for (uint32_t door = 0; door < reader->pack->door_count; door++) {
        struct address address;

        address_read(reader->pack, door, &address);
        if (!address.has_position)
            continue;
        assert_int_equal(find(address.latitude_e8, address.longitude_e8, 1, doors), 1);
        assert_int_equal(doors[0].distance_m, 0);
    }
}

static void test_nearest_doors_random_positions_agree_with_a_full_look(void **state)
{
    struct nearest_door doors[NEAREST_LIMIT_MAX];
    uint64_t seed = 3;

    (void)state;
    for (int round = 0; round < 200; round++) {
        int64_t lat, lon;
        double best = 1e12, found;
        size_t count;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        lat = 6330000000 + (int64_t)((seed >> 30) % 330000000);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        lon = -2450000000 + (int64_t)((seed >> 30) % 1100000000);
        count = find(lat, lon, 3, doors);
        for (uint32_t door = 0; door < reader->pack->door_count; door++) {
            struct address address;
            double d;

            address_read(reader->pack, door, &address);
            d = metres(lat, lon, address.latitude_e8, address.longitude_e8);
            best = address.has_position && d < best ? d : best;
        }
        if (best > NEAREST_REACH_M * 1.01) {
            assert_int_equal(count, 0);
            continue;
        }
        if (best > NEAREST_REACH_M * 0.99)
            continue;
        assert_true(count > 0);
        found = (double)doors[0].distance_m;
        /* On a plane and in whole metres: one in a hundred at this distance. */
        assert_true(found - best <= 2 + best / 100 && best - found <= 2 + best / 100);
    }
}

static void test_nearest_doors_limit_gives_more_in_order(void **state)
{
    struct nearest_door doors[NEAREST_LIMIT_MAX];

    (void)state;
    assert_int_equal(find(6414600000, -2193000000, 20, doors), 20);
    for (size_t i = 1; i < 20; i++)
        assert_true(doors[i - 1].distance_m <= doors[i].distance_m);
    assert_int_equal(find(6414600000, -2193000000, 1000, doors), NEAREST_LIMIT_MAX);
}

static void test_nearest_doors_far_away_finds_nothing(void **state)
{
    struct nearest_door doors[NEAREST_LIMIT_MAX];

    (void)state;
    assert_int_equal(find(0, 0, 5, doors), 0);
    assert_int_equal(find(6414600000, 17900000000, 5, doors), 0);
    assert_int_equal(find(-8500000000, -18000000000, 5, doors), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_doors_each_door_finds_itself),
        cmocka_unit_test(test_nearest_doors_random_positions_agree_with_a_full_look),
        cmocka_unit_test(test_nearest_doors_limit_gives_more_in_order),
        cmocka_unit_test(test_nearest_doors_far_away_finds_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
