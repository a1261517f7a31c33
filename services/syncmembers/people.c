/* people.c - see syncmembers.h; about 40 bytes a member */
#include "base/clock.h"
#include "syncmembers.h"

#define PAGE_MAX         500
#define PAGE_ARENA_BYTES (16U << 20)
#define PEOPLE_MAX       1000000
#define PAGE_TIME_MS     30000

struct people {
    struct person *all; /* sorted by kennitala */
    size_t count, capacity, active;
};

static void add_person(struct people *people, const struct fs_document *document)
{
    struct person *person;
    struct str status = STR("");

    if (document->id.len != KENNITALA_SIZE - 1 || people->count == PEOPLE_MAX)
        return;
    if (people->count == people->capacity) {
        people->capacity = people->capacity ? 2 * people->capacity : 1024;
        people->all = realloc(people->all, people->capacity * sizeof *people->all);
        must(people->all);
    }
    person = &people->all[people->count++];
    *person = (struct person){.django_id = 0};
    (void)str_copy(document->id, person->kennitala, sizeof person->kennitala);
    (void)fs_get_str(document->fields, "membership.status", &status);
    (void)fs_get_i64(document->fields, "metadata.django_id", &person->django_id);
    person->is_active = str_eq_text(status, "active");
    people->active += person->is_active ? 1 : 0;
}

static int by_kennitala(const void *left, const void *right)
{
    return memcmp(((const struct person *)left)->kennitala,
                  ((const struct person *)right)->kennitala, KENNITALA_SIZE);
}

static bool load_page(struct sync_run *run, const char *after, struct arena *a,
                      struct fs_document **ret, size_t *ret_count, struct error *e)
{
    const struct fs_document cursor = {
        .exists = true, .path = arena_printf(a, "members/%s", after), .fields = fs_fields(a)};
    const struct fs_query query = {
        .collection = "members",
        .order = {{"__name__", false}},
        .order_count = 1,
        .limit = PAGE_MAX,
        .select = {"membership.status", "metadata.django_id"},
        .select_count = 2,
        .start_after = after[0] ? &cursor : NULL,
    };

    return firestore_query(run->firestore, &query, NULL, a, clock_mono_ms() + PAGE_TIME_MS, ret,
                           ret_count, e);
}

bool people_load(struct sync_run *run, struct error *e)
{
    struct arena *a = arena_new(PAGE_ARENA_BYTES);
    struct fs_document *documents;
    char after[FS_DOCUMENT_ID_MAX_BYTES + 1] = "";
    size_t count = PAGE_MAX;
    bool ok = true;

    run->people = calloc(1, sizeof *run->people);
    must(run->people);
    while (ok && count == PAGE_MAX) {
        arena_reset(a);
        ok = load_page(run, after, a, &documents, &count, e);
        for (size_t i = 0; ok && i < count; i++)
            add_person(run->people, &documents[i]);
        if (ok && count > 0)
            ok = str_copy(documents[count - 1].id, after, sizeof after);
    }
    arena_free(a);
    if (run->people->count > 0)
        qsort(run->people->all, run->people->count, sizeof *run->people->all, by_kennitala);
    return ok;
}

void people_free(struct people *people)
{
    if (!people)
        return;
    free(people->all);
    free(people);
}

void people_see(struct people *people, const char *kennitala)
{
    struct person wanted = {.is_seen = true}, *found;

    (void)str_copy(str_from(kennitala), wanted.kennitala, sizeof wanted.kennitala);
    if (people->count == 0)
        return;
    found = bsearch(&wanted, people->all, people->count, sizeof wanted, by_kennitala);
    if (found)
        found->is_seen = true;
}

size_t people_active(const struct people *people)
{
    return people->active;
}

const struct person *people_next_vanished(const struct people *people, size_t *place)
{
    while (*place < people->count) {
        const struct person *person = &people->all[(*place)++];

        if (person->is_active && !person->is_seen)
            return person;
    }
    return NULL;
}
