#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/limits.h"
#include "ops/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SALT STR("a salt of this test, of no value")

static struct arena *a;
static int sink;

static int setup(void **state)
{
    (void)state;
    encode_init();
    a = arena_new(ARENA_MAX_BYTES);
    sink = memfd_create("log", MFD_CLOEXEC);
    assert_true(sink >= 0);
    log_init("elections", LOG_DEBUG, SALT, sink);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(sink);
    arena_free(a);
    return 0;
}

/* All that was written since the last call; good until the next. */
static struct str written(void)
{
    static char text[64 * LOG_LINE_MAX_BYTES];
    ssize_t len = pread(sink, text, sizeof(text), 0);
    assert_true(len >= 0 && (size_t)len < sizeof(text));
    assert_int_equal(ftruncate(sink, 0), 0);
    assert_int_equal(lseek(sink, 0, SEEK_SET), 0);
    return str_n(text, (size_t)len);
}

/* The one line that was written, which must be strict JSON and nothing else. */
static const cJSON *read_line(void)
{
    struct error e = {0};
    struct str line = written();
    assert_true(line.len > 0 && line.len <= LOG_LINE_MAX_BYTES);
    assert_int_equal(str_find_char(line, '\n'), line.len - 1);
    const cJSON *tree = json_parse(a, line, &e);
    if (!tree)
        fail_msg("%s: %.*s", e.detail, STR_ARG(line));
    return tree;
}

static void assert_member(const cJSON *tree, const char *name, const char *expected)
{
    struct str value;
    if (!json_str(tree, name, &value) || !str_eq_text(value, expected))
        fail_msg("%s is not <%s>", name, expected);
}

static void test_log_write_any_line_has_the_fixed_keys(void **state)
{
    (void)state;
    static const char *const names[] = {"DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"};
    for (int i = 0; i <= LOG_CRITICAL; i++) {
        struct str ts;
        struct str time;
        int64_t ms = 0;
        int64_t before = clock_unix_ms();
        log_write((enum log_severity)i, "vote stored", NULL);
        const cJSON *line = read_line();
        assert_member(line, "severity", names[i]);
        assert_member(line, "service", "elections");
        assert_member(line, "message", "vote stored");
        assert_true(json_str(line, "ts", &ts));
        assert_true(json_str(line, "time", &time));
        assert_true(str_eq(ts, time));
        assert_true(clock_parse_rfc3339(ts, &ms));
        assert_in_range(ms, before, clock_unix_ms());
        assert_int_equal(cJSON_GetArraySize(line), 5);
    }
}

static void test_log_write_tagged_fields_have_their_form(void **state)
{
    (void)state;
    int64_t number = 0;
    bool yes = false;
    log_info("request", LOG_TEXT("route", STR("/api/vote")), LOG_I64("status", 201),
             LOG_I64("least", INT64_MIN), LOG_BOOL("cold", true), LOG_MILLIS("duration_ms", 12345),
             LOG_MILLIS("short_ms", 7), LOG_MILLIS("negative_ms", -1001),
             LOG_GROUP("httpRequest",
                       LOG_FIELDS(LOG_I64("status", 201), LOG_LATENCY("latency", 1000234))),
             LOG_TEXT("empty", str_from(NULL)));
    struct str text = written();
    assert_true(str_contains(text, STR("\"least\":-9223372036854775808,")));
    assert_true(str_contains(text, STR("\"duration_ms\":12.345,")));
    assert_true(str_contains(text, STR("\"short_ms\":0.007,")));
    assert_true(str_contains(text, STR("\"negative_ms\":-1.001,")));
    assert_true(str_contains(text, STR("\"empty\":\"\"}")));
    struct error e;
    const cJSON *line = json_parse(a, text, &e);
    assert_member(line, "route", "/api/vote");
    assert_true(json_i64(line, "status", &number) && number == 201);
    assert_true(json_bool(line, "cold", &yes) && yes);
    assert_true(json_i64(json_get(line, "httpRequest"), "status", &number) && number == 201);
    assert_member(json_get(line, "httpRequest"), "latency", "1.000234s");
}

static void test_log_write_kennitala_only_the_mask_comes_out(void **state)
{
    (void)state;
    log_info("member", LOG_KENNITALA("kennitala", STR("0101302989")),
             LOG_KENNITALA("hyphen", STR("010130-2989")),
             LOG_KENNITALA("wrong", STR("0101302989 Jon")), LOG_KENNITALA("none", STR("")));
    struct str text = written();
    assert_false(str_contains(text, STR("2989")));
    assert_false(str_contains(text, STR("Jon")));
    struct error e;
    const cJSON *line = json_parse(a, text, &e);
    assert_member(line, "kennitala", "010130-****");
    assert_member(line, "hyphen", "010130-****");
    assert_member(line, "wrong", "invalid");
    assert_member(line, "none", "invalid");
}

