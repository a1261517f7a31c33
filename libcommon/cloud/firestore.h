/*
 * firestore.h - Cloud Firestore over REST v1
 *
 * The same code talks to the cloud, to Google's emulator and to the local stand-in;
 * FIRESTORE_EMULATOR_HOST chooses. Blocking, for worker threads; thread-safe. Every call has a
 * deadline. Reads and writes that may be repeated are retried on UNAVAILABLE, 429 and 5xx with full
 * jitter inside the deadline; a write is repeatable when it is a set, a merge or a delete without
 * increments, or has the precondition FS_MUST_NOT_EXIST or FS_UPDATE_TIME. What Firestore surely
 * has not carried out (ABORTED, 429) is retried always. When a repeat fails its precondition, that
 * may be the echo of our own first attempt, whose answer was lost: who must know writes a random
 * value and reads it back. A transaction is run again as a whole on ABORTED.
 *
 * Errors: NOT_FOUND → ERR_NOT_FOUND, ALREADY_EXISTS → ERR_CONFLICT, ABORTED → ERR_ABORTED,
 * FAILED_PRECONDITION → ERR_FAILED_PRECONDITION, INVALID_ARGUMENT → ERR_BAD_REQUEST,
 * PERMISSION_DENIED and UNAUTHENTICATED → ERR_INTERNAL (our own set-up), RESOURCE_EXHAUSTED,
 * UNAVAILABLE, INTERNAL → ERR_UNAVAILABLE, DEADLINE_EXCEEDED → ERR_GATEWAY_TIMEOUT, what cannot be
 * understood → ERR_BAD_GATEWAY, a request over the limits → ERR_TOO_LARGE. Details never hold
 * document ids or content. An answer is at most 8 MiB: page through large collections. Source:
 * firebase.google.com/docs/firestore/reference/rest.
 */
#ifndef LIBCOMMON_CLOUD_FIRESTORE_H
#define LIBCOMMON_CLOUD_FIRESTORE_H

#include "cloud/access_token.h"
#include "cloud/firestore_value.h"

#define FS_WRITES_MAX 400 /* of one commit; below the documented 500 on purpose */
#define FS_COMMIT_MAX_BYTES                                                                        \
    (9U << 20) /* Firestore takes 10 MiB, the emulator 4: chunk by bytes too */
#define FS_DOCUMENT_ID_MAX_BYTES 1500
#define FS_DOCUMENTS_MAX         20000 /* of one query's answer; more is ERR_BAD_GATEWAY */

struct firestore;

struct firestore_config {
    const char *project_id;
    const char *database;               /* "(default)" */
    const char *emulator_host;          /* host:port, or "" for the cloud */
    struct access_token_source *tokens; /* borrowed */
    struct http_client *client;         /* borrowed */
};

struct firestore *firestore_new(const struct firestore_config *config);
void firestore_free(struct firestore *fs);

/* Paths: "members/0101302989", collection and id in turn. must(): ids are valid (not empty, no '/',
 * not
 * "." or "..", not __x__), see firestore_id_is_valid(). */
bool firestore_id_is_valid(struct str id);
/* 20 random characters of [A-Za-z0-9], as the clients make them. out has 21 bytes. */
void firestore_auto_id(char out[21]);

struct fs_document {
    bool exists;
    struct str path; /* relative: "users/uid" */
    struct str id;
    const cJSON *fields;                 /* never NULL when exists */
    struct str create_time, update_time; /* RFC 3339 as received: usable as precondition */
};

/* An open transaction; NULL where none is meant. */
struct fs_transaction;

/* exists says whether it is there; a missing document is no error. */
bool firestore_get(struct firestore *fs, struct str path, const struct fs_transaction *tx,
                   struct arena *a, int64_t deadline_ms, struct fs_document *ret,
                   struct error *e) MUST_CHECK;
/* In the order asked for. ret has count places. At most 300. */
bool firestore_get_all(struct firestore *fs, const struct str *paths, size_t count,
                       const struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                       struct fs_document *ret, struct error *e) MUST_CHECK;

enum fs_write_kind {
    FS_SET,   /* replaces the whole document */
    FS_MERGE, /* writes only the paths of `mask`; a path of the mask that is not in fields is
                 deleted */
    FS_DELETE,
};
enum fs_precondition { FS_ANY, FS_MUST_EXIST, FS_MUST_NOT_EXIST, FS_UPDATE_TIME };

