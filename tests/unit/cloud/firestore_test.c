#include "fake_google.h"

#include "cloud/firestore_private.h"

#define ROOT "projects/p/databases/(default)/documents/"
#define TIMES                                                                                      \
    "\"createTime\":\"2026-01-01T00:00:00.000001Z\",\"updateTime\":\"2026-01-02T00:00:00Z\""

static struct firestore *fs;

static int start(void **state)
{
    fake_start(state);
    const struct firestore_config config = {
        .project_id = "p",
        .database = "(default)",
        .emulator_host = fake.host,
        .tokens = fake.tokens,
        .client = fake.client,
    };
    fs = firestore_new(&config);
    return 0;
}

static int stop(void **state)
{
    firestore_free(fs);
    return fake_stop(state);
}

#define FS_TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

static const cJSON *asked_json(size_t n)
{
    const cJSON *json = json_parse(fake.arena, str_from(fake_asked_body(n)), &fake.error);
    if (!json)
        fail_msg("request %zu: %s", n, fake.error.detail);
    return json;
}

/* ---- Get ---- */

static bool get(const char *path, struct fs_document *ret)
{
    return firestore_get(fs, str_from(path), NULL, fake.arena, soon(), ret, &fake.error);
}

static void test_firestore_get_found_document_has_all_parts(void **state)
{
    (void)state;
    struct fs_document d;
    struct str text;
    fake_says(200, "[{\"found\":{\"name\":\"" ROOT "users/u/log/x y\",\"fields\":{\"a\":{"
                   "\"stringValue\":\"b\"}}," TIMES "},\"readTime\":\"2026-01-03T00:00:00Z\"}]");
    assert_ok(get("users/u/log/x y", &d));
    assert_true(d.exists && str_eq(d.path, STR("users/u/log/x y")) && str_eq(d.id, STR("x y")));
    assert_true(fs_get_str(d.fields, "a", &text) && str_eq(text, STR("b")));
    assert_true(str_eq(d.create_time, STR("2026-01-01T00:00:00.000001Z")));
    assert_true(str_eq(d.update_time, STR("2026-01-02T00:00:00Z")));
    assert_asked(0, "POST /v1/projects/p/databases/(default)/documents:batchGet HTTP/1.1\r\n");
    assert_string_equal(fake_asked_body(0), "{\"documents\":[\"" ROOT "users/u/log/x y\"]}");
}

static void test_firestore_get_missing_is_no_error(void **state)
{
    (void)state;
    struct fs_document d;
    fake_says(200, "[{\"missing\":\"" ROOT "users/u\",\"readTime\":\"2026-01-03T00:00:00Z\"}]");
    assert_ok(get("users/u", &d));
    assert_false(d.exists);
    assert_null(d.fields);
    assert_true(str_eq(d.path, STR("users/u")));
}

static void test_firestore_get_document_without_fields_is_empty(void **state)
{
    (void)state;
    struct fs_document d;
    fake_says(200, "[{\"found\":{\"name\":\"" ROOT "users/u\"," TIMES "}}]");
    assert_ok(get("users/u", &d));
    assert_true(d.exists && cJSON_IsObject(d.fields) && !d.fields->child);
}

static void test_firestore_get_all_answers_in_the_order_asked(void **state)
{
    (void)state;
    const struct str paths[] = {STR("c/a"), STR("c/b"), STR("c/a"), STR("c/c")};
    struct fs_document d[4];
    fake_says(200, "[{\"found\":{\"name\":\"" ROOT "c/c\"," TIMES "}},{\"missing\":\"" ROOT
                   "c/b\"},{\"readTime\":\"2026-01-03T00:00:00Z\"},{\"found\":{\"name\":\"" ROOT
                   "c/a\"," TIMES "}}]");
    assert_ok(firestore_get_all(fs, paths, 4, NULL, fake.arena, soon(), d, &fake.error));
    assert_true(d[0].exists && !d[1].exists && d[2].exists && d[3].exists);
    assert_true(str_eq(d[2].id, STR("a")) && str_eq(d[3].id, STR("c")));
    assert_ok(firestore_get_all(fs, paths, 0, NULL, fake.arena, soon(), d, &fake.error));
    assert_int_equal(fake_asked_count(), 1);
}

