/* member_sync.c - an event applied in the store; see member_document.h */
#include "cloud/member_document.h"

struct sync {
    struct firestore *fs;
    const struct member_event *event;
    int64_t deadline_ms;
    struct member_result *result;
};

static bool sync_once(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    const struct sync *sync = context;
    struct fs_document documents[2];
    struct member_change change;
    struct str paths[2];

    member_document_paths(a, sync->event->kennitala, paths);
    if (!firestore_get_all(sync->fs, paths, 2, tx, a, sync->deadline_ms, documents, e))
        return false;
    member_document_apply(a, sync->event, &documents[0], &documents[1], &change);
    for (size_t i = 0; i < change.write_count; i++)
        firestore_transaction_write(tx, &change.writes[i]);
    *sync->result = (struct member_result){change.outcome, change.inactive};
    return true;
}

bool member_document_sync(struct firestore *fs, const struct member_event *event,
                          int64_t deadline_ms, struct member_result *ret, struct error *e)
{
    struct sync sync = {fs, event, deadline_ms, ret};

    return firestore_transaction(fs, sync_once, &sync, deadline_ms, e);
}