static void test_log_write_pseudonym_is_keyed_and_never_the_value(void **state)
{
    (void)state;
    char first[17];
    char second[17];
    struct str value;
    log_info("member", LOG_PSEUDONYM("uid", STR("some-firebase-uid")),
             LOG_PSEUDONYM("ip", STR("")));
    const cJSON *line = read_line();
    log_pseudonym(STR("some-firebase-uid"), first);
    assert_member(line, "uid", first);
    assert_true(cJSON_IsNull(json_get(line, "ip")));
    assert_true(json_str(line, "uid", &value) && value.len == 16 && str_is_lower_hex(value));
    log_pseudonym(STR("another"), second);
    assert_string_not_equal(first, second);
    log_init("elections", LOG_DEBUG, STR("another salt"), sink);
    log_pseudonym(STR("some-firebase-uid"), second);
    assert_string_not_equal(first, second);
    log_init("elections", LOG_DEBUG, SALT, sink);
    log_pseudonym(STR("some-firebase-uid"), second);
    assert_string_equal(first, second);
    /* Not the plain hash that anyone could compute. */
    char hex[SHA256_HEX_SIZE];
    sha256_hex(STR("some-firebase-uid"), hex);
    assert_memory_not_equal(first, hex, 16);
}

/* The pseudonym is a function of the value, whichever value the thread wrote before. */
static void test_log_pseudonym_of_any_length_after_any_other(void **state)
{
    (void)state;
    char text[80];
    memset(text, 'a', sizeof(text));
    for (size_t len = 1; len <= sizeof(text); len++) {
        char hash_hex[LOG_PSEUDONYM_SIZE];
        char pseudonym[LOG_PSEUDONYM_SIZE];
        unsigned char key[SHA256_BYTES];
        unsigned char hash[SHA256_BYTES];
        sha256(SALT, key);
        hmac_sha256(str_n(key, sizeof(key)), str_n(text, len), hash);
        hex_encode(hash, 8, hash_hex);
        for (int round = 0; round < 2; round++) {
            log_pseudonym(str_n(text, len), pseudonym);
            assert_string_equal(pseudonym, hash_hex);
        }
    }
}

/* V-F10: what looks like a number of a person but is none comes out unharmed. */
static void test_log_write_masks_leave_counters_times_and_ids_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0101302989",
        "010130-2989",
        "2025-11-21T22:32:34.657Z",
        "123e4567-e89b-12d3-a456-426614174000",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "5551234",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        log_info("id", LOG_TEXT("correlation_id", str_from(texts[i])));
        assert_member(read_line(), "correlation_id", texts[i]);
    }
    int64_t number = 0;
    log_info("count", LOG_I64("n", 1013029890), LOG_I64("ms", 1763764354657));
    const cJSON *line = read_line();
    assert_true(json_i64(line, "n", &number) && number == 1013029890);
    assert_true(json_i64(line, "ms", &number) && number == 1763764354657);
}

static void test_log_write_hostile_text_stays_one_valid_line(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char bytes[] = {'a', (char)c, (char)c, 'b'};
        if (c == 0)
            continue; /* U+0000 is refused by our own strict reader, see below */
        log_info("user agent", LOG_TEXT("agent", str_n(bytes, sizeof(bytes))));
        read_line();
    }
    static const char *const texts[] = {
        "\",\"severity\":\"DEBUG\",\"x\":\"",
        "\\\",\"admin\":true,\"x\":\"",
        "line one\r\n{\"severity\":\"INFO\"}\n",
        "\x1b[2J\x1b]0;title\x07",
        "\xE2\x80\xA8\xE2\x80\xA9 \xE2\x80\xAE\xE2\x80\xAC",
        "\xF0\x9F\x98\x80\xF0\x9F",
        "%s%n%x",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        log_warning("agent", LOG_TEXT("agent", str_from(texts[i])));
        const cJSON *line = read_line();
        assert_member(line, "severity", "WARNING");
        assert_int_equal(cJSON_GetArraySize(line), 6);
        assert_null(json_get(line, "admin"));
    }
    log_info("agent", LOG_TEXT("agent", STR("a\0b")));
    struct str text = written();
    assert_int_equal(str_find_char(text, '\0'), text.len);
    assert_true(str_contains(text, STR("\"agent\":\"a\\u0000b\"}\n")));
}

