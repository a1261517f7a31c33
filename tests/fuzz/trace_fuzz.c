/* traceparent and X-Cloud-Trace-Context: what is taken is passed on as the same trace.
 *
 * Input: the value of a header.
 */
#include "fuzz.h"

#include "base/trace.h"

#include <string.h>

void fuzz_start(void) {}

static void pass_on(const struct trace_parent *parent)
{
    char traceparent[TRACEPARENT_SIZE], cloud[CLOUD_TRACE_SIZE];
    unsigned char span_id[SPAN_ID_BYTES];
    struct trace_parent next;
    struct trace trace;

    trace_begin(&trace, parent, NULL, 0, "p");
    span_new_id(span_id);
    trace_headers(&trace, span_id, traceparent, cloud);
    must(trace_parse_traceparent(str_from(traceparent), &next));
    must(memcmp(next.trace_id, parent->trace_id, TRACE_ID_BYTES) == 0);
    must(memcmp(next.span_id, span_id, SPAN_ID_BYTES) == 0);
    must(trace_parse_cloud(str_from(cloud), &next));
    must(memcmp(next.trace_id, parent->trace_id, TRACE_ID_BYTES) == 0);
}

void fuzz_input(struct arena *a, struct str input)
{
    static const unsigned char none[TRACE_ID_BYTES];
    struct trace_parent parent = {{0}, {0}, TRACE_UNDECIDED};

    (void)a;
    if (trace_parse_traceparent(input, &parent)) {
        must(memcmp(parent.trace_id, none, TRACE_ID_BYTES) != 0 && span_id_is_set(parent.span_id));
        pass_on(&parent);
    }
    if (trace_parse_cloud(input, &parent)) {
        must(memcmp(parent.trace_id, none, TRACE_ID_BYTES) != 0);
        pass_on(&parent);
    }
}