static void test_firestore_get_answers_in_another_shape_are_bad_gateway(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{}",
        "[]",
        "[{}]",
        "[1,null,\"found\"]",
        "[{\"found\":null}]",
        "[{\"found\":{\"name\":\"" ROOT "c/a\"}}]",
        "[{\"found\":{\"name\":\"projects/q/databases/(default)/documents/c/a\"," TIMES "}}]",
        "[{\"found\":{\"name\":\"" ROOT "c/other\"," TIMES "}}]",
        "[{\"found\":{\"name\":\"" ROOT "c/a\",\"fields\":[]," TIMES "}}]",
        "[{\"missing\":7}]",
        "[{\"missing\":\"c/a\"}]",
    };
    struct fs_document d;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_forget();
        fake_says(200, bodies[i]);
        if (get("c/a", &d) || fake.error.code != ERR_BAD_GATEWAY)
            fail_msg("%s: %s", bodies[i], error_name(fake.error.code));
    }
}

static void test_firestore_get_failing_once_is_asked_again(void **state)
{
    (void)state;
    struct fs_document d;
    fake_says(503, "[{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]");
    fake_fails(FAKE_CUTS);
    fake_says(200, "[{\"missing\":\"" ROOT "c/a\"}]");
    assert_ok(get("c/a", &d));
    assert_int_equal(fake_asked_count(), 3);
}

/* ---- Commit ---- */

static bool commit_one(const struct fs_write *write)
{
    return firestore_commit(fs, write, 1, NULL, fake.arena, soon(), NULL, &fake.error);
}

static void test_firestore_commit_gives_the_update_times(void **state)
{
    (void)state;
    struct str times[2];
    const struct fs_write writes[] = {{.kind = FS_DELETE, .path = STR("c/a")},
                                      {.path = STR("c/b"), .fields = fs_fields(fake.arena)}};
    fake_says(200, "{\"writeResults\":[{},{\"updateTime\":\"2026-01-02T00:00:00Z\"}],"
                   "\"commitTime\":\"2026-01-02T00:00:00Z\"}");
    assert_ok(firestore_commit(fs, writes, 2, NULL, fake.arena, soon(), times, &fake.error));
    assert_true(str_is_empty(times[0]) && str_eq(times[1], STR("2026-01-02T00:00:00Z")));
    assert_asked(0, "/documents:commit HTTP/1.1\r\n");
    assert_string_equal(fake_asked_body(0),
                        "{\"writes\":[{\"delete\":\"" ROOT "c/a\"},{\"update\":{\"name\":\"" ROOT
                        "c/b\",\"fields\":{}}}]}");
}

static void test_firestore_commit_increment_is_never_sent_twice(void **state)
{
    (void)state;
    static const enum fake_fault faults[] = {FAKE_CLOSES, FAKE_CUTS};
    struct fs_write write = {.kind = FS_MERGE, .path = STR("c/a"), .increment = "n"};
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        fake_forget();
        fake_fails(faults[i]);
        assert_error(commit_one(&write), ERR_UNAVAILABLE);
        assert_int_equal(fake_asked_count(), 1);
    }
    fake_forget();
    fake_says(503, "{\"error\":{\"status\":\"UNAVAILABLE\"}}");
    assert_error(commit_one(&write), ERR_UNAVAILABLE);
    assert_int_equal(fake_asked_count(), 1);
    /* With a precondition that the first time makes false it may. */
    fake_forget();
    fake_fails(FAKE_CLOSES);
    fake_says(200, "{}");
    write.precondition = FS_MUST_NOT_EXIST;
    assert_ok(commit_one(&write));
    assert_int_equal(fake_asked_count(), 2);
}

static void test_firestore_commit_over_the_limit_is_not_sent(void **state)
{
    (void)state;
    fs->request_max_bytes = 200;
    cJSON *fields = fs_fields(fake.arena);
    fs_add_text(fields, "a",
                "a text that is long enough, with the rest, to go over the limit; yes");
    const struct fs_write writes[] = {{.path = STR("c/a"), .fields = fields},
                                      {.path = STR("c/b"), .fields = fields}};
    assert_error(firestore_commit(fs, writes, 2, NULL, fake.arena, soon(), NULL, &fake.error),
                 ERR_TOO_LARGE);
    assert_int_equal(fake_asked_count(), 0);
}

/* ---- Batch ---- */

