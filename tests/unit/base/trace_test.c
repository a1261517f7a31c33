#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/trace.h"

#define T "4bf92f3577b34da6a3ce929d0e0e4736"
#define S "00f067aa0ba902b7"

static void check_ids(const struct trace_parent *parent, const char *trace_id, const char *span_id)
{
    char hex[TRACE_ID_HEX_SIZE];
    hex_encode(parent->trace_id, TRACE_ID_BYTES, hex);
    assert_string_equal(hex, trace_id);
    hex_encode(parent->span_id, SPAN_ID_BYTES, hex);
    assert_string_equal(hex, span_id);
}

static void test_traceparent_table(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        enum trace_decision decision;
    } rows[] = {
        {"00-" T "-" S "-01", true, TRACE_SAMPLED},
        {"00-" T "-" S "-00", true, TRACE_NOT_SAMPLED},
        {"00-" T "-" S "-03", true, TRACE_SAMPLED}, /* random flag */
        {"00-" T "-" S "-fe", true, TRACE_NOT_SAMPLED},
        {"01-" T "-" S "-01", true, TRACE_SAMPLED}, /* later versions are read as far as known */
        {"cc-" T "-" S "-01-what-the-future-brings", true, TRACE_SAMPLED},
        {"cc-" T "-" S "-01-", true, TRACE_SAMPLED},
        {"cc-" T "-" S "-01.", false, 0},
        {"ff-" T "-" S "-01", false, 0},
        {"00-" T "-" S "-01-", false, 0},
        {"00-" T "-" S "-01-x", false, 0},
        {"00-" T "-" S "-1", false, 0},
        {"00-" T "-" S "-001", false, 0},
        {"00-" T "-" S "-", false, 0},
        {"00-" T "-" S, false, 0},
        {"00-" T, false, 0},
        {"00", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"---", false, 0},
        {"0-" T "-" S "-01", false, 0},
        {"000-" T "-" S "-01", false, 0},
        {"0G-" T "-" S "-01", false, 0},
        {"00-00000000000000000000000000000000-" S "-01", false, 0},
        {"00-" T "-0000000000000000-01", false, 0},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" S "-01", false, 0},
        {"00-" T "-00F067AA0BA902B7-01", false, 0},
        {"00-" T "-" S "-0A", false, 0},
        {"00-" T "0-" S "-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e473-" S "-01", false, 0},
        {"00-" T "-" S "0-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e473x-" S "-01", false, 0},
        {" 00-" T "-" S "-01", false, 0},
        {"00-" T "-" S "-01 ", false, 0},
        {"00_" T "_" S "_01", false, 0},
        {"00-" T "-" S "-01,00-" T "-" S "-01", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct trace_parent parent = {.decision = TRACE_UNDECIDED};
        bool ok = trace_parse_traceparent(str_from(rows[i].value), &parent);
        if (ok != rows[i].ok)
            fail_msg("traceparent '%s'", rows[i].value);
        if (ok) {
            assert_int_equal(parent.decision, rows[i].decision);
            check_ids(&parent, T, S);
        } else {
            assert_false(span_id_is_set(parent.span_id));
        }
    }
    struct trace_parent parent;
    assert_false(trace_parse_traceparent((struct str){NULL, 0}, &parent));
    assert_false(trace_parse_traceparent(STR("00-" T "-" S "-0\0"), &parent));
}

