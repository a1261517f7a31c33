/* nearest.c - GET /nearest?lat=&lon=[&limit=]: doors around a position */
#include "search_addresses.h"

#include "registry/nearest.h"

#define LATITUDE_MAX  85.0 /* further north the registry's plane has no meaning */
#define LONGITUDE_MAX 180.0

static bool read_degrees(const struct request *req, const char *name, double max, int64_t *ret_e8)
{
    struct str text;
    double value;

    if (!request_query(req, name, &text) || text.len > 24 || !str_parse_double(text, &value) ||
        !(value >= -max && value <= max))
        return false;
    *ret_e8 = (int64_t)(value * 1e8 + (value < 0 ? -0.5 : 0.5));
    return true;
}

static void write_doors(struct buf *out, const struct pack *p, const struct nearest_door *doors,
                        size_t count)
{
    struct address address;

    buf_add_text(out, "{\"results\":[");
    for (size_t i = 0; i < count; i++) {
        address_read(p, doors[i].door, &address);
        if (i > 0)
            buf_add_char(out, ',');
        address_write(out, &address, ADDRESS_PLAIN, doors[i].distance_m);
    }
    buf_add_text(out, "]}");
}

void get_nearest(const struct request *req, struct response *res)
{
    struct nearest_door doors[NEAREST_LIMIT_MAX];
    struct registry_reader *r;
    struct error e = {0};
    int64_t latitude_e8, longitude_e8;
    size_t limit, count = 0;
    struct buf body;
    bool ok;

    if (!read_limit(req, res, NEAREST_LIMIT_DEFAULT, &limit))
        return;
    if (!read_degrees(req, "lat", LATITUDE_MAX, &latitude_e8) ||
        !read_degrees(req, "lon", LONGITUDE_MAX, &longitude_e8)) {
        registry_count(req, LOOKUP_INVALID);
        respond_error(res, ERR_BAD_REQUEST, "lat and lon must be degrees, as 64.1466 and -21.9426");
        return;
    }
    r = registry_borrow(req);
    if (is_unchanged(req, res, r)) {
        registry_release(r);
        return;
    }
    buf_init(&body, BODY_MAX_BYTES);
    ok = nearest_doors(r, latitude_e8, longitude_e8, limit, doors, &count, &e);
    write_doors(&body, r->pack, doors, count);
    registry_release(r);
    registry_count(req, count > 0 ? LOOKUP_FOUND : LOOKUP_NOTHING);
    if (ok)
        respond_text(res, 200, "application/json; charset=utf-8", buf_str(&body));
    else
        respond_failure(res, &e);
    buf_done(&body);
}