struct fs_write {
    enum fs_write_kind kind;
    struct str path;
    const cJSON *fields;    /* SET, MERGE */
    const struct str *mask; /* MERGE: field paths, a part with odd characters may stand in backticks
                               ("a.`b.c`"); NULL: every leaf of fields (maps are descended
                               into, arrays are leaves) */
    size_t mask_count;
    enum fs_precondition precondition;
    struct str update_time;      /* for FS_UPDATE_TIME */
    const char *server_times[4]; /* field paths set to the server's time; NULL-padded */
    const char *increment;       /* field path raised by increment_by, or NULL */
    int64_t increment_by;
};

/* One part of a field path: as it is when it is an identifier, in backticks otherwise. */
void fs_field_name_add(struct str name, struct buf *b);

/* Atomic. In a transaction it also commits what was added, and ends it. ret_update_times (may be
 * NULL) has count places. More than FS_WRITES_MAX: must(). */
bool firestore_commit(struct firestore *fs, const struct fs_write *writes, size_t count,
                      struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                      struct str *ret_update_times, struct error *e) MUST_CHECK;

/*
 * Not atomic: each write on its own, in order per document, in requests of at most FS_WRITES_MAX
 * and FS_COMMIT_MAX_BYTES with each document at most once a request. Any count. What failed for now
 * is tried again. ret_errors has count places; ERR_NONE where it was written, ERR_TOO_LARGE where
 * it was not even sent. False only when nothing at all could be said.
 */
bool firestore_batch_write(struct firestore *fs, const struct fs_write *writes, size_t count,
                           struct arena *a, int64_t deadline_ms, enum error_code *ret_errors,
                           struct error *e) MUST_CHECK;

/*
 * Runs `body` in a transaction and commits what it adds with firestore_transaction_write(); again
 * from the start on ABORTED, with back-off, until the deadline; then ERR_ABORTED. Each run gets an
 * arena that is reset before the next; results go through `context`. body returning false rolls
 * back, and its error is given, or the next run begins when that is ERR_ABORTED. A roll-back may
 * take 250 ms more than the deadline. Reads inside must come before writes. When nobody knows
 * whether the commit was applied, it is ERR_UNAVAILABLE or ERR_GATEWAY_TIMEOUT and there is no
 * other run.
 */
typedef bool firestore_transaction_body(struct fs_transaction *tx, void *context, struct arena *a,
                                        struct error *e);
bool firestore_transaction(struct firestore *fs, firestore_transaction_body *body, void *context,
                           int64_t deadline_ms, struct error *e) MUST_CHECK;
/* Copied: nothing in `write` has to live longer than this call. */
void firestore_transaction_write(struct fs_transaction *tx, const struct fs_write *write);

enum fs_operator {
    FS_EQUAL,
    FS_NOT_EQUAL,
    FS_LESS,
    FS_LESS_OR_EQUAL,
    FS_GREATER,
    FS_GREATER_OR_EQUAL,
    FS_ARRAY_CONTAINS,
    FS_IN
};

struct fs_filter {
    const char *path;
    enum fs_operator op;
    const cJSON *value; /* a typed value, as fs_get() gives one */
};
/* A typed value for filters, owned by the arena. */
const cJSON *fs_value_of_str(struct arena *a, struct str value);
const cJSON *fs_value_of_i64(struct arena *a, int64_t value);
const cJSON *fs_value_of_bool(struct arena *a, bool value);
const cJSON *fs_value_of_time_ms(struct arena *a, int64_t unix_ms);

struct fs_query {
    struct str parent; /* document path, or empty for the root */
    const char *collection;
    bool all_descendants;        /* collection group */
    struct fs_filter filters[4]; /* all must hold */
    size_t filter_count;
    struct {
        const char *path; /* "__name__" orders by id */
        bool descending;
    } order[3];
    size_t order_count;
    int64_t limit;         /* 0: no limit */
    const char *select[8]; /* field paths to bring; none: all. "__name__" alone brings ids only */
    size_t select_count;
    const struct fs_document *start_after; /* the last document of the page before: paging by cursor
                                              over `order` (which then must end in __name__) */
};

/* Documents live in the arena. */
bool firestore_query(struct firestore *fs, const struct fs_query *query,
                     const struct fs_transaction *tx, struct arena *a, int64_t deadline_ms,
                     struct fs_document **ret_documents, size_t *ret_count,
                     struct error *e) MUST_CHECK;
bool firestore_count(struct firestore *fs, const struct fs_query *query, struct arena *a,
                     int64_t deadline_ms, int64_t *ret_count, struct error *e) MUST_CHECK;

#endif