static void test_log_write_group_too_long_goes_whole(void **state)
{
    (void)state;
    static char text[LOG_LINE_MAX_BYTES];
    bool cut = false;
    memset(text, 'x', sizeof(text));
    log_info("x", LOG_GROUP("empty", LOG_FIELDS({.type = LOG_FIELD_END})),
             LOG_GROUP("httpRequest", LOG_FIELDS(LOG_I64("status", 201),
                                                 LOG_TEXT("url", str_n(text, sizeof(text))))));
    const cJSON *line = read_line();
    assert_int_equal(cJSON_GetArraySize(json_get(line, "empty")), 0);
    assert_null(json_get(line, "httpRequest"));
    assert_true(json_bool(line, "truncated", &cut) && cut);
}

static void test_log_write_too_long_line_loses_last_fields_not_its_form(void **state)
{
    (void)state;
    static char text[2 * LOG_LINE_MAX_BYTES];
    for (size_t len = LOG_LINE_MAX_BYTES - 400; len < LOG_LINE_MAX_BYTES + 10; len++) {
        bool cut = false;
        memset(text, 'x', len);
        log_info("long", LOG_I64("first", 1), LOG_TEXT("long", str_n(text, len)),
                 LOG_I64("last", 2));
        const cJSON *line = read_line();
        assert_non_null(json_get(line, "first"));
        json_bool(line, "truncated", &cut);
        assert_int_equal(cut, json_get(line, "last") == NULL);
        if (!json_get(line, "long"))
            assert_true(cut);
        arena_reset(a);
    }
    memset(text, '\x01', sizeof(text));
    log_info("long", LOG_TEXT("long", str_n(text, sizeof(text))));
    assert_true(cJSON_IsTrue(json_get(read_line(), "truncated")));
    text[sizeof(text) - 1] = '\0';
    log_write(LOG_INFO, text, NULL);
    read_line();
}

static void test_log_write_below_the_least_severity_is_silent(void **state)
{
    (void)state;
    log_init("elections", LOG_WARNING, SALT, sink);
    log_write(LOG_NOTICE, "quiet", NULL);
    assert_int_equal(written().len, 0);
    log_write(LOG_WARNING, "heard", NULL);
    assert_member(read_line(), "message", "heard");
    /* V-F1: the start-up line comes out whatever the level is. */
    log_init("elections", LOG_CRITICAL, SALT, sink);
    assert_true(log_self_check());
    assert_member(read_line(), "severity", "NOTICE");
    log_init("elections", LOG_DEBUG, SALT, sink);
}

