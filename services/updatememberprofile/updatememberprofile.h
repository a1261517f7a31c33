/*
 * updatememberprofile.h - what this service's files share
 */
#ifndef SERVICES_UPDATEMEMBERPROFILE_H
#define SERVICES_UPDATEMEMBERPROFILE_H

#include "cloud/member_document.h"
#include "net/http_client.h"
#include "ops/log.h"
#include "ops/metrics.h"
#include "service/service.h"

struct profile_settings {
    const char *base_url, *django_token, *countries;
    int64_t calls_per_window, repair_interval_ms, abandoned_after_ms, django_timeout_ms;
};

struct repair_queue;

struct profile_service {
    const struct profile_settings *settings;
    struct member_countries countries;
    struct http_client *django;
    struct repair_queue *repairs;
    struct metric *updated, *partial, *failed;
};

/* --- input.c: what was asked for, checked (M-F26, M-F33) --- */

#define PROFILE_ADDRESSES_MAX 5

struct profile_update {
    char kennitala[KENNITALA_SIZE];
    const cJSON *updates;
    cJSON *patch;                                /* what Django is told; NULL: nothing */
    const cJSON *addresses;                      /* the whole array, or NULL */
    const cJSON *address;                        /* of it, the one Django is told; NULL: none */
    const cJSON *foreign[PROFILE_ADDRESSES_MAX]; /* of it, those abroad */
    size_t foreign_count;
    bool has_more_phones; /* than Django has a place for */
    struct str idempotency_key;
};

/* False: *ret_fault is fixed text that names the field. */
bool profile_input_read(struct arena *a, const cJSON *data, struct profile_update *ret,
                        const char **ret_fault) MUST_CHECK;

/* --- django.c: the register's API --- */

/* ERR_NOT_FOUND, ERR_BAD_REQUEST, ERR_FORBIDDEN (not this person's record), ERR_INTERNAL (our own
 * token), ERR_UNAVAILABLE, ERR_BAD_GATEWAY, ERR_GATEWAY_TIMEOUT; details hold nothing of Django's.
 * An answer is a member of this kennitala or it is an error (M-F01). */
bool django_read(const struct profile_service *service, int64_t id, const char *kennitala,
                 struct arena *a, int64_t deadline_ms, const cJSON **ret,
                 struct error *e) MUST_CHECK;
bool django_patch(const struct profile_service *service, int64_t id, const char *kennitala,
                  const cJSON *patch, struct arena *a, int64_t deadline_ms, const cJSON **ret,
                  struct error *e) MUST_CHECK;

struct address_outcome {
    bool success, linked;
    bool has_map_address;
    int64_t map_address_id;
    enum error_code code; /* why not */
};
void django_send_address(const struct profile_service *service, const char *kennitala,
                         const cJSON *address, struct arena *a, int64_t deadline_ms,
                         struct address_outcome *ret);

/* The addresses abroad, after a look at those Django has: an address is the same one when country,
 * text and postcode are. Each is added, mended or left as it is. */
struct foreign_outcome {
    size_t sent, unchanged, failed;
    size_t no_country; /* of those failed: DJANGO_COUNTRIES does not name it */
    enum error_code code;
};
void django_send_foreign(const struct profile_service *service, const struct profile_update *update,
                         struct arena *a, int64_t deadline_ms, struct foreign_outcome *ret);

/* --- django_call.c --- */
/* Any JSON of a 200 or 201. One attempt for what is not GET. */
bool django_ask(const struct profile_service *service, enum http_method method, struct str path,
                const cJSON *body, struct arena *a, int64_t deadline_ms, const cJSON **ret,
                struct error *e) MUST_CHECK;

/* --- store.c: Firestore after Django --- */

struct store_work {
    const char *kennitala;
    int64_t django_id;
    const cJSON *addresses;           /* the member's own array, written first; or NULL */
    struct str actor, correlation_id; /* who asked for it (M-F11) */
    struct str pending;               /* path of what pending.c wrote */
};
/* members/{kt} as Django has it now, whatever webhooks come in between (M-F20). */
bool store_newest(const struct profile_service *service, struct firestore *fs,
                  const struct store_work *work, struct arena *a, int64_t deadline_ms,
                  struct error *e) MUST_CHECK;
/* profile.addresses as work has them, or as they were `before` (NULL: not asked for). */
struct fs_write store_addresses(const struct store_work *work, const struct fs_document *before,
                                struct arena *a);

/* --- pending.c: what is going to happen, written before Django hears of it (M-F31) --- */

#define PENDING_PATH_SIZE (sizeof "profile_pending/" + 20)

/* Fills in work->pending. ret_written: when members/{kt} got the addresses, for pending_undo(). */
bool pending_begin(const struct request *req, struct store_work *work, struct str *ret_written,
                   struct error *e) MUST_CHECK;
/* Django did not take the update: what it surely did not do is undone, what it may have done is
 * left to repair.c. before: the member's document as it was. */
void pending_undo(const struct request *req, const struct store_work *work, enum error_code code,
                  const struct fs_document *before, struct str written, bool address_taken);

/* --- repair.c: what was left pending, by this process or by one that died --- */

struct repair_queue *repair_queue_new(const struct profile_service *service, struct firestore *fs);
void repair_queue_free(struct repair_queue *q); /* NULL is fine */
/* The work of this process, to be tried soon. Thread-safe; copies. */
void repair_queue_add(struct repair_queue *q, const struct store_work *todo);

/* --- history.c: what was tried, for people (contract §5.5), and who did it for others --- */

void history_profile(const struct request *req, const struct profile_update *update,
                     enum error_code code);
void history_address(const struct request *req, const struct profile_update *update,
                     const struct address_outcome *outcome);
void history_foreign(const struct request *req, const struct profile_update *update,
                     const struct foreign_outcome *outcome);
bool history_admin(const struct request *req, const struct profile_update *update,
                   struct error *e) MUST_CHECK;

/* --- once.c: one idempotency key, one update (M-F31) --- */

enum once { ONCE_GO, ONCE_ANSWERED };
/* Answers when the key is known: the same reply again, 409 while it runs, 422 for another request.
 */
enum once once_begin(const struct request *req, struct response *res,
                     const struct profile_update *update);
/* reply NULL: nothing was changed, the key may be used again. */
void once_end(const struct request *req, const struct profile_update *update, const cJSON *reply);

void update_profile(const struct request *req, struct response *res);

#endif
