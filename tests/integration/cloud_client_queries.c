#include "cloud_client.h"

/* ---- Queries ---- */

static void make_people(void)
{
    for (int i = 0; i < 25; i++) {
        cJSON *f = fs_fields(arena);
        fs_add_str(fs_add_map(f, "membership"), "status", i % 5 == 0 ? STR("gone") : STR("active"));
        fs_add_i64(f, "group", i / 10);
        fs_push_str(fs_add_array(f, "unions"), i % 2 == 0 ? STR("even") : STR("odd"));
        if (i == 7)
            fs_add_null(f, "email");
        else
            fs_add_str(f, "email", STR("x@example.is"));
        set(in("people", arena_printf(arena, "p%02d", i).ptr), f);
    }
}

static struct fs_query people(void)
{
    return (struct fs_query){.collection = arena_printf(arena, "people-%s", unique).ptr};
}

static size_t found(const struct fs_query *q, struct fs_document **d)
{
    size_t count = 0;
    int64_t counted = 0;
    assert_ok(firestore_query(fs, q, NULL, arena, soon(), d, &count, &error));
    assert_ok(firestore_count(fs, q, arena, soon(), &counted, &error));
    assert_int_equal(count, counted);
    return count;
}

static size_t found_where(const char *path, enum fs_operator op, const cJSON *value)
{
    struct fs_document *d = NULL;
    struct fs_query q = people();
    q.filters[0] = (struct fs_filter){path, op, value};
    q.filter_count = 1;
    return found(&q, &d);
}

static void test_query_filters_find_what_they_say(void **state)
{
    (void)state;
    make_people();
    assert_int_equal(
        found_where("membership.status", FS_EQUAL, fs_value_of_str(arena, STR("active"))), 20);
    assert_int_equal(
        found_where("membership.status", FS_NOT_EQUAL, fs_value_of_str(arena, STR("active"))), 5);
    assert_int_equal(found_where("group", FS_LESS, fs_value_of_i64(arena, 1)), 10);
    assert_int_equal(found_where("group", FS_LESS_OR_EQUAL, fs_value_of_i64(arena, 1)), 20);
    assert_int_equal(found_where("group", FS_GREATER, fs_value_of_i64(arena, 1)), 5);
    assert_int_equal(found_where("group", FS_GREATER_OR_EQUAL, fs_value_of_i64(arena, 1)), 15);
    assert_int_equal(found_where("unions", FS_ARRAY_CONTAINS, fs_value_of_str(arena, STR("odd"))),
                     12);
    cJSON *list = fs_fields(arena);
    assert_true(fs_add_json(list, "in", json_parse(arena, STR("[0,2,9]"), NULL)));
    assert_int_equal(found_where("group", FS_IN, fs_get(list, "in")), 15);
    cJSON *null = fs_fields(arena);
    fs_add_null(null, "v");
    assert_int_equal(found_where("email", FS_EQUAL, fs_get(null, "v")), 1);
    assert_int_equal(found_where("nowhere", FS_EQUAL, fs_value_of_bool(arena, true)), 0);
}

static void test_query_pages_bring_everybody_once_in_order(void **state)
{
    (void)state;
    struct fs_query q = people();
    struct fs_document *page = NULL;
    size_t count = 0;
    size_t seen = 0;
    size_t pages = 0;
    struct fs_document last;
    int64_t group = 2;
    make_people();
    q.filters[0] =
        (struct fs_filter){"membership.status", FS_EQUAL, fs_value_of_str(arena, STR("active"))};
    q.filter_count = 1;
    q.order[0].path = "group";
    q.order[0].descending = true;
    q.order[1].path = "__name__";
    q.order_count = 2;
    q.limit = 7;
    do {
        assert_ok(firestore_query(fs, &q, NULL, arena, soon(), &page, &count, &error));
        for (size_t i = 0; i < count; i++) {
            int64_t now = 0;
            assert_true(fs_get_i64(page[i].fields, "group", &now) && now <= group);
            if (seen > 0 && now == group)
                assert_true(str_cmp(last.id, page[i].id) < 0);
            group = now;
            last = page[i];
            seen++;
        }
        q.start_after = &last;
        pages++;
    } while (count == 7);
    assert_int_equal(seen, 20);
    assert_int_equal(pages, 3);
}

static void test_query_select_brings_these_fields_or_ids_only(void **state)
{
    (void)state;
    struct fs_query q = people();
    struct fs_document *d = NULL;
    make_people();
    q.limit = 2;
    q.select[0] = "membership.status";
    q.select_count = 1;
    assert_int_equal(found(&q, &d), 2);
    assert_plain(d[0].fields, "{\"membership\":{\"status\":\"gone\"}}");
    q.select[0] = "__name__";
    assert_int_equal(found(&q, &d), 2);
    assert_true(str_eq(d[0].id, STR("p00")) && str_eq(d[1].id, STR("p01")));
    assert_plain(d[0].fields, "{}");
}

static void test_query_below_a_document_and_of_all_of_a_name(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    const char *log = arena_printf(arena, "log-%s", unique).ptr;
    set(arena_printf(arena, "%s/%s/1", in("members", "a b").ptr, log), fs_fields(arena));
    set(arena_printf(arena, "%s/%s/2", in("members", "c").ptr, log), fs_fields(arena));
    struct fs_query q = {.parent = in("members", "a b"), .collection = log};
    assert_int_equal(found(&q, &d), 1);
    assert_true(str_eq(d[0].id, STR("1")));
    q = (struct fs_query){.collection = log, .all_descendants = true};
    assert_int_equal(found(&q, &d), 2);
}

int run_queries(const char *name)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_query_filters_find_what_they_say),
        PEER_TEST(test_query_pages_bring_everybody_once_in_order),
        PEER_TEST(test_query_select_brings_these_fields_or_ids_only),
        PEER_TEST(test_query_below_a_document_and_of_all_of_a_name),
    };
    return cmocka_run_group_tests_name(name, tests, open_peer, close_peer);
}
