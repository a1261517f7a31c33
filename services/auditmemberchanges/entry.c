/* entry.c - what an entry says, and who it says did it; see auditmemberchanges.h */
#include "auditmemberchanges.h"

#include "base/clock.h"

#define ID_MAX_BYTES     128
#define PLAIN_TEXT_MAX   24
#define PLAIN_NUMBER_MAX 99999999 /* below anything that could be a kennitala */
#define SEALED_MAX_BYTES 400000
#define MEMBERS          "members/"
#define NAME_MASK        "***"
#define STATUS_INACTIVE  "inactive"
#define UNKNOWN_ID_MASK  "******-****"

/* --- who --- */

static bool list_has(const char *list, struct str wanted)
{
    struct str rest = str_from(list), part;

    while (str_split(&rest, ',', &part)) {
        if (str_eq(str_trim(part), wanted))
            return true;
    }
    return false;
}

/* The name that stands in the document, if this very write put it there: a name left over from an
 * earlier write says nothing about who wrote now. Our services change the correlation id with each
 * write. */
static bool stamp_is_fresh(const struct member_event *event, const char *actor_path,
                           const char *correlation_path)
{
    struct str now, then, id_now = STR(""), id_then = STR("");

    if (!fs_get_str(event->after, actor_path, &now))
        return false;
    if (!event->before || !fs_get_str(event->before, actor_path, &then) || !str_eq(now, then))
        return true;
    (void)fs_get_str(event->after, correlation_path, &id_now);
    (void)fs_get_str(event->before, correlation_path, &id_then);
    return id_now.len > 0 && !str_eq(id_now, id_then);
}

static bool find_stamp(const struct member_event *event, struct event_actor *ret)
{
    static const char *const places[][2] = {{"metadata.updated_by", "metadata.correlation_id"},
                                            {"updatedBy", "correlationId"},
                                            {"createdBy", "correlationId"}};

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (!stamp_is_fresh(event, places[i][0], places[i][1]))
            continue;
        (void)fs_get_str(event->after, places[i][0], &ret->id);
        (void)fs_get_str(event->after, places[i][1], &ret->correlation_id);
        return true;
    }
    return false;
}

void event_find_actor(struct arena *a, const struct member_event *event, const char *writers,
                      struct event_actor *ret)
{
    bool is_user = str_eq_text(event->auth_type, "app_user");
    bool is_service = str_eq_text(event->auth_type, "service_account");
    bool is_told = event->auth_type.len > 0 && !str_eq_text(event->auth_type, "unknown");

    *ret = (struct event_actor){.id = STR("system"), .source = STR("none")};
    if (is_user && event->auth_id.len > 0) {
        ret->id = event->auth_id;
        ret->source = STR("auth");
        ret->is_account = true;
    } else if (is_service && (!writers[0] || list_has(writers, event->auth_id)) &&
               find_stamp(event, ret)) {
        ret->source = STR("service");
        ret->is_account = true;
    } else if (is_told) {
        ret->source = STR("auth");
    } else if (find_stamp(event, ret)) {
        ret->source = STR("document");
        ret->is_account = true;
    }
    ret->is_account =
        ret->is_account && !str_eq_text(ret->id, "system") && ret->id.len <= UID_MAX_BYTES;
    ret->correlation_id = audit_mask(a, ret->correlation_id, CORRELATION_ID_MAX_BYTES);
}

/* --- what --- */

const char *event_action(const struct member_event *event)
{
    if (!event->is_decoded)
        return "unknown";
    if (!event->before)
        return "create";
    return event->after ? "update" : "delete";
}

static bool is_inactive(const cJSON *fields)
{
    struct str status;
    bool active;

    if (fs_get_str(fields, "membership.status", &status))
        return str_eq_text(status, STATUS_INACTIVE);
    return fs_get_bool(fields, "membership.is_active", &active) && !active;
}

static const char *transition(const struct member_event *event)
{
    bool was, is;

    if (!event->before || !event->after)
        return NULL;
    was = is_inactive(event->before);
    is = is_inactive(event->after);
    if (was == is)
        return NULL;
    return is ? "deactivated" : "reactivated";
}

/* --- values --- */

/* Bookkeeping that says nothing about the person but that she is a member. */
static bool is_plain_path(struct str path)
{
    static const char *const plain[] = {
        "membership.status",   "membership.is_active", "membership.date_joined",
        "metadata.django_id",  "metadata.synced_at",   "metadata.last_modified",
        "metadata.deleted_at", "metadata.source",      "metadata.country_raw",
        "profile.updated_at",  "updated_at",           "updatedAt"};

    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (str_eq_text(path, plain[i]))
            return true;
    }
    return false;
}

