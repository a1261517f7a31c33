#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/arena.h"
#include "ops/metrics.h"

#include <pthread.h>

static struct metrics *m;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    m = metrics_new("elections");
    buf_init(&out, 1U << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_done(&out);
    metrics_free(m);
    return 0;
}

static const char *print(void)
{
    buf_clear(&out);
    metrics_print(m, &out);
    assert_false(out.overflow);
    return out.ptr;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

/* The number behind "name " at the start of a line. */
static double sample(const char *text, const char *name)
{
    struct str rest = str_from(text);
    struct str line;
    struct str full = str_from(name);
    double value = -1;
    while (str_split(&rest, '\n', &line)) {
        if (str_starts_with(line, full) && line.len > full.len && line.ptr[full.len] == ' ')
            assert_true(str_parse_double(str_skip(line, full.len + 1), &value));
    }
    return value;
}

static void test_metrics_print_counters_have_one_head_and_stand_together(void **state)
{
    (void)state;
    struct metric *a =
        metrics_counter(m, "http_requests_total", "Requests.", "route=\"/a\",status=\"200\"");
    struct metric *other = metrics_counter(m, "votes_total", "Votes.", "");
    struct metric *b = metrics_counter(m, "http_requests_total", "Other help.", "route=\"/b\"");
    struct metric *gauge = metrics_gauge(m, "queue_length", "Waiting.", "");
    metric_add(a, 2);
    metric_add(b, 3);
    metric_add(other, UINT64_MAX);
    metric_set(gauge, 7);
    metric_set(gauge, 5);
    assert_int_equal(metric_value(a), 2);
    const char *text = print();
    static const char expected[] = "# HELP http_requests_total Requests.\n"
                                   "# TYPE http_requests_total counter\n"
                                   "http_requests_total{route=\"/a\",status=\"200\"} 2\n"
                                   "http_requests_total{route=\"/b\"} 3\n"
                                   "# HELP votes_total Votes.\n"
                                   "# TYPE votes_total counter\n"
                                   "votes_total 18446744073709551615\n"
                                   "# HELP queue_length Waiting.\n"
                                   "# TYPE queue_length gauge\n"
                                   "queue_length 5\n"
                                   "# HELP service_info ";
    assert_int_equal(strncmp(text, expected, sizeof(expected) - 1), 0);
    assert_int_equal(count_of(text, "# HELP http_requests_total "), 1);
    assert_int_equal(count_of(text, "# TYPE http_requests_total "), 1);
}

static void test_metrics_counter_registered_again_is_the_same(void **state)
{
    (void)state;
    char labels[] = "route=\"/a\"";
    struct metric *first = metrics_counter(m, "x_total", "X.", labels);
    labels[8] = 'b'; /* labels were copied */
    assert_ptr_not_equal(first, metrics_counter(m, "x_total", "X.", labels));
    assert_ptr_equal(first, metrics_counter(m, "x_total", "X.", "route=\"/a\""));
    assert_ptr_equal(metrics_histogram(m, "y_seconds", "Y.", ""),
                     metrics_histogram(m, "y_seconds", "Y.", ""));
}

static void test_histogram_observe_bounds_are_inclusive_and_cumulative(void **state)
{
    (void)state;
    struct histogram *h = metrics_histogram(m, "t_seconds", "Time.", "route=\"/a\"");
    struct histogram *plain = metrics_histogram(m, "t_seconds", "Time.", "");
    static const int64_t values[] = {-5, 0, 500, 501, 10000000, 10000001, 3600000000};
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        histogram_observe_us(h, values[i]);
    histogram_observe_us(plain, 1500);
    const char *text = print();
    assert_int_equal((int)sample(text, "t_seconds_bucket{route=\"/a\",le=\"0.0005\"}"), 3);
    assert_int_equal((int)sample(text, "t_seconds_bucket{route=\"/a\",le=\"0.0007\"}"), 4);
    assert_int_equal((int)sample(text, "t_seconds_bucket{route=\"/a\",le=\"5.6\"}"), 4);
    assert_int_equal((int)sample(text, "t_seconds_bucket{route=\"/a\",le=\"10\"}"), 5);
    assert_int_equal((int)sample(text, "t_seconds_bucket{route=\"/a\",le=\"+Inf\"}"), 7);
    assert_int_equal((int)sample(text, "t_seconds_count{route=\"/a\"}"), 7);
    assert_non_null(strstr(text, "\nt_seconds_sum{route=\"/a\"} 3620.001002\n"));
    assert_non_null(strstr(text, "\nt_seconds_sum 0.001500\nt_seconds_count 1\n"));
    assert_int_equal((int)sample(text, "t_seconds_bucket{le=\"0.0014\"}"), 0);
    assert_int_equal((int)sample(text, "t_seconds_bucket{le=\"0.002\"}"), 1);
    assert_int_equal(count_of(text, "# TYPE t_seconds histogram\n"), 1);
}

static void collect_pool(void *arg, struct buf *to)
{
    const char *pool = arg;
    struct arena *a = arena_new(10000);
    const char *labels = arena_printf(a, "pool=\"%s\"", pool).ptr;
    metrics_print_value(to, "pool_size", METRIC_GAUGE, "Connections.", labels, 3);
    metrics_print_value(to, "pool_waits_total", METRIC_COUNTER, "Waits.", labels, 12345678901.0);
    metrics_print_value(to, "pool_size", METRIC_GAUGE, "Connections.", "", 0.25);
    arena_free(a);
}

static void test_metrics_print_samples_of_several_collectors_stand_together(void **state)
{
    (void)state;
    static char first[] = "one";
    static char second[] = "two";
    metrics_collector(m, collect_pool, first);
    metrics_collector(m, collect_pool, second);
    assert_non_null(strstr(print(), "# HELP pool_size Connections.\n"
                                    "# TYPE pool_size gauge\n"
                                    "pool_size{pool=\"one\"} 3\n"
                                    "pool_size 0.25\n"
                                    "pool_size{pool=\"two\"} 3\n"
                                    "pool_size 0.25\n"
                                    "# HELP pool_waits_total Waits.\n"
                                    "# TYPE pool_waits_total counter\n"
                                    "pool_waits_total{pool=\"one\"} 12345678901\n"
                                    "pool_waits_total{pool=\"two\"} 12345678901\n"));
}

static void test_metrics_print_value_odd_numbers_as_prometheus_spells_them(void **state)
{
    (void)state;
    metrics_print_value(&out, "a", METRIC_GAUGE, "A.", "", __builtin_nan(""));
    metrics_print_value(&out, "a", METRIC_GAUGE, "A.", "x=\"1\"", __builtin_inf());
    metrics_print_value(&out, "a", METRIC_GAUGE, "A.", "x=\"2\"", -__builtin_inf());
    metrics_print_value(&out, "ab", METRIC_GAUGE, "B.", "", -1);
    assert_string_equal(out.ptr, "# HELP a A.\n# TYPE a gauge\na NaN\na{x=\"1\"} +Inf\n"
                                 "a{x=\"2\"} -Inf\n# HELP ab B.\n# TYPE ab gauge\nab -1\n");
}

static void test_metrics_print_process_values_are_there(void **state)
{
    (void)state;
    const char *text = print();
    assert_non_null(strstr(text, "\nservice_info{service=\"elections\",version=\""));
    assert_true(sample(text, "process_cpu_seconds_total") >= 0);
    assert_true(sample(text, "process_resident_memory_bytes") > 100000);
    double fds = sample(text, "process_open_fds");
    assert_true(fds >= 3);
    int more[2];
    assert_int_equal(pipe(more), 0);
    double now = sample(print(), "process_open_fds");
    assert_true(now > fds + 1 && now < fds + 3);
    close(more[0]);
    close(more[1]);
}

static void test_metrics_print_too_small_buffer_overflows(void **state)
{
    (void)state;
    struct buf small;
    metrics_counter(m, "x_total", "X.", "");
    for (size_t room = 0; room < 300; room += 7) {
        buf_init(&small, room);
        metrics_print(m, &small);
        assert_true(small.overflow);
        buf_done(&small);
    }
}

static void *count_up(void *arg)
{
    struct metric *c = metrics_counter(arg, "x_total", "X.", "");
    struct histogram *h = metrics_histogram(arg, "y_seconds", "Y.", "");
    for (int i = 0; i < 10000; i++) {
        metric_add(c, 1);
        histogram_observe_us(h, i);
    }
    return NULL;
}

static void test_metric_add_from_several_threads_loses_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct metric *c = metrics_counter(m, "x_total", "X.", "");
    metrics_histogram(m, "y_seconds", "Y.", "");
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, m), 0);
    for (int i = 0; i < 20; i++) {
        const char *text = print();
        double inf = sample(text, "y_seconds_bucket{le=\"+Inf\"}");
        double count = sample(text, "y_seconds_count");
        assert_false(inf < count || inf > count);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_value(c), 40000);
    assert_int_equal((int)sample(print(), "y_seconds_count"), 40000);
}

