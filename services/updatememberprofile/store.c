/*
 * store.c - Firestore after Django, now or a little later; M-F20, M-F31
 *
 * Django is asked once more after the update, and what it says is written only while the record is
 * the one read before asking. A webhook that came in between changes the record, and all of it is
 * done again; so the last writer always is one who asked after the last change.
 */
#include "base/clock.h"
#include "updatememberprofile.h"

#include <pthread.h>

#define TRIES_MAX         6
#define QUEUE_MAX         256
#define REPAIR_TIMEOUT_MS 10000
#define LAST_TIMEOUT_MS   3000 /* of all that is left when the process ends */

static void add_stored_text(struct arena *a, cJSON *fields, const char *name, const cJSON *from)
{
    const cJSON *item = json_get(from, name);

    if (cJSON_IsNumber(item))
        fs_add_str(fields, name, arena_printf(a, "%lld", (long long)item->valuedouble));
    else if (cJSON_IsString(item))
        fs_add_str(fields, name, json_str_value(item));
}

/* As members/{kt} keeps them (contract §4.3): numbers of houses and postcodes are text. */
static void add_address(struct arena *a, cJSON *list, const cJSON *address)
{
    static const char *const texts[] = {"street", "number",      "letter",
                                        "city",   "postal_code", "municipality"};
    static const char *const numbers[] = {"latitude", "longitude"};
    const cJSON *country = json_get(address, "country");
    cJSON *fields = fs_push_map(list);
    int64_t point, id;

    if (cJSON_IsString(country) || !json_i64(address, "country_id", &id)) {
        fs_add_str(fields, "country",
                   cJSON_IsString(country) ? json_str_value(country) : STR("IS"));
    } else {
        fs_add_null(fields, "country");
        fs_add_i64(fields, "country_id", id);
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        add_stored_text(a, fields, texts[i], address);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const cJSON *item = json_get(address, numbers[i]);

        if (cJSON_IsNumber(item))
            fs_add_double(fields, numbers[i], item->valuedouble);
    }
    if (json_i64(address, "hnitnum", &point))
        fs_add_i64(fields, "hnitnum", point);
    fs_add_bool(fields, "is_default", cJSON_IsTrue(json_get(address, "is_default")));
}

static bool write_addresses(struct firestore *fs, const struct store_work *work, struct arena *a,
                            int64_t deadline_ms, struct error *e)
{
    static const struct str mask[] = {{"profile.addresses", 17},
                                      {"metadata.last_modified", 22},
                                      {"metadata.updated_by", 19},
                                      {"metadata.correlation_id", 23}};
    cJSON *fields = fs_fields(a), *list, *metadata;
    const cJSON *one;

    list = fs_add_array(fs_add_map(fields, "profile"), "addresses");
    cJSON_ArrayForEach(one, work->addresses)
    {
        add_address(a, list, one);
    }
    metadata = fs_add_map(fields, "metadata");
    fs_add_time_ms(metadata, "last_modified", clock_unix_ms());
    member_document_stamp(metadata, work->actor, work->correlation_id);

    const struct fs_write write = {
        .kind = FS_MERGE,
        .path = arena_printf(a, "members/%s", work->kennitala),
        .fields = fields,
        .mask = mask,
        .mask_count = ARRAY_LEN(mask),
    };

    return firestore_commit(fs, &write, 1, NULL, a, deadline_ms, NULL, e);
}

/* The webhook of our own PATCH wrote the values before us, in the register's name. That it was this
 * person's doing is said all the same, once (M-F11). */
static void add_stamp(const struct store_work *work, const struct fs_document *member,
                      struct arena *a, struct member_change *change)
{
    static const struct str mask[] = {{"metadata.last_modified", 22},
                                      {"metadata.updated_by", 19},
                                      {"metadata.correlation_id", 23}};
    struct fs_write *write = &change->writes[change->write_count];
    cJSON *fields = fs_fields(a), *metadata = fs_add_map(fields, "metadata");
    struct str last = STR("");

    if (change->outcome == MEMBER_WRITTEN || !member->exists ||
        (fs_get_str(member->fields, "metadata.correlation_id", &last) &&
         str_eq(last, work->correlation_id)))
        return;
    fs_add_time_ms(metadata, "last_modified", clock_unix_ms());
    member_document_stamp(metadata, work->actor, work->correlation_id);
    *write = (struct fs_write){.kind = FS_MERGE,
                               .path = arena_printf(a, "members/%s", work->kennitala),
                               .fields = fields,
                               .mask = mask,
                               .mask_count = ARRAY_LEN(mask)};
    member_document_guard(write, member);
    change->write_count++;
}

static bool store_once(const struct profile_service *service, struct firestore *fs,
                       const struct store_work *work, struct arena *a, int64_t deadline_ms,
                       struct error *e)
{
    struct member_event event = {.action = MEMBER_UPDATE,
                                 .kennitala = work->kennitala,
                                 .event_id = STR(""),
                                 .now_ms = clock_unix_ms(),
                                 .countries = &service->countries,
                                 .actor = work->actor,
                                 .correlation_id = work->correlation_id};
    struct fs_document documents[2];
    struct member_change change;
    struct str paths[2];

    member_document_paths(a, work->kennitala, paths);
    if (!firestore_get_all(fs, paths, 2, NULL, a, deadline_ms, documents, e) ||
        !django_read(service, work->django_id, work->kennitala, a, deadline_ms, &event.data, e))
        return false;
    member_document_apply(a, &event, &documents[0], &documents[1], &change);
    if (change.write_count > 0)
        member_document_guard(&change.writes[0], &documents[1]);
    add_stamp(work, &documents[0], a, &change);
    if (change.write_count == 0)
        return true;
    return firestore_commit(fs, change.writes, change.write_count, NULL, a, deadline_ms, NULL, e);
}