/* Whatever the field is called, only values that cannot be a person's stay readable. */
static bool is_plain_value(const cJSON *value)
{
    struct str text;
    int64_t number;

    if (json_str(value, "stringValue", &text))
        return text.len <= PLAIN_TEXT_MAX && str_only(text, "abcdefghijklmnopqrstuvwxyz_-");
    if (json_str(value, "integerValue", &text))
        return str_parse_i64(text, 0, PLAIN_NUMBER_MAX, &number);
    if (json_str(value, "timestampValue", &text))
        return clock_parse_rfc3339(text, &number);
    return json_get(value, "booleanValue") || json_get(value, "nullValue");
}

/* An entry must fit into a document: of values beyond the budget only a keyed hash is kept, which
 * still tells equal from different. */
static struct str seal_within(const struct audit_log *log, struct arena *a, struct str text,
                              size_t *budget)
{
    char hash[SHA256_HEX_SIZE];

    if (text.len <= *budget) {
        *budget -= text.len;
        return audit_log_seal(log, a, text);
    }
    audit_log_entry_id(log, STR("value"), text, hash);
    return arena_printf(a, "hash:%s", hash);
}

static void add_value(const struct audit_log *log, struct arena *a, cJSON *to, struct str path,
                      const cJSON *value, size_t *budget)
{
    const char *name = arena_text(a, path);
    struct buf text;

    if (!value)
        return;
    if (is_plain_path(path) && is_plain_value(value)) {
        json_add_copy(to, name, value);
        return;
    }
    buf_init(&text, ARENA_MAX_BYTES / 4);
    json_write(&text, value);
    fs_add_str(to, name, seal_within(log, a, buf_str(&text), budget));
    buf_done(&text);
}

static void add_changes(const struct audit_log *log, struct arena *a, cJSON *entry,
                        const struct member_event *event)
{
    cJSON *changes = fs_add_map(entry, "changes"), *before, *after, *paths;
    size_t budget = SEALED_MAX_BYTES;
    struct diff diff;

    diff_make(a, event->before, event->after, &diff);
    before = event->before ? fs_add_map(changes, "before") : NULL;
    after = event->after ? fs_add_map(changes, "after") : NULL;
    paths = fs_add_array(changes, "diff");
    if (!before)
        fs_add_null(changes, "before");
    if (!after)
        fs_add_null(changes, "after");
    for (size_t i = 0; i < diff.count; i++) {
        struct str path = diff.changes[i].path,
                   shown = audit_mask(a, path, FS_FIELD_NAME_MAX_BYTES);

        /* A name that had to be masked may meet another one: its number keeps them apart. */
        if (!str_eq(shown, path))
            shown = arena_printf(a, "%.*s#%zu", STR_ARG(str_take(shown, 1000)), i);
        fs_push_str(paths, shown);
        if (before)
            add_value(log, a, before, shown, diff.changes[i].before, &budget);
        if (after)
            add_value(log, a, after, shown, diff.changes[i].after, &budget);
    }
}

static void add_member(const struct audit_log *log, struct arena *a, cJSON *entry,
                       struct str document)
{
    struct str id = str_skip(document, sizeof(MEMBERS) - 1);
    char kennitala[KENNITALA_SIZE], mask[KENNITALA_MASK_SIZE] = UNKNOWN_ID_MASK;
    char hash[AUDIT_MEMBER_SIZE];

    (void)a;
    if (kennitala_normalise(id, kennitala)) {
        kennitala_mask(kennitala, mask);
        id = str_from(kennitala);
    }
    audit_log_member(log, id, hash);
    fs_add_text(entry, "memberId", mask);
    fs_add_text(entry, "memberHash", hash);
    fs_add_text(entry, "memberName", NAME_MASK);
}

cJSON *entry_make(const struct audit_log *log, struct arena *a, const struct member_event *event,
                  const struct event_actor *actor, struct str actor_email)
{
    cJSON *entry = fs_fields(a);

    fs_add_str(entry, "adminId", audit_mask(a, actor->id, ID_MAX_BYTES));
    fs_add_str(entry, "adminEmail", audit_mask(a, actor_email, 2 * ID_MAX_BYTES));
    fs_add_str(entry, "actorSource", actor->source);
    fs_add_str(entry, "authType", audit_mask(a, event->auth_type, ID_MAX_BYTES));
    if (!str_eq(actor->id, event->auth_id) && event->auth_id.len > 0)
        fs_add_str(entry, "writtenBy", audit_mask(a, event->auth_id, ID_MAX_BYTES));
    if (actor->correlation_id.len > 0)
        fs_add_str(entry, "correlationId", actor->correlation_id);
    fs_add_text(entry, "action", event_action(event));
    fs_add_text(entry, "transition", transition(event));
    add_member(log, a, entry, event->document);
    if (event->time_ms > 0)
        fs_add_time_ms(entry, "eventTime", event->time_ms);
    if (event->is_decoded)
        add_changes(log, a, entry, event);
    else
        fs_add_null(entry, "changes");
    fs_add_text(entry, "source", "firestore-trigger");
    fs_add_bool(entry, "success", event->is_decoded);
    return entry;
}
