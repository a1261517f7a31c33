/* A CloudEvent over HTTP, binary and structured, and what is made of the two documents in it. */
#include "fuzz.h"

#include "auditmemberchanges.h"
#include "cloud/firestore_value.h"

void fuzz_start(void) {}

void fuzz_input(struct arena *a, struct str input)
{
    struct http_request req;
    struct member_event event;
    struct event_actor actor;
    struct error e = {0};
    struct diff diff;

    if (!fuzz_request(a, input, &req))
        return;
    if (!event_read(&req, a, &event, &e)) {
        must(e.code == ERR_BAD_REQUEST || e.code == ERR_UNSUPPORTED_MEDIA);
        return;
    }
    must(event.id.len > 0 && event.source.len > 0 && event.type.len > 0);
    must(event.is_decoded || (!event.before && !event.after));
    must(event_action(&event));
    event_find_actor(a, &event, "", &actor);
    must(actor.source.len > 0);
    diff_make(a, event.before, event.after, &diff);
    must(diff.count <= DIFF_CHANGES_MAX);
    for (size_t i = 0; i < diff.count; i++)
        must(diff.changes[i].before || diff.changes[i].after);
    diff_make(a, event.after, event.after, &diff);
    must(diff.count == 0); /* nothing differs from itself */
}
