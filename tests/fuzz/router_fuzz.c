/* The router over the ballot box's own table: what is found has the method asked for, and its
 * parameters are pieces of the path. */
#include "fuzz.h"

#include "service/state.h"

void fuzz_start(void) {}

static bool is_inside(struct str part, struct str whole)
{
    return !part.ptr || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

void fuzz_input(struct arena *a, struct str input)
{
    struct str params[ROUTE_PARAMS_MAX] = {{NULL, 0}};
    struct http_request req;
    const struct route *route;
    bool known;

    if (!fuzz_request(a, input, &req))
        return;
    route = router_find(&the_service, req.method, req.path, params, &known);
    must(!route || known);
    must(!route || route->method == req.method ||
         (req.method == HTTP_HEAD && route->method == HTTP_GET));
    for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
        must(is_inside(params[i], req.path));
}
