/* router_test.c - which route a path means, and what its {…} parts are */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/state.h"

#define ROUTE(method_, path_)                                                                      \
    {                                                                                              \
        .method = method_, .path = path_, .doc = ""                                                \
    }

static const struct route routes[] = {
    ROUTE(HTTP_GET, "/things"),
    ROUTE(HTTP_GET, "/things/{id}/{what}"),
    ROUTE(HTTP_POST, "/things/{id}/{what}"),
    ROUTE(HTTP_GET, "/tree/{root}/{rest...}"),
    ROUTE(HTTP_DELETE, "/tree/{root}/{rest...}"),
};
static const struct service service = {.routes = routes, .route_count = ARRAY_LEN(routes)};

static const struct route *find(enum http_method method, const char *path,
                                struct str params[ROUTE_PARAMS_MAX], bool *ret_known)
{
    for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
        params[i] = (struct str){NULL, 0};
    return router_find(&service, method, str_from(path), params, ret_known);
}

static void assert_finds(enum http_method method, const char *path, const struct route *expected)
{
    struct str params[ROUTE_PARAMS_MAX];
    bool known;

    assert_ptr_equal(find(method, path, params, &known), expected);
    assert_int_equal(known, expected != NULL);
}

static void test_router_find_parts_are_given_in_order(void **state)
{
    struct str params[ROUTE_PARAMS_MAX];
    bool known;

    (void)state;
    assert_ptr_equal(find(HTTP_GET, "/THINGS/a%2Fb/c", params, &known), &routes[1]);
    assert_true(str_eq(params[0], STR("a%2Fb")) && str_eq(params[1], STR("c")));
    assert_finds(HTTP_GET, "/things/", &routes[0]);
    assert_finds(HTTP_HEAD, "/things", &routes[0]);
    assert_finds(HTTP_GET, "/things/a", NULL);
    assert_finds(HTTP_GET, "/things//b", NULL);
    assert_finds(HTTP_GET, "/things/a/b/c", NULL);
}

static void test_router_find_other_method_knows_the_path(void **state)
{
    struct str params[ROUTE_PARAMS_MAX];
    bool known;

    (void)state;
    assert_null(find(HTTP_PUT, "/things/a/b", params, &known));
    assert_true(known);
    assert_ptr_equal(find(HTTP_POST, "/things/a/b", params, &known), &routes[2]);
}

static void test_router_find_rest_takes_whatever_is_left(void **state)
{
    static const char *const rests[] = {"a", "a/b", "a:verb", "a/b/c:verb", "(default)/x//y"};
    struct str params[ROUTE_PARAMS_MAX];
    char path[64];
    bool known;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rests); i++) {
        snprintf(path, sizeof path, "/tree/oak/%s", rests[i]);
        assert_ptr_equal(find(HTTP_GET, path, params, &known), &routes[3]);
        assert_true(str_eq(params[0], STR("oak")) && str_eq_text(params[1], rests[i]));
    }
    assert_ptr_equal(find(HTTP_GET, "/tree/oak/a/", params, &known), &routes[3]);
    assert_true(str_eq(params[1], STR("a")));
    assert_finds(HTTP_DELETE, "/tree/oak/a/b", &routes[4]);
}

static void test_router_find_rest_needs_something(void **state)
{
    (void)state;
    assert_finds(HTTP_GET, "/tree/oak", NULL);
    assert_finds(HTTP_GET, "/tree/oak/", NULL);
    assert_finds(HTTP_GET, "/tree//a", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router_find_parts_are_given_in_order),
        cmocka_unit_test(test_router_find_other_method_knows_the_path),
        cmocka_unit_test(test_router_find_rest_takes_whatever_is_left),
        cmocka_unit_test(test_router_find_rest_needs_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
