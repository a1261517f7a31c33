/* member_document.c - see member_document.h */
#include "base/clock.h"
#include "cloud/member_private.h"

#define PATHS_MAX          24
#define ID_MAX             9007199254740991LL
#define PHONE_DIGITS_MAX   32
#define LOCAL_PHONE_DIGITS 7
#define DATE_LENGTH        10 /* "2026-11-21" */

/* --- settings --- */

static bool read_country(struct str entry, int64_t *ret_id, char ret_code[3])
{
    size_t colon = str_find_char(entry, ':');
    struct str code = str_skip(entry, colon + 1);

    return str_parse_i64(str_take(entry, colon), 0, INT32_MAX, ret_id) && code.len == 2 &&
           str_only(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && str_copy(code, ret_code, 3);
}

bool member_countries_parse(struct str text, struct member_countries *ret, struct error *e)
{
    struct str rest = text, entry;

    ret->count = 0;
    while (str_split(&rest, ',', &entry)) {
        size_t n = ret->count;

        entry = str_trim(entry);
        if (entry.len == 0)
            continue;
        if (n == MEMBER_COUNTRIES_MAX ||
            !read_country(entry, &ret->entries[n].id, ret->entries[n].code))
            return error_set(e, ERR_BAD_REQUEST, "country %zu is not like 109:IS", n + 1);
        for (size_t i = 0; i < n; i++) {
            if (ret->entries[i].id == ret->entries[n].id)
                return error_set(e, ERR_BAD_REQUEST, "country %zu comes twice", n + 1);
        }
        ret->count++;
    }
    return true;
}

/* --- single values --- */

/* Not in the middle of a character. */
static struct str cut(struct str s, size_t max)
{
    size_t len = max;

    if (s.len <= max)
        return s;
    while (len > 0 && ((unsigned char)s.ptr[len] & 0xC0) == 0x80)
        len--;
    return str_take(s, len);
}

static bool is_whole(const cJSON *item, int64_t *ret)
{
    double number;

    if (!cJSON_IsNumber(item))
        return false;
    number = item->valuedouble;
    if (!(number >= -(double)ID_MAX && number <= (double)ID_MAX))
        return false;
    *ret = (int64_t)number;
    return !((double)*ret < number) && !((double)*ret > number);
}

struct str member_text(struct arena *a, const cJSON *item)
{
    int64_t number;

    if (cJSON_IsString(item))
        return cut(json_str_value(item), MEMBER_TEXT_MAX_BYTES);
    return is_whole(item, &number) ? arena_printf(a, "%lld", (long long)number) : STR("");
}

struct str member_phone(struct arena *a, struct str text)
{
    struct str given = cut(str_trim(text), MEMBER_TEXT_MAX_BYTES), digits;
    char *out = arena_alloc(a, PHONE_DIGITS_MAX);
    size_t len = 0;

    for (size_t i = 0; i < given.len && len < PHONE_DIGITS_MAX; i++) {
        if (given.ptr[i] >= '0' && given.ptr[i] <= '9')
            out[len++] = given.ptr[i];
    }
    digits = str_n(out, len);
    if (digits.len == 12 && str_starts_with(digits, STR("00354")))
        digits = str_skip(digits, 5);
    else if (digits.len == 10 && str_starts_with(digits, STR("354")))
        digits = str_skip(digits, 3);
    return digits.len == LOCAL_PHONE_DIGITS ? digits : given;
}

static bool is_date(struct str s)
{
    int64_t year, month, day;

    return s.len == DATE_LENGTH && s.ptr[4] == '-' && s.ptr[7] == '-' &&
           str_parse_i64(str_take(s, 4), 1, 9999, &year) &&
           str_parse_i64(str_take(str_skip(s, 5), 2), 1, 12, &month) &&
           str_parse_i64(str_skip(s, 8), 1, 31, &day);
}

/* Django writes an offset or Z; a bare date or time counts as UTC. */
static bool read_time(struct arena *a, struct str s, int64_t *ret_ms)
{
    if (s.len > 64)
        return false;
    if (is_date(s))
        s = arena_printf(a, "%.*sT00:00:00Z", STR_ARG(s));
    return clock_parse_rfc3339(s, ret_ms) ||
           clock_parse_rfc3339(arena_printf(a, "%.*sZ", STR_ARG(s)), ret_ms);
}

static void add_whole(cJSON *fields, const char *name, const cJSON *item)
{
    int64_t number;

    if (is_whole(item, &number))
        fs_add_i64(fields, name, number);
    else
        fs_add_null(fields, name);
}

/* Null stays null; whatever else is no text counts as missing. */
static void add_contact(struct arena *a, cJSON *fields, const char *name, const cJSON *contact)
{
    const cJSON *item = json_get(contact, name);

    if (cJSON_IsNull(item))
        fs_add_null(fields, name);
    else
        fs_add_str(fields, name, member_text(a, item));
}

static void add_flag(cJSON *fields, const char *name, const cJSON *data)
{
    bool value = true;

    (void)json_bool(data, name, &value);
    fs_add_bool(fields, name, value);
}

/* --- the parts of the document --- */

static void add_profile(struct arena *a, const struct member_event *event, cJSON *profile)
{
    const cJSON *data = event->data, *contact = json_get(data, "contact_info");
    struct str birthday = STR("");

    fs_add_text(profile, "kennitala", event->kennitala);
    fs_add_str(profile, "name", member_text(a, json_get(data, "name")));
    if (json_str(data, "birthday", &birthday) && is_date(birthday))
        fs_add_str(profile, "birthday", birthday);
    else
        fs_add_null(profile, "birthday");
    add_whole(profile, "gender", json_get(data, "gender"));
    add_whole(profile, "housing_situation", json_get(data, "housing_situation"));
    add_contact(a, profile, "email", contact);
    fs_add_str(profile, "phone", member_phone(a, member_text(a, json_get(contact, "phone"))));
    fs_add_str(profile, "foreign_phone", member_text(a, json_get(contact, "foreign_phone")));
    add_contact(a, profile, "facebook", contact);
    add_flag(profile, "reachable", data);
    add_flag(profile, "groupable", data);
}

static void add_names(struct arena *a, cJSON *fields, const char *name, const cJSON *list)
{
    cJSON *names = fs_add_array(fields, name);
    const cJSON *item;
    int count = 0;

    if (!cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach(item, list)
    {
        struct str text =
            str_trim(member_text(a, cJSON_IsObject(item) ? json_get(item, "name") : item));

        if (text.len > 0 && count++ < MEMBER_LIST_MAX)
            fs_push_str(names, text);
    }
}

static void add_membership(struct arena *a, const struct member_event *event, bool inactive,
                           cJSON *membership)
{
    struct str joined = STR("");
    int64_t joined_ms;

    if (json_str(event->data, "date_joined", &joined) && read_time(a, joined, &joined_ms))
        fs_add_time_ms(membership, "date_joined", joined_ms);
    else
        fs_add_null(membership, "date_joined");
    fs_add_text(membership, "status", inactive ? "inactive" : "active");
    add_names(a, membership, "unions", json_get(event->data, "unions"));
    add_names(a, membership, "titles", json_get(event->data, "titles"));
}

/* --- what is known already --- */

struct known {
    bool exists, deleted, has_version, has_id, repeated;
    int64_t version, id, deleted_at_ms;
};

static bool names_event(const struct fs_document *record, struct str event_id)
{
    const cJSON *events = record->exists ? fs_get_array(record->fields, "events") : NULL, *one;

    cJSON_ArrayForEach(one, events)
    {
        if (event_id.len > 0 && str_eq(fs_value_str(one), event_id))
            return true;
    }
    return false;
}

/* Without a record the member's own document speaks: it is older than the record. */
static struct known read_known(const struct member_event *event, const struct fs_document *member,
                               const struct fs_document *record)
{
    const cJSON *own = member->exists ? member->fields : NULL;
    struct known known = {.exists = record->exists || member->exists};
    struct str status = STR("");

    if (record->exists) {
        known.has_version = fs_get_i64(record->fields, "version", &known.version);
        known.has_id = fs_get_i64(record->fields, "django_id", &known.id);
        (void)fs_get_str(record->fields, "status", &status);
        (void)fs_get_time_ms(record->fields, "deleted_at", &known.deleted_at_ms);
    } else if (own) {
        known.has_id = fs_get_i64(own, "metadata.django_id", &known.id);
        (void)fs_get_str(own, "membership.status", &status);
        (void)fs_get_time_ms(own, "metadata.deleted_at", &known.deleted_at_ms);
    }
    known.deleted = str_eq_text(status, "inactive") || known.deleted_at_ms > 0;
    known.repeated = names_event(record, event->event_id);
    return known;
}

static bool version_of(const struct member_event *event, int64_t *ret)
{
    *ret = event->version;
    return event->has_version || json_i64(event->data, "version", ret);
}

/* True when the event changes nothing, and why. Of a deletion and an update with one version the
 * deletion counts. */
static bool is_settled(const struct member_event *event, const struct known *known,
                       enum member_outcome *ret)
{
    int64_t version;

    if (known->repeated) {
        *ret = MEMBER_REPEATED;
        return true;
    }
    if (!known->has_version || !version_of(event, &version) || version > known->version)
        return false;
    if (version == known->version && event->action == MEMBER_DELETE && !known->deleted)
        return false;
    *ret = version < known->version ? MEMBER_OUTDATED : MEMBER_REPEATED;
    return true;
}

/* A row that Django made after the deletion is a new membership; a create that was merely late is
 * not. */
static bool reactivates(const struct member_event *event, const struct known *known)
{
    int64_t id, version;

    if (event->action == MEMBER_REACTIVATE)
        return true;
    if (event->action != MEMBER_CREATE)
        return false;
    if (known->has_version && version_of(event, &version))
        return version > known->version;
    return known->has_id && json_i64(event->data, "id", &id) && id > known->id;
}

/* --- writing --- */

struct draft {
    struct fs_write *write;
    cJSON *fields;
    struct str *mask;
};

static struct draft draft_new(struct arena *a, struct member_change *change, struct str path)
{
    struct draft d = {.write = &change->writes[change->write_count],
                      .fields = fs_fields(a),
                      .mask = arena_alloc_array(a, PATHS_MAX, sizeof(struct str))};

    *d.write =
        (struct fs_write){.kind = FS_MERGE, .path = path, .fields = d.fields, .mask = d.mask};
    change->write_count++;
    return d;
}

/* A path that fields do not hold is deleted. */
static void draft_name(struct draft *d, struct str path)
{
    must(d->write->mask_count < PATHS_MAX);
    d->mask[d->write->mask_count++] = path;
}

static void draft_name_all(struct arena *a, struct draft *d, const char *map)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, fs_get_map(d->fields, map))
    {
        draft_name(d, arena_printf(a, "%s.%s", map, item->string));
    }
}

