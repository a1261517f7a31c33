/*
 * repair.c - what was left pending: Firestore is told what Django has; M-F31
 *
 * Everything pending stands in Firestore (pending.c). What this process left is tried again soon.
 * What another one left is looked for at the start and now and then: it is that old only when its
 * process died. Two that repair the same write the same.
 */
#include "base/clock.h"
#include "updatememberprofile.h"

#include <pthread.h>

#define QUEUE_MAX         256
#define SWEEP_MAX         64
#define SWEEP_INTERVAL_MS 600000
#define REPAIR_TIMEOUT_MS 5000
#define LAST_TIMEOUT_MS   3000 /* of all that is left when the process ends */

struct repair {
    char kennitala[KENNITALA_SIZE];
    int64_t django_id;
    char actor[UID_MAX_BYTES + 1], correlation_id[CORRELATION_ID_MAX_BYTES + 1];
    char pending[PENDING_PATH_SIZE];
};

struct repair_queue {
    const struct profile_service *service;
    struct firestore *fs;
    pthread_t thread;
    int64_t sweep_at_ms;  /* the thread's own */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    bool ending;
    struct repair items[QUEUE_MAX];
    size_t count;
};

static bool forget(struct repair_queue *q, struct str pending, struct arena *a, int64_t deadline_ms)
{
    const struct fs_write write = {.kind = FS_DELETE, .path = pending};
    struct error e = {0};

    return firestore_commit(q->fs, &write, 1, NULL, a, deadline_ms, NULL, &e);
}

static bool repair(struct repair_queue *q, const struct repair *item, int64_t deadline_ms)
{
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    const struct store_work todo = {.kennitala = item->kennitala,
                                    .django_id = item->django_id,
                                    .actor = str_from(item->actor),
                                    .correlation_id = str_from(item->correlation_id),
                                    .pending = str_from(item->pending)};
    struct error e = {0};
    bool done = store_newest(q->service, q->fs, &todo, a, deadline_ms, &e);

    if (done)
        log_info("profile repaired", LOG_KENNITALA("member", str_from(item->kennitala)));
    /* Somebody else's record, or none any more: no repeat will change that. */
    else if (e.code == ERR_FORBIDDEN || e.code == ERR_NOT_FOUND)
        done = forget(q, todo.pending, a, deadline_ms);
    arena_free(a);
    return done;
}

static void add(struct repair_queue *q, const struct store_work *todo)
{
    struct repair *item = &q->items[q->count];

    for (size_t i = 0; i < q->count; i++) {
        if (str_eq_text(todo->pending, q->items[i].pending))
            return;
    }
    if (q->count == QUEUE_MAX) /* a sweep finds it */
        return;
    *item = (struct repair){.django_id = todo->django_id};
    memcpy(item->kennitala, todo->kennitala, KENNITALA_SIZE);
    (void)str_copy(todo->actor, item->actor, sizeof item->actor);
    (void)str_copy(todo->correlation_id, item->correlation_id, sizeof item->correlation_id);
    must(str_copy(todo->pending, item->pending, sizeof item->pending));
    q->count++;
}

void repair_queue_add(struct repair_queue *q, const struct store_work *todo)
{
    must(pthread_mutex_lock(&q->lock) == 0);
    add(q, todo);
    must(pthread_cond_broadcast(&q->wake) == 0);
    must(pthread_mutex_unlock(&q->lock) == 0);
}

/* --- what others left --- */

static void add_found(struct repair_queue *q, const struct fs_document *document)
{
    char kennitala[KENNITALA_SIZE];
    struct store_work todo = {.kennitala = kennitala, .pending = document->path};
    struct str number = STR("");

    if (!fs_get_str(document->fields, "kennitala", &number) ||
        !kennitala_normalise(number, kennitala) ||
        !fs_get_i64(document->fields, "django_id", &todo.django_id) ||
        document->path.len >= PENDING_PATH_SIZE) {
        log_error("a pending update cannot be read", LOG_TEXT("id", document->id));
        return;
    }
    (void)fs_get_str(document->fields, "actor", &todo.actor);
    (void)fs_get_str(document->fields, "correlation_id", &todo.correlation_id);
    repair_queue_add(q, &todo);
}

