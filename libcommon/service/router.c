/* router.c - which route a request means; see state.h */
#include "service/state.h"

/* Paths are compared without regard to case and one trailing '/' is tolerated (contract §0). */
static struct str without_trailing_slash(struct str path)
{
    return path.len > 1 && path.ptr[path.len - 1] == '/' ? str_take(path, path.len - 1) : path;
}

/* "{rest...}" at the end of a pattern takes whatever is left of the path, '/' included. */
static bool takes_rest(struct str want)
{
    return want.ptr[0] == '{' && str_ends_with(want, STR("...}"));
}

static bool matches(const char *pattern, struct str path, struct str params[ROUTE_PARAMS_MAX])
{
    struct str rest_pattern = str_skip(str_from(pattern), 1), rest_path = str_skip(path, 1);
    struct str want, have;
    size_t n = 0;

    while (str_split(&rest_pattern, '/', &want)) {
        if (want.len > 0 && takes_rest(want)) {
            must(n < ROUTE_PARAMS_MAX && rest_pattern.ptr == NULL);
            params[n] = rest_path;
            return rest_path.len > 0;
        }
        if (!str_split(&rest_path, '/', &have))
            return false;
        if (want.len > 0 && want.ptr[0] == '{') {
            if (have.len == 0)
                return false;
            must(n < ROUTE_PARAMS_MAX);
            params[n++] = have;
        } else if (!str_eq_ci(want, have)) {
            return false;
        }
    }
    return rest_path.ptr == NULL;
}

const struct route *router_find(const struct service *service, enum http_method method,
                                struct str path, struct str params[ROUTE_PARAMS_MAX],
                                bool *ret_path_known)
{
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;

    *ret_path_known = false;
    path = without_trailing_slash(path);
    for (size_t i = 0; i < service->route_count; i++) {
        const struct route *route = &service->routes[i];

        if (!matches(route->path, path, params))
            continue;
        *ret_path_known = true;
        if (route->method == wanted)
            return route;
    }
    return NULL;
}