static void add_events(const struct member_event *event, const struct fs_document *record,
                       struct draft *d)
{
    const cJSON *old = record->exists ? fs_get_array(record->fields, "events") : NULL, *one;
    int skip = old ? cJSON_GetArraySize(old) - (MEMBER_EVENTS_KEPT - 1) : 0;
    cJSON *events;

    if (event->event_id.len == 0)
        return;
    events = fs_add_array(d->fields, "events");
    cJSON_ArrayForEach(one, old)
    {
        if (skip-- <= 0)
            fs_push_str(events, fs_value_str(one));
    }
    fs_push_str(events, event->event_id);
    draft_name(d, STR("events"));
}

static void write_record(const struct member_event *event, const struct known *known,
                         const struct fs_document *record, bool inactive, struct draft *d)
{
    int64_t id, version;

    fs_add_text(d->fields, "status", inactive ? "inactive" : "active");
    draft_name(d, STR("status"));
    if (inactive)
        fs_add_time_ms(d->fields, "deleted_at",
                       known->deleted_at_ms > 0 ? known->deleted_at_ms : event->now_ms);
    draft_name(d, STR("deleted_at"));
    if (json_i64(event->data, "id", &id)) {
        fs_add_i64(d->fields, "django_id", id);
        draft_name(d, STR("django_id"));
    }
    if (version_of(event, &version)) {
        fs_add_i64(d->fields, "version", version);
        draft_name(d, STR("version"));
    }
    add_events(event, record, d);
    d->write->server_times[0] = "synced_at";
}

