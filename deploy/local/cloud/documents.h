/*
 * documents.h - what the files of the Firestore part share
 *
 * An operation gets the call, works within one transaction of the store, and gives the tree of its
 * reply, or NULL with c->refusal set: then nothing it wrote stays. One runs at a time.
 */
#ifndef LOCAL_CLOUD_DOCUMENTS_H
#define LOCAL_CLOUD_DOCUMENTS_H

#include "cloud.h"
#include "store.h"
#include "value.h"

struct call {
    const struct request *req;
    struct arena *a; /* larger than a request's */
    struct store *store;
    struct transactions *transactions;
    struct change_events *events; /* NULL: nobody is told */
    struct change *changes;       /* noted so far */
    struct str database;          /* "projects/P/databases/D" */
    struct str path;              /* below documents: "", "members", "members/1" */
    const cJSON *body;            /* an object; {} when there was none */
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    size_t param_count;
    int64_t now_us; /* read time */
    struct refusal refusal;
};

typedef const cJSON *operation(struct call *c);

/* firestore_read.c */
operation get_document, list_documents, batch_get, list_collection_ids;
/* firestore_write.c, firestore_commit.c */
operation create_document, patch_document, delete_document, commit_writes, batch_write;
/* firestore_query.c */
operation run_query, run_aggregation_query;
/* firestore_transaction.c */
operation begin_transaction, roll_back;

bool call_param(const struct call *c, const char *name, struct str *ret);

/* --- documents (firestore_documents.c) --- */

struct document {
    bool exists;
    struct str path;
    cJSON *fields; /* owned by the arena */
    int64_t created_us, updated_us;
};

void document_load(struct call *c, struct str path, struct document *ret);
void document_store(struct call *c, const struct document *document);
void document_delete(struct call *c, struct str path);

/* Which documents a query or list is about. */
struct scope {
    struct str parent;     /* path of a document, "" for the root */
    struct str collection; /* "": any */
    bool descendants;
};
/* In no order. visit() owns nothing it gets, but may keep what the arena owns; it takes the fields
 * by setting *ret_keep. */
void documents_visit(struct call *c, const struct scope *scope,
                     void (*visit)(void *context, const struct document *document, bool *ret_keep),
                     void *context);
/* Paths alone of all documents below a document ("": all). */
void paths_visit(struct call *c, struct str parent, void (*visit)(void *context, struct str path),
                 void *context);

/* {name, fields, createTime, updateTime} */
cJSON *document_tree(struct call *c, const struct document *document,
                     const struct field_path *paths, size_t path_count);
struct str document_name(const struct call *c, struct str path);
void add_time(cJSON *to, const char *name, int64_t us);

/* "members/1": pairs of collection and id, all good, or none; "members": one more collection. */
bool path_is_document(struct str path, struct refusal *r);
bool path_is_collection(struct str path, struct refusal *r);
/* The part of a full name behind "/documents/"; it must be a document of this database. */
bool name_path(struct call *c, struct str name, struct str *ret_path);
/* {"fieldPaths":[…]}; *ret_paths is NULL when mask is. */
bool mask_read(struct call *c, const cJSON *mask, struct field_path **ret_paths, size_t *ret_count);
/* The same from repeated query parameters. */
bool mask_param(struct call *c, const char *name, struct field_path **ret_paths, size_t *ret_count);

/* --- writes --- */

struct write {
    struct str path;
    bool is_delete, has_update;
    cJSON *fields;
    struct field_path *mask; /* NULL: all of the document */
    size_t mask_count;
    struct transform *transforms;
    size_t transform_count;
    bool must_exist, must_not_exist, has_update_time;
    int64_t update_time_us;
};

enum transform_kind {
    SERVER_TIME,
    INCREMENT,
    MAXIMUM,
    MINIMUM,
    APPEND_MISSING,
    REMOVE_ALL,
};
struct transform {
    struct field_path path;
    enum transform_kind kind;
    const cJSON *value; /* operand; of the last two an arrayValue */
};

bool write_read(struct call *c, const cJSON *json, struct write *ret);
bool precondition_read(struct call *c, const cJSON *json, struct write *write);
/* Checks and does it. results (may be NULL): an array that gets the transforms' results. */
bool write_apply(struct call *c, const struct write *write, int64_t time_us, cJSON *results);
bool transforms_read(struct call *c, const cJSON *list, struct write *write);
bool transforms_apply(struct call *c, const struct write *write, int64_t time_us, cJSON *fields,
                      cJSON *results);

/* --- queries (firestore_query.c, firestore_filter.c) --- */

struct filter;
/* NULL is fine and matches all. */
bool filter_read(struct call *c, const cJSON *where, struct filter **ret);
bool filter_matches(const struct filter *filter, const cJSON *fields, const cJSON *name);
/* The paths compared by inequality, each once, in order. */
size_t filter_inequalities(const struct filter *filter, const struct field_path **paths,
                           size_t max);
/* A member that is a number or the name of one; -1 for anything else, 0 when absent. */
int enum_read(const cJSON *object, const char *member, const char *const *names, int count);

/* The paths and update times a query gives now, hashed: what a transaction compares at its end. */
bool query_digest(struct call *c, struct str parent, const cJSON *query, char out[65]);

/* --- transactions (firestore_transaction.c) --- */

struct transactions *transactions_new(void);
void transactions_free(struct transactions *t);

struct transaction;
/* Of "transaction" or "newTransaction" in the body. *ret is NULL when there is neither; a new one
 * is announced by *ret_started, base64. */
bool transaction_of_call(struct call *c, struct transaction **ret, struct str *ret_started);
void transaction_note_document(struct transaction *t, const struct document *document);
bool transaction_note_query(struct call *c, struct transaction *t, struct str parent,
                            const cJSON *query);
/* Ends it. ABORTED when anything it read is no longer so; INVALID_ARGUMENT for writes of a
 * read-only one. */
bool transaction_finish(struct call *c, struct transaction *t, bool writes);
void transactions_forget(struct transactions *t, struct str database);

#endif
