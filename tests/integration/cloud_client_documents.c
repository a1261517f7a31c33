#include "cloud_client.h"

/* ---- Documents ---- */

static void test_set_and_get_every_type_comes_back(void **state)
{
    (void)state;
    cJSON *f = fs_fields(arena);
    int64_t number = 0;
    double real = 0;
    fs_add_str(f, "text", STR("Þórður \"x\" \\ \n/"));
    fs_add_i64(f, "least", INT64_MIN);
    fs_add_i64(f, "most", INT64_MAX);
    fs_add_double(f, "real", -21.9426);
    fs_add_double(f, "nan", __builtin_nan(""));
    fs_add_bool(f, "yes", true);
    fs_add_null(f, "none");
    fs_add_time_ms(f, "at", 1700000000123);
    fs_add_str(fs_add_map(fs_add_map(f, "odd name"), "a.b`c\\d"), "é", STR("deep"));
    (void)fs_add_map(f, "empty");
    (void)fs_add_array(f, "void");
    fs_push_str(fs_add_array(f, "list"), STR("one"));
    set(in("types", "a b:æ\"\\%2F"), f);
    struct fs_document d = get(in("types", "a b:æ\"\\%2F"));
    assert_true(d.exists && str_eq(d.id, STR("a b:æ\"\\%2F")));
    assert_true(fs_get_i64(d.fields, "least", &number) && number == INT64_MIN);
    assert_true(fs_get_i64(d.fields, "most", &number) && number == INT64_MAX);
    assert_true(fs_get_time_ms(d.fields, "at", &number) && number == 1700000000123);
    assert_true(fs_get_double(d.fields, "nan", &real) && __builtin_isnan(real));
    assert_true(fs_get_double(d.fields, "real", &real) && real < -21.9425 && real > -21.9427);
    assert_plain(d.fields,
                 "{\"text\":\"Þórður \\\"x\\\" \\\\ \\n/\",\"least\":\"-9223372036854775808\","
                 "\"most\":\"9223372036854775807\",\"real\":-21.9426,\"nan\":\"NaN\",\"yes\":true,"
                 "\"none\":null,\"at\":\"2023-11-14T22:13:20.123Z\","
                 "\"odd name\":{\"a.b`c\\\\d\":{\"é\":\"deep\"}},\"empty\":{},\"void\":[],"
                 "\"list\":[\"one\"]}");
}

static void test_get_missing_is_no_error(void **state)
{
    (void)state;
    assert_false(get(in("nothing", "here")).exists);
}

static void test_get_all_keeps_the_order_with_gaps_and_twins(void **state)
{
    (void)state;
    struct fs_document d[4];
    set(in("c", "x"), fs_fields(arena));
    set(in("c", "y"), fs_fields(arena));
    const struct str paths[] = {in("c", "y"), in("c", "no"), in("c", "x"), in("c", "y")};
    assert_ok(firestore_get_all(fs, paths, 4, NULL, arena, soon(), d, &error));
    assert_true(d[0].exists && !d[1].exists && d[2].exists && d[3].exists);
    assert_true(str_eq(d[0].id, STR("y")) && str_eq(d[2].id, STR("x")));
}

static cJSON *sample(void)
{
    cJSON *f = fs_fields(arena);
    cJSON *m = fs_add_map(f, "m");
    fs_add_i64(m, "a", 1);
    fs_add_i64(m, "b c", 2);
    fs_add_bool(f, "kept", true);
    return f;
}

static void test_set_replaces_the_whole_document(void **state)
{
    (void)state;
    set(in("c", "x"), sample());
    set(in("c", "x"), fs_fields(arena));
    assert_plain(get(in("c", "x")).fields, "{}");
}

static void test_merge_touches_its_leaves_only(void **state)
{
    (void)state;
    cJSON *f = fs_fields(arena);
    cJSON *m = fs_add_map(f, "m");
    fs_add_i64(m, "b c", 3);
    fs_add_str(fs_add_map(m, "n.o"), "p", STR("q"));
    set(in("c", "x"), sample());
    const struct fs_write write = {.kind = FS_MERGE, .path = in("c", "x"), .fields = f};
    assert_ok(commit(&write, 1));
    assert_plain(get(in("c", "x")).fields,
                 "{\"m\":{\"a\":1,\"b c\":3,\"n.o\":{\"p\":\"q\"}},\"kept\":true}");
}

