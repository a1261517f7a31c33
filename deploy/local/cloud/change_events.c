/* change_events.c - see change_events.h */
#include "change_events.h"

#include "base/clock.h"
#include "base/encode.h"
#include "net/http_client.h"
#include "ops/log.h"

#include <pthread.h>

#define EVENT_TYPE       "google.cloud.firestore.document.v1.written.withAuthContext"
#define WAITING_MAX      20000
#define BODY_MAX_BYTES   (2U << 20)
#define ARENA_BYTES      (8U << 20)
#define CALL_TIMEOUT_MS  60000
#define PAUSE_FIRST_MS   100
#define PAUSE_MAX_MS     5000
#define COLLECTION_SLASH 1

/* One event: what its headers and its body say. Made by a call, owned by the queue from then on. */
struct change {
    struct change *next;
    char *document; /* "members/0101302989" */
    char *body;
    size_t body_len;
    char id[UUID_TEXT_SIZE], time[CLOCK_ISO_SIZE], database[128];
};

struct change_events {
    const char *url, *collection, *project_id;
    struct http_client *client;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct change *first, **last;
    size_t count;
    bool ending;
};

/* --- noting --- */

static char *copy(struct str s)
{
    char *text = malloc(s.len + 1);

    must(text);
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return text;
}

static void change_free(struct change *change)
{
    free(change->document);
    free(change->body);
    free(change);
}

static bool is_of_collection(const struct change_events *events, struct str path)
{
    struct str collection = str_from(events->collection),
               id = str_skip(path, collection.len + COLLECTION_SLASH);

    return str_starts_with(path, collection) && path.len > collection.len &&
           path.ptr[collection.len] == '/' && str_find_char(id, '/') == id.len;
}

static struct change *change_new(struct call *c, const struct document *before,
                                 const struct document *after)
{
    struct change *change = calloc(1, sizeof *change);
    cJSON *data = json_object(c->a);
    struct buf text;

    must(change);
    if (after->exists)
        json_add_copy(data, "value", document_tree(c, after, NULL, 0));
    if (before->exists)
        json_add_copy(data, "oldValue", document_tree(c, before, NULL, 0));
    buf_init(&text, BODY_MAX_BYTES);
    must(json_write(&text, data));
    change->body = copy(buf_str(&text));
    change->body_len = text.len;
    buf_done(&text);
    change->document = copy(before->exists ? before->path : after->path);
    (void)str_copy(c->database, change->database, sizeof change->database);
    uuid_v4(change->id);
    clock_iso_utc(clock_unix_ms(), change->time);
    return change;
}

void change_note(struct call *c, const struct document *before, const struct document *after)
{
    struct change **at = &c->changes;

    if (!c->events || !is_of_collection(c->events, before->exists ? before->path : after->path))
        return;
    while (*at)
        at = &(*at)->next;
    *at = change_new(c, before, after);
}

void change_events_drop(struct call *c)
{
    while (c->changes) {
        struct change *next = c->changes->next;

        change_free(c->changes);
        c->changes = next;
    }
}

void change_events_send(struct call *c)
{
    struct change_events *events = c->events;
    bool fits;

    if (!c->changes)
        return;
    must(pthread_mutex_lock(&events->lock) == 0);
    fits = events->count < WAITING_MAX;
    if (fits) {
        *events->last = c->changes;
        for (struct change *one = c->changes; one; one = one->next) {
            events->last = &one->next;
            events->count++;
        }
        c->changes = NULL;
        must(pthread_cond_signal(&events->wake) == 0);
    }
    must(pthread_mutex_unlock(&events->lock) == 0);
    if (!fits)
        log_error("changes are not told: too many wait", LOG_I64("waiting", WAITING_MAX));
    change_events_drop(c);
}

/* --- telling --- */