static void test_firestore_batch_write_gives_each_its_verdict(void **state)
{
    (void)state;
    enum error_code errors[3];
    struct fs_write writes[3];
    for (size_t i = 0; i < 3; i++)
        writes[i] = (struct fs_write){.path = arena_printf(fake.arena, "c/%zu", i)};
    fake_says(200, "{\"writeResults\":[{},{},{}],\"status\":[{},{\"code\":6,\"message\":\"c/1\"},"
                   "{\"code\":14}]}");
    fake_says(200, "{\"writeResults\":[{}],\"status\":[{}]}");
    assert_ok(firestore_batch_write(fs, writes, 3, fake.arena, soon(), errors, &fake.error));
    assert_int_equal(errors[0], ERR_NONE);
    assert_int_equal(errors[1], ERR_CONFLICT);
    assert_int_equal(errors[2], ERR_NONE);
    /* Only what failed for now is tried again. */
    assert_int_equal(fake_asked_count(), 2);
    assert_asked(0, "/documents:batchWrite HTTP/1.1\r\n");
    assert_string_equal(fake_asked_body(1),
                        "{\"writes\":[{\"update\":{\"name\":\"" ROOT "c/2\"}}]}");
}

static void test_firestore_batch_write_chunks_by_bytes(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    enum error_code errors[COUNT];
    struct fs_write writes[COUNT];
    size_t sent = 0;
    char statuses[COUNT * 3 + 32] = "{\"status\":[{}";
    for (size_t i = 0; i < COUNT; i++)
        writes[i] = (struct fs_write){.path = arena_printf(fake.arena, "c/%zu", i)};
    for (size_t i = 1; i < COUNT; i++)
        memcpy(statuses + strlen(statuses), ",{}", 4);
    memcpy(statuses + strlen(statuses), "]}", 3);
    fake_says(200, statuses);
    fs->request_max_bytes = 400;
    assert_ok(firestore_batch_write(fs, writes, COUNT, fake.arena, soon(), errors, &fake.error));
    for (size_t n = 0; n < fake_asked_count(); n++) {
        const cJSON *one = json_get(asked_json(n), "writes")->child;
        assert_true(strlen(fake_asked_body(n)) <= 400);
        for (; one; one = one->next, sent++) {
            struct str name;
            assert_true(json_str(json_get(one, "update"), "name", &name));
            assert_true(str_ends_with(name, writes[sent].path));
        }
    }
    assert_int_equal(sent, COUNT);
    assert_true(fake_asked_count() >= 10 && fake_asked_count() < COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(errors[i], ERR_NONE);
}

static void test_firestore_batch_write_same_document_goes_later(void **state)
{
    (void)state;
    enum error_code errors[3];
    const struct fs_write writes[] = {
        {.path = STR("c/a")}, {.path = STR("c/b")}, {.kind = FS_DELETE, .path = STR("c/a")}};
    /* The first write of c/a has to be tried again: its deletion must wait for that. */
    fake_says(200, "{\"status\":[{\"code\":10},{}]}");
    fake_says(200, "{\"status\":[{}]}");
    assert_ok(firestore_batch_write(fs, writes, 3, fake.arena, soon(), errors, &fake.error));
    assert_int_equal(fake_asked_count(), 3);
    assert_string_equal(fake_asked_body(1),
                        "{\"writes\":[{\"update\":{\"name\":\"" ROOT "c/a\"}}]}");
    assert_string_equal(fake_asked_body(2), "{\"writes\":[{\"delete\":\"" ROOT "c/a\"}]}");
    assert_true(errors[0] == ERR_NONE && errors[1] == ERR_NONE && errors[2] == ERR_NONE);
}

static void test_firestore_batch_write_too_large_one_leaves_the_others(void **state)
{
    (void)state;
    enum error_code errors[2];
    cJSON *fields = fs_fields(fake.arena);
    fs->request_max_bytes = 200;
    fs_add_str(fields, "a", arena_printf(fake.arena, "%0200d", 0));
    const struct fs_write writes[] = {{.path = STR("c/a"), .fields = fields}, {.path = STR("c/b")}};
    fake_says(200, "{\"status\":[{}]}");
    assert_ok(firestore_batch_write(fs, writes, 2, fake.arena, soon(), errors, &fake.error));
    assert_int_equal(errors[0], ERR_TOO_LARGE);
    assert_int_equal(errors[1], ERR_NONE);
    assert_int_equal(fake_asked_count(), 1);
}

static void test_firestore_batch_write_nothing_heard_is_false(void **state)
{
    (void)state;
    enum error_code errors[2];
    const struct fs_write writes[] = {{.path = STR("c/a")}, {.path = STR("c/b")}};
    fake_says(503, "busy");
    assert_error(firestore_batch_write(fs, writes, 2, fake.arena, soon(), errors, &fake.error),
                 ERR_UNAVAILABLE);
    assert_true(errors[0] == ERR_UNAVAILABLE && errors[1] == ERR_UNAVAILABLE);
}

static void test_firestore_batch_write_statuses_missing_are_no_success(void **state)
{
    (void)state;
    enum error_code errors[2];
    const struct fs_write writes[] = {{.path = STR("c/a")}, {.path = STR("c/b")}};
    fake_says(200, "{\"status\":[{}]}");
    assert_ok(firestore_batch_write(fs, writes, 2, fake.arena, soon(), errors, &fake.error));
    assert_int_equal(errors[0], ERR_NONE);
    assert_int_equal(errors[1], ERR_BAD_GATEWAY);
}

/* ---- Query ---- */

static bool query(const struct fs_query *q, struct fs_document **d, size_t *count)
{
    return firestore_query(fs, q, NULL, fake.arena, soon(), d, count, &fake.error);
}

static void test_firestore_query_writes_every_part(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    size_t count = 9;
    cJSON *fields = fs_fields(fake.arena);
    fs_add_i64(fs_add_map(fields, "metadata"), "django_id", 7);
    const struct fs_document last = {.exists = true, .path = STR("members/x"), .fields = fields};
    const struct fs_query q = {
        .parent = STR("a/b c"),
        .collection = "members",
        .all_descendants = true,
        .filters = {{"membership.status", FS_EQUAL, fs_value_of_str(fake.arena, STR("active"))},
                    {"n-1", FS_GREATER_OR_EQUAL, fs_value_of_i64(fake.arena, 3)},
                    {"gone", FS_EQUAL, json_parse(fake.arena, STR("{\"nullValue\":null}"), NULL)},
                    {"ok", FS_NOT_EQUAL, fs_value_of_bool(fake.arena, true)}},
        .filter_count = 4,
        .order = {{"metadata.django_id", true}, {"__name__", true}},
        .order_count = 2,
        .limit = 51,
        .select = {"profile.name", "x y"},
        .select_count = 2,
        .start_after = &last,
    };
    fake_says(200, "[{\"readTime\":\"2026-01-01T00:00:00Z\",\"done\":true}]");
    assert_ok(query(&q, &d, &count));
    assert_int_equal(count, 0);
    assert_asked(0, "/documents/a/b%20c:runQuery HTTP/1.1\r\n");
    assert_string_equal(
        fake_asked_body(0),
        "{\"structuredQuery\":{\"from\":[{\"collectionId\":\"members\",\"allDescendants\":true}],"
        "\"where\":{\"compositeFilter\":{\"op\":\"AND\",\"filters\":["
        "{\"fieldFilter\":{\"field\":{\"fieldPath\":\"membership.status\"},\"op\":\"EQUAL\","
        "\"value\":{\"stringValue\":\"active\"}}},"
        "{\"fieldFilter\":{\"field\":{\"fieldPath\":\"`n-1`\"},\"op\":\"GREATER_THAN_OR_EQUAL\","
        "\"value\":{\"integerValue\":\"3\"}}},"
        "{\"unaryFilter\":{\"field\":{\"fieldPath\":\"gone\"},\"op\":\"IS_NULL\"}},"
        "{\"fieldFilter\":{\"field\":{\"fieldPath\":\"ok\"},\"op\":\"NOT_EQUAL\","
        "\"value\":{\"booleanValue\":true}}}]}},"
        "\"orderBy\":[{\"field\":{\"fieldPath\":\"metadata.django_id\"},\"direction\":"
        "\"DESCENDING\"},{\"field\":{\"fieldPath\":\"__name__\"},\"direction\":\"DESCENDING\"}],"
        "\"select\":{\"fields\":[{\"fieldPath\":\"profile.name\"},{\"fieldPath\":\"`x y`\"}]},"
        "\"startAt\":{\"before\":false,\"values\":[{\"integerValue\":\"7\"},"
        "{\"referenceValue\":\"" ROOT "members/x\"}]},\"limit\":51}}");
}

static void test_firestore_query_reads_documents_and_skips_the_rest(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    size_t count = 0;
    const struct fs_query q = {
        .collection = "c",
        .filters = {{"at", FS_LESS, fs_value_of_time_ms(fake.arena, 1700000000000)}},
        .filter_count = 1,
    };
    fake_says(200, "[{\"document\":{\"name\":\"" ROOT "c/a\"," TIMES
                   "}},{\"readTime\":\"2026-01-01T00:00:00Z\"},{\"document\":{\"name\":\"" ROOT
                   "c/b\",\"fields\":{\"x\":{\"booleanValue\":true}}," TIMES "}}]");
    assert_ok(query(&q, &d, &count));
    assert_int_equal(count, 2);
    assert_true(str_eq(d[0].id, STR("a")) && str_eq(d[1].id, STR("b")));
    assert_asked(0, "\"value\":{\"timestampValue\":\"2023-11-14T22:13:20.000Z\"}");
}

static void test_firestore_query_cursor_without_the_field_is_refused(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    size_t count = 0;
    const struct fs_document last = {.path = STR("c/x"), .fields = fs_fields(fake.arena)};
    const struct fs_query q = {.collection = "c",
                               .order = {{"n", false}, {"__name__", false}},
                               .order_count = 2,
                               .start_after = &last};
    assert_error(query(&q, &d, &count), ERR_BAD_REQUEST);
    assert_int_equal(fake_asked_count(), 0);
}

static void test_firestore_query_error_behind_documents_is_an_error(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    size_t count = 0;
    fake_says(200, "[{\"document\":{\"name\":\"" ROOT "c/a\"," TIMES
                   "}},{\"error\":{\"code\":400,\"status\":\"FAILED_PRECONDITION\"}}]");
    assert_error(query(&(struct fs_query){.collection = "c"}, &d, &count), ERR_FAILED_PRECONDITION);
    fake_forget();
    fake_says(200, "[{\"document\":{\"name\":\"elsewhere\"}}]");
    assert_error(query(&(struct fs_query){.collection = "c"}, &d, &count), ERR_BAD_GATEWAY);
}

static void test_firestore_query_too_long_a_parent_is_refused(void **state)
{
    (void)state;
    struct fs_document *d = NULL;
    size_t count = 0;
    char id[FS_DOCUMENT_ID_MAX_BYTES];
    memset(id, ' ', sizeof(id));
    const struct fs_query q = {.parent = arena_printf(fake.arena, "c/%.*s/d/%.*s", (int)sizeof(id),
                                                      id, (int)sizeof(id), id),
                               .collection = "c"};
    assert_error(query(&q, &d, &count), ERR_BAD_REQUEST);
}

static void test_firestore_count_reads_the_number(void **state)
{
    (void)state;
    int64_t count = 0;
    const struct fs_query q = {.collection = "c"};
    fake_says(200, "[{\"result\":{\"aggregateFields\":{\"count\":{\"integerValue\":\"12\"}}},"
                   "\"readTime\":\"2026-01-01T00:00:00Z\"}]");
    assert_ok(firestore_count(fs, &q, fake.arena, soon(), &count, &fake.error));
    assert_int_equal(count, 12);
    assert_asked(0, "/documents:runAggregationQuery HTTP/1.1\r\n");
    fake_forget();
    fake_says(200, "[{\"result\":{\"aggregateFields\":{\"count\":{\"integerValue\":\"-1\"}}}}]");
    assert_error(firestore_count(fs, &q, fake.arena, soon(), &count, &fake.error), ERR_BAD_GATEWAY);
    fake_forget();
    fake_says(200, "[]");
    assert_error(firestore_count(fs, &q, fake.arena, soon(), &count, &fake.error), ERR_BAD_GATEWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(test_firestore_get_found_document_has_all_parts),
        FS_TEST(test_firestore_get_missing_is_no_error),
        FS_TEST(test_firestore_get_document_without_fields_is_empty),
        FS_TEST(test_firestore_get_all_answers_in_the_order_asked),
        FS_TEST(test_firestore_get_answers_in_another_shape_are_bad_gateway),
        FS_TEST(test_firestore_get_failing_once_is_asked_again),
        FS_TEST(test_firestore_commit_gives_the_update_times),
        FS_TEST(test_firestore_commit_increment_is_never_sent_twice),
        FS_TEST(test_firestore_commit_over_the_limit_is_not_sent),
        FS_TEST(test_firestore_batch_write_gives_each_its_verdict),
        FS_TEST(test_firestore_batch_write_chunks_by_bytes),
        FS_TEST(test_firestore_batch_write_same_document_goes_later),
        FS_TEST(test_firestore_batch_write_too_large_one_leaves_the_others),
        FS_TEST(test_firestore_batch_write_nothing_heard_is_false),
        FS_TEST(test_firestore_batch_write_statuses_missing_are_no_success),
        FS_TEST(test_firestore_query_writes_every_part),
        FS_TEST(test_firestore_query_reads_documents_and_skips_the_rest),
        FS_TEST(test_firestore_query_cursor_without_the_field_is_refused),
        FS_TEST(test_firestore_query_error_behind_documents_is_an_error),
        FS_TEST(test_firestore_query_too_long_a_parent_is_refused),
        FS_TEST(test_firestore_count_reads_the_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
