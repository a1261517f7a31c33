/* nearest.c - a box that grows until it holds enough */
#include "registry/nearest.h"

#include <sqlite3.h>

#define METRES_PER_DEGREE 111195.0 /* of a great circle, mean radius 6371 km */
#define FIRST_REACH_M     100.0
#define REACH_FACTOR      4.0

struct nearness {
    struct registry_reader *reader;
    int64_t latitude_e8, longitude_e8;
    double cosine;
    size_t limit, count;
    struct nearest_door *doors;
};

/* Enough for latitudes that have doors: the first term left out is 2e-6 at 68 degrees. */
static double cosine_of(double degrees)
{
    double x = degrees * 0.017453292519943295, y = x * x;

    return 1 - y / 2 * (1 - y / 12 * (1 - y / 30 * (1 - y / 56 * (1 - y / 90))));
}

static int64_t root(double square)
{
    int64_t low = 0, high = 20000000;

    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;

        if ((double)middle * (double)middle <= square)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static double square_distance(const struct nearness *n, int64_t latitude_e8, int64_t longitude_e8)
{
    double y = (double)(latitude_e8 - n->latitude_e8) * 1e-8 * METRES_PER_DEGREE;
    double x = (double)(longitude_e8 - n->longitude_e8) * 1e-8 * METRES_PER_DEGREE * n->cosine;

    return x * x + y * y;
}

static bool is_nearer(const struct nearest_door *a, const struct nearest_door *b)
{
    return a->square_m2 < b->square_m2 || (a->square_m2 <= b->square_m2 && a->door < b->door);
}

static void consider(struct nearness *n, uint32_t door, double square)
{
    struct nearest_door new = {.door = door, .square_m2 = square};
    size_t at = n->count;

    while (at > 0 && is_nearer(&new, &n->doors[at - 1]))
        at--;
    if (at == n->limit)
        return;
    n->count += n->count < n->limit;
    for (size_t i = n->count - 1; i > at; i--)
        n->doors[i] = n->doors[i - 1];
    n->doors[at] = new;
}

static void consider_box(struct nearness *n, int64_t first, int64_t doors)
{
    const struct pack *p = n->reader->pack;

    for (int64_t id = first > 1 ? first : 1; id < first + doors && id <= p->door_count; id++) {
        const struct pack_detail *detail = &p->details[id - 1];

        if (detail->latitude != PACK_NO_POSITION)
            consider(n, (uint32_t)(id - 1),
                     square_distance(n, PACK_LATITUDE_E8 + detail->latitude,
                                     PACK_LONGITUDE_E8 + detail->longitude));
    }
}

/* All doors within `reach_m` and some more. */
static bool look_within(struct nearness *n, double reach_m, struct error *e)
{
    sqlite3_stmt *q = n->reader->boxes;
    int64_t high = (int64_t)(reach_m / METRES_PER_DEGREE * 1e7) + 2;
    int64_t wide = (int64_t)(reach_m / METRES_PER_DEGREE / n->cosine * 1e7) + 2;
    bool ok;
    int step;

    n->count = 0;
    sqlite3_bind_int64(q, 1, n->latitude_e8 / 10 - high);
    sqlite3_bind_int64(q, 2, n->latitude_e8 / 10 + high);
    sqlite3_bind_int64(q, 3, n->longitude_e8 / 10 - wide);
    sqlite3_bind_int64(q, 4, n->longitude_e8 / 10 + wide);
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        consider_box(n, sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1));
    sqlite3_reset(q);
    ok =
        step == SQLITE_DONE || error_set(e, ERR_INTERNAL, "registry boxes: SQLite result %d", step);
    while (n->count > 0 && n->doors[n->count - 1].square_m2 > reach_m * reach_m)
        n->count--;
    return ok;
}

bool nearest_doors(struct registry_reader *r, int64_t latitude_e8, int64_t longitude_e8,
                   size_t limit, struct nearest_door doors[NEAREST_LIMIT_MAX], size_t *ret_count,
                   struct error *e)
{
    struct nearness n = {
        .reader = r,
        .latitude_e8 = latitude_e8,
        .longitude_e8 = longitude_e8,
        .cosine = cosine_of((double)latitude_e8 * 1e-8),
        .limit = limit < NEAREST_LIMIT_MAX ? limit : NEAREST_LIMIT_MAX,
        .doors = doors,
    };
    double reach = FIRST_REACH_M;
    bool ok;

    must(limit > 0 && latitude_e8 <= 8900000000 && latitude_e8 >= -8900000000);
    do {
        ok = look_within(&n, reach, e);
        if (n.count == n.limit || reach >= NEAREST_REACH_M)
            break;
        reach = reach * REACH_FACTOR < NEAREST_REACH_M ? reach * REACH_FACTOR : NEAREST_REACH_M;
    } while (ok);
    for (size_t i = 0; i < n.count; i++)
        doors[i].distance_m = root(doors[i].square_m2);
    *ret_count = n.count;
    return ok;
}
