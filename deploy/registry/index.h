/*
 * index.h - from checked rows to the packed arrays of registry/pack.h
 *
 * Gives every name its rank, puts the rows into the order of the doors and writes the blob. One
 * thread.
 */
#ifndef DEPLOY_REGISTRY_INDEX_H
#define DEPLOY_REGISTRY_INDEX_H

#include "source.h"

struct index_name {
    uint32_t text; /* of the source */
    uint32_t doors;
};

struct index {
    struct source *source;    /* rows sorted: row i is door i */
    struct index_name *names; /* by rank */
    size_t name_count;
    struct pack_street *streets;
    size_t street_count;
    struct buf blob;
};

struct index *index_build(struct source *s);
void index_free(struct index *x);

#endif
