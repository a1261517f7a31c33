/*
 * update_profile.c - the callable updatememberprofile; contract members.md §3.4
 *
 * The id by which Django knows the person stands in a document that clients could once write, so
 * Django's own record must name the same kennitala before anything is sent to it (M-F01). Then it
 * is written down that something is about to change, the fields and the address go to Django side
 * by side, and Firestore gets what Django has afterwards.
 */
#include "base/trace.h"
#include "cloud/live_account.h"
#include "updatememberprofile.h"

#include <pthread.h>

#define STORE_RESERVE_MS 4000 /* of the budget, for Firestore after Django */

struct work {
    const struct profile_service *service;
    const struct profile_update *update;
    int64_t django_id, deadline_ms;
    struct arena *arena; /* of the addresses' thread */
    const struct trace *trace;
    struct address_outcome address;
    struct foreign_outcome foreign;
};

static bool refuse(struct response *res, enum error_code code, const char *message,
                   const char *reason)
{
    respond_error(res, code, message);
    res->log_reason = reason;
    return false;
}

/* --- who --- */

static bool account_is_live(const struct request *req, struct response *res)
{
    struct error e = {0};
    bool is_open;

    if (!live_account_is_open(service_identity_toolkit(req->state), req->identity.uid,
                              req->identity.auth_time_s, req->arena, req->deadline_ms, &is_open,
                              NULL, &e)) {
        respond_failure(res, &e);
        return false;
    }
    return is_open || refuse(res, ERR_UNAUTHENTICATED, "Unauthenticated", "the account is closed");
}

static bool record_says_operator(const struct request *req, struct response *res)
{
    struct error e = {0};
    bool is_operator;

    if (!live_account_is_operator(service_firestore(req->state), req->identity.uid, req->arena,
                                  req->deadline_ms, &is_operator, &e)) {
        respond_failure(res, &e);
        return false;
    }
    return is_operator || refuse(res, ERR_FORBIDDEN, "You may only change your own profile.",
                                 "the record names no such role");
}

/* One's own, or an operator's doing, which is written down first (M-F11). */
static bool may_update(const struct request *req, struct response *res,
                       const struct profile_update *update)
{
    const struct identity *id = &req->identity;
    struct error e = {0};

    if (id->has_kennitala && strcmp(id->kennitala, update->kennitala) == 0)
        return account_is_live(req, res);
    if (!identity_has_role(id, "admin") && !identity_has_role(id, "superuser"))
        return refuse(res, ERR_FORBIDDEN, "You may only change your own profile.", "not her own");
    if (!account_is_live(req, res) || !record_says_operator(req, res))
        return false;
    if (history_admin(req, update, &e))
        return true;
    respond_failure(res, &e);
    return false;
}

/* --- which record --- */

