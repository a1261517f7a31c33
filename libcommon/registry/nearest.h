/*
 * nearest.h - doors around a position
 *
 * The R-tree of the file gives boxes of neighbouring doors; the distance decides. On the scale of a
 * town the earth is flat here: the error is below one in a thousand. One thread per reader.
 */
#ifndef LIBCOMMON_REGISTRY_NEAREST_H
#define LIBCOMMON_REGISTRY_NEAREST_H

#include "registry/registry.h"

#define NEAREST_LIMIT_MAX 20
#define NEAREST_REACH_M   50000 /* further away is nowhere near */

struct nearest_door {
    uint32_t door; /* index */
    int64_t distance_m;
    double square_m2;
};

/*
 * Up to `limit` doors, nearest first (equal distances by door), within NEAREST_REACH_M. Position in
 * WGS84, 1e-8 degrees, latitude within ±89°. False when the file cannot be read.
 */
bool nearest_doors(struct registry_reader *r, int64_t latitude_e8, int64_t longitude_e8,
                   size_t limit, struct nearest_door doors[NEAREST_LIMIT_MAX], size_t *ret_count,
                   struct error *e) MUST_CHECK;

#endif
