#include "fake_google.h"

#include "cloud/firestore_private.h"

#define ROOT    "projects/p/databases/(default)/documents/"
#define ABORTED "{\"error\":{\"code\":409,\"status\":\"ABORTED\"}}"
#define MISSING "[{\"missing\":\"" ROOT "c/a\"}]"

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

struct story {
    unsigned runs;
    bool writes, refuses, commits;
};

static bool body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    struct story *story = context;
    struct fs_document d;
    const struct fs_write write = {.path = STR("c/a"), .precondition = FS_MUST_NOT_EXIST};
    story->runs++;
    if (!firestore_get(fs, STR("c/a"), tx, a, soon(), &d, e))
        return false;
    if (story->refuses)
        return error_set(e, ERR_FORBIDDEN, "no");
    if (story->commits)
        return firestore_commit(fs, &write, 1, tx, a, soon(), NULL, e);
    if (story->writes)
        firestore_transaction_write(tx, &write);
    return true;
}

static bool run(struct story *story)
{
    fake.error = (struct error){.code = ERR_NONE};
    return firestore_transaction(fs, body, story, soon(), &fake.error);
}

static void assert_verbs(const char *const *verbs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_asked(i, verbs[i]);
    assert_int_equal(fake_asked_count(), count);
}

#define ASSERT_VERBS(...)                                                                          \
    assert_verbs((const char *const[]){__VA_ARGS__},                                               \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_firestore_transaction_reads_and_commits_under_its_name(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":\"T1==\"}");
    fake_says(200, MISSING);
    fake_says(200, "{\"writeResults\":[{}],\"commitTime\":\"2026-01-01T00:00:00Z\"}");
    assert_ok(run(&story));
    ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":commit ");
    assert_string_equal(fake_asked_body(0), "{\"options\":{\"readWrite\":{}}}");
    assert_string_equal(fake_asked_body(1),
                        "{\"documents\":[\"" ROOT "c/a\"],\"transaction\":\"T1==\"}");
    assert_string_equal(fake_asked_body(2),
                        "{\"writes\":[{\"update\":{\"name\":\"" ROOT "c/a\"},\"currentDocument\":{"
                        "\"exists\":false}}],\"transaction\":\"T1==\"}");
}

static void test_firestore_transaction_aborted_at_commit_runs_again_as_a_whole(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_says(409, ABORTED);
    fake_says(200, "{\"transaction\":\"T2\"}");
    fake_says(200, MISSING);
    fake_says(200, "{}");
    assert_ok(run(&story));
    assert_int_equal(story.runs, 2);
    ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":commit ", ":beginTransaction ", ":batchGet ",
                 ":commit ");
    assert_asked(3, "{\"retryTransaction\":\"T1\"}");
    assert_asked(4, "\"transaction\":\"T2\"");
    assert_asked(5, "\"transaction\":\"T2\"");
    /* One write, not that of the run before as well. */
    assert_null(strstr(strstr(fake_asked_body(5), "c/a") + 1, "c/a"));
}

static void test_firestore_transaction_aborted_at_a_read_rolls_back_and_runs_again(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(409, "[" ABORTED "]");
    fake_says(200, "{}");
    fake_says(200, "{\"transaction\":\"T2\"}");
    fake_says(200, MISSING);
    fake_says(200, "{}");
    assert_ok(run(&story));
    assert_int_equal(story.runs, 2);
    ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":rollback ", ":beginTransaction ",
                 ":batchGet ", ":commit ");
    assert_string_equal(fake_asked_body(2), "{\"transaction\":\"T1\"}");
}

static void test_firestore_transaction_body_refusing_rolls_back(void **state)
{
    (void)state;
    struct story story = {.refuses = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_says(200, "{}");
    assert_error(run(&story), ERR_FORBIDDEN);
    assert_int_equal(story.runs, 1);
    ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":rollback ");
}