static bool find_django_id(const struct request *req, struct response *res,
                           const struct profile_update *update, struct fs_document documents[2],
                           int64_t *ret)
{
    struct error e = {0};
    struct str paths[2];

    member_document_paths(req->arena, update->kennitala, paths);
    if (!firestore_get_all(service_firestore(req->state), paths, 2, NULL, req->arena,
                           req->deadline_ms, documents, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (!documents[0].exists)
        return refuse(res, ERR_NOT_FOUND, "There is no such member.", "no document");
    /* The record, which no client can write, knows better. */
    if ((documents[1].exists && fs_get_i64(documents[1].fields, "django_id", ret)) ||
        fs_get_i64(documents[0].fields, "metadata.django_id", ret))
        return true;
    return refuse(res, ERR_INTERNAL, "INTERNAL", "the document has no Django id");
}

static void fail_django(struct response *res, const struct error *e)
{
    if (e->code == ERR_FORBIDDEN)
        (void)refuse(res, ERR_FORBIDDEN, "This profile cannot be changed.", "another's record");
    else if (e->code == ERR_NOT_FOUND)
        (void)refuse(res, ERR_NOT_FOUND, "There is no such member in the register.", "django 404");
    else if (e->code == ERR_BAD_REQUEST)
        (void)refuse(res, ERR_BAD_REQUEST, "The register does not accept these values.",
                     "django 400");
    else
        respond_failure(res, e);
}

static bool record_is_theirs(const struct request *req, struct response *res,
                             const struct profile_update *update, int64_t django_id)
{
    const cJSON *member;
    struct error e = {0};

    if (django_read(req->own, django_id, update->kennitala, req->arena, req->deadline_ms, &member,
                    &e))
        return true;
    fail_django(res, &e);
    return false;
}

/* --- Django --- */

static bool has_addresses(const struct profile_update *update)
{
    return update->address || update->foreign_count > 0;
}

static void *send_addresses(void *context)
{
    struct work *work = context;

    trace_enter(work->trace);
    if (work->update->address)
        django_send_address(work->service, work->update->kennitala, work->update->address,
                            work->arena, work->deadline_ms, &work->address);
    django_send_foreign(work->service, work->update, work->arena, work->deadline_ms,
                        &work->foreign);
    return NULL;
}

/* Both at once; the arena of the request stays with this thread. */
static bool send_both(const struct request *req, struct work *work, const cJSON **ret_member,
                      struct error *e)
{
    const struct profile_update *update = work->update;
    pthread_t thread = 0;
    bool beside = false, patched = true;

    if (has_addresses(update)) {
        work->arena = arena_new(ARENA_MAX_BYTES);
        work->trace = trace_current();
        beside = pthread_create(&thread, NULL, send_addresses, work) == 0;
    }
    if (update->patch)
        patched = django_patch(work->service, work->django_id, update->kennitala, update->patch,
                               req->arena, work->deadline_ms, ret_member, e);
    if (beside)
        must(pthread_join(thread, NULL) == 0);
    else if (has_addresses(update))
        (void)send_addresses(work);
    arena_free(work->arena);
    return patched;
}

/* --- the answer --- */

/* Only what the caller sent comes back (M-F32). */
static void add_member(cJSON *result, const cJSON *patch, const cJSON *member)
{
    cJSON *to = json_add_object(result, "member"), *inner;
    const cJSON *sent, *deep;

    cJSON_ArrayForEach(sent, patch)
    {
        const cJSON *value = json_get(member, sent->string);

        if (!cJSON_IsObject(sent)) {
            if (value && !cJSON_IsObject(value) && !cJSON_IsArray(value))
                json_add_copy(to, sent->string, value);
            continue;
        }
        inner = json_add_object(to, sent->string);
        cJSON_ArrayForEach(deep, sent)
        {
            const cJSON *contact = json_get(value, deep->string);

            if (cJSON_IsString(contact) || cJSON_IsNull(contact))
                json_add_copy(inner, deep->string, contact);
        }
    }
}

static void add_address(cJSON *result, const struct address_outcome *outcome)
{
    cJSON *to = json_add_object(result, "address_sync");

    json_add_bool(to, "success", outcome->success);
    json_add_bool(to, "linked", outcome->linked);
    json_add_text(to, "message",
                  !outcome->success ? "The register did not take the address."
                  : outcome->linked ? "The address is linked to the registry of addresses."
                                    : "The address was saved but is not in the registry.");
}

static void add_foreign(cJSON *result, const struct foreign_outcome *outcome)
{
    cJSON *to = json_add_object(result, "foreign_address_sync");

    json_add_bool(to, "success", outcome->failed == 0);
    json_add_i64(to, "sent", (int64_t)outcome->sent);
    json_add_i64(to, "unchanged", (int64_t)outcome->unchanged);
    json_add_i64(to, "failed", (int64_t)outcome->failed);
    json_add_text(to, "message",
                  outcome->no_country > 0 ? "The register has no such country."
                  : outcome->failed > 0   ? "The register did not take every address abroad."
                                          : "The register has the addresses abroad.");
}

/* Fields that go nowhere but to Firestore, or nowhere at all (M-F34). */
static bool add_not_synced(cJSON *result, const struct work *work)
{
    static const char *const sent[] = {"name",          "birthday",     "email",     "phone",
                                       "foreign_phone", "reachable",    "groupable", "gender",
                                       "addresses",     "phone_numbers"};
    const struct profile_update *update = work->update;
    cJSON *list = json_add_array(result, "not_synced");
    const cJSON *item;

    cJSON_ArrayForEach(item, update->updates)
    {
        bool known = false;

        for (size_t i = 0; i < ARRAY_LEN(sent); i++)
            known = known || strcmp(item->string, sent[i]) == 0;
        if (!known)
            json_add_text(list, NULL, item->string);
    }
    if (update->has_more_phones)
        json_add_text(list, NULL, "phone_numbers");
    if (work->foreign.failed > 0)
        json_add_text(list, NULL, "foreign_addresses");
    return list->child != NULL;
}

static cJSON *make_reply(const struct request *req, const struct work *work, const cJSON *member,
                         bool stored)
{
    const struct profile_update *update = work->update;
    cJSON *body = json_object(req->arena), *result = json_add_object(body, "result"), *names;
    bool not_synced, address_failed = update->address && !work->address.success;
    const cJSON *item;

    json_add_bool(result, "success", true);
    json_add_i64(result, "django_id", work->django_id);
    names = json_add_array(result, "updated_fields");
    cJSON_ArrayForEach(item, update->updates)
    {
        json_add_text(names, NULL, item->string);
    }
    add_member(result, update->patch, member);
    if (update->address)
        add_address(result, &work->address);
    if (update->foreign_count > 0)
        add_foreign(result, &work->foreign);
    not_synced = add_not_synced(result, work);
    if (!stored)
        json_add_text(result, "firestore_sync", "queued");
    if (address_failed || not_synced || !stored)
        json_add_bool(result, "partial", true);
    return body;
}

/* --- all of it --- */

static void note(const struct request *req, const struct work *work, enum error_code patch_code)
{
    if (work->update->patch)
        history_profile(req, work->update, patch_code);
    if (work->update->address)
        history_address(req, work->update, &work->address);
    if (work->update->foreign_count > 0)
        history_foreign(req, work->update, &work->foreign);
}

static void finish(const struct request *req, struct response *res, const struct work *work,
                   const struct store_work *todo, const cJSON *member)
{
    struct error e = {0};
    bool stored =
        todo->pending.len == 0 || store_newest(work->service, service_firestore(req->state), todo,
                                               req->arena, req->deadline_ms - 500, &e);
    cJSON *reply;

    if (!stored) {
        repair_queue_add(work->service->repairs, todo);
        log_error("profile not written to firestore", LOG_TEXT("reason", str_from(e.detail)),
                  LOG_TEXT("correlation_id", req->correlation_id));
        metric_add(work->service->partial, 1);
    }
    reply = make_reply(req, work, member, stored);
    respond_json(res, 200, reply);
    metric_add(work->service->updated, 1);
    once_end(req, work->update, reply);
}

static void carry_out(const struct request *req, struct response *res,
                      const struct profile_update *update, const struct fs_document *before,
                      int64_t django_id)
{
    struct work work = {.service = req->own,
                        .update = update,
                        .django_id = django_id,
                        .deadline_ms = req->deadline_ms - STORE_RESERVE_MS};
    struct store_work todo = {.kennitala = update->kennitala,
                              .django_id = django_id,
                              .addresses = update->addresses,
                              .actor = req->identity.uid,
                              .correlation_id = req->correlation_id,
                              .pending = STR("")};
    struct str written = STR("");
    const cJSON *member = NULL;
    struct error e = {0};
    bool patched;

    if ((update->patch || update->addresses) && !pending_begin(req, &todo, &written, &e)) {
        respond_failure(res, &e);
        once_end(req, update, NULL);
        return;
    }
    patched = send_both(req, &work, &member, &e);
    note(req, &work, patched ? ERR_NONE : e.code);
    if (patched) {
        finish(req, res, &work, &todo, member);
        return;
    }
    pending_undo(req, &todo, e.code, before, written, work.address.success);
    fail_django(res, &e);
    metric_add(work.service->failed, 1);
    once_end(req, update, NULL);
}

void update_profile(const struct request *req, struct response *res)
{
    struct fs_document documents[2]; /* what people see, and the record */
    struct profile_update update;
    const char *fault;
    int64_t django_id;

    if (!profile_input_read(req->arena, req->body, &update, &fault)) {
        (void)refuse(res, ERR_BAD_REQUEST, arena_printf(req->arena, "Invalid field: %s", fault).ptr,
                     fault);
        return;
    }
    if (!may_update(req, res, &update) || once_begin(req, res, &update) == ONCE_ANSWERED)
        return;
    if (find_django_id(req, res, &update, documents, &django_id) &&
        record_is_theirs(req, res, &update, django_id))
        carry_out(req, res, &update, &documents[0], django_id);
    else
        once_end(req, &update, NULL);
}
