/*
 * vanished.c - members Django no longer has (M-F16, M-F50)
 *
 * A row that moved between two pages while they were read looks like one that is gone. So each is
 * asked for by its id before anything happens to it: only Django's own 404 deactivates.
 */
#include "base/clock.h"
#include "cloud/member_access.h"
#include "ops/log.h"
#include "syncmembers.h"

#define CALL_TIME_MS      30000
#define ROW_ARENA_BYTES   (16U << 20)
#define VANISHED_MIN_SAFE 1 /* one may always go, however few members there are */

bool vanished_is_too_much(const struct sync_run *run, int64_t vanished)
{
    int64_t active = (int64_t)people_active(run->people);

    return vanished > VANISHED_MIN_SAFE &&
           vanished * 100 > active * run->service->settings->vanish_percent;
}

static bool deactivate(struct sync_run *run, const char *kennitala, struct arena *a,
                       struct error *e)
{
    const struct member_event event = {.action = MEMBER_DELETE,
                                       .kennitala = kennitala,
                                       .now_ms = clock_unix_ms(),
                                       .countries = &run->service->countries,
                                       .actor = run->actor,
                                       .correlation_id = run->correlation_id};
    struct member_result result = {0};
    int64_t deadline_ms = clock_mono_ms() + CALL_TIME_MS;

    if (!member_document_sync(run->firestore, &event, deadline_ms, &result, e) ||
        !member_access_end(run->firestore, run->toolkit, kennitala, clock_unix_ms() / 1000, a,
                           deadline_ms, NULL, e))
        return false;
    run->counts.deactivated++;
    return true;
}

static bool settle(struct sync_run *run, const struct person *person, struct arena *a,
                   struct error *e)
{
    const cJSON *row = NULL;
    char kennitala[KENNITALA_SIZE];
    struct str ssn = STR("");

    if (person->django_id > 0 &&
        !django_read_member(run->service, person->django_id, run->correlation_id, a,
                            run->deadline_ms, &row, e))
        return false;
    /* There after all, under the same number: it moved while we read. */
    if (row && json_str(row, "ssn", &ssn) && kennitala_normalise(ssn, kennitala) &&
        strcmp(kennitala, person->kennitala) == 0) {
        cJSON *rows = json_array(a);

        json_add_copy(rows, NULL, row);
        run->seen_id = 0;
        run->done_id = 0;
        return write_rows(run, rows, a, e);
    }
    return deactivate(run, person->kennitala, a, e);
}

static int64_t count_vanished(const struct sync_run *run)
{
    int64_t count = 0;

    for (size_t place = 0; people_next_vanished(run->people, &place);)
        count++;
    return count;
}

bool vanished_deactivate(struct sync_run *run, struct error *e)
{
    struct arena *a;
    const struct person *person;
    bool ok = true;

    if (vanished_is_too_much(run, count_vanished(run))) {
        run->cause = "more members are missing from Django than SYNC_VANISH_PERCENT allows; "
                     "nobody was deactivated";
        return error_set(e, ERR_FAILED_PRECONDITION, "too many members are missing");
    }
    a = arena_new(ROW_ARENA_BYTES);
    for (size_t place = 0; ok && (person = people_next_vanished(run->people, &place));) {
        arena_reset(a);
        if (member_is_test_account(&run->service->test_accounts, str_from(person->kennitala)))
            continue;
        ok = sync_may_go_on(run, e) && settle(run, person, a, e);
    }
    arena_free(a);
    if (!ok && !run->cause)
        run->cause = "deactivating the missing members did not come to an end";
    return ok;
}
