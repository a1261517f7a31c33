/*
 * removal.c - takes the oldest entries out so that the rest still verifies
 *
 * Of a chain only its beginning may go: entries are checked one by one against the place where the
 * chain begins, deleted, and the new beginning is noted, all in one transaction. An entry that is
 * not what was written stays, and everything behind it: it is evidence.
 */
#include "cleanupauditlogs.h"

#include "base/clock.h"
#include "ops/log.h"

#define PAGE_MAX         100
#define PAGE_ARENA_BYTES (64U << 20)
#define PAGE_TIME_MS     20000

struct page {
    struct fs_document *entries;
    size_t count;
};

static bool read_page(struct removal *r, const struct fs_document *after, int64_t limit,
                      struct arena *a, struct page *ret, struct error *e)
{
    const struct fs_query query = {
        .collection = AUDIT_COLLECTION,
        .filters = {{"timestamp", FS_LESS, fs_value_of_time_ms(a, r->cutoff_ms)}},
        .filter_count = 1,
        .order = {{"timestamp", false}, {"__name__", false}},
        .order_count = 2,
        .limit = limit,
        .start_after = after,
    };

    return firestore_query(r->firestore, &query, NULL, a, clock_mono_ms() + PAGE_TIME_MS,
                           &ret->entries, &ret->count, e);
}

/* Both times must say so: Firestore's, and ours, which the chain covers. */
static bool is_old(const struct removal *r, const struct fs_document *entry)
{
    int64_t stored_ms, recorded_ms;

    return fs_get_time_ms(entry->fields, "timestamp", &stored_ms) && stored_ms < r->cutoff_ms &&
           (!fs_get(entry->fields, "recordedAt") ||
            (fs_get_time_ms(entry->fields, "recordedAt", &recorded_ms) &&
             recorded_ms < r->cutoff_ms));
}

/* --- entries of the former deployment: in no chain --- */

static void remove_unchained(struct removal *r, const struct page *page, struct arena *a)
{
    struct fs_write *writes = arena_alloc_array(a, page->count + 1, sizeof *writes);
    enum error_code *errors = arena_alloc_array(a, page->count + 1, sizeof *errors);
    struct audit_link link;
    struct error e = {0};
    size_t count = 0;

    for (size_t i = 0; i < page->count && (int64_t)count < r->left; i++) {
        if (!audit_link_read(page->entries[i].fields, &link) && is_old(r, &page->entries[i]) &&
            !fs_get(page->entries[i].fields, "hash"))
            writes[count++] = (struct fs_write){.kind = FS_DELETE,
                                                .path = page->entries[i].path,
                                                .precondition = FS_UPDATE_TIME,
                                                .update_time = page->entries[i].update_time};
    }
    if (count == 0 || !firestore_batch_write(r->firestore, writes, count, a,
                                             clock_mono_ms() + PAGE_TIME_MS, errors, &e))
        return;
    for (size_t i = 0; i < count; i++) {
        if (errors[i] == ERR_NONE) {
            r->deleted++;
            r->left--;
        }
    }
}

/* --- chains --- */

struct chain_part {
    struct removal *removal;
    int64_t chain;
    const struct fs_document **entries; /* in the chain's order */
    size_t count;
    int64_t deadline_ms;
    size_t deleted;
    bool is_broken;
};

static bool fits(struct chain_part *part, const struct fs_document *entry, struct arena *a,
                 int64_t *base_seq, struct str *base_hash)
{
    struct audit_link link;

    if (!audit_link_read(entry->fields, &link) || link.seq != *base_seq + 1)
        return false; /* not its turn */
    if (!str_eq(link.prev, *base_hash) || !audit_entry_is_sound(part->removal->log, a, entry)) {
        part->is_broken = true;
        return false;
    }
    *base_seq = link.seq;
    *base_hash = link.hash;
    return true;
}

static bool remove_body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    struct chain_part *part = context;
    const struct str path = arena_printf(a, AUDIT_HEADS "/%lld", (long long)part->chain);
    struct fs_document document;
    struct audit_head head;
    size_t limit = part->count;

    part->deleted = 0;
    part->is_broken = false;
    if (!firestore_get_all(part->removal->firestore, &path, 1, tx, a, part->deadline_ms, &document,
                           e) ||
        !audit_head_read(part->removal->log, a, part->chain, &document, &head, e))
        return false;
    if ((int64_t)limit > part->removal->left)
        limit = (size_t)part->removal->left;
    while (part->deleted < limit &&
           fits(part, part->entries[part->deleted], a, &head.base_seq, &head.base_hash)) {
        const struct fs_document *entry = part->entries[part->deleted++];
        const struct fs_write gone = {.kind = FS_DELETE,
                                      .path = entry->path,
                                      .precondition = FS_UPDATE_TIME,
                                      .update_time = entry->update_time};

        firestore_transaction_write(tx, &gone);
    }
    if (part->deleted > 0)
        audit_head_move_base(part->removal->log, tx, a, part->chain, head.base_seq, head.base_hash);
    return true;
}

