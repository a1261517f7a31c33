/*
 * auditmemberchanges.h - what this service's files share
 */
#ifndef SERVICES_AUDITMEMBERCHANGES_H
#define SERVICES_AUDITMEMBERCHANGES_H

#include "cloud/audit_log.h"
#include "service/service.h"

struct audit_settings {
    const char *key;
    int64_t chains;
    int64_t event_auth; /* enum event_auth */
    const char *audience;
    const char *account;
    const char *jwks_url;
    const char *writers;
};
enum event_auth { EVENT_AUTH_REQUIRED, EVENT_AUTH_PLATFORM };

/* What start makes and every handler sees as req->own. */
struct audit_service {
    const struct audit_settings *settings;
    struct audit_log *log;
    struct http_client *keys_client; /* NULL when the platform checks callers */
    struct jwks_cache *keys;
};

/* --- event.c: CloudEvents 1.0 over HTTP, binary and structured mode --- */

struct member_event {
    struct str id, source, type;
    struct str document; /* "members/0101302989"; empty: not said */
    struct str auth_type, auth_id;
    int64_t time_ms;     /* 0: not said */
    bool is_decoded;     /* the body could be read; else before and after are NULL */
    const cJSON *before; /* typed fields, NULL when there was no document */
    const cJSON *after;
};

/* False: ERR_BAD_REQUEST or ERR_UNSUPPORTED_MEDIA; the event cannot even be named. A body that
 * cannot be read is no error: that something happened is recorded all the same. */
bool event_read(const struct http_request *http, struct arena *a, struct member_event *ret,
                struct error *e) MUST_CHECK;

/* --- event_json.c and event_protobuf.c: the body, DocumentEventData --- */

#define EVENT_DEPTH_MAX  20 /* Firestore's own limit for maps and arrays in each other */
#define EVENT_VALUES_MAX 20000

/* Gives the typed fields of both documents, NULL for none. False when it cannot be read. */
bool event_body_json(const cJSON *data, struct member_event *ret) MUST_CHECK;
bool event_body_protobuf(struct str data, struct arena *a, struct member_event *ret) MUST_CHECK;

/* --- diff.c --- */

#define DIFF_CHANGES_MAX 500

struct diff_change {
    struct str path;     /* field path as Firestore writes it: profile.name, a.`odd name` */
    const cJSON *before; /* typed value, NULL: was not there */
    const cJSON *after;
};
struct diff {
    struct diff_change *changes;
    size_t count;
    bool is_whole; /* more changes than are listed: the one change, path "*", holds both documents
                      as mapValue */
};

/* What differs, down to the single field; maps are descended into, arrays are single values. Either
 * side may be NULL. Never fails. */
void diff_make(struct arena *a, const cJSON *before, const cJSON *after, struct diff *ret);

/* --- entry.c --- */

struct event_actor {
    struct str id;
    struct str source; /* "auth" told by Firestore, "service" by our writing service, "document" by
                          whoever wrote, "none" */
    struct str correlation_id;
    bool is_account; /* worth looking up */
};
/* Who made the change (M-F11). `writers`: service accounts whose word in the document counts,
 * separated by ','; empty: any. */
void event_find_actor(struct arena *a, const struct member_event *event, const char *writers,
                      struct event_actor *ret);

/* "create", "update", "delete" or "unknown". */
const char *event_action(const struct member_event *event);

/* The fields of the entry, without what audit_log_append() adds. */
cJSON *entry_make(const struct audit_log *log, struct arena *a, const struct member_event *event,
                  const struct event_actor *actor, struct str actor_email);

/* --- platform.c: the caller is Google's event delivery --- */

bool platform_is_proven(const struct request *req, struct response *res) MUST_CHECK;

/* --- record_change.c --- */

void record_change(const struct request *req, struct response *res);

#endif