static void test_cloud_trace_context_table(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        enum trace_decision decision;
        const char *span_id;
    } rows[] = {
        {T "/67667974448284343;o=1", true, TRACE_SAMPLED, S},
        {T "/67667974448284343;o=0", true, TRACE_NOT_SAMPLED, S},
        {T "/67667974448284343", true, TRACE_UNDECIDED, S},
        {T, true, TRACE_UNDECIDED, "0000000000000000"},
        {T ";o=1", true, TRACE_SAMPLED, "0000000000000000"},
        {T "/0;o=1", true, TRACE_SAMPLED, "0000000000000000"},
        {T "/18446744073709551615;o=1", true, TRACE_SAMPLED, "ffffffffffffffff"},
        {T "/18446744073709551616;o=1", false, 0, NULL},
        {T "/99999999999999999999;o=1", false, 0, NULL},
        {T "/00000000000000000000001;o=1", false, 0, NULL},
        {T "/", false, 0, NULL},
        {T "/;o=1", false, 0, NULL},
        {T "/-1;o=1", false, 0, NULL},
        {T "/+1;o=1", false, 0, NULL},
        {T "/1x;o=1", false, 0, NULL},
        {T "/1;", false, 0, NULL},
        {T "/1;o=2", false, 0, NULL},
        {T "/1;o=1;o=0", false, 0, NULL},
        {T "/1;O=1", false, 0, NULL},
        {T "/1/2;o=1", false, 0, NULL},
        {"", false, 0, NULL},
        {"/1;o=1", false, 0, NULL},
        {"00000000000000000000000000000000/1;o=1", false, 0, NULL},
        {"4BF92F3577B34DA6A3CE929D0E0E4736/1;o=1", false, 0, NULL},
        {T "0/1;o=1", false, 0, NULL},
        {" " T "/1", false, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct trace_parent parent = {.decision = TRACE_UNDECIDED};
        bool ok = trace_parse_cloud(str_from(rows[i].value), &parent);
        if (ok != rows[i].ok)
            fail_msg("X-Cloud-Trace-Context '%s'", rows[i].value);
        if (ok) {
            assert_int_equal(parent.decision, rows[i].decision);
            check_ids(&parent, T, rows[i].span_id);
        }
    }
}

static void test_headers_that_go_out_are_read_back(void **state)
{
    struct trace_parent parent, read;
    struct trace trace;
    char traceparent[TRACEPARENT_SIZE], cloud[CLOUD_TRACE_SIZE];
    static const char *const both[] = {"00-" T "-" S "-01", "00-" T "-ffffffffffffffff-00"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_true(trace_parse_traceparent(str_from(both[i]), &parent));
        trace_begin(&trace, &parent, NULL, 0, "p");
        trace_headers(&trace, parent.span_id, traceparent, cloud);
        assert_string_equal(traceparent, both[i]);
        assert_true(trace_parse_cloud(str_from(cloud), &read));
        assert_memory_equal(read.trace_id, parent.trace_id, TRACE_ID_BYTES);
        assert_memory_equal(read.span_id, parent.span_id, SPAN_ID_BYTES);
        assert_int_equal(read.decision, parent.decision);
    }
}

static void test_sampling_follows_the_parent_else_the_share(void **state)
{
    struct span_ring *ring = span_ring_new(1);
    struct trace_parent parent = {.decision = TRACE_SAMPLED};
    struct trace trace;
    unsigned sampled = 0;

    (void)state;
    memset(parent.trace_id, 0xFF, TRACE_ID_BYTES); /* the last that any share would take */
    trace_begin(&trace, &parent, ring, 0, "p");
    assert_true(trace.sampled);
    memset(parent.trace_id, 0x01, TRACE_ID_BYTES); /* among the first */
    parent.decision = TRACE_NOT_SAMPLED;
    trace_begin(&trace, &parent, ring, 100, "p");
    assert_false(trace.sampled);
    parent.decision = TRACE_UNDECIDED;
    trace_begin(&trace, &parent, ring, 5, "p");
    assert_true(trace.sampled); /* 0x01010101 is 0.4 % of the way */
    trace_begin(&trace, &parent, ring, 0, "p");
    assert_false(trace.sampled);
    trace_begin(&trace, &parent, NULL, 100, "p"); /* nobody takes spans: nothing is decided here */
    assert_false(trace.sampled);

    for (unsigned i = 0; i < 20000; i++) {
        trace_begin(&trace, NULL, ring, 5, "p");
        sampled += trace.sampled;
        assert_true(span_id_is_set(trace.span_id));
        assert_false(span_id_is_set(trace.parent_id));
    }
    assert_in_range(sampled, 700, 1300); /* 1000, ten times its standard deviation of 31 */
    memset(parent.trace_id, 0xFF, TRACE_ID_BYTES);
    assert_true(trace_id_is_sampled(parent.trace_id, 100));
    assert_false(trace_id_is_sampled(parent.trace_id, 99));
    span_ring_free(ring);
}

