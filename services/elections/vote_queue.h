/*
 * vote_queue.h - what the parts of the queue share: votes the database cannot take at once
 *
 * vote_queue.c accepts a vote into Cloud Pub/Sub, vote_queue_message.c is the message,
 * vote_queue_worker.c records, vote_status.c tells. README.md, The queue, says what it promises.
 */
#ifndef SERVICES_ELECTIONS_VOTE_QUEUE_H
#define SERVICES_ELECTIONS_VOTE_QUEUE_H

#include "elections.h"

#include "base/encode.h"
#include "cloud/pubsub.h"
#include "ops/metrics.h"

#include <stdatomic.h>

/* --- vote_queue_message.c: a vote between two instances --- */

/* All messages have one length, or it would tell the answer. */
#define QUEUED_VOTE_BYTES 1536
/* The part of a receipt that is hashed and looked up. */
#define RECEIPT_BYTES    32
#define RECEIPT_HEX_SIZE (2 * RECEIPT_BYTES + 1)
/* Pub/Sub keeps what nobody acknowledges for a day (our subscription), the database outcomes for
 * another. */
#define RECEIPT_LIFE_S 86400

struct vote_queue_keys {
    unsigned char seal[SHA256_BYTES], receipt[SHA256_BYTES];
};
void vote_queue_keys_derive(const char *secret, struct vote_queue_keys *ret);

/* A vote as the statement record_queued_vote takes it. */
struct queued_vote {
    struct str org_id, token_hash, answer, ballot_id;
    struct str arrived; /* RFC 3339 */
    unsigned char receipt_hash[SHA256_BYTES];
    bool has_idempotency;
    unsigned char idem_key[SHA256_BYTES], idem_fingerprint[SHA256_BYTES];
    struct str idem_reply;
};

/* Sealed, in the arena. */
struct str queued_vote_seal(const struct queued_vote *vote, const struct vote_queue_keys *keys,
                            struct arena *a);
/* False when it is not from this key, or not of our shape: poison. */
bool queued_vote_open(struct str sealed, const struct vote_queue_keys *keys, struct arena *a,
                      struct queued_vote *ret) MUST_CHECK;

/* A receipt proves itself, so that an unknown one need not be looked up: time, random bytes, tag.
 */
void receipt_new(const struct vote_queue_keys *keys, int64_t now_s, char ret_hex[RECEIPT_HEX_SIZE],
                 unsigned char ret_hash[SHA256_BYTES]);
bool receipt_read(const struct vote_queue_keys *keys, struct str hex, int64_t *ret_made_s,
                  unsigned char ret_hash[SHA256_BYTES]) MUST_CHECK;

/* --- vote_queue.c --- */

struct vote_queue {
    const struct elections_settings *settings;
    struct vote_queue_keys keys;
    struct pg_pool *pool;
    struct http_client *client;
    struct pubsub *pubsub;
    struct vote_queue_worker *worker;
    _Atomic int64_t divert_until_ms; /* the database failed a moment ago: do not ask it first */
    struct metric *accepted, *not_accepted, *recorded, *refused, *poison, *postponed;
};

/* --- vote_queue_worker.c --- */

struct vote_queue_worker *vote_queue_worker_start(struct vote_queue *q);
void vote_queue_worker_stop(struct vote_queue_worker *w);

#endif
