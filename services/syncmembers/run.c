/*
 * run.c - all pages of Django, in the order of their ids
 *
 * A row that is removed while we read moves all later ones forward, over the edge of a page that
 * was read already: then we go back before going on, and rows known by their id count once. New
 * rows come at the end.
 */
#include "base/clock.h"
#include "ops/log.h"
#include "syncmembers.h"

#define PAGE_ARENA_BYTES (32U << 20)
#define PAGES_MAX        20000
#define CLOSING_MS       15000 /* of the budget, for the end of the run and the answer */
#define LEASE_TIME_MS    10000

bool sync_may_go_on(struct sync_run *run, struct error *e)
{
    int64_t now_ms = clock_mono_ms();
    bool is_ours;

    if (run->deadline_ms - now_ms < CLOSING_MS) {
        run->cause = "the time is over; call again to go on";
        return error_set(e, ERR_UNAVAILABLE, "out of time");
    }
    if (now_ms - run->lease_taken_ms < run->lease.life_ms / 4)
        return true;
    if (!lease_take(&run->lease, now_ms + LEASE_TIME_MS, &is_ours, e))
        return false;
    if (!is_ours) {
        run->cause = "another run took over";
        return error_set(e, ERR_ABORTED, "the lease is lost");
    }
    run->lease_taken_ms = now_ms;
    return true;
}

/* Before anything is written: a register that is suddenly much smaller is broken (M-F16). */
static bool first_page_is_sane(struct sync_run *run, const struct django_page *page,
                               struct error *e)
{
    int64_t active = (int64_t)people_active(run->people);

    if (page->count >= active || !vanished_is_too_much(run, active - page->count))
        return true;
    run->cause = "Django has far fewer members than Firestore; nothing was changed";
    return error_set(e, ERR_FAILED_PRECONDITION, "too many members are missing");
}

static int64_t pages_back(const struct sync_run *run, int64_t removed)
{
    return 1 + (removed - 1) / run->service->settings->page_size;
}

struct reading {
    int64_t page, last_count;
    bool is_last;
};

static bool take_page(struct sync_run *run, struct reading *at, struct arena *a, struct error *e)
{
    struct django_page page;

    if (!django_read_page(run->service, at->page, run->correlation_id, a,
                          run->deadline_ms - CLOSING_MS, &page, e)) {
        run->cause = "Django did not give a page";
        return false;
    }
    if (at->page == 1 && !first_page_is_sane(run, &page, e))
        return false;
    if (at->page > 1 && page.count < at->last_count) {
        int64_t back = pages_back(run, at->last_count - page.count);

        at->page = back < at->page ? at->page - back : 1;
        at->last_count = page.count;
        return true;
    }
    if (page.has_next && cJSON_GetArraySize(page.results) == 0) {
        run->cause = "Django gave an empty page before the last";
        return error_set(e, ERR_BAD_GATEWAY, "django: an empty page before the last");
    }
    at->last_count = run->counts.total = page.count;
    if (!write_rows(run, page.results, a, e)) {
        run->cause = "Firestore did not take the members of a page";
        return false;
    }
    run->counts.pages = at->page;
    at->is_last = !page.has_next;
    at->page++;
    return true;
}

static bool read_all(struct sync_run *run, struct error *e)
{
    struct arena *a = arena_new(PAGE_ARENA_BYTES);
    struct reading at = {.page = 1};
    struct error saving = {0};
    bool ok = true;

    while (ok && !at.is_last && at.page <= PAGES_MAX) {
        arena_reset(a);
        ok = sync_may_go_on(run, e) && take_page(run, &at, a, e);
        if (ok && !progress_save(run, &saving))
            log_warning("progress could not be saved",
                        LOG_TEXT("correlation_id", run->correlation_id),
                        LOG_TEXT("reason", str_from(saving.detail)));
    }
    arena_free(a);
    return ok;
}

/* Every row of Django is counted as one thing or another (M-F14). */
static bool counts_add_up(struct sync_run *run, struct error *e)
{
    int64_t sum = run->counts.synced + run->counts.skipped + run->counts.failed;

    if (sum < run->counts.total) {
        run->cause = "Django changed while it was read; call again";
        return error_set(e, ERR_BAD_GATEWAY, "rows were missed");
    }
    run->counts.total = sum; /* rows that were removed after we read them count too */
    return true;
}

bool sync_run_all(struct sync_run *run, struct error *e)
{
    bool ok;

    run->state = "running";
    if (!people_load(run, e)) {
        run->cause = "the members in Firestore could not be read";
        return false;
    }
    ok = read_all(run, e) && vanished_deactivate(run, e) && counts_add_up(run, e);
    people_free(run->people);
    run->people = NULL;
    return ok;
}
