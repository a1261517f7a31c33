/*
 * store.c - Firestore after Django; M-F20
 *
 * Django is asked once more after the update, and what it says is written only while the record is
 * the one read before asking. A webhook that came in between changes the record, and all of it is
 * done again; so the last writer always is one who asked after the last change. The same commit
 * removes what pending.c wrote.
 */
#include "base/clock.h"
#include "updatememberprofile.h"

#define TRIES_MAX 6

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

struct fs_write store_addresses(const struct store_work *work, const struct fs_document *before,
                                struct arena *a)
{
    static const struct str mask[] = {{"profile.addresses", 17},
                                      {"metadata.last_modified", 22},
                                      {"metadata.updated_by", 19},
                                      {"metadata.correlation_id", 23}};
    cJSON *fields = fs_fields(a), *profile = fs_add_map(fields, "profile"), *list, *metadata;
    const cJSON *old = before ? fs_get(before->fields, "profile.addresses") : NULL, *one;

    if (old)
        json_add_copy(profile, "addresses", old);
    if (!before) {
        list = fs_add_array(profile, "addresses");
        cJSON_ArrayForEach(one, work->addresses)
        {
            add_address(a, list, one);
        }
    }
    metadata = fs_add_map(fields, "metadata");
    fs_add_time_ms(metadata, "last_modified", clock_unix_ms());
    member_document_stamp(metadata, work->actor, work->correlation_id);
    return (struct fs_write){
        .kind = FS_MERGE,
        .path = arena_printf(a, "members/%s", work->kennitala),
        .fields = fields,
        .mask = mask,
        .mask_count = ARRAY_LEN(mask),
    };
}

static bool write_addresses(struct firestore *fs, const struct store_work *work, struct arena *a,
                            int64_t deadline_ms, struct error *e)
{
    const struct fs_write write = store_addresses(work, NULL, a);

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
    struct fs_write writes[ARRAY_LEN(change.writes) + 1];
    struct str paths[2];

    member_document_paths(a, work->kennitala, paths);
    if (!firestore_get_all(fs, paths, 2, NULL, a, deadline_ms, documents, e) ||
        !django_read(service, work->django_id, work->kennitala, a, deadline_ms, &event.data, e))
        return false;
    member_document_apply(a, &event, &documents[0], &documents[1], &change);
    if (change.write_count > 0)
        member_document_guard(&change.writes[0], &documents[1]);
    add_stamp(work, &documents[0], a, &change);
    memcpy(writes, change.writes, change.write_count * sizeof writes[0]);
    writes[change.write_count] = (struct fs_write){.kind = FS_DELETE, .path = work->pending};
    return firestore_commit(fs, writes, change.write_count + 1, NULL, a, deadline_ms, NULL, e);
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