static void test_merge_path_without_value_deletes_the_field(void **state)
{
    (void)state;
    cJSON *f = fs_fields(arena);
    fs_add_i64(f, "new", 5);
    fs_add_i64(f, "not in the mask", 6);
    set(in("c", "x"), sample());
    const struct str mask[] = {STR("new"), STR("m.b c"), STR("m.never")};
    const struct fs_write write = {
        .kind = FS_MERGE, .path = in("c", "x"), .fields = f, .mask = mask, .mask_count = 3};
    assert_ok(commit(&write, 1));
    assert_plain(get(in("c", "x")).fields, "{\"m\":{\"a\":1},\"kept\":true,\"new\":5}");
}

static void test_merge_into_nothing_creates_the_document(void **state)
{
    (void)state;
    const struct fs_write write = {.kind = FS_MERGE, .path = in("c", "x"), .fields = sample()};
    assert_ok(commit(&write, 1));
    assert_plain(get(in("c", "x")).fields, "{\"m\":{\"a\":1,\"b c\":2},\"kept\":true}");
}

static void test_transforms_server_time_and_increment(void **state)
{
    (void)state;
    struct fs_document d;
    int64_t at = 0;
    int64_t n = 0;
    struct fs_write write = {.kind = FS_MERGE,
                             .path = in("c", "x"),
                             .server_times = {"at", "m.last seen"},
                             .increment = "n",
                             .increment_by = 3};
    for (int i = 0; i < 2; i++)
        assert_ok(commit(&write, 1));
    d = get(in("c", "x"));
    assert_true(fs_get_i64(d.fields, "n", &n) && n == 6);
    assert_true(fs_get_time_ms(d.fields, "m.last seen", &at));
    assert_true(llabs(clock_unix_ms() - at) < PATIENCE_MS);
    assert_true(fs_get_time_ms(d.fields, "at", &at));
}

static void test_preconditions_hold(void **state)
{
    (void)state;
    struct fs_write write = {
        .path = in("c", "x"), .fields = fs_fields(arena), .precondition = FS_MUST_EXIST};
    assert_error(commit(&write, 1), ERR_NOT_FOUND);
    write.precondition = FS_MUST_NOT_EXIST;
    assert_ok(commit(&write, 1));
    assert_error(commit(&write, 1), ERR_CONFLICT);
    write.precondition = FS_MUST_EXIST;
    assert_ok(commit(&write, 1));
}

static void test_update_time_guards_against_others(void **state)
{
    (void)state;
    struct str times[1];
    struct fs_write write = {.path = in("c", "x"), .fields = sample()};
    assert_ok(firestore_commit(fs, &write, 1, NULL, arena, soon(), times, &error));
    assert_true(str_eq(get(in("c", "x")).update_time, times[0]));
    write.precondition = FS_UPDATE_TIME;
    write.update_time = times[0];
    write.fields = fs_fields(arena);
    struct str later[1];
    assert_ok(firestore_commit(fs, &write, 1, NULL, arena, soon(), later, &error));
    assert_error(commit(&write, 1), ERR_FAILED_PRECONDITION);
    const struct fs_write erase = {.kind = FS_DELETE,
                                   .path = in("c", "x"),
                                   .precondition = FS_UPDATE_TIME,
                                   .update_time = later[0]};
    assert_ok(commit(&erase, 1));
    assert_false(get(in("c", "x")).exists);
}

static void test_commit_is_all_or_nothing(void **state)
{
    (void)state;
    const struct fs_write writes[] = {
        {.path = in("c", "x"), .fields = fs_fields(arena)},
        {.kind = FS_DELETE, .path = in("c", "never"), .precondition = FS_MUST_EXIST},
    };
    assert_error(commit(writes, 2), ERR_NOT_FOUND);
    assert_false(get(in("c", "x")).exists);
}

static void test_commit_bad_argument_is_bad_request(void **state)
{
    (void)state;
    const struct fs_write write = {.kind = FS_DELETE,
                                   .path = in("c", "x"),
                                   .precondition = FS_UPDATE_TIME,
                                   .update_time = STR("yesterday")};
    assert_error(commit(&write, 1), ERR_BAD_REQUEST);
}

