#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"

static void test_clock_iso_utc_known_instants_and_clamping(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1763764354657, "2025-11-21T22:32:34.657Z"},
        {2147483648000, "2038-01-19T03:14:08.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-1, "1970-01-01T00:00:00.000Z"},
        {INT64_MIN, "1970-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[CLOCK_ISO_SIZE];
        clock_iso_utc(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void test_clock_parse_rfc3339_accepted_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2025-11-21T22:32:34.657Z", 1763764354657},
        {"2025-11-21 22:32:34.657Z", 1763764354657},
        {"2025-11-21T22:32:34.657+00:00", 1763764354657},
        {"2025-11-21T22:32:34.657-00:00", 1763764354657},
        {"2025-11-22T00:02:34.657+01:30", 1763764354657},
        {"2025-11-21T17:32:34.657-05:00", 1763764354657},
        {"2025-11-21T22:32:34.6Z", 1763764354600},
        {"2025-11-21T22:32:34.65Z", 1763764354650},
        {"2025-11-21T22:32:34.657999999Z", 1763764354657},
        {"2025-11-21T22:32:34.000000001Z", 1763764354000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1969-12-31T23:59:59.500Z", -500},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"1970-01-01T00:00:00+23:59", -86340000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 77;
        if (!clock_parse_rfc3339(str_from(cases[i].text), &ms) || ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

static void test_clock_parse_rfc3339_anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2025",
        "2025-11-21",
        "2025-11-21T22:32Z",
        "2025-11-21T22:32:34",
        "2025-11-21T22:32:34z",
        "2025-11-21t22:32:34Z",
        "2025-11-21_22:32:34Z",
        "2025-11-21  22:32:34Z",
        "2025-11-21T22:32:34 Z",
        " 2025-11-21T22:32:34Z",
        "2025-11-21T22:32:34Z ",
        "2025-11-21T22:32:34ZZ",
        "2025-11-21T22:32:34.Z",
        "2025-11-21T22:32:34.1234567890Z",
        "2025-11-21T22:32:34,5Z",
        "2025-11-21T22:32:34.5",
        "2025-11-21T22:32:60Z",
        "2016-12-31T23:59:60Z",
        "2025-11-21T24:00:00Z",
        "2025-11-21T22:60:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-04-31T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2025-11-21T22:32:34+24:00",
        "2025-11-21T22:32:34+01:60",
        "2025-11-21T22:32:34+0100",
        "2025-11-21T22:32:34+01",
        "2025-11-21T22:32:34+1:00",
        "2025-11-21T22:32:34+01:00Z",
        "2025-11-21T22:32:34+01-00",
        "2025-11-21T22:32:34 01:00",
        "2025-11-21T22:32:34GMT",
        "25-11-21T22:32:34Z",
        "12025-11-21T22:32:34Z",
        "+2025-11-21T22:32:34Z",
        "-025-11-21T22:32:34Z",
        "2025-11-2aT22:32:34Z",
        "2025/11/21T22:32:34Z",
        "Fri, 21 Nov 2025 22:32:34 GMT",
        "1763764354657",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int64_t ms = 77;
        if (clock_parse_rfc3339(str_from(texts[i]), &ms) || ms != 77)
            fail_msg("%s", texts[i]);
    }
    int64_t ms;
    assert_false(clock_parse_rfc3339((struct str){NULL, 0}, &ms));
}

static void test_clock_iso_utc_read_again_is_the_same_instant(void **state)
{
    (void)state;
    /* A step that is no multiple of a day walks through all times, up to the year 9999. */
    for (int64_t ms = 0; ms < 253402300799999; ms += 12345678987) {
        char out[CLOCK_ISO_SIZE];
        int64_t again = -1;
        clock_iso_utc(ms, out);
        assert_true(clock_parse_rfc3339(str_from(out), &again));
        assert_int_equal(again, ms);
        clock_http_date(ms / 1000, out);
        assert_true(clock_parse_http_date(str_from(out), &again));
        assert_int_equal(again, ms / 1000);
    }
}

static void test_clock_http_date_known_instants(void **state)
{
    (void)state;
    char out[CLOCK_ISO_SIZE];
    clock_http_date(784111777, out);
    assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    clock_http_date(0, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    clock_http_date(-5, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    clock_http_date(INT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void test_clock_parse_http_date_only_the_fixed_form(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun; 06 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94   08:49:37 GMT",
    };
    int64_t s = 77;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (clock_parse_http_date(str_from(texts[i]), &s) || s != 77)
            fail_msg("%s", texts[i]);
    }
    assert_true(clock_parse_http_date(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &s));
    assert_int_equal(s, 784111777);
}

static void test_clock_left_ms_past_deadline_is_zero(void **state)
{
    (void)state;
    assert_int_equal(clock_left_ms(INT64_MIN), 0);
    assert_int_equal(clock_left_ms(0), 0);
    assert_in_range(clock_left_ms(clock_mono_ms() + 1000000), 1, 1000000);
    int64_t first = clock_mono_us();
    assert_true(clock_mono_us() >= first);
    assert_true(clock_unix_ms() > 1700000000000);
}

struct signalled {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void *signal_it(void *context)
{
    struct signalled *s = context;
    must(pthread_mutex_lock(&s->lock) == 0);
    s->done = true;
    must(pthread_cond_signal(&s->cond) == 0);
    must(pthread_mutex_unlock(&s->lock) == 0);
    return NULL;
}

static void test_clock_cond_wait_until_ends_at_its_deadline(void **state)
{
    (void)state;
    struct signalled s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static const int64_t passed_ms[] = {INT64_MIN, -1, 0, 1};
    clock_cond_init(&s.cond);
    must(pthread_mutex_lock(&s.lock) == 0);
    for (size_t i = 0; i < ARRAY_LEN(passed_ms); i++)
        assert_false(clock_cond_wait_until(&s.cond, &s.lock, passed_ms[i]));
    int64_t deadline_ms = clock_mono_ms() + 20;
    while (clock_cond_wait_until(&s.cond, &s.lock, deadline_ms))
        continue;
    /* By the real clock it would long have passed, and the wait not been one. */
    assert_true(clock_mono_ms() >= deadline_ms);
    must(pthread_mutex_unlock(&s.lock) == 0);
    must(pthread_cond_destroy(&s.cond) == 0);
}

static void test_clock_cond_wait_until_is_woken_before_it(void **state)
{
    (void)state;
    struct signalled s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    bool in_time = true;
    clock_cond_init(&s.cond);
    must(pthread_mutex_lock(&s.lock) == 0);
    int64_t deadline_ms = clock_mono_ms() + 60000;
    must(pthread_create(&thread, NULL, signal_it, &s) == 0);
    while (!s.done && in_time)
        in_time = clock_cond_wait_until(&s.cond, &s.lock, deadline_ms);
    assert_true(s.done && in_time);
    must(pthread_mutex_unlock(&s.lock) == 0);
    must(pthread_join(thread, NULL) == 0);
    must(pthread_cond_destroy(&s.cond) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_iso_utc_known_instants_and_clamping),
        cmocka_unit_test(test_clock_parse_rfc3339_accepted_forms),
        cmocka_unit_test(test_clock_parse_rfc3339_anything_else_is_refused),
        cmocka_unit_test(test_clock_iso_utc_read_again_is_the_same_instant),
        cmocka_unit_test(test_clock_http_date_known_instants),
        cmocka_unit_test(test_clock_parse_http_date_only_the_fixed_form),
        cmocka_unit_test(test_clock_left_ms_past_deadline_is_zero),
        cmocka_unit_test(test_clock_cond_wait_until_ends_at_its_deadline),
        cmocka_unit_test(test_clock_cond_wait_until_is_woken_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
