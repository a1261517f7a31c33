#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/testing.h"
#include "base/aborts.h"
#include "cloud/firestore_private.h"

static char root_name[] = "projects/p/databases/(default)/documents";
static const struct firestore place = {.root_name = root_name, .request_max_bytes = 1U << 20};

#define ROOT "projects/p/databases/(default)/documents/"

static struct str taken(struct arena *a, struct buf *b)
{
    assert_false(b->overflow);
    struct str text = arena_dup(a, buf_str(b));
    buf_done(b);
    return text;
}

/* ---- Documents ---- */

static void test_firestore_id_is_valid_table(void **state)
{
    (void)state;
    static const char *const good[] = {"a",   "0101302989", "æ b", "__x", "x__", "__",
                                       "a.b", "...",        "_",   "a:b", "\"",  "127.0.0.1:login",
                                       "___"};
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "__x__", "____", "\xff", "\xc3"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(firestore_id_is_valid(str_from(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(firestore_id_is_valid(str_from(bad[i])));
    assert_false(firestore_id_is_valid(str_n("a\0b", 3)));
    char longest[FS_DOCUMENT_ID_MAX_BYTES + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(firestore_id_is_valid(str_n(longest, FS_DOCUMENT_ID_MAX_BYTES)));
    assert_false(firestore_id_is_valid(str_n(longest, sizeof(longest))));
}

static void test_firestore_auto_id_is_long_and_new(void **state)
{
    (void)state;
    char one[21];
    char other[21];
    firestore_auto_id(one);
    firestore_auto_id(other);
    assert_int_equal(strlen(one), 20);
    assert_true(str_only(str_from(one), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789"));
    assert_string_not_equal(one, other);
}

static void test_fs_path_is_valid_table(void **state)
{
    (void)state;
    assert_true(fs_path_is_valid(STR("a/b")) && fs_path_is_valid(STR("a/b/c/d")));
    static const char *const bad[] = {"",         "a",   "a/b/c", "/a/b", "a/b/",      "a//b",
                                      "a/b/../c", "a/.", "a/b//", "/",    "a/__all__", "a/b/c/d/e"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(fs_path_is_valid(str_from(bad[i])));
}

static void test_fs_name_add_quotes_what_json_needs(void **state)
{
    struct arena *a = *state;
    struct buf b;
    buf_init(&b, 4096);
    fs_name_add(&place, STR("c/a\"\\ þ"), &b);
    assert_string_equal(taken(a, &b).ptr, "\"" ROOT "c/a\\\"\\\\ þ\"");
}

static void name_of_bad_path(void *arg)
{
    fs_name_add(&place, STR("members/a/b"), arg);
}

static void test_fs_name_add_bad_path_aborts(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    assert_true(aborts(name_of_bad_path, &b));
}

static void test_fs_path_add_url_escapes_every_segment(void **state)
{
    struct arena *a = *state;
    struct buf b;
    buf_init(&b, 4096);
    fs_path_add_url(STR("rate_limits/1.2.3.4:a b/æ/%2F?#"), &b);
    assert_string_equal(taken(a, &b).ptr, "/rate_limits/1.2.3.4%3Aa%20b/%C3%A6/%252F%3F%23");
}

static void test_fs_path_of_name_gives_back_only_our_own(void **state)
{
    (void)state;
    struct str path;
    assert_true(fs_path_of_name(&place, STR(ROOT "users/u/x/y"), &path));
    assert_true(str_eq(path, STR("users/u/x/y")));
    assert_false(fs_path_of_name(&place, STR(ROOT), &path));
    assert_false(fs_path_of_name(&place, STR(ROOT "users"), &path));
    assert_false(fs_path_of_name(&place, STR(""), &path));
    assert_false(fs_path_of_name(
        &place, STR("projects/other/databases/(default)/documents/users/u"), &path));
    assert_false(
        fs_path_of_name(&place, STR("projects/p/databases/(default)/documentsx/u/v"), &path));
}

/* ---- Fields ---- */

static void test_fs_field_path_add_table(void **state)
{
    struct arena *a = *state;
    static const char *const rows[][2] = {
        {"a", "a"},
        {"membership.status", "membership.status"},
        {"_a1.B_2", "_a1.B_2"},
        {"__name__", "__name__"},
        {"1a", "`1a`"},
        {"a-b.c", "`a-b`.c"},
        {"a.þ", "a.`þ`"},
        {"a.`b.c`", "a.`b.c`"},
        {"`b.c`.d", "`b.c`.d"},
        {"`b\\`.c`.d e", "`b\\`.c`.`d e`"},
        {"a`b", "`a\\`b`"},
        {"a\\b", "`a\\\\b`"},
        {"`open", "`\\`open`"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;
        buf_init(&b, 4096);
        fs_field_path_add(str_from(rows[i][0]), &b);
        assert_string_equal(taken(a, &b).ptr, rows[i][1]);
    }
}

static void test_fs_leaves_add_json_maps_descend_arrays_do_not(void **state)
{
    struct arena *a = *state;
    cJSON *f = fs_fields(a);
    cJSON *profile = fs_add_map(f, "profile");
    struct buf b;
    fs_add_str(profile, "name", STR("x"));
    fs_add_map(profile, "empty");
    fs_add_i64(fs_add_map(profile, "odd.key"), "a b", 1);
    fs_add_str(fs_push_map(fs_add_array(f, "list")), "in", STR("y"));
    fs_add_null(f, "gone");
    buf_init(&b, 4096);
    fs_leaves_add_json(f, &b);
    assert_string_equal(taken(a, &b).ptr,
                        "\"profile.name\",\"profile.empty\",\"profile.`odd.key`.`a b`\","
                        "\"list\",\"gone\"");
}

/* ---- Writes ---- */

static void assert_write(struct arena *a, const struct fs_write *write, const char *text)
{
    struct buf b;
    buf_init(&b, 1U << 16);
    fs_write_add(&place, write, &b);
    assert_string_equal(taken(a, &b).ptr, text);
    assert_true(json_check(str_from(text), NULL));
}

static cJSON *one_field(struct arena *a)
{
    cJSON *f = fs_fields(a);
    fs_add_bool(f, "a", true);
    return f;
}

#define FIELDS "\"fields\":{\"a\":{\"booleanValue\":true}}"

static void test_fs_write_add_kinds(void **state)
{
    struct arena *a = *state;
    const struct str mask[] = {STR("a"), STR("gone.x y")};
    assert_write(a, &(struct fs_write){.path = STR("c/d"), .fields = one_field(a)},
                 "{\"update\":{\"name\":\"" ROOT "c/d\"," FIELDS "}}");
    assert_write(a,
                 &(struct fs_write){.kind = FS_MERGE, .path = STR("c/d"), .fields = one_field(a)},
                 "{\"update\":{\"name\":\"" ROOT "c/d\"," FIELDS
                 "},\"updateMask\":{\"fieldPaths\":[\"a\"]}}");
    assert_write(a,
                 &(struct fs_write){.kind = FS_MERGE,
                                    .path = STR("c/d"),
                                    .fields = one_field(a),
                                    .mask = mask,
                                    .mask_count = 2},
                 "{\"update\":{\"name\":\"" ROOT "c/d\"," FIELDS "},\"updateMask\":{\"fieldPaths\":"
                 "[\"a\",\"gone.`x y`\"]}}");
    assert_write(a, &(struct fs_write){.kind = FS_DELETE, .path = STR("c/d")},
                 "{\"delete\":\"" ROOT "c/d\"}");
}

static void test_fs_write_add_transforms_and_preconditions(void **state)
{
    struct arena *a = *state;
    assert_write(a,
                 &(struct fs_write){.kind = FS_MERGE,
                                    .path = STR("c/d"),
                                    .server_times = {"at", "m.x y"},
                                    .increment = "n",
                                    .increment_by = -2,
                                    .precondition = FS_MUST_EXIST},
                 "{\"update\":{\"name\":\"" ROOT "c/d\"},\"updateMask\":{\"fieldPaths\":[]},"
                 "\"updateTransforms\":[{\"setToServerValue\":\"REQUEST_TIME\",\"fieldPath\":"
                 "\"at\"},{\"setToServerValue\":\"REQUEST_TIME\",\"fieldPath\":\"m.`x y`\"},"
                 "{\"increment\":{\"integerValue\":\"-2\"},\"fieldPath\":\"n\"}],"
                 "\"currentDocument\":{\"exists\":true}}");
    assert_write(a, &(struct fs_write){.path = STR("c/d"), .precondition = FS_MUST_NOT_EXIST},
                 "{\"update\":{\"name\":\"" ROOT "c/d\"},\"currentDocument\":{\"exists\":false}}");
    assert_write(a,
                 &(struct fs_write){.kind = FS_DELETE,
                                    .path = STR("c/d"),
                                    .precondition = FS_UPDATE_TIME,
                                    .update_time = STR("2026-01-01T00:00:00.000001Z")},
                 "{\"delete\":\"" ROOT "c/d\",\"currentDocument\":{\"updateTime\":"
                 "\"2026-01-01T00:00:00.000001Z\"}}");
}

static void test_fs_write_is_repeatable_table(void **state)
{
    (void)state;
    const struct fs_write set = {.kind = FS_SET};
    const struct fs_write erase = {.kind = FS_DELETE, .precondition = FS_MUST_EXIST};
    struct fs_write raise = {.kind = FS_MERGE, .increment = "n"};
    assert_true(fs_write_is_repeatable(&set) && fs_write_is_repeatable(&erase));
    assert_false(fs_write_is_repeatable(&raise));
    raise.precondition = FS_MUST_EXIST;
    assert_false(fs_write_is_repeatable(&raise));
    raise.precondition = FS_MUST_NOT_EXIST;
    assert_true(fs_write_is_repeatable(&raise));
    raise.precondition = FS_UPDATE_TIME;
    assert_true(fs_write_is_repeatable(&raise));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_firestore_id_is_valid_table),
        ARENA_TEST(test_firestore_auto_id_is_long_and_new),
        ARENA_TEST(test_fs_path_is_valid_table),
        ARENA_TEST(test_fs_name_add_quotes_what_json_needs),
        ARENA_TEST(test_fs_name_add_bad_path_aborts),
        ARENA_TEST(test_fs_path_add_url_escapes_every_segment),
        ARENA_TEST(test_fs_path_of_name_gives_back_only_our_own),
        ARENA_TEST(test_fs_field_path_add_table),
        ARENA_TEST(test_fs_leaves_add_json_maps_descend_arrays_do_not),
        ARENA_TEST(test_fs_write_add_kinds),
        ARENA_TEST(test_fs_write_add_transforms_and_preconditions),
        ARENA_TEST(test_fs_write_is_repeatable_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
