/* Opening, refusing, lending and replacing registry files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

static int set_up(void **state)
{
    if (make_scratch(state) != 0)
        return -1;
    registry_close(open_fixture(1));
    return 0;
}

/* A copy of the fixture's file to spoil. */
static char *slurp(const char *path, size_t *ret_len)
{
    FILE *in = fopen(path, "re");
    char *data = malloc(1 << 20);

    must(in && data);
    *ret_len = fread(data, 1, 1 << 20, in);
    (void)fclose(in);
    return data;
}

static void spill(const char *path, const char *data, size_t len)
{
    FILE *out = fopen(path, "we");

    must(out && fwrite(data, 1, len, out) == len);
    must(fclose(out) == 0);
}

static void refuses(const char *path, const char *reason)
{
    struct error e = {0};
    struct registry *r = registry_open(path, 1, &e);

    assert_null(r);
    assert_int_equal(e.code, ERR_INTERNAL);
    if (!strstr(e.detail, reason))
        fail_msg("\"%s\" instead of \"%s\"", e.detail, reason);
}

static void test_registry_open_missing_file_says_so(void **state)
{
    (void)state;
    refuses(scratch("none.db"), "No such file");
    refuses("", "no name");
    refuses(fixture_dir, "not an SQLite file");
}

static void test_registry_open_foreign_files_say_so(void **state)
{
    sqlite3 *db = NULL;

    (void)state;
    spill(scratch("text.db"),
          "PK\x03\x04 something else, and long enough to be read as a header"
          "................................................................",
          120);
    refuses(scratch("text.db"), "not an SQLite file");
    spill(scratch("empty.db"), "", 0);
    refuses(scratch("empty.db"), "not an SQLite file");
    assert_int_equal(sqlite3_open(scratch("other.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    refuses(scratch("other.db"), "of something else");
}

static void test_registry_open_every_truncation_is_refused(void **state)
{
    size_t len;
    char *data = slurp(scratch("fixture.db"), &len);

    (void)state;
    for (size_t cut = 0; cut < len; cut += 4096 / 3) {
        struct error e = {0};

        spill(scratch("cut.db"), data, cut);
        assert_null(registry_open(scratch("cut.db"), 1, &e));
    }
    spill(scratch("cut.db"), data, len - 4096);
    refuses(scratch("cut.db"), "truncated");
    free(data);
}

static void test_registry_open_other_version_says_so(void **state)
{
    size_t len;
    char *data = slurp(scratch("fixture.db"), &len);

    (void)state;
    data[63] = 9; /* user_version */
    spill(scratch("version.db"), data, len);
    refuses(scratch("version.db"), "version 9");
    free(data);
}

/* Whatever bits fall over, the file is refused or read; it never brings the process down. */
static void test_registry_open_damaged_bytes_never_crash(void **state)
{
    size_t len;
    char *data = slurp(scratch("fixture.db"), &len);
    uint64_t seed = 7;
    size_t refused = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct error e = {0};
        struct registry *r;
        size_t at;
        char was;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        at = (seed >> 20) % len;
        was = data[at];
        data[at] = (char)(was ^ (1 << (seed >> 60) % 8));
        spill(scratch("bits.db"), data, len);
        r = registry_open(scratch("bits.db"), 1, &e);
        refused += r == NULL;
        registry_close(r);
        data[at] = was;
    }
    assert_true(refused > 100);
    free(data);
}

static void test_pack_check_wrong_offsets_are_refused(void **state)
{
    struct error e = {0};
    struct registry *r = registry_open(scratch("fixture.db"), 1, &e);
    struct registry_reader *reader = registry_acquire(r);
    size_t bytes = (size_t)(reader->pack->letters + reader->pack->letter_count) -
                   ((size_t)reader->pack->text - sizeof(struct pack_header));
    const char *blob = reader->pack->text - sizeof(struct pack_header);
    char *copy = aligned_alloc(64, (bytes + 64) / 64 * 64);
    struct pack_header *h = (struct pack_header *)(void *)copy;
    struct pack p;
    size_t refused = 0;

    (void)state;
    must(copy);
    memcpy(copy, blob, bytes);
    assert_true(pack_check(copy, bytes, &p, &e));
    for (size_t i = 0; i < PART_COUNT; i++) {
        h->parts[i].bytes += 1 << 20;
        assert_false(pack_check(copy, bytes, &p, &e));
        h->parts[i].bytes -= 1 << 20;
        h->parts[i].offset = UINT64_MAX - 7;
        assert_false(pack_check(copy, bytes, &p, &e));
        memcpy(copy, blob, sizeof *h);
    }
    /* Wrong numbers under a right checksum, as a broken writer would leave them. */
    for (size_t at = sizeof *h; at + 4 <= bytes; at += 4) {
        uint32_t wrong = 0xfffffff0, was;

        memcpy(&was, copy + at, 4);
        memcpy(copy + at, &wrong, 4);
        h->checksum = pack_checksum(copy + sizeof *h, bytes - sizeof *h);
        refused += !pack_check(copy, bytes, &p, &e);
        memcpy(copy + at, &was, 4);
    }
    assert_true(refused > 400);
    free(copy);
    registry_release(reader);
    registry_close(r);
}

static void test_registry_describe_tells_what_is_served(void **state)
{
    struct error e = {0};
    struct registry *r = registry_open(scratch("fixture.db"), 2, &e);
    struct registry_info info;
    struct buf out;

    (void)state;
    registry_describe(r, &info);
    assert_int_equal(info.rows, 161);
    assert_int_equal(info.refused, 0);
    assert_string_equal(info.source_date, "2022-11-20");
    assert_non_null(strstr(info.attribution, "CC BY 4.0"));
    buf_init(&out, 4096);
    registry_write_health(r, &out);
    assert_non_null(strstr(out.ptr, ",\"registry\":{\"rows\":161,"));
    buf_done(&out);
    registry_close(r);
}

static void test_registry_reload_readers_finish_on_the_old_file(void **state)
{
    struct error e = {0};
    struct arena *a = arena_new(1 << 20);
    struct registry *r = registry_open(scratch("fixture.db"), 2, &e);
    struct registry_reader *old = registry_acquire(r), *new;
    size_t len;
    char *data = slurp(scratch("fixture.db"), &len);

    (void)state;
    assert_non_null(r);
    assert_int_equal(rename(scratch("fixture.db"), scratch("moved.db")), 0);
    spill(scratch("fixture.db"), "no registry", 11);
    assert_false(registry_reload(r, &e));
    new = registry_acquire(r);
    assert_ptr_equal(new->pack, old->pack);
    registry_release(new);
    spill(scratch("fixture.db"), data, len);
    assert_true(registry_reload(r, &e));
    new = registry_acquire(r);
    assert_ptr_not_equal(new->pack, old->pack);
    assert_true(display_of(old, a, 0).len > 0);
    assert_true(str_eq(display_of(old, a, 0), display_of(new, a, 0)));
    registry_release(old);
    registry_release(new);
    registry_close(r);
    arena_free(a);
    free(data);
}

static struct registry *shared;
static atomic_bool stop_readers;
static atomic_int wrong_answers;

static void *read_on(void *arg)
{
    struct arena *a = arena_new(1 << 20);

    (void)arg;
    while (!atomic_load(&stop_readers)) {
        struct registry_reader *r = registry_acquire(shared);

        if (display_of(r, a, 5).len == 0)
            atomic_fetch_add(&wrong_answers, 1);
        registry_release(r);
        arena_reset(a);
    }
    arena_free(a);
    return NULL;
}

/* More threads than readers, so that some wait. */
static void test_registry_reload_under_load_loses_nobody(void **state)
{
    struct error e = {0};
    pthread_t threads[4];

    (void)state;
    shared = registry_open(scratch("fixture.db"), 2, &e);
    assert_non_null(shared);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, NULL), 0);
    for (int i = 0; i < 30; i++)
        assert_true(registry_reload(shared, &e));
    atomic_store(&stop_readers, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong_answers), 0);
    registry_close(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry_open_missing_file_says_so),
        cmocka_unit_test(test_registry_open_foreign_files_say_so),
        cmocka_unit_test(test_registry_open_every_truncation_is_refused),
        cmocka_unit_test(test_registry_open_other_version_says_so),
        cmocka_unit_test(test_registry_open_damaged_bytes_never_crash),
        cmocka_unit_test(test_pack_check_wrong_offsets_are_refused),
        cmocka_unit_test(test_registry_describe_tells_what_is_served),
        cmocka_unit_test(test_registry_reload_readers_finish_on_the_old_file),
        cmocka_unit_test(test_registry_reload_under_load_loses_nobody),
    };

    return cmocka_run_group_tests(tests, set_up, drop_scratch);
}