static bool deliver(const struct change_events *events, const struct change *change,
                    struct error *e)
{
    struct arena *a = arena_new(ARENA_BYTES);
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("ce-specversion"), STR("1.0")},
        {STR("ce-id"), str_from(change->id)},
        {STR("ce-type"), STR(EVENT_TYPE)},
        {STR("ce-source"), arena_printf(a, "//firestore.googleapis.com/%s", change->database)},
        {STR("ce-subject"), arena_printf(a, "documents/%s", change->document)},
        {STR("ce-document"), str_from(change->document)},
        {STR("ce-time"), str_from(change->time)},
        {STR("ce-project"), str_from(events->project_id)},
        {STR("ce-authtype"), STR("service_account")},
        {STR("ce-authid"), arena_printf(a, "local@%s.iam.gserviceaccount.com", events->project_id)},
    };
    const struct http_call call = {
        .method = HTTP_POST,
        .url = str_from(events->url),
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .body = str_n(change->body, change->body_len),
        .deadline_ms = clock_mono_ms() + CALL_TIMEOUT_MS,
        .attempts_max = 1,
    };
    struct http_answer answer = {0};
    bool good = http_client_call(events->client, &call, a, &answer, NULL, e);

    if (good && (answer.status < 200 || answer.status > 299))
        good = error_set(e, ERR_BAD_GATEWAY, "status %d", answer.status);
    arena_free(a);
    return good;
}

static void wait_for(struct change_events *events, int64_t pause_ms)
{
    int64_t at_ms = clock_mono_ms() + pause_ms;

    while (!events->ending && clock_mono_ms() < at_ms)
        (void)clock_cond_wait_until(&events->wake, &events->lock, at_ms);
}

static void take_first(struct change_events *events)
{
    struct change *first = events->first;

    events->first = first->next;
    if (!events->first)
        events->last = &events->first;
    events->count--;
    change_free(first);
}

static void *tell(void *context)
{
    struct change_events *events = context;
    int64_t pause_ms = PAUSE_FIRST_MS;

    must(pthread_mutex_lock(&events->lock) == 0);
    while (!events->ending) {
        struct error e = {0};
        bool good;

        if (!events->first) {
            must(pthread_cond_wait(&events->wake, &events->lock) == 0);
            continue;
        }
        must(pthread_mutex_unlock(&events->lock) == 0);
        good = deliver(events, events->first, &e); /* only this thread takes it out */
        must(pthread_mutex_lock(&events->lock) == 0);
        if (good) {
            take_first(events);
            pause_ms = PAUSE_FIRST_MS;
            continue;
        }
        log_warning("a change is told again later", LOG_TEXT("reason", str_from(e.detail)));
        wait_for(events, pause_ms);
        pause_ms = 2 * pause_ms < PAUSE_MAX_MS ? 2 * pause_ms : PAUSE_MAX_MS;
    }
    must(pthread_mutex_unlock(&events->lock) == 0);
    return NULL;
}

struct change_events *change_events_new(const char *url, const char *collection,
                                        const char *project_id)
{
    struct change_events *events;

    if (!url[0])
        return NULL;
    events = calloc(1, sizeof *events);
    must(events);
    events->url = url;
    events->collection = collection;
    events->project_id = project_id;
    events->last = &events->first;
    events->client = http_client_new(&(struct http_client_config){
        .name = "events", .allow_http = true, .parallel_max = 1, .connect_timeout_ms = 1000});
    must(pthread_mutex_init(&events->lock, NULL) == 0);
    clock_cond_init(&events->wake);
    must(pthread_create(&events->thread, NULL, tell, events) == 0);
    return events;
}

void change_events_free(struct change_events *events)
{
    if (!events)
        return;
    must(pthread_mutex_lock(&events->lock) == 0);
    events->ending = true;
    must(pthread_cond_signal(&events->wake) == 0);
    must(pthread_mutex_unlock(&events->lock) == 0);
    must(pthread_join(events->thread, NULL) == 0);
    while (events->first)
        take_first(events);
    http_client_free(events->client);
    pthread_cond_destroy(&events->wake);
    pthread_mutex_destroy(&events->lock);
    free(events);
}