/* Times are compared as times and the rest as plain JSON: the store may write other fractions, and
 * leaves out what is empty. */
static bool same_value(struct arena *arena, const cJSON *fields, const cJSON *stored,
                       const char *path)
{
    const cJSON *a = fs_get(fields, path), *b = fs_get(stored, path);
    int64_t a_ms, b_ms;

    if (fs_get_time_ms(fields, path, &a_ms) && fs_get_time_ms(stored, path, &b_ms))
        return a_ms == b_ms;
    return a == b || (a && b && cJSON_Compare(fs_to_plain(arena, a), fs_to_plain(arena, b), true));
}

static bool says_already(struct arena *a, const struct draft *d, const struct fs_document *member)
{
    for (size_t i = 0; i < d->write->mask_count; i++) {
        if (!member->exists || !same_value(a, d->fields, member->fields, arena_text(a, d->mask[i])))
            return false;
    }
    return true;
}

void member_document_stamp(cJSON *metadata, struct str actor, struct str correlation_id)
{
    fs_add_str(metadata, "updated_by", actor.len > 0 ? actor : STR(MEMBER_ACTOR_SYSTEM));
    fs_add_str(metadata, "correlation_id", correlation_id);
}

static void finish_member(struct arena *a, const struct member_event *event,
                          const struct fs_document *member, struct draft *d,
                          struct member_change *ret)
{
    cJSON *metadata;