static void register_name(void *name)
{
    metrics_counter(m, name, "X.", "");
}

static void register_labels(void *labels)
{
    metrics_counter(m, "x_total", "X.", labels);
}

static void register_other_type(void *name)
{
    metrics_counter(m, name, "X.", "");
    metrics_histogram(m, name, "X.", "");
}

static void test_metrics_counter_what_prometheus_refuses_aborts(void **state)
{
    (void)state;
    static char names[][16] = {"", "1x", "a-b", "a b", "a{", "\xC3\xA6"};
    static char bad[][24] = {
        "a",        "a=1",       "a=\"1",   "a=\"1\",",         "=\"1\"",    "a=\"1\"b=\"2\"",
        "a=\"\n\"", "a=\"\\x\"", "1=\"1\"", "a=\"1\" ,b=\"2\"", "a=\"1\\\"", ",a=\"1\""};
    static char good[][24] = {"a=\"\"", "a=\"1\",b=\"2\"", "a=\"\\\"\\\\\\n\"", "_=\"{}, =\""};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_true(aborts(register_name, names[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!aborts(register_labels, bad[i]))
            fail_msg("<%s>", bad[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_false(aborts(register_labels, good[i]));
    static char name[] = "good_total";
    assert_true(aborts(register_other_type, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_metrics_print_counters_have_one_head_and_stand_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_counter_registered_again_is_the_same, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_histogram_observe_bounds_are_inclusive_and_cumulative,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_metrics_print_samples_of_several_collectors_stand_together, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_metrics_print_value_odd_numbers_as_prometheus_spells_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_print_process_values_are_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_metrics_print_too_small_buffer_overflows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_metric_add_from_several_threads_loses_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_metrics_counter_what_prometheus_refuses_aborts, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
