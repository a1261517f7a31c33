/*
 * pending.c - what is going to happen, written before Django hears of it; M-F31
 *
 * One commit writes profile_pending/{id}, which names the record that is about to change, and the
 * member's own addresses, of which Django keeps but a part. So when this process dies, or Firestore
 * is away once Django has taken the update, nothing is known here alone: whoever finds the document
 * asks Django and writes what it says. The last commit of the update removes it.
 */
#include "base/clock.h"
#include "updatememberprofile.h"

#define UNDO_TIMEOUT_MS 2000

bool pending_begin(const struct request *req, struct store_work *work, struct str *ret_written,
                   struct error *e)
{
    cJSON *fields = fs_fields(req->arena);
    struct fs_write writes[2];
    struct str times[2] = {STR(""), STR("")};
    size_t count = 0;
    char id[21];

    firestore_auto_id(id);
    work->pending = arena_printf(req->arena, "profile_pending/%s", id);
    fs_add_text(fields, "kennitala", work->kennitala);
    fs_add_i64(fields, "django_id", work->django_id);
    fs_add_str(fields, "actor", work->actor);
    fs_add_str(fields, "correlation_id", work->correlation_id);
    fs_add_time_ms(fields, "startedAt", req->http->arrived_unix_ms);
    if (work->addresses)
        writes[count++] = store_addresses(work, NULL, req->arena);
    writes[count++] = (struct fs_write){.kind = FS_SET, .path = work->pending, .fields = fields};
    if (!firestore_commit(service_firestore(req->state), writes, count, NULL, req->arena,
                          req->deadline_ms, times, e))
        return false;
    *ret_written = times[0];
    return true;
}

static bool may_have_been_done(enum error_code code)
{
    return code == ERR_UNAVAILABLE || code == ERR_BAD_GATEWAY || code == ERR_GATEWAY_TIMEOUT;
}

void pending_undo(const struct request *req, const struct store_work *work, enum error_code code,
                  const struct fs_document *before, struct str written, bool address_taken)
{
    const struct profile_service *service = req->own;
    bool is_open = may_have_been_done(code);
    struct fs_write writes[2];
    struct error e = {0};
    size_t count = 0;

    if (work->addresses && !address_taken) {
        writes[count] = store_addresses(work, before, req->arena);
        writes[count].precondition = FS_UPDATE_TIME;
        writes[count++].update_time = written;
    }
    if (!is_open)
        writes[count++] = (struct fs_write){.kind = FS_DELETE, .path = work->pending};
    if (count > 0 && !firestore_commit(service_firestore(req->state), writes, count, NULL,
                                       req->arena, clock_mono_ms() + UNDO_TIMEOUT_MS, NULL, &e)) {
        log_warning("profile update not undone", LOG_TEXT("reason", str_from(e.detail)),
                    LOG_TEXT("correlation_id", req->correlation_id));
        is_open = true;
    }
    if (is_open)
        repair_queue_add(service->repairs, work);
}
