/*
 * ranking.h - the best few of many candidates
 *
 * A candidate is one 64-bit rank, and the smaller is the better: cost first, then the door, whose
 * number is an order by itself (pack.h). Memory is the caller's. Pure functions, any thread.
 */
#ifndef LIBCOMMON_REGISTRY_RANKING_H
#define LIBCOMMON_REGISTRY_RANKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cost (16 bits) | door (32) | reading (15) | one building (1) */
#define RANK(cost, door, reading, single)                                                          \
    ((uint64_t)(cost) << 48 | (uint64_t)(door) << 16 | (uint64_t)(reading) << 1 | (single))
#define RANK_COST(rank)    ((unsigned)((rank) >> 48))
#define RANK_DOOR(rank)    ((uint32_t)((rank) >> 16))
#define RANK_READING(rank) ((size_t)((rank) >> 1 & 0x7fff))
#define RANK_SINGLE(rank)  (((rank)&1) != 0)

/* A heap of at most `capacity` ranks, the worst on top. */
struct ranking {
    uint64_t *heap;
    size_t count, capacity;
};

/* Keeps the rank when there is room, or when it is better than the worst, which goes then. */
void ranking_add(struct ranking *k, uint64_t rank);

/* The best first; no heap any more: set count to 0 before the next add. */
void ranking_sort(struct ranking *k);

#endif
