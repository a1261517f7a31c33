/*
 * cleanup.c - the callable cleanupauditlogs: removes old entries of the audit trail
 *
 * Nothing younger than RETENTION_DAYS_MIN days goes, whatever the caller says (M-F12). That it was
 * called is written into the trail before anything is removed; if it cannot be, nothing is.
 */
#include "cleanupauditlogs.h"

#include "base/clock.h"
#include "cloud/lease.h"
#include "ops/log.h"

#define KEEP_USUAL    50
#define KEEP_MAX      1000000
#define DAY_MS        86400000LL
#define LEASE_LIFE_MS 600000 /* longer than any run */
#define ENTRY_TIME_MS 15000
#define CLOSING_MS    40000 /* of the budget, for the last page, the last entry and the answer */

struct run {
    const struct request *req;
    char id[UUID_TEXT_SIZE];
    struct str email;
    int64_t keep, total, cutoff_ms;
};

static bool read_keep(const struct request *req, struct response *res, int64_t *ret)
{
    const cJSON *given = json_get(req->body, "keep_count");

    *ret = KEEP_USUAL;
    if ((cJSON_IsNull(req->body) || cJSON_IsObject(req->body)) && (!given || cJSON_IsNull(given)))
        return true;
    if (cJSON_IsObject(req->body) && json_i64(req->body, "keep_count", ret) && *ret >= 0 &&
        *ret <= KEEP_MAX)
        return true;
    respond_error(res, ERR_BAD_REQUEST, "keep_count must be a whole number from 0 to 1000000.");
    return false;
}

/* step: "start" or "end". */
static bool write_entry(const struct run *run, const char *step, int64_t deleted, bool success,
                        struct error *e)
{
    const struct request *req = run->req;
    const struct cleanup_service *service = req->own;
    cJSON *entry = fs_fields(req->arena), *changes;
    char id[SHA256_HEX_SIZE];
    bool added;

    audit_log_entry_id(service->log, STR("cleanupauditlogs"),
                       arena_printf(req->arena, "%s %s", run->id, step), id);
    fs_add_str(entry, "adminId", audit_mask(req->arena, req->identity.uid, UID_MAX_BYTES));
    fs_add_str(entry, "adminEmail", audit_mask(req->arena, run->email, 256));
    fs_add_text(entry, "actorSource", "auth");
    fs_add_str(entry, "correlationId", req->correlation_id);
    fs_add_text(entry, "action", "cleanup");
    fs_add_text(entry, "step", step);
    fs_add_null(entry, "memberId");
    changes = fs_add_map(entry, "changes");
    fs_add_i64(changes, "keepCount", run->keep);
    fs_add_time_ms(changes, "olderThan", run->cutoff_ms);
    fs_add_i64(changes, "total", run->total);
    fs_add_i64(changes, "deleted", deleted);
    fs_add_text(entry, "source", "cleanupauditlogs");
    fs_add_bool(entry, "success", success);
    return audit_log_append(service->log, id, entry, clock_mono_ms() + ENTRY_TIME_MS, &added, e);
}

static void answer(const struct run *run, struct response *res, const struct removal *removal)
{
    cJSON *body = json_object(run->req->arena), *result = json_add_object(body, "result");

    json_add_i64(result, "total_logs", run->total);
    json_add_i64(result, "deleted", removal->deleted);
    json_add_i64(result, "kept", run->total - removal->deleted);
    json_add_bool(result, "chain_intact", !removal->has_broken_chain);
    respond_json(res, 200, body);
}

static void clean(struct run *run, struct response *res)
{
    const struct request *req = run->req;
    const struct cleanup_service *service = req->own;
    struct removal removal = {.firestore = service_firestore(req->state),
                              .log = service->log,
                              .cutoff_ms = run->cutoff_ms,
                              .deadline_ms = req->deadline_ms - CLOSING_MS};
    const struct fs_query all = {.collection = AUDIT_COLLECTION};
    struct error e = {0}, end = {0};
    bool ok;

    if (!firestore_count(removal.firestore, &all, req->arena, req->deadline_ms, &run->total, &e) ||
        !write_entry(run, "start", 0, true, &e)) {
        respond_failure(res, &e);
        return;
    }
    removal.left = run->total - run->keep;
    ok = removal_run(&removal, &e);
    if (!write_entry(run, "end", removal.deleted, ok, &end))
        log_error("the end of a cleanup could not be recorded",
                  LOG_TEXT("correlation_id", req->correlation_id),
                  LOG_TEXT("reason", str_from(end.detail)));
    log_info("audit cleanup", LOG_TEXT("correlation_id", req->correlation_id),
             LOG_PSEUDONYM("admin_id", req->identity.uid), LOG_I64("keep_count", run->keep),
             LOG_I64("total_logs", run->total), LOG_I64("deleted", removal.deleted),
             LOG_BOOL("success", ok));
    if (ok)
        answer(run, res, &removal);
    else
        respond_failure(res, &e);
}

void cleanup_audit_logs(const struct request *req, struct response *res)
{
    const struct cleanup_service *service = req->own;
    struct run run = {.req = req, .email = STR("")};
    struct lease lease = {.firestore = service_firestore(req->state),
                          .name = "cleanupauditlogs",
                          .owner = run.id,
                          .life_ms = LEASE_LIFE_MS};
    struct error e = {0};
    bool is_ours;

    uuid_v4(run.id);
    run.cutoff_ms = clock_unix_ms() - service->settings->retention_days * DAY_MS;
    if (!read_keep(req, res, &run.keep) || !caller_is_allowed(req, res, &run.email))
        return;
    if (!lease_take(&lease, clock_mono_ms() + ENTRY_TIME_MS, &is_ours, &e)) {
        respond_failure(res, &e);
    } else if (!is_ours) {
        respond_error(res, ERR_ABORTED, "A cleanup is running already.");
    } else {
        clean(&run, res);
        lease_give(&lease, clock_mono_ms() + ENTRY_TIME_MS);
    }
}
