/*
 * roles.c - what Django says of staff, into users/{uid}.roles (contract §10, M-F04)
 *
 * A flag that is missing or no boolean says nothing. A role is added when its flag is true, and
 * taken away only where SYNC_LOWER_ROLES says so and the flag is false. Each change is written into
 * the audit trail first. Other roles stay as they are.
 */
#include "base/clock.h"
#include "syncmembers.h"

#define CALL_TIME_MS 15000

struct wish {
    bool add_admin, add_superuser, drop_admin, drop_superuser;
};

static struct wish read_wish(const struct sync_run *run, const cJSON *row)
{
    struct wish wish = {.add_admin = false};
    bool is_staff, is_superuser;

    if (json_bool(row, "is_staff", &is_staff)) {
        wish.add_admin = is_staff;
        wish.drop_admin = !is_staff && run->service->settings->lower_roles;
    }
    if (json_bool(row, "is_superuser", &is_superuser)) {
        wish.add_superuser = is_superuser;
        wish.drop_superuser = !is_superuser && run->service->settings->lower_roles;
    }
    return wish;
}

static bool has(const cJSON *roles, const char *name)
{
    const cJSON *role;

    cJSON_ArrayForEach(role, roles)
    {
        if (str_eq_text(fs_value_str(role), name))
            return true;
    }
    return false;
}

static bool is_dropped(const struct wish *wish, struct str role)
{
    return (wish->drop_admin && str_eq_text(role, "admin")) ||
           (wish->drop_superuser && str_eq_text(role, "superuser"));
}

static void push_roles(cJSON *to, const cJSON *old, const struct wish *wish)
{
    const cJSON *role;

    cJSON_ArrayForEach(role, old)
    {
        if (fs_value_str(role).len > 0 && !is_dropped(wish, fs_value_str(role)))
            fs_push_str(to, fs_value_str(role));
    }
    if (!has(old, "member"))
        fs_push_str(to, STR("member"));
    if (wish->add_superuser && !has(old, "superuser"))
        fs_push_str(to, STR("superuser"));
    if (wish->add_admin && !has(old, "admin"))
        fs_push_str(to, STR("admin"));
}

static bool is_change(const cJSON *old, const struct wish *wish)
{
    return (wish->add_admin && !has(old, "admin")) ||
           (wish->add_superuser && !has(old, "superuser")) ||
           (wish->drop_admin && has(old, "admin")) ||
           (wish->drop_superuser && has(old, "superuser"));
}

static bool audit(struct sync_run *run, const struct fs_document *user, const char *kennitala,
                  const cJSON *old, const struct wish *wish, struct arena *a, struct error *e)
{
    cJSON *entry = fs_fields(a), *changes;
    char id[SHA256_HEX_SIZE], member[AUDIT_MEMBER_SIZE], mask[KENNITALA_MASK_SIZE];
    struct wish nothing = {.add_admin = false};
    bool added;

    audit_log_entry_id(run->service->audit, STR("syncmembers"),
                       arena_printf(a, "%s roles %.*s", run->id, STR_ARG(user->id)), id);
    audit_log_member(run->service->audit, str_from(kennitala), member);
    kennitala_mask(kennitala, mask);
    fs_add_str(entry, "adminId", audit_mask(a, run->actor, UID_MAX_BYTES));
    fs_add_text(entry, "actorSource", "service");
    fs_add_str(entry, "correlationId", run->correlation_id);
    fs_add_text(entry, "action", "roles");
    fs_add_text(entry, "memberId", mask);
    fs_add_text(entry, "memberHash", member);
    changes = fs_add_map(entry, "changes");
    push_roles(fs_add_array(changes, "before"), old, &nothing);
    push_roles(fs_add_array(changes, "after"), old, wish);
    fs_push_str(fs_add_array(changes, "diff"), STR("roles"));
    fs_add_text(entry, "source", "syncmembers");
    fs_add_bool(entry, "success", true);
    return audit_log_append(run->service->audit, id, entry, clock_mono_ms() + CALL_TIME_MS, &added,
                            e);
}

static bool set_roles(struct sync_run *run, const struct fs_document *user, const char *kennitala,
                      const cJSON *row, const struct wish *wish, struct arena *a, struct error *e)
{
    const cJSON *old = fs_get_array(user->fields, "roles");
    cJSON *fields = fs_fields(a);
    int64_t id;

    if (!is_change(old, wish))
        return true;
    push_roles(fs_add_array(fields, "roles"), old, wish);
    if (json_i64(row, "id", &id))
        fs_add_i64(fields, "django_id", id);

    const struct fs_write write = {.kind = FS_MERGE,
                                   .path = user->path,
                                   .fields = fields,
                                   .precondition = FS_UPDATE_TIME,
                                   .update_time = user->update_time,
                                   .server_times = {"lastRoleSync"}};

    if (!audit(run, user, kennitala, old, wish, a, e) ||
        !firestore_commit(run->firestore, &write, 1, NULL, a, clock_mono_ms() + CALL_TIME_MS, NULL,
                          e))
        return false;
    run->counts.roles_changed++;
    return true;
}

bool roles_apply(struct sync_run *run, const char *kennitala, const cJSON *row, struct arena *a,
                 struct error *e)
{
    struct wish wish = read_wish(run, row);
    const struct fs_query query = {
        .collection = "users",
        .filters = {{"kennitala", FS_EQUAL, fs_value_of_str(a, str_from(kennitala))}},
        .filter_count = 1,
        .limit = 2,
    };
    struct fs_document *users;
    size_t count;

    /* Nearly everybody: no question asked. */
    if (!wish.add_admin && !wish.add_superuser && !wish.drop_admin && !wish.drop_superuser)
        return true;
    if (!firestore_query(run->firestore, &query, NULL, a, clock_mono_ms() + CALL_TIME_MS, &users,
                         &count, e))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!set_roles(run, &users[i], kennitala, row, &wish, a, e))
            return false;
    }
    return true;
}