static void test_firestore_transaction_roll_back_failing_changes_nothing(void **state)
{
    (void)state;
    struct story story = {.refuses = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_fails(FAKE_HANGS);
    assert_error(run(&story), ERR_FORBIDDEN);
}

static void test_firestore_transaction_refused_precondition_is_given(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_says(409, "{\"error\":{\"status\":\"ALREADY_EXISTS\"}}");
    fake_says(200, "{}");
    assert_error(run(&story), ERR_CONFLICT);
    assert_int_equal(story.runs, 1);
}

static void test_firestore_transaction_lost_commit_answer_is_settled_by_a_repeat(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_fails(FAKE_CUTS);
    fake_says(200, "{}");
    assert_ok(run(&story));
    assert_int_equal(story.runs, 1);
    assert_string_equal(fake_asked_body(2), fake_asked_body(3));
}

/* The first commit was carried out, its answer lost: the repeat is told that the transaction is
 * closed, or aborted. Another run could do everything twice. */
static void test_firestore_transaction_unknown_outcome_is_never_run_again(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        ABORTED,
        "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":\"closed\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct story story = {.writes = true};
        fake_forget();
        fake_says(200, "{\"transaction\":\"T1\"}");
        fake_says(200, MISSING);
        fake_fails(FAKE_CUTS);
        fake_says(400, refusals[i]);
        assert_error(run(&story), ERR_UNAVAILABLE);
        assert_int_equal(story.runs, 1);
        ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":commit ", ":commit ", ":rollback ");
    }
}

static void test_firestore_transaction_contention_ends_at_the_deadline(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says_step((struct fake_step){.status = 409, .body = ABORTED, .delay_ms = 100});
    int64_t deadline_ms = clock_mono_ms() + 600;
    assert_false(firestore_transaction(fs, body, &story, deadline_ms, &fake.error));
    assert_true(fake.error.code == ERR_ABORTED || fake.error.code == ERR_GATEWAY_TIMEOUT);
    assert_int_equal(story.runs, 0);
    assert_true(clock_mono_ms() < deadline_ms + PATIENCE_MS / 2);
}

static void test_firestore_transaction_begin_without_a_name_is_bad_gateway(void **state)
{
    (void)state;
    struct story story = {.writes = true};
    fake_says(200, "{\"transaction\":7}");
    assert_error(run(&story), ERR_BAD_GATEWAY);
    assert_int_equal(story.runs, 0);
}

static void test_firestore_transaction_without_writes_still_commits(void **state)
{
    (void)state;
    struct story story = {.runs = 0};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_says(200, "{}");
    assert_ok(run(&story));
    assert_string_equal(fake_asked_body(2), "{\"writes\":[],\"transaction\":\"T1\"}");
}

static void test_firestore_transaction_body_may_commit_itself(void **state)
{
    (void)state;
    struct story story = {.commits = true};
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, MISSING);
    fake_says(409, ABORTED);
    fake_says(200, "{\"transaction\":\"T2\"}");
    fake_says(200, MISSING);
    fake_says(200, "{}");
    assert_ok(run(&story));
    assert_int_equal(story.runs, 2);
    ASSERT_VERBS(":beginTransaction ", ":batchGet ", ":commit ", ":beginTransaction ", ":batchGet ",
                 ":commit ");
}

static bool large_body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    (void)context, (void)e;
    cJSON *fields = fs_fields(a);
    fs_add_str(fields, "a", arena_printf(a, "%0500d", 0));
    const struct fs_write write = {.path = STR("c/a"), .fields = fields};
    firestore_transaction_write(tx, &write);
    return true;
}

static void test_firestore_transaction_over_the_limit_is_rolled_back(void **state)
{
    (void)state;
    fs->request_max_bytes = 300;
    fake_says(200, "{\"transaction\":\"T1\"}");
    fake_says(200, "{}");
    assert_error(firestore_transaction(fs, large_body, NULL, soon(), &fake.error), ERR_TOO_LARGE);
    ASSERT_VERBS(":beginTransaction ", ":rollback ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(test_firestore_transaction_reads_and_commits_under_its_name),
        FS_TEST(test_firestore_transaction_aborted_at_commit_runs_again_as_a_whole),
        FS_TEST(test_firestore_transaction_aborted_at_a_read_rolls_back_and_runs_again),
        FS_TEST(test_firestore_transaction_body_refusing_rolls_back),
        FS_TEST(test_firestore_transaction_roll_back_failing_changes_nothing),
        FS_TEST(test_firestore_transaction_refused_precondition_is_given),
        FS_TEST(test_firestore_transaction_lost_commit_answer_is_settled_by_a_repeat),
        FS_TEST(test_firestore_transaction_unknown_outcome_is_never_run_again),
        FS_TEST(test_firestore_transaction_contention_ends_at_the_deadline),
        FS_TEST(test_firestore_transaction_begin_without_a_name_is_bad_gateway),
        FS_TEST(test_firestore_transaction_without_writes_still_commits),
        FS_TEST(test_firestore_transaction_body_may_commit_itself),
        FS_TEST(test_firestore_transaction_over_the_limit_is_rolled_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
