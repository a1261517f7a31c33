/*
 * write_rows.c - one page of Django into Firestore
 *
 * Rows go in groups: read all their documents in one call, compute, write in one atomic commit that
 * holds only while nobody else wrote. Where that is refused, each row of the group is done by
 * itself, so one bad row fails alone (M-F15, M-F25).
 */
#include "base/clock.h"
#include "ops/log.h"
#include "syncmembers.h"

#define GROUP_MAX     100 /* two documents each: below the limits of reads (300) and writes (400) */
#define CALL_TIME_MS  30000
#define KENNITALA_KEY "ssn"

struct row {
    char kennitala[KENNITALA_SIZE];
    const cJSON *data;
};

struct group {
    struct row rows[GROUP_MAX];
    size_t count;
};

static struct member_event event_of(const struct sync_run *run, const struct row *row)
{
    return (struct member_event){.action = MEMBER_UPDATE,
                                 .kennitala = row->kennitala,
                                 .data = row->data,
                                 .now_ms = clock_unix_ms(),
                                 .countries = &run->service->countries,
                                 .actor = run->actor,
                                 .correlation_id = run->correlation_id};
}

static void count_outcome(struct sync_run *run, enum member_outcome outcome)
{
    run->counts.synced++;
    if (outcome != MEMBER_WRITTEN)
        run->counts.unchanged++;
}

/* The store is down, not the row odd: going on would only fail them all. */
static bool is_outage(enum error_code code)
{
    return code == ERR_UNAVAILABLE || code == ERR_GATEWAY_TIMEOUT || code == ERR_INTERNAL;
}

static bool write_alone(struct sync_run *run, const struct row *row, struct error *e)
{
    struct member_event event = event_of(run, row);
    struct member_result result = {0};

    if (member_document_sync(run->firestore, &event, clock_mono_ms() + CALL_TIME_MS, &result, e)) {
        count_outcome(run, result.outcome);
        return true;
    }
    if (is_outage(e->code))
        return false;
    run->counts.failed++;
    log_warning("a member could not be written", LOG_TEXT("correlation_id", run->correlation_id),
                LOG_TEXT("reason", str_from(e->detail)));
    return true;
}

static bool write_each(struct sync_run *run, const struct group *group, struct error *e)
{
    for (size_t i = 0; i < group->count; i++) {
        if (!write_alone(run, &group->rows[i], e))
            return false;
    }
    return true;
}

static size_t plan(struct sync_run *run, const struct group *group,
                   const struct fs_document *documents, struct fs_write *writes,
                   enum member_outcome *outcomes, struct arena *a)
{
    size_t count = 0;

    for (size_t i = 0; i < group->count; i++) {
        struct member_event event = event_of(run, &group->rows[i]);
        struct member_change change;

        member_document_apply(a, &event, &documents[2 * i], &documents[2 * i + 1], &change);
        outcomes[i] = change.outcome;
        for (size_t n = 0; n < change.write_count; n++) {
            struct fs_write *write = &writes[count++];
            bool is_member = str_eq(change.writes[n].path, documents[2 * i].path);

            *write = change.writes[n];
            member_document_guard(write, &documents[2 * i + (is_member ? 0 : 1)]);
        }
    }
    return count;
}

static bool write_group(struct sync_run *run, const struct group *group, struct arena *a,
                        struct error *e)
{
    struct fs_document *documents = arena_alloc_array(a, 2 * GROUP_MAX, sizeof *documents);
    struct fs_write *writes = arena_alloc_array(a, 2 * GROUP_MAX, sizeof *writes);
    struct str *paths = arena_alloc_array(a, 2 * GROUP_MAX, sizeof *paths);
    enum member_outcome outcomes[GROUP_MAX] = {0};
    size_t count;

    if (group->count == 0)
        return true;
    for (size_t i = 0; i < group->count; i++)
        member_document_paths(a, group->rows[i].kennitala, &paths[2 * i]);
    if (!firestore_get_all(run->firestore, paths, 2 * group->count, NULL, a,
                           clock_mono_ms() + CALL_TIME_MS, documents, e))
        return is_outage(e->code) ? false : write_each(run, group, e);
    for (size_t i = 0; i < 2 * group->count; i++)
        documents[i].path = paths[i];
    count = plan(run, group, documents, writes, outcomes, a);
    if (count > 0 && !firestore_commit(run->firestore, writes, count, NULL, a,
                                       clock_mono_ms() + CALL_TIME_MS, NULL, e))
        return is_outage(e->code) ? false : write_each(run, group, e);
    for (size_t i = 0; i < group->count; i++)
        count_outcome(run, outcomes[i]);
    return true;
}

static bool apply_roles(struct sync_run *run, const struct group *group, struct arena *a,
                        struct error *e)
{
    for (size_t i = 0; i < group->count; i++) {
        if (roles_apply(run, group->rows[i].kennitala, group->rows[i].data, a, e))
            continue;
        if (is_outage(e->code))
            return false;
        run->counts.synced--;
        run->counts.failed++;
        log_warning("roles could not be set", LOG_TEXT("correlation_id", run->correlation_id),
                    LOG_TEXT("reason", str_from(e->detail)));
    }
    return true;
}

static bool flush(struct sync_run *run, struct group *group, struct arena *a, struct error *e)
{
    bool ok = write_group(run, group, a, e) && apply_roles(run, group, a, e);

    group->count = 0;
    return ok;
}

static bool group_has(const struct group *group, const char *kennitala)
{
    for (size_t i = 0; i < group->count; i++) {
        if (strcmp(group->rows[i].kennitala, kennitala) == 0)
            return true;
    }
    return false;
}

/* Adds the row to the group, or counts it as something else. */
static void sort_row(struct sync_run *run, const cJSON *row, struct group *group)
{
    struct row *next = &group->rows[group->count];
    struct str ssn = STR("");
    int64_t id;

    if (!cJSON_IsObject(row) || !json_i64(row, "id", &id)) {
        run->counts.failed++;
        return;
    }
    if (id <= run->seen_id && id > 0) {
        /* Read before: pages moved. A resumed run has its count already. */
        return;
    }
    run->seen_id = id;
    (void)json_str(row, KENNITALA_KEY, &ssn);
    if (kennitala_normalise(ssn, next->kennitala))
        people_see(run->people, next->kennitala);
    if (id <= run->done_id)
        return;
    if (member_is_test_account(&run->service->test_accounts, ssn)) {
        run->counts.skipped++;
    } else if (!kennitala_normalise(ssn, next->kennitala) || group_has(group, next->kennitala)) {
        run->counts.failed++;
    } else {
        next->data = row;
        group->count++;
    }
}

bool write_rows(struct sync_run *run, const cJSON *rows, struct arena *a, struct error *e)
{
    struct group *group = ARENA_NEW(a, struct group);
    const cJSON *row;

    cJSON_ArrayForEach(row, rows)
    {
        sort_row(run, row, group);
        if (group->count == GROUP_MAX && !flush(run, group, a, e))
            return false;
    }
    if (!flush(run, group, a, e))
        return false;
    if (run->seen_id > run->done_id)
        run->done_id = run->seen_id;
    return true;
}
