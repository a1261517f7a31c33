/*
 * record_change.c - one event in, one entry kept
 *
 * 2xx only when the entry is stored (M-F13): everything else is delivered again, and the id keeps
 * it one entry. What is not about a member document is none of ours and answered 204.
 */
#include "auditmemberchanges.h"

#include "base/clock.h"
#include "cloud/identity_toolkit.h"
#include "ops/log.h"

#define MEMBERS       "members/"
#define TYPE_PREFIX   "google.cloud.firestore.document.v1."
#define EMAIL_TIME_MS 3000

static bool type_is_known(struct str type)
{
    static const char *const kinds[] = {"written", "created", "updated", "deleted"};
    struct str kind = str_skip(type, sizeof(TYPE_PREFIX) - 1);

    if (!str_starts_with(type, STR(TYPE_PREFIX)))
        return false;
    if (str_ends_with(kind, STR(".withAuthContext")))
        kind = str_take(kind, kind.len - (sizeof(".withAuthContext") - 1));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_eq_text(kind, kinds[i]))
            return true;
    }
    return false;
}

/* members/{id}, nothing below it. */
static bool is_member_document(struct str document)
{
    struct str id = str_skip(document, sizeof(MEMBERS) - 1);

    return str_starts_with(document, STR(MEMBERS)) && id.len > 0 &&
           str_find_char(id, '/') == id.len;
}

/* The entry matters more than the address: no failure here stops it. */
static struct str actor_email(const struct request *req, const struct event_actor *actor)
{
    struct identity_account account;
    struct error e = {0};
    int64_t deadline_ms = clock_mono_ms() + EMAIL_TIME_MS;

    if (!actor->is_account)
        return actor->id;
    if (deadline_ms > req->deadline_ms)
        deadline_ms = req->deadline_ms;
    if (!identity_lookup(service_identity_toolkit(req->state), actor->id, req->arena, deadline_ms,
                         &account, &e))
        return arena_printf(req->arena, "error-%.*s", STR_ARG(actor->id));
    if (!account.exists || account.email.len == 0)
        return arena_printf(req->arena, "unknown-%.*s", STR_ARG(actor->id));
    return account.email;
}

static void note(const struct member_event *event, const struct event_actor *actor,
                 const struct request *req, bool added)
{
    struct str member = str_skip(event->document, sizeof(MEMBERS) - 1);

    if (!event->is_decoded)
        log_warning("an event's body could not be read; recorded as unknown",
                    LOG_TEXT("correlation_id", req->correlation_id));
    log_info(added ? "member change recorded" : "event was recorded before",
             LOG_TEXT("correlation_id", req->correlation_id),
             LOG_TEXT("action", str_from(event_action(event))),
             LOG_PSEUDONYM("admin_id", actor->id), LOG_PSEUDONYM("member_id", member),
             LOG_TEXT("actor_source", actor->source));
}

static void store(const struct request *req, struct response *res, const struct member_event *event)
{
    const struct audit_service *service = req->own;
    char id[SHA256_HEX_SIZE];
    struct event_actor actor;
    struct error e = {0};
    bool added = false;
    cJSON *entry;

    event_find_actor(req->arena, event, service->settings->writers, &actor);
    audit_log_entry_id(service->log, event->source, event->id, id);
    entry = entry_make(service->log, req->arena, event, &actor, actor_email(req, &actor));
    if (!audit_log_append(service->log, id, entry, req->deadline_ms - 500, &added, &e)) {
        /* Whatever it was, the event must come again. */
        if (error_http_status(e.code) < 500)
            e.code = ERR_UNAVAILABLE;
        respond_failure(res, &e);
        return;
    }
    note(event, &actor, req, added);
    respond_empty(res, 204);
}

void record_change(const struct request *req, struct response *res)
{
    struct member_event event;
    struct error e = {0};

    if (!platform_is_proven(req, res))
        return;
    if (!event_read(req->http, req->arena, &event, &e)) {
        respond_error(res, e.code, "This is not a Firestore event.");
        res->log_reason = arena_text(req->arena, str_from(e.detail));
    } else if (!type_is_known(event.type) || event.document.len == 0) {
        respond_error(res, ERR_BAD_REQUEST, "This is not a Firestore event.");
        res->log_reason = "the event's type or document is not known";
    } else if (!is_member_document(event.document)) {
        respond_empty(res, 204);
    } else {
        store(req, res, &event);
    }
}
