/* lease.c - see lease.h */
#include "cloud/lease.h"

#include "base/clock.h"

struct taking {
    const struct lease *lease;
    int64_t deadline_ms;
    bool is_ours;
};

static bool read_lease(struct taking *t, struct fs_transaction *tx, struct arena *a,
                       struct fs_document *ret, struct error *e)
{
    const struct str path = arena_printf(a, "leases/%s", t->lease->name);

    return firestore_get_all(t->lease->firestore, &path, 1, tx, a, t->deadline_ms, ret, e);
}

static bool is_owners(const struct lease *lease, const struct fs_document *document)
{
    struct str owner;

    return document->exists && fs_get_str(document->fields, "owner", &owner) &&
           str_eq_text(owner, lease->owner);
}

static bool take_body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    struct taking *t = context;
    struct fs_document document;
    int64_t until_ms = 0, now_ms = clock_unix_ms();
    cJSON *fields = fs_fields(a);

    if (!read_lease(t, tx, a, &document, e))
        return false;
    if (document.exists)
        (void)fs_get_time_ms(document.fields, "until", &until_ms);
    t->is_ours = is_owners(t->lease, &document) || until_ms <= now_ms;
    if (!t->is_ours)
        return true;
    fs_add_text(fields, "owner", t->lease->owner);
    fs_add_time_ms(fields, "until", now_ms + t->lease->life_ms);

    const struct fs_write write = {
        .kind = FS_SET, .path = arena_printf(a, "leases/%s", t->lease->name), .fields = fields};

    firestore_transaction_write(tx, &write);
    return true;
}

/* Again when it fails: an answer that got lost would otherwise leave a lease nobody works under.
 * The owner knows its own, so twice is as good as once. */
static bool run(struct taking *t, firestore_transaction_body *body, struct error *e)
{
    struct firestore *fs = t->lease->firestore;

    return firestore_transaction(fs, body, t, t->deadline_ms, NULL) ||
           firestore_transaction(fs, body, t, t->deadline_ms, e);
}

bool lease_take(const struct lease *lease, int64_t deadline_ms, bool *ret_is_ours, struct error *e)
{
    struct taking t = {.lease = lease, .deadline_ms = deadline_ms};
    bool ok = run(&t, take_body, e);

    *ret_is_ours = ok && t.is_ours;
    return ok;
}

static bool give_body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    struct taking *t = context;
    struct fs_document document;

    if (!read_lease(t, tx, a, &document, e))
        return false;
    if (!is_owners(t->lease, &document))
        return true;

    const struct fs_write write = {.kind = FS_DELETE,
                                   .path = arena_printf(a, "leases/%s", t->lease->name)};

    firestore_transaction_write(tx, &write);
    return true;
}

void lease_give(const struct lease *lease, int64_t deadline_ms)
{
    struct taking t = {.lease = lease, .deadline_ms = deadline_ms};

    if (!run(&t, give_body, NULL))
        return;
}
