/*
 * firestore_private.h - what the parts of the Firestore client share
 *
 * For firestore*.c and their tests. Everything that writes, writes JSON text into a buf whose limit
 * is the size of a request; the caller looks for overflow once.
 */
#ifndef LIBCOMMON_CLOUD_FIRESTORE_PRIVATE_H
#define LIBCOMMON_CLOUD_FIRESTORE_PRIVATE_H

#include "cloud/firestore.h"
#include "cloud/google_api.h"

struct firestore {
    struct google_api api;
    char *root_name; /* projects/P/databases/D/documents */
    char *root_url;  /* https://…/v1/projects/P/databases/D/documents */
    size_t request_max_bytes;
};

/* ---- firestore_path.c ---- */

bool fs_path_is_valid(struct str path); /* collection and id in turn */
/* The full name as a JSON string. must(): the path is valid. */
void fs_name_add(const struct firestore *fs, struct str path, struct buf *b);
void fs_path_add_url(struct str path, struct buf *b); /* "/users/a%20b" */
bool fs_path_of_name(const struct firestore *fs, struct str name, struct str *ret_path);

/*
 * Parts between dots that are no identifiers get backticks; a part already in backticks is kept, so
 * "a.`b.c`" names the field "b.c" of the map a.
 */
void fs_field_path_add(struct str path, struct buf *b);
void fs_field_path_add_json(struct str path, struct buf *b);
/* Paths of all leaves, as JSON strings with commas between. Empty maps and arrays are leaves. */
void fs_leaves_add_json(const cJSON *fields, struct buf *b);

/* ---- firestore.c ---- */

void fs_body_init(const struct firestore *fs, struct buf *b);

struct fs_call {
    const char *what;  /* for error details, static: "firestore commit" */
    const char *verb;  /* ":commit" */
    struct str parent; /* document the verb is asked of; empty: the root */
    struct buf *body;  /* freed by fs_run() */
    bool repeatable;
    bool in_transaction;
    int64_t deadline_ms;
};
/* ERR_TOO_LARGE, without a request, when the body has run over. ret lives in the arena. */
bool fs_run(struct firestore *fs, const struct fs_call *call, struct arena *a,
            struct google_answer *ret, struct error *e) MUST_CHECK;
bool fs_unreadable(const struct fs_call *call, struct error *e); /* false and ERR_BAD_GATEWAY */
bool fs_document_read(const struct firestore *fs, const cJSON *document, struct fs_document *ret);

/* ---- firestore_write.c ---- */

/* Applied once, however often it is sent? */
bool fs_write_is_repeatable(const struct fs_write *write);
void fs_write_add(const struct firestore *fs, const struct fs_write *write, struct buf *b);

/* ---- firestore_transaction.c ---- */

struct fs_transaction {
    struct firestore *fs;
    struct str id;
    struct buf writes; /* comma between them; copied, so that bodies may use their own stack */
    size_t write_count;
    bool ended; /* a commit was tried */
    bool committed;
    bool unsure; /* a commit was sent and nobody knows whether it was applied: never run it again */
};
/* "transaction":"…" with a comma before it. */
void fs_transaction_add(const struct fs_transaction *tx, struct buf *b);

#endif
