/*
 * audit_log.h - the audit trail: entries that cannot be changed, reordered or dropped unseen
 *
 * Entries are documents of members_audit_log. Each belongs to one of a few chains and holds its
 * number there (`seq`), the hash of the entry before (`prev`) and its own (`hash`): HMAC-SHA256
 * under a key the database does not hold, over the document id, the place in the chain and all
 * fields but `hash` and `timestamp` (Firestore's own time; ours, `recordedAt`, is covered). The
 * head of chain n is audit_chains/n; `baseSeq` and `baseHash` in it, under a MAC of their own, say
 * where the chain begins since old entries were removed. Several chains exist because each is
 * written one entry at a time.
 *
 * The id of an entry is a keyed hash of the event it records, so an event that comes twice is one
 * entry. No id and no plain field holds a kennitala. Blocking, for worker threads; thread-safe.
 * Source: contract members.md §5.6, M-F10..M-F13.
 */
#ifndef LIBCOMMON_CLOUD_AUDIT_LOG_H
#define LIBCOMMON_CLOUD_AUDIT_LOG_H

#include "base/encode.h"
#include "cloud/firestore.h"

#define AUDIT_COLLECTION  "members_audit_log"
#define AUDIT_HEADS       "audit_chains"
#define AUDIT_CHAINS_MAX  64
#define AUDIT_MEMBER_SIZE 33 /* of a member's keyed hash in hex, with the NUL */

struct audit_log;

struct audit_log_config {
    struct firestore *firestore; /* borrowed */
    const char *key;             /* at least 32 bytes; borrowed only by audit_log_new() */
    int64_t chains;              /* 1..AUDIT_CHAINS_MAX: how many new entries are spread over */
};
struct audit_log *audit_log_new(const struct audit_log_config *config);
void audit_log_free(struct audit_log *log); /* NULL is fine */

/* The id of the entry for an event: of one source, with an id that is unique there. */
void audit_log_entry_id(const struct audit_log *log, struct str source, struct str event,
                        char out[SHA256_HEX_SIZE]);
/* What stands for a member where entries are to be found by member. */
void audit_log_member(const struct audit_log *log, struct str kennitala,
                      char out[AUDIT_MEMBER_SIZE]);

/* A personal value for an entry: "sealed:" and base64, different each time; and back. */
struct str audit_log_seal(const struct audit_log *log, struct arena *a, struct str plain);
bool audit_log_open(const struct audit_log *log, struct arena *a, struct str sealed,
                    struct str *ret_plain) MUST_CHECK;

/* `text` with whatever may be a kennitala cut to DDMMYY-****, at most max_bytes, and UTF-8. */
struct str audit_mask(struct arena *a, struct str text, size_t max_bytes);

/*
 * Stores an entry at the end of its chain; `fields` is everything but chain, seq, prev, hash,
 * recordedAt and timestamp, with at least memberHash or none. *ret_added is false when the event
 * had its entry already. On false nobody may know whether it was stored: to be called again with
 * the same id.
 */
bool audit_log_append(struct audit_log *log, const char *id, const cJSON *fields,
                      int64_t deadline_ms, bool *ret_added, struct error *e) MUST_CHECK;

/* --- for who verifies and removes --- */

struct audit_link {
    int64_t chain, seq;
    struct str prev, hash;
};
/* False for entries of the former deployment, which are in no chain. */
bool audit_link_read(const cJSON *fields, struct audit_link *ret) MUST_CHECK;
/* Is the entry what was written? */
bool audit_entry_is_sound(const struct audit_log *log, struct arena *a,
                          const struct fs_document *entry) MUST_CHECK;

/* Where a chain begins and ends. A chain without a head is all zero. */
struct audit_head {
    bool exists;
    int64_t seq, base_seq;
    struct str hash, base_hash;
};
/* False: ERR_FAILED_PRECONDITION when the head was tampered with. */
bool audit_head_read(const struct audit_log *log, struct arena *a, int64_t chain,
                     const struct fs_document *document, struct audit_head *ret,
                     struct error *e) MUST_CHECK;
/* Adds to the transaction that the chain begins behind the entry with this number and hash. */
void audit_head_move_base(const struct audit_log *log, struct fs_transaction *tx, struct arena *a,
                          int64_t chain, int64_t base_seq, struct str base_hash);

/* One text for equal values, whatever order their members come in. */
struct str audit_canonical(struct arena *a, const cJSON *value);

#endif
