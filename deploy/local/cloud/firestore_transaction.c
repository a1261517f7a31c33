/*
 * firestore_transaction.c - transactions, checked at their end
 *
 * What a transaction read is noted, and read again when it commits; anything else than before is
 * ABORTED, and the client runs it anew. Google's servers lock instead, which a client can only tell
 * by who is told ABORTED. Reads of a read-only transaction see the present, not one instant.
 * Guarded by the store: one operation runs at a time.
 */
#include "base/encode.h"
#include "documents.h"

#define TRANSACTIONS_MAX  256
#define TRANSACTION_BYTES 8
#define MEMORY_MAX_BYTES  (4U << 20)

struct noted_document {
    struct noted_document *next;
    struct str path;
    int64_t updated_us; /* 0: was not there */
};

struct noted_query {
    struct noted_query *next;
    struct str parent, query; /* JSON text */
    char digest[SHA256_HEX_SIZE];
};

struct transaction {
    unsigned char id[TRANSACTION_BYTES];
    bool known, open, read_only;
    bool lost_track; /* it read more than we note */
    struct arena *a;
    struct str database;
    struct noted_document *documents;
    struct noted_query *queries;
};

/* The newest ones; an older one that never ended is forgotten. */
struct transactions {
    struct transaction slots[TRANSACTIONS_MAX];
    size_t next;
};

struct transactions *transactions_new(void)
{
    struct transactions *t = calloc(1, sizeof *t);

    must(t);
    return t;
}

static void close_one(struct transaction *t)
{
    arena_free(t->a);
    t->a = NULL;
    t->documents = NULL;
    t->queries = NULL;
    t->open = t->lost_track = false;
}

void transactions_free(struct transactions *t)
{
    for (size_t i = 0; t && i < TRANSACTIONS_MAX; i++)
        close_one(&t->slots[i]);
    free(t);
}

void transactions_forget(struct transactions *t, struct str database)
{
    for (size_t i = 0; i < TRANSACTIONS_MAX; i++) {
        if (t->slots[i].open && str_eq(t->slots[i].database, database))
            close_one(&t->slots[i]);
    }
}

/* --- starting and finding --- */

static bool start(struct call *c, const cJSON *options, struct transaction **ret,
                  struct str *ret_id)
{
    static const char *const known[] = {"readOnly", "readWrite", NULL};
    static const char *const known_inside[] = {"retryTransaction", "concurrencyMode", NULL};
    struct transaction *t = &c->transactions->slots[c->transactions->next++ % TRANSACTIONS_MAX];
    const cJSON *inside = json_get(options, "readWrite");

    if ((options && !known_members(options, known, &c->refusal)) ||
        (inside && !known_members(inside, known_inside, &c->refusal)))
        return false;
    close_one(t);
    random_bytes(t->id, sizeof t->id);
    t->known = t->open = true;
    t->read_only = json_get(options, "readOnly") != NULL;
    t->a = arena_new(MEMORY_MAX_BYTES);
    t->database = arena_dup(t->a, c->database);
    *ret = t;
    *ret_id = base64_encode(c->a, str_n(t->id, sizeof t->id));
    return true;
}

static struct transaction *find(struct call *c, struct str text)
{
    struct str id;

    if (!base64_decode(c->a, text, &id) || id.len != TRANSACTION_BYTES)
        return NULL;
    for (size_t i = 0; i < TRANSACTIONS_MAX; i++) {
        struct transaction *t = &c->transactions->slots[i];

        if (t->known && memcmp(t->id, id.ptr, sizeof t->id) == 0)
            return t;
    }
    return NULL;
}

bool transaction_of_call(struct call *c, struct transaction **ret, struct str *ret_started)
{
    const cJSON *options = json_get(c->body, "newTransaction");
    struct str text;

    *ret = NULL;
    *ret_started = STR("");
    if (options)
        return start(c, options, ret, ret_started);
    if (!json_str(c->body, "transaction", &text) || text.len == 0)
        return true;
    *ret = find(c, text);
    if (!*ret)
        return refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Invalid transaction.");
    return (*ret)->open ||
           refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Transaction is invalid or closed.");
}

const cJSON *begin_transaction(struct call *c)
{
    static const char *const known[] = {"options", NULL};
    cJSON *reply = json_object(c->a);
    struct transaction *t;
    struct str id;

    if (!known_members(c->body, known, &c->refusal) ||
        !start(c, json_get(c->body, "options"), &t, &id))
        return NULL;
    json_add_str(reply, "transaction", id);
    return reply;
}

/* Twice is fine. */
const cJSON *roll_back(struct call *c)
{
    struct str text = {NULL, 0};
    struct transaction *t;

    (void)json_str(c->body, "transaction", &text);
    t = find(c, text);
    if (!t) {
        refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT, "Invalid transaction.");
        return NULL;
    }
    close_one(t);
    return json_object(c->a);
}

/* --- what was read --- */

static bool has_room(const struct transaction *t, size_t bytes)
{
    return arena_used_bytes(t->a) + bytes < MEMORY_MAX_BYTES / 2;
}

void transaction_note_document(struct transaction *t, const struct document *document)
{
    struct noted_document *note;

    if (t->read_only)
        return;
    if (!has_room(t, document->path.len + sizeof *note)) {
        t->lost_track = true;
        return;
    }
    note = ARENA_NEW(t->a, struct noted_document);
    note->path = arena_dup(t->a, document->path);
    note->updated_us = document->exists ? document->updated_us : 0;
    note->next = t->documents;
    t->documents = note;
}

bool transaction_note_query(struct call *c, struct transaction *t, struct str parent,
                            const cJSON *query)
{
    struct noted_query *note;
    struct buf text;

    if (t->read_only)
        return true;
    buf_init(&text, 1U << 20);
    if (!json_write(&text, query) || !has_room(t, text.len + sizeof *note)) {
        buf_done(&text);
        t->lost_track = true;
        return true;
    }
    note = ARENA_NEW(t->a, struct noted_query);
    note->parent = arena_dup(t->a, parent);
    note->query = arena_dup(t->a, buf_str(&text));
    buf_done(&text);
    note->next = t->queries;
    t->queries = note;
    return query_digest(c, parent, query, note->digest);
}

/* --- the end --- */

static bool documents_unchanged(struct call *c, const struct transaction *t)
{
    for (const struct noted_document *note = t->documents; note; note = note->next) {
        struct document now;

        document_load(c, note->path, &now);
        if ((now.exists ? now.updated_us : 0) != note->updated_us)
            return false;
    }
    return true;
}

static bool queries_unchanged(struct call *c, const struct transaction *t)
{
    for (const struct noted_query *note = t->queries; note; note = note->next) {
        char digest[SHA256_HEX_SIZE];
        struct error e;
        const cJSON *query = json_parse(c->a, note->query, &e);

        if (!query || !query_digest(c, note->parent, query, digest) ||
            strcmp(digest, note->digest) != 0)
            return false;
    }
    return true;
}

bool transaction_finish(struct call *c, struct transaction *t, bool writes)
{
    bool good = true;

    if (t->read_only && writes)
        good = refuse(&c->refusal, GSTATUS_INVALID_ARGUMENT,
                      "Cannot modify entities in a read-only transaction.");
    else if (t->lost_track && writes)
        good = refuse(&c->refusal, GSTATUS_RESOURCE_EXHAUSTED,
                      "The transaction read more than the local cloud can note.");
    else if (!documents_unchanged(c, t) || !queries_unchanged(c, t))
        good = refuse(&c->refusal, GSTATUS_ABORTED,
                      "The documents this transaction read were changed by another.");
    close_one(t);
    return good;
}
