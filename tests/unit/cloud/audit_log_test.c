/* audit_log_test.c - what may stand in an entry, and what makes two values one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cloud/audit_log.h"

static struct audit_log *log_with(const char *key)
{
    return audit_log_new(&(struct audit_log_config){NULL, key, 3});
}

static void mask(const char *text, const char *expected)
{
    struct arena *a = arena_new(65536);

    assert_true(str_eq_text(audit_mask(a, str_from(text), 64), expected));
    arena_free(a);
}

static void test_audit_mask_kennitala_in_any_text_is_cut(void **state)
{
    (void)state;
    mask("0101302989", "010130-****");
    mask("010130-2989", "010130-****");
    mask("a0101302989b010130-2989", "a010130-****b010130-****");
    mask("90101302989", "901013-****9");
    mask("12345678-1234", "123456-****");
    mask("12345-12345", "12345-12345");
    mask("", "");
    mask("\xff", "?");
}

static void test_audit_mask_long_text_is_bounded(void **state)
{
    struct arena *a = arena_new(65536);
    struct str masked = audit_mask(a, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 10);

    (void)state;
    assert_int_equal(masked.len, 10);
    arena_free(a);
}

static void test_audit_log_seal_opens_with_its_key_only(void **state)
{
    struct arena *a = arena_new(65536);
    struct audit_log *log = log_with("a key of thirty-two bytes or more");
    struct audit_log *other = log_with("another key of thirty-two bytes..");
    struct str sealed = audit_log_seal(log, a, STR("secret")), plain;

    (void)state;
    assert_true(str_starts_with(sealed, STR("sealed:")));
    assert_true(audit_log_open(log, a, sealed, &plain) && str_eq_text(plain, "secret"));
    assert_false(audit_log_open(other, a, sealed, &plain));
    assert_false(audit_log_open(log, a, str_take(sealed, sealed.len - 4), &plain));
    assert_false(audit_log_open(log, a, STR("secret"), &plain));
    audit_log_free(log);
    audit_log_free(other);
    arena_free(a);
}

static void test_audit_log_entry_id_no_two_events_share_one(void **state)
{
    struct audit_log *log = log_with("a key of thirty-two bytes or more");
    char one[SHA256_HEX_SIZE], two[SHA256_HEX_SIZE];

    (void)state;
    audit_log_entry_id(log, STR("ab"), STR("c"), one);
    audit_log_entry_id(log, STR("a"), STR("bc"), two);
    assert_string_not_equal(one, two);
    audit_log_entry_id(log, STR("ab"), STR("c"), two);
    assert_string_equal(one, two);
    audit_log_free(log);
}

static void same(const char *one, const char *two, bool expected)
{
    struct arena *a = arena_new(65536);
    struct str left = audit_canonical(a, json_parse(a, str_from(one), NULL));
    struct str right = audit_canonical(a, json_parse(a, str_from(two), NULL));

    assert_int_equal(str_eq(left, right), expected);
    arena_free(a);
}

static void test_audit_canonical_order_and_zeros_do_not_matter(void **state)
{
    (void)state;
    same("{\"mapValue\":{\"fields\":{\"a\":{\"nullValue\":null},\"b\":{\"booleanValue\":true}}}}",
         "{\"mapValue\":{\"fields\":{\"b\":{\"booleanValue\":true},\"a\":{\"nullValue\":null}}}}",
         true);
    same("{\"timestampValue\":\"2026-01-01T00:00:10Z\"}",
         "{\"timestampValue\":\"2026-01-01T00:00:10.000000Z\"}", true);
    same("{\"timestampValue\":\"2026-01-01T00:00:10Z\"}",
         "{\"timestampValue\":\"2026-01-01T00:00:01Z\"}", false);
    same("{\"stringValue\":\"1\"}", "{\"integerValue\":\"1\"}", false);
    same("{\"booleanValue\":true}", "{\"booleanValue\":false}", false);
    same("{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"stringValue\":\"b\"}]}}",
         "{\"arrayValue\":{\"values\":[{\"stringValue\":\"b\"},{\"stringValue\":\"a\"}]}}", false);
}

/* Nothing Firestore sends, and no reason to end: an array has no names, a name may be empty. */
static void test_audit_canonical_malformed_values_are_texts_too(void **state)
{
    (void)state;
    same("{\"mapValue\":{\"fields\":[{\"booleanValue\":true},{\"nullValue\":null}]}}",
         "{\"mapValue\":{\"fields\":[{\"nullValue\":null},{\"booleanValue\":true}]}}", false);
    same("{\"arrayValue\":{\"values\":{\"a\":{\"nullValue\":null}}}}",
         "{\"arrayValue\":{\"values\":[{\"nullValue\":null}]}}", false);
    same("{\"mapValue\":{}}", "{\"mapValue\":{\"fields\":{}}}", true);
    same("{\"\":\"x\"}", "{\"stringValue\":\"x\"}", false);
    same("{\"structValue\":\"x\"}", "{\"stringValue\":\"x\"}", false);
}

static void test_audit_link_read_entries_outside_chains_are_none(void **state)
{
    struct arena *a = arena_new(65536);
    cJSON *fields = fs_fields(a);
    struct audit_link link;

    (void)state;
    assert_false(audit_link_read(fields, &link));
    fs_add_i64(fields, "chain", 99);
    fs_add_i64(fields, "seq", 1);
    fs_add_text(fields, "prev", "p");
    fs_add_text(fields, "hash", "h");
    assert_false(audit_link_read(fields, &link));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_mask_kennitala_in_any_text_is_cut),
        cmocka_unit_test(test_audit_mask_long_text_is_bounded),
        cmocka_unit_test(test_audit_log_seal_opens_with_its_key_only),
        cmocka_unit_test(test_audit_log_entry_id_no_two_events_share_one),
        cmocka_unit_test(test_audit_canonical_order_and_zeros_do_not_matter),
        cmocka_unit_test(test_audit_canonical_malformed_values_are_texts_too),
        cmocka_unit_test(test_audit_link_read_entries_outside_chains_are_none),
    };

    encode_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