static void sweep(struct repair_queue *q)
{
    const struct profile_settings *s = q->service->settings;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    const struct fs_query query = {
        .collection = "profile_pending",
        .filters = {{"startedAt", FS_LESS_OR_EQUAL,
                     fs_value_of_time_ms(a, clock_unix_ms() - s->abandoned_after_ms)}},
        .filter_count = 1,
        .order = {{.path = "startedAt"}},
        .order_count = 1,
        .limit = SWEEP_MAX};
    struct fs_document *found;
    struct error e = {0};
    size_t count = 0;
    bool is_read = firestore_query(q->fs, &query, NULL, a, clock_mono_ms() + REPAIR_TIMEOUT_MS,
                                   &found, &count, &e);

    if (!is_read)
        log_warning("pending updates not read", LOG_TEXT("reason", str_from(e.detail)));
    for (size_t i = 0; i < count; i++)
        add_found(q, &found[i]);
    q->sweep_at_ms = clock_mono_ms() +
                     (is_read && count < SWEEP_MAX ? SWEEP_INTERVAL_MS : s->repair_interval_ms);
    arena_free(a);
}

/* --- the thread --- */

static int64_t next_ms(const struct repair_queue *q)
{
    int64_t repair_at_ms = clock_mono_ms() + q->service->settings->repair_interval_ms;

    return q->count > 0 && repair_at_ms < q->sweep_at_ms ? repair_at_ms : q->sweep_at_ms;
}

/* False when there is no more time. */
static bool wait_a_while(struct repair_queue *q)
{
    size_t known = q->count;
    int64_t at_ms = next_ms(q);

    while (!q->ending && clock_mono_ms() < at_ms) {
        (void)clock_cond_wait_until(&q->wake, &q->lock, at_ms);
        if (known == 0 && q->count > 0) {
            known = q->count;
            at_ms = next_ms(q);
        }
    }
    return !q->ending;
}

/* Each of those that are there, once; what is added meanwhile waits for the next time. */
static void repair_all(struct repair_queue *q)
{
    for (size_t left = q->count; left > 0 && !q->ending; left--) {
        struct repair item = q->items[0];
        bool done;

        must(pthread_mutex_unlock(&q->lock) == 0);
        done = repair(q, &item, clock_mono_ms() + REPAIR_TIMEOUT_MS);
        must(pthread_mutex_lock(&q->lock) == 0);
        memmove(q->items, q->items + 1, --q->count * sizeof q->items[0]);
        if (!done)
            q->items[q->count++] = item;
    }
}

static void *work(void *context)
{
    struct repair_queue *q = context;

    must(pthread_mutex_lock(&q->lock) == 0);
    while (wait_a_while(q)) {
        if (clock_mono_ms() >= q->sweep_at_ms) {
            must(pthread_mutex_unlock(&q->lock) == 0);
            sweep(q);
            must(pthread_mutex_lock(&q->lock) == 0);
        }
        repair_all(q);
    }
    must(pthread_mutex_unlock(&q->lock) == 0);
    return NULL;
}

struct repair_queue *repair_queue_new(const struct profile_service *service, struct firestore *fs)
{
    struct repair_queue *q = calloc(1, sizeof *q);

    must(q);
    q->service = service;
    q->fs = fs;
    must(pthread_mutex_init(&q->lock, NULL) == 0);
    clock_cond_init(&q->wake);
    must(pthread_create(&q->thread, NULL, work, q) == 0);
    return q;
}

/* Once more for each, while there is time. */
static size_t finish(struct repair_queue *q)
{
    int64_t deadline_ms = clock_mono_ms() + LAST_TIMEOUT_MS;
    size_t left = 0;

    for (size_t i = 0; i < q->count; i++) {
        if (clock_left_ms(deadline_ms) <= 0 || !repair(q, &q->items[i], deadline_ms))
            left++;
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
        log_error("profiles left pending", LOG_I64("count", (int64_t)left));
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    free(q);
}