static void test_ring_is_bounded_and_counts_what_it_drops(void **state)
{
    struct span_ring *ring = span_ring_new(4);
    struct span out[8];

    (void)state;
    for (int i = 0; i < 7; i++)
        span_ring_add(ring, &(struct span){.status = i});
    assert_int_equal(span_ring_dropped(ring), 3);
    assert_int_equal(span_ring_take(ring, out, 3, 1, 0), 3);
    assert_int_equal(out[0].status, 0);
    assert_int_equal(out[2].status, 2);
    for (int i = 7; i < 10; i++) /* round the end of the memory */
        span_ring_add(ring, &(struct span){.status = i});
    assert_int_equal(span_ring_take(ring, out, 8, 1, 0), 4);
    assert_int_equal(out[0].status, 3);
    assert_int_equal(out[3].status, 9);
    assert_int_equal(span_ring_take(ring, out, 8, 1, 0), 0);
    assert_int_equal(span_ring_dropped(ring), 3);
    span_ring_add(ring, &(struct span){.status = 10});
    span_ring_close(ring); /* what is in it can still be had, at once */
    assert_true(span_ring_is_closed(ring));
    assert_int_equal(span_ring_take(ring, out, 8, 8, 3600000), 1);
    span_ring_free(ring);
}

static void test_spans_hang_below_the_request_and_only_when_sampled(void **state)
{
    struct span_ring *ring = span_ring_new(4);
    struct trace_parent parent = {.decision = TRACE_SAMPLED, .trace_id = {1}, .span_id = {2}};
    struct trace trace;
    struct span out[4];
    int64_t began_us;

    (void)state;
    assert_int_equal(span_begin(), 0); /* no trace */
    span_end(0, SPAN_SQL, "nothing", ERR_NONE);
    trace_begin(&trace, &parent, ring, 0, "p");
    trace_enter(&trace);
    assert_ptr_equal(trace_current(), &trace);
    began_us = span_begin();
    assert_true(began_us > 0);
    span_end(began_us, SPAN_SQL, "cast_vote", ERR_UNAVAILABLE);
    assert_int_equal(span_ring_take(ring, out, 4, 1, 0), 1);
    assert_memory_equal(out[0].trace_id, parent.trace_id, TRACE_ID_BYTES);
    assert_memory_equal(out[0].parent_id, trace.span_id, SPAN_ID_BYTES);
    assert_memory_not_equal(out[0].span_id, trace.span_id, SPAN_ID_BYTES);
    assert_memory_equal(trace.parent_id, parent.span_id, SPAN_ID_BYTES);
    assert_string_equal(out[0].name, "cast_vote");
    assert_int_equal(out[0].error, ERR_UNAVAILABLE);
    assert_true(out[0].ended_us >= out[0].began_us);

    parent.decision = TRACE_NOT_SAMPLED;
    trace_begin(&trace, &parent, ring, 100, "p");
    assert_int_equal(span_begin(), 0);
    trace_enter(NULL);
    assert_int_equal(span_ring_take(ring, out, 4, 1, 0), 0);
    span_ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traceparent_table),
        cmocka_unit_test(test_cloud_trace_context_table),
        cmocka_unit_test(test_headers_that_go_out_are_read_back),
        cmocka_unit_test(test_sampling_follows_the_parent_else_the_share),
        cmocka_unit_test(test_ring_is_bounded_and_counts_what_it_drops),
        cmocka_unit_test(test_spans_hang_below_the_request_and_only_when_sampled),
    };
    encode_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
