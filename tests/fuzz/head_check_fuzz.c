/* The strict pass over heads: its verdict does not depend on how the bytes are cut. */
#include "fuzz.h"

#include "net/head_check.h"

#define BODY_MAX_BYTES 1000

void fuzz_start(void) {}

static void feed(struct head_check *h, struct str bytes, size_t step)
{
    head_check_init(h, BODY_MAX_BYTES);
    while (bytes.len > 0 && head_check_feed(h, str_take(bytes, step)))
        bytes = str_skip(bytes, step);
}

void fuzz_input(struct arena *a, struct str input)
{
    struct head_check whole, cut;
    size_t step = input.len > 0 ? 1 + (unsigned char)input.ptr[input.len - 1] % 7 : 1;

    (void)a;
    feed(&whole, input, input.len > 0 ? input.len : 1);
    feed(&cut, input, step);
    must(whole.verdict == cut.verdict && whole.requests_begun == cut.requests_begun &&
         whole.requests_passed == cut.requests_passed && whole.reason == cut.reason);
    must(whole.in_message == cut.in_message && whole.is_head == cut.is_head);
    must((whole.verdict == ERR_NONE) == (whole.reason == NULL));
    must(whole.requests_passed <= whole.requests_begun);
}
