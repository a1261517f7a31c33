/*
 * sync_members.c - POST: one full sync from Django, at a time, across instances (contract §3.5)
 */
#include "base/clock.h"
#include "cloud/live_account.h"
#include "ops/log.h"
#include "syncmembers.h"

#define CALL_TIME_MS 15000

static bool refuse(struct response *res, enum error_code code, const char *message,
                   const char *reason)
{
    respond_error(res, code, message);
    res->log_reason = reason;
    return false;
}

/* By the token, and by users/{uid} now: a token outlives the role it names (V-G6). */
bool caller_is_operator(const struct request *req, struct response *res)
{
    static const char *const role_required = "Admin or superuser role required";
    int64_t deadline_ms = clock_mono_ms() + CALL_TIME_MS;
    bool is_open, is_operator = false;
    struct error e = {0};

    if (!identity_has_role(&req->identity, "admin") &&
        !identity_has_role(&req->identity, "superuser"))
        return refuse(res, ERR_FORBIDDEN, role_required, "the token names no such role");
    if (!live_account_is_open(service_identity_toolkit(req->state), req->identity.uid,
                              req->identity.auth_time_s, req->arena, deadline_ms, &is_open, NULL,
                              &e) ||
        (is_open && !live_account_is_operator(service_firestore(req->state), req->identity.uid,
                                              req->arena, deadline_ms, &is_operator, &e))) {
        respond_failure(res, &e);
        return false;
    }
    if (!is_open)
        return refuse(res, ERR_UNAUTHENTICATED, "Invalid token",
                      "the account is gone, disabled or signed out");
    return is_operator ||
           refuse(res, ERR_FORBIDDEN, role_required, "the account record names no such role");
}

/* sync_logs/{auto}, which the admin page lists; failing does not undo the run (M-F23). */
static struct str write_log(const struct sync_run *run, const struct request *req)
{
    cJSON *fields = fs_fields(req->arena), *stats = json_object(req->arena);
    char id[21];
    struct error e = {0};

    firestore_auto_id(id);
    progress_add_stats(run, stats);
    fs_add_text(fields, "type", "member_sync");
    fs_add_text(fields, "run", run->id);
    fs_add_text(fields, "state", run->state);
    fs_add_text(fields, "cause", run->cause);
    must(fs_add_json(fields, "stats", stats));

    const struct fs_write write = {.kind = FS_SET,
                                   .path = arena_printf(req->arena, "sync_logs/%s", id),
                                   .fields = fields,
                                   .server_times = {"created_at"}};

    if (firestore_commit(run->firestore, &write, 1, NULL, req->arena,
                         clock_mono_ms() + CALL_TIME_MS, NULL, &e))
        return arena_dup(req->arena, str_from(id));
    log_error("the log of a sync could not be written",
              LOG_TEXT("correlation_id", run->correlation_id),
              LOG_TEXT("reason", str_from(e.detail)));
    return STR("");
}

static void note(const struct sync_run *run, const struct error *e)
{
    log_write(
        e->code ? LOG_ERROR : LOG_INFO, e->code ? "sync failed" : "sync done",
        LOG_FIELDS(
            LOG_TEXT("correlation_id", run->correlation_id), LOG_TEXT("run", str_from(run->id)),
            LOG_PSEUDONYM("admin_id", run->actor), LOG_I64("total_members", run->counts.total),
            LOG_I64("synced", run->counts.synced), LOG_I64("failed", run->counts.failed),
            LOG_I64("skipped", run->counts.skipped),
            LOG_I64("deactivated", run->counts.deactivated), LOG_I64("pages", run->counts.pages),
            LOG_BOOL("resumed", run->resumed), LOG_TEXT("reason", str_from(e->detail))));
}

static void add_result(const struct sync_run *run, struct str log_id, bool success, cJSON *to)
{
    json_add_bool(to, "success", success);
    progress_add_stats(run, json_add_object(to, "stats"));
    json_add_str(to, "log_id", log_id);
    json_add_text(to, "run", run->id);
    json_add_bool(to, "resumed", run->resumed);
}

static enum error_code wire_code(enum error_code code)
{
    if (code == ERR_FAILED_PRECONDITION)
        return ERR_UNPROCESSABLE;
    return code == ERR_ABORTED || code == ERR_UNAVAILABLE ? code : ERR_BAD_GATEWAY;
}

static void answer(const struct sync_run *run, const struct request *req, struct response *res,
                   const struct error *e)
{
    struct str log_id = write_log(run, req);
    cJSON *body = json_object(req->arena);

    if (e->code == ERR_NONE) {
        add_result(run, log_id, run->counts.failed == 0, json_add_object(body, "result"));
        respond_json(res, 200, body);
        return;
    }
    add_result(run, log_id, false, body);
    json_add_i64(body, "last_good_page", run->counts.pages);
    respond_error_extra(
        res, wire_code(e->code),
        arena_printf(req->arena, "Sync failed: %s", run->cause ? run->cause : "internal error").ptr,
        body);
    res->log_reason = run->cause;
}

static void run_to_the_end(struct sync_run *run, const struct request *req, struct response *res)
{
    struct error e = {0}, saving = {0};
    bool ok = progress_resume(run, &e);

    if (!ok) {
        respond_failure(res, &e);
        return;
    }
    ok = sync_run_all(run, &e);
    if (ok)
        e = (struct error){0}; /* what was overcome on the way */
    if (!ok && !run->cause)
        run->cause = "a service this one depends on did not answer";
    run->state = ok ? "done" : "failed";
    run->completed_ms = clock_unix_ms();
    if (!progress_save(run, &saving))
        log_warning("progress could not be saved", LOG_TEXT("correlation_id", run->correlation_id),
                    LOG_TEXT("reason", str_from(saving.detail)));
    note(run, &e);
    answer(run, req, res, &e);
}

void sync_members(const struct request *req, struct response *res)
{
    const struct sync_service *service = req->own;
    struct sync_run run = {.service = service,
                           .firestore = service_firestore(req->state),
                           .toolkit = service_identity_toolkit(req->state),
                           .actor = req->identity.uid,
                           .correlation_id = req->correlation_id,
                           .deadline_ms = req->deadline_ms,
                           .started_ms = clock_unix_ms()};
    struct error e = {0};
    bool is_ours;

    if (!caller_is_operator(req, res))
        return;
    uuid_v4(run.owner);
    run.lease = (struct lease){.firestore = run.firestore,
                               .name = "syncmembers",
                               .owner = run.owner,
                               .life_ms = service->settings->lease_s * 1000};
    run.lease_taken_ms = clock_mono_ms();
    if (!lease_take(&run.lease, clock_mono_ms() + CALL_TIME_MS, &is_ours, &e)) {
        respond_failure(res, &e);
    } else if (!is_ours) {
        respond_error(res, ERR_CONFLICT, "A sync is running already");
    } else {
        run_to_the_end(&run, req, res);
        people_free(run.people);
        lease_give(&run.lease, clock_mono_ms() + CALL_TIME_MS);
    }
}
