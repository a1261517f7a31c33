/*
 * search.h - doors for what somebody typed
 *
 * Order of results (M-A05), always the same for the same file and text: cost of the match
 * (match.h), plus what number, letter and range add; among equals the street with more doors under
 * its name, then postcode, number, letter. Without a number every street found comes once before
 * any comes again; typing errors are forgiven only behind all true matches. One thread per reader;
 * nothing is allocated but from the arena.
 */
#ifndef LIBCOMMON_REGISTRY_SEARCH_H
#define LIBCOMMON_REGISTRY_SEARCH_H

#include "base/arena.h"
#include "registry/registry.h"

#define SEARCH_LIMIT_MAX      10000 /* of this function; services allow far less */
#define SEARCH_SUGGESTION_MAX 5

struct search_result {
    uint32_t *doors; /* indexes, best first; arena memory */
    size_t count;
    /* When nothing was found: the same without number, postcode or town. */
    uint32_t suggestions[SEARCH_SUGGESTION_MAX];
    size_t suggestion_count;
};

void search_doors(struct registry_reader *r, struct arena *a, struct str text, size_t limit,
                  struct search_result *ret);

/* What is like a name that was not found; for validation. */
void search_suggest(struct registry_reader *r, struct arena *a, struct str text,
                    struct search_result *ret);

#endif