static bool came_between(const struct error *e)
{
    return e->code == ERR_FAILED_PRECONDITION || e->code == ERR_CONFLICT || e->code == ERR_ABORTED;
}

bool store_newest(const struct profile_service *service, struct firestore *fs,
                  const struct store_work *work, struct arena *a, int64_t deadline_ms,
                  struct error *e)
{
    if (work->addresses && !write_addresses(fs, work, a, deadline_ms, e))
        return false;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        if (store_once(service, fs, work, a, deadline_ms, e))
            return true;
        if (!came_between(e))
            return false;
    }
    return false;
}

/* --- later --- */

struct repair {
    char kennitala[KENNITALA_SIZE];
    int64_t django_id;
    cJSON *addresses;
    char actor[UID_MAX_BYTES + 1], correlation_id[CORRELATION_ID_MAX_BYTES + 1];
};

struct repair_queue {
    const struct profile_service *service;
    struct firestore *fs;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    bool ending;
    struct repair items[QUEUE_MAX];
    size_t count;
};

static bool repair(struct repair_queue *q, const struct repair *item, int64_t deadline_ms)
{
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    const struct store_work todo = {.kennitala = item->kennitala,
                                    .django_id = item->django_id,
                                    .addresses = item->addresses,
                                    .actor = str_from(item->actor),
                                    .correlation_id = str_from(item->correlation_id)};
    struct error e = {0};
    bool done = store_newest(q->service, q->fs, &todo, a, deadline_ms, &e);

    if (done)
        log_info("profile repaired", LOG_KENNITALA("member", str_from(item->kennitala)));
    arena_free(a);
    /* Somebody else's record, or none any more: no repeat will change that. */
    return done || e.code == ERR_FORBIDDEN || e.code == ERR_NOT_FOUND;
}

static void wait_a_while(struct repair_queue *q)
{
    struct timespec until;
    int64_t at_ms = clock_mono_ms() + q->service->settings->repair_interval_ms;

    until = (struct timespec){.tv_sec = (time_t)(at_ms / 1000),
                              .tv_nsec = (long)(at_ms % 1000) * 1000000L};
    while (!q->ending && clock_mono_ms() < at_ms)
        (void)pthread_cond_timedwait(&q->wake, &q->lock, &until);
}

static void *work(void *context)
{
    struct repair_queue *q = context;

    must(pthread_mutex_lock(&q->lock) == 0);
    while (!q->ending) {
        struct repair item;
        bool done;

        if (q->count == 0) {
            must(pthread_cond_wait(&q->wake, &q->lock) == 0);
            continue;
        }
        wait_a_while(q);
        if (q->ending)
            break;
        item = q->items[0];
        memmove(q->items, q->items + 1, --q->count * sizeof q->items[0]);
        must(pthread_mutex_unlock(&q->lock) == 0);
        done = repair(q, &item, clock_mono_ms() + REPAIR_TIMEOUT_MS);
        must(pthread_mutex_lock(&q->lock) == 0);
        if (!done && q->count < QUEUE_MAX)
            q->items[q->count++] = item;
        else
            cJSON_Delete(item.addresses);
    }
    must(pthread_mutex_unlock(&q->lock) == 0);
    return NULL;
}

struct repair_queue *repair_queue_new(const struct profile_service *service, struct firestore *fs)
{
    struct repair_queue *q = calloc(1, sizeof *q);
    pthread_condattr_t attr;

    must(q);
    q->service = service;
    q->fs = fs;
    must(pthread_mutex_init(&q->lock, NULL) == 0);
    must(pthread_condattr_init(&attr) == 0);
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&q->wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    must(pthread_create(&q->thread, NULL, work, q) == 0);
    return q;
}

/* Once more for each, while there is time: whoever comes next does not know of them. */
static size_t finish(struct repair_queue *q)
{
    int64_t deadline_ms = clock_mono_ms() + LAST_TIMEOUT_MS;
    size_t left = 0;

    for (size_t i = 0; i < q->count; i++) {
        if (clock_left_ms(deadline_ms) <= 0 || !repair(q, &q->items[i], deadline_ms))
            left++;
        cJSON_Delete(q->items[i].addresses);
    }
    return left;
}

void repair_queue_free(struct repair_queue *q)
{
    size_t left;

    if (!q)
        return;
    must(pthread_mutex_lock(&q->lock) == 0);
    q->ending = true;
    must(pthread_cond_broadcast(&q->wake) == 0);
    must(pthread_mutex_unlock(&q->lock) == 0);
    must(pthread_join(q->thread, NULL) == 0);
    left = finish(q);
    if (left > 0)
        log_error("profiles left to the full sync", LOG_I64("count", (int64_t)left));
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool repair_queue_add(struct repair_queue *q, const struct store_work *todo)
{
    bool added;

    must(pthread_mutex_lock(&q->lock) == 0);
    added = q->count < QUEUE_MAX;
    if (added) {
        struct repair *item = &q->items[q->count++];

        *item = (struct repair){.django_id = todo->django_id};
        memcpy(item->kennitala, todo->kennitala, KENNITALA_SIZE);
        (void)str_copy(todo->actor, item->actor, sizeof item->actor);
        (void)str_copy(todo->correlation_id, item->correlation_id, sizeof item->correlation_id);
        if (todo->addresses) {
            item->addresses = cJSON_Duplicate(todo->addresses, true);
            must(item->addresses);
        }
        must(pthread_cond_broadcast(&q->wake) == 0);
    }
    must(pthread_mutex_unlock(&q->lock) == 0);
    return added;
}
