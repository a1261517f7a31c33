/*
 * validate_address.h - what the files of this service share
 */
#ifndef VALIDATE_ADDRESS_H
#define VALIDATE_ADDRESS_H

#include "registry/validate.h"
#include "service/registry_hooks.h"

struct validate_settings {
    struct registry_settings registry;
    int64_t batches_per_minute;
};

#define BATCH_MAX         50    /* addresses in one call */
#define VERDICT_MAX_BYTES 32768 /* one answer: ten alternatives and what stands around them */

#define CLAIM_WARNINGS_MAX 4

/* What was sent, read field by field. Texts live in the request. */
struct posted {
    struct claim claim;
    struct area areas[2];
    int postcode;                             /* -1: none that counts */
    const char *error;                        /* why nothing can be checked; NULL: fine */
    struct str error_value;                   /* shown behind it; may be empty */
    const char *warnings[CLAIM_WARNINGS_MAX]; /* codes of what was not used, or does not fit */
    size_t warning_count;
};

/* posted.c: any JSON type in any field gives an answer. */
void posted_read(const cJSON *data, const struct pack *pack, struct arena *a, struct posted *ret);
/* Where the alternatives are all elsewhere: warns of the postcode, the town, or both. */
void posted_warn_of_conflict(struct posted *p, const struct pack *pack, const struct verdict *v);

/* validate.c */
void call_validate(const struct request *req, struct response *res);
/* Appends the answer for one address, whatever `data` is. */
void validate_one(const struct request *req, const cJSON *data, struct buf *out);

/* batch.c */
void call_batch(const struct request *req, struct response *res);

#endif
