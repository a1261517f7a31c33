/* ranking.c - a heap of 64-bit ranks */
#include "registry/ranking.h"

#include <stdlib.h>
#include <string.h>

static void sift_down(struct ranking *k)
{
    size_t at = 0;
    uint64_t moved = k->heap[0];

    for (size_t child = 1; child < k->count; child = 2 * at + 1) {
        if (child + 1 < k->count && k->heap[child + 1] > k->heap[child])
            child++;
        if (moved >= k->heap[child])
            break;
        k->heap[at] = k->heap[child];
        at = child;
    }
    k->heap[at] = moved;
}

void ranking_add(struct ranking *k, uint64_t rank)
{
    size_t at;

    if (k->count == k->capacity) {
        if (rank < k->heap[0]) {
            k->heap[0] = rank;
            sift_down(k);
        }
        return;
    }
    at = k->count++;
    while (at > 0 && k->heap[(at - 1) / 2] < rank) {
        k->heap[at] = k->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    k->heap[at] = rank;
}

static int by_rank(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

void ranking_sort(struct ranking *k)
{
    if (k->count > 1)
        qsort(k->heap, k->count, sizeof *k->heap, by_rank);
}
