/*
 * receive_event.c - one webhook of the register, written at once; contract members.md §3.3
 *
 * The register does not repeat a call, so whatever cannot be written is said loudly: 500, a log
 * line and a count; the next full sync repairs it. Everything is checked before anything is read
 * or written, because the kennitala becomes a path.
 */
#include "cloud/member_access.h"
#include "ops/log.h"
#include "sync_from_django.h"

#define EVENT_ID_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
#define ACTION_ECHO_MAX  32

static const char *const actions[] = {
    [MEMBER_UPDATE] = "update",
    [MEMBER_CREATE] = "create",
    [MEMBER_DELETE] = "delete",
    [MEMBER_REACTIVATE] = "reactivate",
};
static const char *const outcomes[] = {
    [MEMBER_WRITTEN] = "written",
    [MEMBER_UNCHANGED] = "unchanged",
    [MEMBER_REPEATED] = "repeated",
    [MEMBER_OUTDATED] = "outdated",
};

static void count(const struct request *req, enum sync_count what)
{
    const struct sync_service *service = req->own;

    metric_add(service->counts[what], 1);
}

static bool refuse(const struct request *req, struct response *res, const char *message,
                   const char *reason)
{
    respond_error(res, ERR_BAD_REQUEST, message);
    res->log_reason = reason;
    count(req, SYNC_REFUSED);
    return false;
}

static bool read_body(const struct request *req, struct response *res, const cJSON **ret)
{
    struct error e = {0};

    *ret = NULL;
    if (http_media_type_is(http_header_get(req->http, "Content-Type"), "application/json"))
        *ret = json_parse(req->arena, req->http->body, &e);
    if (*ret && cJSON_IsObject(*ret) && (*ret)->child)
        return true;
    return refuse(req, res, "Invalid JSON body", arena_text(req->arena, str_from(e.detail)));
}

static bool read_kennitala(const struct request *req, struct response *res, const cJSON *body,
                           char ret[KENNITALA_SIZE])
{
    struct str given = STR("");

    (void)json_str(body, "kennitala", &given);
    given = str_trim(given);
    if (given.len == 0)
        return refuse(req, res, "Missing kennitala", "no kennitala");
    return kennitala_normalise(given, ret) ||
           refuse(req, res, "Invalid kennitala", "kennitala is not ten digits of a person");
}

static bool read_action(const struct request *req, struct response *res, const cJSON *body,
                        enum member_action *ret)
{
    const cJSON *item = json_get(body, "action");
    struct str name = item ? json_str_value(item) : STR("update");

    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (str_eq_text(name, actions[i])) {
            *ret = (enum member_action)i;
            return true;
        }
    }
    if (!str_only(name, EVENT_ID_LETTERS))
        name = STR("");
    return refuse(
        req, res,
        arena_printf(req->arena, "Invalid action: %.*s", STR_ARG(str_take(name, ACTION_ECHO_MAX)))
            .ptr,
        "unknown action");
}

static bool read_data(const struct request *req, struct response *res, const cJSON *body,
                      struct member_event *event)
{
    const cJSON *data = json_get(body, "data");
    const char *field;

    event->data = NULL;
    if (event->action == MEMBER_DELETE && !(cJSON_IsObject(data) && data->child))
        return true;
    if (!data || cJSON_IsNull(data) || (cJSON_IsObject(data) && !data->child))
        return refuse(req, res, "Missing data for create/update", "no data");
    event->data = data;
    if (member_document_check(data, event->kennitala, &field))
        return true;
    return refuse(req, res, arena_printf(req->arena, "Invalid data: %s", field).ptr, field);
}

/* An event's id may also come as the idempotency key of DESIGN §4. */
static bool read_order(const struct request *req, struct response *res, const cJSON *body,
                       struct member_event *event)
{
    const cJSON *id = json_get(body, "event_id"), *version = json_get(body, "version");

    event->event_id = req->idempotency_key.len > 0 ? req->idempotency_key : STR("");
    if (id && !cJSON_IsNull(id)) {
        event->event_id = json_str_value(id);
        if (event->event_id.len > MEMBER_EVENT_ID_MAX ||
            !str_only(event->event_id, EVENT_ID_LETTERS))
            return refuse(req, res, "Invalid event_id", "event_id");
    }
    if (!version || cJSON_IsNull(version))
        return true;
    event->has_version = json_i64(body, "version", &event->version) && event->version >= 0;
    return event->has_version || refuse(req, res, "Invalid version", "version");
}

static void fail(const struct request *req, struct response *res, const struct error *e)
{
    respond_error(res, ERR_INTERNAL, "Internal server error");
    res->log_reason = arena_text(req->arena, str_from(e->detail));
    count(req, SYNC_FAILED);
}

/* Also after a repeated deletion: the first one may have failed half-way (M-F50). */
static bool end_access(const struct request *req, struct response *res, const char *kennitala)
{
    struct error e = {0};
    size_t accounts = 0;

    if (!member_access_end(service_firestore(req->state), service_identity_toolkit(req->state),
                           kennitala, req->http->arrived_unix_ms / 1000, req->arena,
                           req->deadline_ms, &accounts, &e)) {
        log_error("a deactivated member's account was not reached",
                  LOG_KENNITALA("member", str_from(kennitala)),
                  LOG_TEXT("reason", str_from(e.detail)));
        fail(req, res, &e);
        return false;
    }
    return true;
}

static void answer(const struct request *req, struct response *res,
                   const struct member_event *event, const char *outcome, enum sync_count counted)
{
    cJSON *body = json_object(req->arena);
    char mask[KENNITALA_MASK_SIZE];

    kennitala_mask(event->kennitala, mask);
    json_add_bool(body, "success", true);
    json_add_text(body, "kennitala", mask);
    json_add_text(body, "action", actions[event->action]);
    json_add_text(body, "outcome", outcome);
    respond_json(res, 200, body);
    count(req, counted);
    log_info("member synced", LOG_KENNITALA("member", str_from(event->kennitala)),
             LOG_TEXT("action", str_from(actions[event->action])),
             LOG_TEXT("outcome", str_from(outcome)), LOG_BOOL("versioned", event->has_version),
             LOG_TEXT("correlation_id", req->correlation_id));
}

void receive_event(const struct request *req, struct response *res)
{
    const struct sync_service *service = req->own;
    char kennitala[KENNITALA_SIZE];
    struct member_event event = {.kennitala = kennitala,
                                 .now_ms = req->http->arrived_unix_ms,
                                 .countries = &service->countries,
                                 .correlation_id = req->correlation_id};
    struct member_result result = {0};
    struct error e = {0};
    const cJSON *body;

    if (!caller_is_the_register(req, res) || !read_body(req, res, &body) ||
        !read_kennitala(req, res, body, kennitala) || !read_action(req, res, body, &event.action) ||
        !read_data(req, res, body, &event) || !read_order(req, res, body, &event))
        return;
    if (member_is_test_account(&service->test_accounts, str_from(kennitala))) {
        answer(req, res, &event, "skipped", SYNC_SKIPPED);
        return;
    }
    if (!member_document_sync(service_firestore(req->state), &event, req->deadline_ms, &result,
                              &e)) {
        fail(req, res, &e);
        return;
    }
    if (!result.inactive || end_access(req, res, kennitala))
        answer(req, res, &event, outcomes[result.outcome], (enum sync_count)result.outcome);
}