static void test_log_init_without_a_key_still_hides_values(void **state)
{
    (void)state;
    char mine[17];
    char fixed[17];
    log_init("elections", LOG_DEBUG, SALT, sink);
    log_pseudonym(STR("uid"), fixed);
    pid_t child = fork();
    if (child == 0) {
        char other[17];
        log_init("elections", LOG_DEBUG, str_from(NULL), sink);
        log_pseudonym(STR("uid"), mine);
        log_pseudonym(STR("uid"), other);
        _exit(strcmp(mine, fixed) == 0 || strcmp(mine, other) != 0 ? 1 : 0);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_log_self_check_full_disk_is_told_and_counted(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    uint64_t lost = log_lines_lost();
    assert_true(full >= 0);
    log_init("elections", LOG_DEBUG, SALT, full);
    assert_false(log_self_check());
    log_write(LOG_ERROR, "nobody hears", NULL);
    assert_int_equal(log_lines_lost(), lost + 2);
    close(full);
    log_init("elections", LOG_DEBUG, SALT, sink);
    assert_true(log_self_check());
    assert_int_equal(log_lines_lost(), lost + 2);
    written();
}

static void test_log_write_reader_gone_does_not_end_the_process(void **state)
{
    (void)state;
    int ends[2];
    uint64_t lost = log_lines_lost();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    log_init("elections", LOG_DEBUG, SALT, ends[1]);
    close(ends[0]);
    log_write(LOG_ERROR, "nobody hears", NULL);
    assert_int_equal(log_lines_lost(), lost + 1);
    close(ends[1]);
    log_init("elections", LOG_DEBUG, SALT, -1);
    assert_false(log_self_check());
    log_init("elections", LOG_DEBUG, SALT, sink);
}

/* A full pipe that does not block takes a part of a long line; the next line starts afresh. */
static void test_log_write_cut_line_does_not_spoil_the_next_one(void **state)
{
    (void)state;
    static char text[LOG_LINE_MAX_BYTES - 500];
    static char drained[1U << 20];
    int ends[2];
    uint64_t lost = log_lines_lost();
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
    log_init("elections", LOG_DEBUG, SALT, ends[1]);
    memset(text, 'x', sizeof(text));
    while (log_lines_lost() == lost)
        log_info("long", LOG_TEXT("text", str_n(text, sizeof(text))));
    ssize_t len = read(ends[0], drained, sizeof(drained));
    assert_true(len > 0);
    assert_int_not_equal(drained[len - 1], '\n');
    log_write(LOG_INFO, "next", NULL);
    len = read(ends[0], drained, sizeof(drained));
    assert_true(len > 1 && drained[0] == '\n' && drained[len - 1] == '\n');
    assert_true(json_check(str_n(drained, (size_t)len), NULL));
    log_init("elections", LOG_DEBUG, SALT, sink);
    close(ends[0]);
    close(ends[1]);
}

#define THREADS          4
#define LINES_PER_THREAD 500

static void *write_lines(void *arg)
{
    static char text[6000]; /* more than PIPE_BUF, where the kernel would mix lines */
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < LINES_PER_THREAD; i++) {
        if (i % 3 == 0)
            log_info("long", LOG_TEXT("text", str_n(text, sizeof(text))));
        else
            log_info("short", LOG_I64("i", i));
    }
    return arg;
}

struct drain {
    int fd;
    struct buf text;
};

static void *drain_pipe(void *arg)
{
    struct drain *drain = arg;
    char piece[3000];
    ssize_t len;
    while ((len = read(drain->fd, piece, sizeof(piece))) > 0)
        buf_add(&drain->text, str_n(piece, (size_t)len));
    return NULL;
}

static void test_log_write_lines_of_several_threads_never_mix(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    pthread_t reader;
    struct drain drain;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    drain.fd = ends[0];
    buf_init(&drain.text, 64U << 20);
    log_init("elections", LOG_DEBUG, SALT, ends[1]);
    assert_int_equal(pthread_create(&reader, NULL, drain_pipe, &drain), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_init("elections", LOG_DEBUG, SALT, sink);
    close(ends[1]);
    pthread_join(reader, NULL);
    close(ends[0]);
    struct str rest = buf_str(&drain.text);
    struct str line;
    int lines = 0;
    while (str_split(&rest, '\n', &line) && line.len) {
        assert_true(json_check(line, NULL));
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES_PER_THREAD);
    buf_done(&drain.text);
}

static void test_log_severity_parse_names_of_cloud_logging_only(void **state)
{
    (void)state;
    enum log_severity severity = LOG_DEBUG;
    assert_true(log_severity_parse(STR("warning"), &severity));
    assert_int_equal(severity, LOG_WARNING);
    assert_true(log_severity_parse(STR("CRITICAL"), &severity));
    assert_int_equal(severity, LOG_CRITICAL);
    assert_false(log_severity_parse(STR("warn"), &severity));
    assert_false(log_severity_parse(STR(""), &severity));
    assert_false(log_severity_parse(STR("FATAL"), &severity));
    assert_int_equal(severity, LOG_CRITICAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_write_any_line_has_the_fixed_keys),
        cmocka_unit_test(test_log_write_tagged_fields_have_their_form),
        cmocka_unit_test(test_log_write_kennitala_only_the_mask_comes_out),
        cmocka_unit_test(test_log_write_pseudonym_is_keyed_and_never_the_value),
        cmocka_unit_test(test_log_pseudonym_of_any_length_after_any_other),
        cmocka_unit_test(test_log_write_masks_leave_counters_times_and_ids_alone),
        cmocka_unit_test(test_log_write_hostile_text_stays_one_valid_line),
        cmocka_unit_test(test_log_write_group_too_long_goes_whole),
        cmocka_unit_test(test_log_write_too_long_line_loses_last_fields_not_its_form),
        cmocka_unit_test(test_log_write_below_the_least_severity_is_silent),
        cmocka_unit_test(test_log_init_without_a_key_still_hides_values),
        cmocka_unit_test(test_log_self_check_full_disk_is_told_and_counted),
        cmocka_unit_test(test_log_write_reader_gone_does_not_end_the_process),
        cmocka_unit_test(test_log_write_cut_line_does_not_spoil_the_next_one),
        cmocka_unit_test(test_log_write_lines_of_several_threads_never_mix),
        cmocka_unit_test(test_log_severity_parse_names_of_cloud_logging_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