/* What a portal's user may have stored reads, whatever it is. */
static void test_get_stored_nul_is_replaced(void **state)
{
    (void)state;
    const struct http_header headers[] = {{STR("Authorization"), STR("Bearer owner")},
                                          {STR("Content-Type"), STR("application/json")}};
    struct http_answer *answer = ARENA_NEW(arena, struct http_answer);
    struct str text;
    const struct http_call call = {
        .method = HTTP_POST,
        .url = arena_printf(
            arena, "http://%s/v1/projects/demo-ekklesia/databases/(default)/documents:commit",
            peer_host),
        .headers = headers,
        .header_count = 2,
        .body = arena_printf(arena,
                             "{\"writes\":[{\"update\":{\"name\":\"projects/demo-ekklesia/databases"
                             "/(default)/documents/%s\",\"fields\":{\"a\":{\"stringValue\":"
                             "\"x\\u0000y\"}}}}]}",
                             in("c", "x").ptr),
        .deadline_ms = soon(),
    };
    assert_ok(http_client_call(client, &call, arena, answer, NULL, &error));
    if (answer->status != 200) {
        print_message("this peer does not store a NUL\n");
        skip();
    }
    assert_true(fs_get_str(get(in("c", "x")).fields, "a", &text));
    assert_string_equal(text.ptr, "x\xEF\xBF\xBDy");
}

/* ---- Batches ---- */

static void test_batch_write_thousand_documents_get_there(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct fs_write *writes = arena_alloc_array(arena, COUNT, sizeof(*writes));
    enum error_code *errors = arena_alloc_array(arena, COUNT, sizeof(*errors));
    int64_t count = 0;
    set(in("many", "500"), fs_fields(arena));
    for (size_t i = 0; i < COUNT; i++) {
        cJSON *f = fs_fields(arena);
        fs_add_i64(f, "n", (int64_t)i);
        writes[i] = (struct fs_write){.path = in("many", arena_printf(arena, "%zu", i).ptr),
                                      .fields = f,
                                      .precondition = FS_MUST_NOT_EXIST};
    }
    assert_ok(firestore_batch_write(fs, writes, COUNT, arena, soon(), errors, &error));
    for (size_t i = 0; i < COUNT; i++) {
        if (errors[i] != (i == 500 ? ERR_CONFLICT : ERR_NONE))
            fail_msg("%zu: %s", i, error_name(errors[i]));
    }
    const struct fs_query q = {.collection = arena_printf(arena, "many-%s", unique).ptr};
    assert_ok(firestore_count(fs, &q, arena, soon(), &count, &error));
    assert_int_equal(count, COUNT);
}

static void test_batch_write_goes_in_requests_that_fit(void **state)
{
    (void)state;
    enum { COUNT = 24, BYTES = 500000 };
    struct fs_write writes[COUNT];
    enum error_code errors[COUNT];
    char *text = arena_alloc(arena, BYTES);
    memset(text, 'x', BYTES);
    for (size_t i = 0; i < COUNT; i++) {
        cJSON *f = fs_fields(arena);
        fs_add_str(f, "text", str_n(text, BYTES));
        writes[i] =
            (struct fs_write){.path = in("big", arena_printf(arena, "%zu", i).ptr), .fields = f};
    }
    assert_ok(firestore_batch_write(fs, writes, COUNT, arena, soon(), errors, &error));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(errors[i], ERR_NONE);
    assert_true(get(in("big", "23")).exists);
}

int run_documents(const char *name)
{
    const struct CMUnitTest tests[] = {
        PEER_TEST(test_set_and_get_every_type_comes_back),
        PEER_TEST(test_get_missing_is_no_error),
        PEER_TEST(test_get_all_keeps_the_order_with_gaps_and_twins),
        PEER_TEST(test_set_replaces_the_whole_document),
        PEER_TEST(test_merge_touches_its_leaves_only),
        PEER_TEST(test_merge_path_without_value_deletes_the_field),
        PEER_TEST(test_merge_into_nothing_creates_the_document),
        PEER_TEST(test_transforms_server_time_and_increment),
        PEER_TEST(test_preconditions_hold),
        PEER_TEST(test_update_time_guards_against_others),
        PEER_TEST(test_commit_is_all_or_nothing),
        PEER_TEST(test_commit_bad_argument_is_bad_request),
        PEER_TEST(test_get_stored_nul_is_replaced),
        PEER_TEST(test_batch_write_thousand_documents_get_there),
        PEER_TEST(test_batch_write_goes_in_requests_that_fit),
    };
    return cmocka_run_group_tests_name(name, tests, open_peer, close_peer);
}
