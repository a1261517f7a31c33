/*
 * idempotency.h - the pieces a handler needs when its own transaction keeps the stored reply (the
 * vote)
 *
 * Routes with IDEMPOTENCY_STORED get all of this from the pipeline. A vote cannot: its reply must
 * be stored in the transaction that stores the ballot.
 */
#ifndef LIBCOMMON_SERVICE_IDEMPOTENCY_H
#define LIBCOMMON_SERVICE_IDEMPOTENCY_H

#include "base/encode.h"
#include "service/request.h"

struct idempotency_hashes {
    unsigned char key[SHA256_BYTES]; /* of caller and client key: finds the record */
    unsigned char
        fingerprint[SHA256_BYTES]; /* of the request: same key and another request is 422 */
    unsigned char
        seal_key[SHA256_BYTES]; /* nobody without the client's own key can open the reply */
};

void idempotency_hashes(const struct request *req, struct idempotency_hashes *ret);

/* Seals a reply in the arena. */
struct str idempotency_seal(const struct request *req, const struct idempotency_hashes *hashes,
                            int status, struct str body);

/* Opens a stored reply and answers with it. False when it is not from this key. */
bool idempotency_replay(const struct request *req, struct response *res,
                        const struct idempotency_hashes *hashes, struct str box) MUST_CHECK;

void idempotency_refuse_mismatch(struct response *res);

#endif
