#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/encode.h"
#include "base/json.h"
#include "base/limits.h"

static struct arena *a;

static int setup(void **state)
{
    (void)state;
    encode_init();
    a = arena_new(ARENA_MAX_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static struct str hex_of(const void *data, size_t len)
{
    char *out = arena_alloc(a, 2 * len + 1);
    hex_encode(data, len, out);
    return str_n(out, 2 * len);
}

static struct str from_hex(struct str hex)
{
    unsigned char *out = arena_alloc(a, hex.len / 2);
    assert_true(hex_decode(hex, out, hex.len / 2));
    return str_n(out, hex.len / 2);
}

static void test_sha256_known_texts_give_known_hashes(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    sha256_hex((struct str){NULL, 0}, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex(STR("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* NULL, with the reason printed, when the vectors are not there. */
static const cJSON *read_vectors(const char *name)
{
    const char *dir = getenv("VECTORS_DIR");
    struct buf text;
    struct error e;
    FILE *file = dir ? fopen(arena_printf(a, "%s/%s", dir, name).ptr, "re") : NULL;
    if (!file) {
        print_message("no %s in VECTORS_DIR\n", name);
        return NULL;
    }
    buf_init(&text, 1U << 22);
    for (int c = fgetc(file); c != EOF; c = fgetc(file))
        buf_add_char(&text, (char)c);
    fclose(file);
    const cJSON *tree = json_parse(a, buf_str(&text), &e);
    buf_done(&text);
    assert_non_null(tree);
    return tree;
}

static struct str hex_member(const cJSON *object, const char *name)
{
    struct str hex;
    assert_true(json_str(object, name, &hex));
    return from_hex(hex);
}

static void test_hmac_sha256_wycheproof_vectors_agree(void **state)
{
    (void)state;
    const cJSON *tree = read_vectors("wycheproof/hmac_sha256_test.json");
    const cJSON *group = NULL;
    const cJSON *test = NULL;
    int64_t count = 0;
    int64_t announced = 0;
    if (!tree)
        skip();
    assert_true(json_i64(tree, "numberOfTests", &announced));
    cJSON_ArrayForEach(group, json_get(tree, "testGroups"))
    {
        cJSON_ArrayForEach(test, json_get(group, "tests"))
        {
            unsigned char mac[SHA256_BYTES];
            struct str result;
            struct str tag = hex_member(test, "tag");
            assert_in_range(tag.len, 1, sizeof(mac));
            assert_true(json_str(test, "result", &result));
            hmac_sha256(hex_member(test, "key"), hex_member(test, "msg"), mac);
            assert_int_equal(equal_constant_time(str_n(mac, tag.len), tag),
                             str_eq_text(result, "valid"));
            count++;
        }
    }
    assert_int_equal(count, announced);
}

static void test_hmac_sha256_fields_boundaries_matter(void **state)
{
    (void)state;
    static const struct str sets[][3] = {
        {{"ab", 2}, {"c", 1}, {"", 0}},   {{"a", 1}, {"bc", 2}, {"", 0}},
        {{"abc", 3}, {"", 0}, {"", 0}},   {{"", 0}, {"abc", 3}, {NULL, 0}},
        {{"abc", 3}, {"\0", 1}, {"", 0}},
    };
    unsigned char macs[ARRAY_LEN(sets)][SHA256_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        hmac_sha256_fields(STR("key"), sets[i], 3, macs[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(macs[i], macs[k], SHA256_BYTES);
    }
    unsigned char fewer[SHA256_BYTES];
    hmac_sha256_fields(STR("key"), sets[0], 2, fewer);
    assert_memory_not_equal(fewer, macs[0], SHA256_BYTES);
    hmac_sha256_fields(STR("Key"), sets[0], 3, fewer);
    assert_memory_not_equal(fewer, macs[0], SHA256_BYTES);
}

static void test_hmac_sha256_fields_is_the_plain_mac_of_what_the_header_says(void **state)
{
    (void)state;
    unsigned char of_fields[SHA256_BYTES];
    unsigned char of_text[SHA256_BYTES];
    const struct str fields[] = {STR("ab"), STR("c")};
    hmac_sha256_fields(STR("key"), fields, 2, of_fields);
    hmac_sha256(STR("key"), STR("\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c"), of_text);
    assert_memory_equal(of_fields, of_text, SHA256_BYTES);
}

static void test_equal_constant_time_length_and_content_decide(void **state)
{
    (void)state;
    assert_true(equal_constant_time(STR("abc"), STR("abc")));
    assert_false(equal_constant_time(STR("abc"), STR("abd")));
    assert_false(equal_constant_time(STR("abc"), STR("ab")));
    assert_true(equal_constant_time((struct str){NULL, 0}, STR("")));
}

static void test_hex_decode_exact_length_and_digits_only(void **state)
{
    (void)state;
    unsigned char out[4];
    assert_true(hex_decode(STR("00fFA5"), out, 3));
    assert_memory_equal(out, "\x00\xFF\xA5", 3);
    static const char *const bad[] = {"",        "00",       "00ff",      "00ff5",  "00ff5g",
                                      "00 ff5",  "0x00ff",   "00ffa5a5",  " 0ffa5", "00ffa ",
                                      "00:ffa5", "00ff\xC3", "00ffa50000"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(hex_decode(str_from(bad[i]), out, 3));
    assert_false(hex_decode(STR("00ff\0a"), out, 3));
    assert_true(hex_decode((struct str){NULL, 0}, out, 0));
}

static void test_base64_rfc4648_vectors_go_both_ways(void **state)
{
    (void)state;
    static const char *const pairs[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xFB\xFF\xBF", "+/+/", "-_-_"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct str plain = str_from(pairs[i][0]);
        struct str data;
        assert_string_equal(base64_encode(a, plain).ptr, pairs[i][1]);
        assert_string_equal(base64url_encode(a, plain).ptr, pairs[i][2]);
        assert_true(base64_decode(a, str_from(pairs[i][1]), &data) && str_eq(data, plain));
        assert_true(base64url_decode(a, str_from(pairs[i][2]), &data) && str_eq(data, plain));
    }
}

static void test_base64_decode_any_deviation_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Zg",    "Zg=",    "Zg===",    "=",        "====", "Z",        "Z===",
        "Zm9",   "Zm9v=",  "Zm9v====", "Zh==",     "Zm9=", "Zg==Zg==", "Zg== ",
        " Zg==", "Zg=\n=", "Zm9v\n",   "Zm\r\n9v", "-_-_", "Zm9*",     "Zm9\xC3",
        "Zg=a",  "Z=g=",   "Zm9vYh==", "Zm9vYmF=",
    };
    static const char *const bad_url[] = {
        "Zg==", "Zg=", "Z",    "Zh",   "Zm9",     "Zm9vY",  "+/+/",
        "Zg ",  " Zg", "Zg\n", "Zm9.", "Zm9vYmF", "Zm9vYh", "Zm9v=",
    };
    struct str data;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (base64_decode(a, str_from(bad[i]), &data))
            fail_msg("base64 <%s>", bad[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++) {
        if (base64url_decode(a, str_from(bad_url[i]), &data))
            fail_msg("base64url <%s>", bad_url[i]);
    }
    assert_false(base64_decode(a, STR("Zm9\0"), &data));
    assert_false(base64url_decode(a, STR("Zm9v\0"), &data));
}

/* One data, one text: of all texts of three characters exactly those are read that are written. */
static void test_base64url_decode_every_accepted_text_is_the_encoded_one(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int accepted = 0;
    for (size_t i = 0; i < 64; i++) {
        for (size_t k = 0; k < 64; k++) {
            char text[3] = {'A', alphabet[i], alphabet[k]};
            struct str data;
            if (base64url_decode(a, str_n(text, 3), &data)) {
                assert_true(str_eq(base64url_encode(a, data), str_n(text, 3)));
                accepted++;
            }
        }
        arena_reset(a);
    }
    assert_int_equal(accepted, 64 * 16);
}

/* Any byte put anywhere: refused, or the one text of what it decodes to. */
static void test_base64_decode_any_changed_byte_is_refused_or_canonical(void **state)
{
    (void)state;
    static const char *const texts[] = {"Zm9vYmFy", "Zm9vYmE=", "Zm9vYg==", "Zm9vYg", "Zm9vYmE"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t at = 0; texts[i][at]; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[16];
                struct str data;
                str_copy(str_from(texts[i]), text, sizeof(text));
                text[at] = (char)byte;
                struct str changed = str_n(text, strlen(texts[i]));
                if (base64_decode(a, changed, &data))
                    assert_true(str_eq(base64_encode(a, data), changed));
                if (base64url_decode(a, changed, &data))
                    assert_true(str_eq(base64url_encode(a, data), changed));
            }
            arena_reset(a);
        }
    }
}

static void test_base64_every_length_comes_back(void **state)
{
    (void)state;
    unsigned char bytes[300];
    random_bytes(bytes, sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct str plain = str_n(bytes, len);
        struct str data;
        assert_true(base64_decode(a, base64_encode(a, plain), &data) && str_eq(data, plain));
        assert_true(base64url_decode(a, base64url_encode(a, plain), &data) && str_eq(data, plain));
    }
}

/* RFC 7693, as Python's hashlib computes it. */
static void test_content_tag_is_blake2b_128(void **state)
{
    (void)state;
    char tag[CONTENT_TAG_SIZE];
    content_tag((struct str){NULL, 0}, tag);
    assert_string_equal(tag, "cae66941d9efbd404e4d88758ea67670");
    content_tag(STR("abc"), tag);
    assert_string_equal(tag, "cf4ab791c62b8d2b2109c90275287816");
}

/* Sizes that the thread's store serves, straddles and passes on. */
static void test_random_bytes_never_come_twice(void **state)
{
    (void)state;
    unsigned char zero[100] = {0};
    unsigned char last[100];
    for (size_t len = 16; len <= sizeof(last); len++) {
        random_bytes(last, len);
        for (int i = 0; i < 70; i++) {
            unsigned char next[100];
            random_bytes(next, len);
            assert_memory_not_equal(next, last, 16);
            assert_memory_not_equal(next + len - 16, zero, 16);
            memcpy(last, next, len);
        }
    }
    random_bytes(last, 0);
}

static void test_random_below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t n = random_below(5);
        assert_true(n < 5);
        seen |= 1U << n;
    }
    assert_int_equal(seen, 31);
    assert_int_equal(random_below(1), 0);
}

static void random_below_nothing(void *arg)
{
    random_below((uint32_t) * (const int *)arg);
}

static void test_random_below_zero_aborts(void **state)
{
    (void)state;
    int zero = 0;
    assert_true(aborts(random_below_nothing, &zero));
}

static void test_uuid_v4_has_its_form_and_never_comes_twice(void **state)
{
    (void)state;
    char last[UUID_TEXT_SIZE] = "";
    for (int i = 0; i < 100; i++) {
        char uuid[UUID_TEXT_SIZE];
        uuid_v4(uuid);
        assert_true(uuid_is_valid(str_from(uuid)));
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
        for (size_t k = 0; uuid[k]; k++)
            assert_false(uuid[k] >= 'A' && uuid[k] <= 'F');
        assert_string_not_equal(uuid, last);
        memcpy(last, uuid, sizeof(last));
    }
}

static void test_uuid_is_valid_table_of_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"00000000-0000-0000-0000-000000000000", true},
        {"123e4567-e89b-12d3-a456-426614174000", true},
        {"123E4567-E89B-12D3-A456-426614174000", true},
        {"", false},
        {"123e4567e89b12d3a456426614174000", false},
        {"123e4567-e89b-12d3-a456-42661417400", false},
        {"123e4567-e89b-12d3-a456-4266141740000", false},
        {"123e4567-e89b-12d3-a456_426614174000", false},
        {"123e4567-e89b-12d3-a4564-26614174000", false},
        {"g23e4567-e89b-12d3-a456-426614174000", false},
        {"{23e4567-e89b-12d3-a456-42661417400}", false},
        {" 23e4567-e89b-12d3-a456-426614174000", false},
        {"123e4567-e89b-12d3-a456-42661417400\n", false},
        {"------------------------------------", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(uuid_is_valid(str_from(cases[i].text)), cases[i].good);
    assert_false(uuid_is_valid(STR("123e4567-e89b-12d3-a456-42661417400\0")));
    assert_false(uuid_is_valid((struct str){NULL, 0}));
}

static void test_seal_any_length_comes_back(void **state)
{
    (void)state;
    unsigned char key[SHA256_BYTES];
    unsigned char bytes[100];
    random_bytes(key, sizeof(key));
    random_bytes(bytes, sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct str plain = len ? str_n(bytes, len) : (struct str){NULL, 0};
        struct str again;
        struct str box = seal(a, key, plain);
        assert_int_equal(box.len, len + 24 + 16);
        assert_true(seal_open(a, key, box, &again) && str_eq(again, plain));
    }
    assert_false(str_eq(seal(a, key, STR("same")), seal(a, key, STR("same"))));
}

static void test_seal_open_anything_altered_is_refused(void **state)
{
    (void)state;
    unsigned char key[SHA256_BYTES] = {1};
    unsigned char other[SHA256_BYTES] = {2};
    struct str again = STR("untouched");
    struct str box = seal(a, key, STR("the answer"));
    assert_false(seal_open(a, other, box, &again));
    for (size_t len = 0; len < box.len; len++)
        assert_false(seal_open(a, key, str_take(box, len), &again));
    for (size_t i = 0; i < box.len; i++) {
        char *copy = arena_alloc(a, box.len);
        memcpy(copy, box.ptr, box.len);
        copy[i] = (char)(copy[i] ^ 1);
        assert_false(seal_open(a, key, str_n(copy, box.len), &again));
    }
    assert_false(seal_open(a, key, (struct str){NULL, 0}, &again));
    assert_true(str_eq_text(again, "untouched"));
    assert_true(seal_open(a, key, box, &again));
}

static void test_hex_encode_is_lower_case(void **state)
{
    (void)state;
    assert_string_equal(hex_of("\x00\xAB\xFF", 3).ptr, "00abff");
    assert_string_equal(hex_of("", 0).ptr, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_known_texts_give_known_hashes),
        cmocka_unit_test(test_hmac_sha256_wycheproof_vectors_agree),
        cmocka_unit_test(test_hmac_sha256_fields_boundaries_matter),
        cmocka_unit_test(test_hmac_sha256_fields_is_the_plain_mac_of_what_the_header_says),
        cmocka_unit_test(test_equal_constant_time_length_and_content_decide),
        cmocka_unit_test(test_hex_encode_is_lower_case),
        cmocka_unit_test(test_hex_decode_exact_length_and_digits_only),
        cmocka_unit_test(test_base64_rfc4648_vectors_go_both_ways),
        cmocka_unit_test(test_base64_decode_any_deviation_is_refused),
        cmocka_unit_test(test_base64url_decode_every_accepted_text_is_the_encoded_one),
        cmocka_unit_test(test_base64_decode_any_changed_byte_is_refused_or_canonical),
        cmocka_unit_test(test_base64_every_length_comes_back),
        cmocka_unit_test(test_content_tag_is_blake2b_128),
        cmocka_unit_test(test_random_bytes_never_come_twice),
        cmocka_unit_test(test_random_below_stays_below_and_reaches_all),
        cmocka_unit_test(test_random_below_zero_aborts),
        cmocka_unit_test(test_uuid_v4_has_its_form_and_never_comes_twice),
        cmocka_unit_test(test_uuid_is_valid_table_of_forms),
        cmocka_unit_test(test_seal_any_length_comes_back),
        cmocka_unit_test(test_seal_open_anything_altered_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