    if (says_already(a, d, member)) {
        ret->write_count--;
        ret->outcome = MEMBER_UNCHANGED;
        return;
    }
    ret->outcome = MEMBER_WRITTEN;
    metadata = (cJSON *)(uintptr_t)fs_get_map(d->fields, "metadata");
    fs_add_time_ms(metadata, "last_modified", event->now_ms);
    member_document_stamp(metadata, event->actor, event->correlation_id);
    draft_name(d, STR("metadata.last_modified"));
    draft_name(d, STR("metadata.updated_by"));
    draft_name(d, STR("metadata.correlation_id"));
    d->write->server_times[0] = "metadata.synced_at";
}

static void apply_delete(struct arena *a, const struct member_event *event,
                         const struct known *known, const struct fs_document *member,
                         const struct fs_document *record, const struct str paths[2],
                         struct member_change *ret)
{
    int64_t unused;
    struct draft d;

    ret->inactive = true;
    ret->outcome = MEMBER_UNCHANGED;
    /* Of somebody unknown only a deletion that later events can be compared with leaves a mark. */
    if (!known->exists && !version_of(event, &unused) && !json_i64(event->data, "id", &unused))
        return;
    d = draft_new(a, ret, paths[1]);
    write_record(event, known, record, true, &d);
    if (!member->exists)
        return;
    d = draft_new(a, ret, paths[0]);
    fs_add_text(fs_add_map(d.fields, "membership"), "status", "inactive");
    fs_add_time_ms(fs_add_map(d.fields, "metadata"), "deleted_at",
                   known->deleted_at_ms > 0 ? known->deleted_at_ms : event->now_ms);
    draft_name(&d, STR("membership.status"));
    draft_name(&d, STR("metadata.deleted_at"));
    finish_member(a, event, member, &d, ret);
}

static void apply_data(struct arena *a, const struct member_event *event, const struct known *known,
                       const struct fs_document *member, const struct fs_document *record,
                       const struct str paths[2], struct member_change *ret)
{
    struct draft kept = draft_new(a, ret, paths[1]), d = draft_new(a, ret, paths[0]);
    cJSON *profile = fs_add_map(d.fields, "profile"), *metadata;
    int64_t id;

    ret->inactive = known->deleted && !reactivates(event, known);
    write_record(event, known, record, ret->inactive, &kept);
    add_profile(a, event, profile);
    (void)member_addresses_merge(a, event, member, record, profile, kept.fields);
    draft_name(&kept, STR("addresses"));
    add_membership(a, event, ret->inactive, fs_add_map(d.fields, "membership"));
    metadata = fs_add_map(d.fields, "metadata");
    if (json_i64(event->data, "id", &id))
        fs_add_i64(metadata, "django_id", id);
    if (ret->inactive)
        fs_add_time_ms(metadata, "deleted_at",
                       known->deleted_at_ms > 0 ? known->deleted_at_ms : event->now_ms);
    draft_name_all(a, &d, "profile");
    draft_name_all(a, &d, "membership");
    draft_name_all(a, &d, "metadata");
    if (!ret->inactive)
        draft_name(&d, STR("metadata.deleted_at"));
    finish_member(a, event, member, &d, ret);
}

void member_document_apply(struct arena *a, const struct member_event *event,
                           const struct fs_document *member, const struct fs_document *record,
                           struct member_change *ret)
{
    struct known known = read_known(event, member, record);
    struct str paths[2];

    *ret = (struct member_change){.inactive = known.deleted};
    if (is_settled(event, &known, &ret->outcome))
        return;
    member_document_paths(a, event->kennitala, paths);
    if (event->action == MEMBER_DELETE)
        apply_delete(a, event, &known, member, record, paths, ret);
    else
        apply_data(a, event, &known, member, record, paths, ret);
}

void member_document_guard(struct fs_write *write, const struct fs_document *read)
{
    write->precondition = read->exists ? FS_UPDATE_TIME : FS_MUST_NOT_EXIST;
    write->update_time = read->update_time;
}

void member_document_paths(struct arena *a, const char *kennitala, struct str ret[2])
{
    ret[0] = arena_printf(a, "members/%s", kennitala);
    ret[1] = arena_printf(a, "members/%s/server/membership", kennitala);
}
