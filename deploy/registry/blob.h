/*
 * blob.h - writing the packed arrays: what blob.c and places.c share
 */
#ifndef DEPLOY_REGISTRY_BLOB_H
#define DEPLOY_REGISTRY_BLOB_H

#include "base/arena.h"
#include "index.h"

#define BLOB_MAX_BYTES (512u << 20)

struct writer {
    struct index *x;
    struct arena *arena;
    struct buf parts[PART_COUNT];
};

/* Fills x->blob from the sorted rows. */
void blob_write(struct index *x);

/* Towns, regions, municipalities and postcodes. */
void places_write(struct writer *w);

void writer_put(struct writer *w, enum pack_part part, const void *item, size_t bytes);
uint32_t writer_put_text(struct writer *w, struct str text);
/* The key or spelling of a text, in the arena. */
struct str writer_folded(struct writer *w, struct str text, bool (*fold)(struct str, struct buf *));

#endif
