/* DocumentEventData as protobuf: decoded into typed fields that can be read, compared and stored.
 */
#include "fuzz.h"

#include "auditmemberchanges.h"
#include "cloud/firestore_value.h"

void fuzz_start(void) {}

void fuzz_input(struct arena *a, struct str input)
{
    struct member_event event = {0};
    struct diff diff;
    struct buf text;

    if (!event_body_protobuf(input, a, &event))
        return;
    diff_make(a, event.before, event.after, &diff);
    must(diff.count <= DIFF_CHANGES_MAX);
    buf_init(&text, ARENA_MAX_BYTES);
    if (event.after) {
        must(json_write(&text, event.after));
        must(json_check(buf_str(&text), NULL));
        buf_clear(&text);
        must(json_write(&text, fs_to_plain(a, event.after)));
        must(json_check(buf_str(&text), NULL));
    }
    buf_done(&text);
}
