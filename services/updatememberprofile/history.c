/* history.c - members/{kt}/syncHistory (contract §5.5), and operators' work on others' profiles */
#include "base/clock.h"
#include "updatememberprofile.h"

#define ENTRY_TIMEOUT_MS 2000 /* a store that hangs must not eat the call's time */

/* The call's own outcome does not hang on its history. */
static void write_entry(const struct request *req, const struct profile_update *update,
                        cJSON *fields)
{
    int64_t own_ms = clock_mono_ms() + ENTRY_TIMEOUT_MS;
    struct error e = {0};
    char id[21];

    firestore_auto_id(id);
    fs_add_text(fields, "source", "firestore");
    fs_add_text(fields, "target", "django");

    const struct fs_write write = {
        .kind = FS_SET,
        .path = arena_printf(req->arena, "members/%s/syncHistory/%s", update->kennitala, id),
        .fields = fields,
        .server_times = {"timestamp"},
    };

    if (!firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                          own_ms < req->deadline_ms ? own_ms : req->deadline_ms, NULL, &e))
        log_warning("sync history not written", LOG_TEXT("reason", str_from(e.detail)),
                    LOG_TEXT("correlation_id", req->correlation_id));
}

static void add_names(cJSON *list, const cJSON *object)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, object)
    {
        fs_push_str(list, str_from(item->string));
    }
}

/* Values of contact fields are left out: their names are enough. */
static void add_changes(cJSON *fields, const cJSON *patch)
{
    cJSON *changes = fs_add_map(fields, "changes");
    const cJSON *item;

    cJSON_ArrayForEach(item, patch)
    {
        if (cJSON_IsObject(item))
            add_names(fs_add_array(changes, item->string), item);
        else
            must(fs_add_json(changes, item->string, item));
    }
}

void history_profile(const struct request *req, const struct profile_update *update,
                     enum error_code code)
{
    cJSON *fields = fs_fields(req->arena);
    bool success = code == ERR_NONE;

    fs_add_text(fields, "type", "profile_sync");
    fs_add_bool(fields, "success", success);
    add_names(fs_add_array(fields, success ? "fields_updated" : "fields_attempted"), update->patch);
    if (success)
        add_changes(fields, update->patch);
    else
        fs_add_text(fields, "error", error_name(code));
    write_entry(req, update, fields);
}

void history_address(const struct request *req, const struct profile_update *update,
                     const struct address_outcome *outcome)
{
    static const char *const names[] = {"street", "number", "postal_code"};
    cJSON *fields = fs_fields(req->arena), *inner;

    fs_add_text(fields, "type", "address_sync");
    fs_add_bool(fields, "success", outcome->success);
    inner = fs_add_map(fields, "address");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const cJSON *item = json_get(update->address, names[i]);

        if (item)
            must(fs_add_json(inner, names[i], item));
    }
    if (outcome->success) {
        inner = fs_add_map(fields, "django_response");
        if (outcome->has_map_address)
            fs_add_i64(inner, "map_address_id", outcome->map_address_id);
        else
            fs_add_null(inner, "map_address_id");
        fs_add_bool(inner, "address_linked", outcome->linked);
        fs_add_text(inner, "message", outcome->linked ? "linked" : "not linked");
    } else {
        fs_add_text(fields, "error", error_name(outcome->code));
    }
    write_entry(req, update, fields);
}

void history_foreign(const struct request *req, const struct profile_update *update,
                     const struct foreign_outcome *outcome)
{
    cJSON *fields = fs_fields(req->arena);

    fs_add_text(fields, "type", "foreign_address_sync");
    fs_add_bool(fields, "success", outcome->failed == 0);
    fs_add_i64(fields, "sent", (int64_t)outcome->sent);
    fs_add_i64(fields, "unchanged", (int64_t)outcome->unchanged);
    fs_add_i64(fields, "failed", (int64_t)outcome->failed);
    if (outcome->failed > 0)
        fs_add_text(fields, "error", error_name(outcome->code));
    write_entry(req, update, fields);
}

bool history_admin(const struct request *req, const struct profile_update *update, struct error *e)
{
    cJSON *fields = fs_fields(req->arena);
    char id[21], mask[KENNITALA_MASK_SIZE];

    firestore_auto_id(id);
    kennitala_mask(update->kennitala, mask);
    fs_add_text(fields, "action", "profile_update");
    fs_add_str(fields, "adminId", req->identity.uid);
    fs_add_text(fields, "memberId", mask);
    add_names(fs_add_array(fields, "fields"), update->updates);
    fs_add_str(fields, "correlationId", req->correlation_id);

    const struct fs_write write = {
        .kind = FS_SET,
        .path = arena_printf(req->arena, "profile_admin_audit/%s", id),
        .fields = fields,
        .server_times = {"timestamp"},
    };

    return firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                            req->deadline_ms, NULL, e);
}