static int64_t seq_of(const struct fs_document *entry)
{
    int64_t seq;

    return fs_get_i64(entry->fields, "seq", &seq) ? seq : 0;
}

static int by_seq(const void *left, const void *right)
{
    int64_t a = seq_of(*(const struct fs_document *const *)left);
    int64_t b = seq_of(*(const struct fs_document *const *)right);

    return (a > b) - (a < b);
}

static bool remove_chained(struct removal *r, const struct page *page, int64_t chain,
                           struct arena *a, struct error *e)
{
    struct chain_part part = {.removal = r,
                              .chain = chain,
                              .entries =
                                  arena_alloc_array(a, page->count + 1, sizeof *part.entries),
                              .deadline_ms = clock_mono_ms() + PAGE_TIME_MS};
    struct audit_link link;

    for (size_t i = 0; i < page->count; i++) {
        if (audit_link_read(page->entries[i].fields, &link) && link.chain == chain &&
            is_old(r, &page->entries[i]))
            part.entries[part.count++] = &page->entries[i];
    }
    if (part.count == 0 || r->left <= 0 || r->is_broken[chain])
        return true;
    qsort(part.entries, part.count, sizeof *part.entries, by_seq);
    if (!firestore_transaction(r->firestore, remove_body, &part, part.deadline_ms, e)) {
        if (e->code != ERR_FAILED_PRECONDITION)
            return false;
        part.deleted = 0;
        part.is_broken = true;
    }
    r->deleted += (int64_t)part.deleted;
    r->left -= (int64_t)part.deleted;
    if (part.is_broken) {
        r->is_broken[chain] = r->has_broken_chain = true;
        log_error("an audit chain does not verify; it is left as it is", LOG_I64("chain", chain));
    }
    return true;
}

/* --- pages --- */

static bool remove_from_page(struct removal *r, const struct page *page, struct arena *a,
                             struct error *e)
{
    remove_unchained(r, page, a);
    for (int64_t chain = 0; chain < AUDIT_CHAINS_MAX; chain++) {
        if (!remove_chained(r, page, chain, a, e))
            return false;
    }
    return true;
}

static struct fs_document copy_cursor(struct arena *a, const struct fs_document *last)
{
    cJSON *fields = fs_fields(a);

    json_add_copy(fields, "timestamp", fs_get(last->fields, "timestamp"));
    return (struct fs_document){.exists = true, .path = arena_dup(a, last->path), .fields = fields};
}

static bool run_pass(struct removal *r, struct arena *pages[2], struct error *e)
{
    struct fs_document cursor = {.exists = false};
    struct page page = {0};
    int64_t limit = PAGE_MAX;

    /* Two arenas in turn, so that the place in one page outlives it. */
    for (unsigned n = 0; r->left > 0 && clock_left_ms(r->deadline_ms) > PAGE_TIME_MS; n++) {
        struct arena *a = pages[n % 2];

        if (!read_page(r, cursor.exists ? &cursor : NULL, limit, a, &page, e)) {
            if (e->code != ERR_BAD_GATEWAY || limit == 1)
                return false;
            limit = 1 + limit / 4; /* entries so large that a page of them is no answer */
            n--;
            continue;
        }
        if (!remove_from_page(r, &page, a, e))
            return false;
        if (page.count == 0)
            break;
        arena_reset(pages[(n + 1) % 2]);
        cursor = copy_cursor(a, &page.entries[page.count - 1]);
    }
    return true;
}

bool removal_run(struct removal *r, struct error *e)
{
    struct arena *pages[2] = {arena_new(PAGE_ARENA_BYTES), arena_new(PAGE_ARENA_BYTES)};
    int64_t before;
    bool ok;

    /* Entries of one moment may come in another order than the chain's, those of the next page
     * before their turn: again, as long as that helps. */
    do {
        before = r->deleted;
        ok = run_pass(r, pages, e);
    } while (ok && r->deleted > before && r->left > 0 &&
             clock_left_ms(r->deadline_ms) > PAGE_TIME_MS);
    arena_free(pages[0]);
    arena_free(pages[1]);
    return ok;
}
