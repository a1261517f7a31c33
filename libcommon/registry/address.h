/*
 * address.h - one door of the registry, and how it is written
 *
 * Texts belong to the index: they live as long as the reader is held. Source of the members:
 * contract members.md §3.6, §3.7.
 */
#ifndef LIBCOMMON_REGISTRY_ADDRESS_H
#define LIBCOMMON_REGISTRY_ADDRESS_H

#include "base/arena.h"
#include "registry/registry.h"

struct address {
    struct str street; /* nominative */
    int number;        /* -1: none, also of a door that is a range and has no number of its own */
    struct str letter;
    int range_from, range_to; /* 0: no range */
    struct str suffix;        /* what the registry adds to the number */
    struct str special;       /* name of the building */
    int postcode;
    struct str city;
    struct str municipality;
    bool has_position;
    int64_t latitude_e8, longitude_e8; /* WGS84, 1e-8 degrees */
    int64_t hnitnum;
    int64_t landnr; /* 0: not known */
};

/* `door` is an index of the pack. */
void address_read(const struct pack *p, uint32_t door, struct address *ret);

/* "Laugavegur 22A, 101 Reykjavík" */
struct str address_display(struct arena *a, const struct address *address);

enum address_style {
    ADDRESS_SEARCH,   /* item of a callable search */
    ADDRESS_PLAIN,    /* item of GET: postal_code is a string */
    ADDRESS_VALIDATED /* with landnr */
};
/* Appends a JSON object. `distance_m` below 0: not written. */
void address_write(struct buf *out, const struct address *address, enum address_style style,
                   int64_t distance_m);

#endif
