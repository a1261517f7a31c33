/*
 * change_events.h - tells of changed documents, as Eventarc does at Google
 *
 * Each committed change of a document of one collection becomes one CloudEvent (1.0, binary mode,
 * DocumentEventData as JSON), POSTed in the order of the commits by a thread of its own. What is
 * not answered 2xx is delivered again, after a pause that grows; what waits when the process ends
 * is lost. Source: cloud.google.com/eventarc/docs/reference/supported-events, Firestore.
 */
#ifndef LOCAL_CLOUD_CHANGE_EVENTS_H
#define LOCAL_CLOUD_CHANGE_EVENTS_H

#include "documents.h"

/* NULL when url is empty: nobody is told. */
struct change_events *change_events_new(const char *url, const char *collection,
                                        const char *project_id);
void change_events_free(struct change_events *events); /* NULL is fine */

/* Within the store's transaction: notes the change with the call. Either may not exist. */
void change_note(struct call *c, const struct document *before, const struct document *after);
/* After it is committed: hands over what was noted. */
void change_events_send(struct call *c);
/* Or, when it is not: forgets it. */
void change_events_drop(struct call *c);

#endif
