/*
 * testing.h - what the tests of this layer share: an arena each, tokens made by hand, vectors
 */
#ifndef TESTS_UNIT_AUTH_TESTING_H
#define TESTS_UNIT_AUTH_TESTING_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "auth/jwt.h"
#include "base/encode.h"

#define TEST_ARENA_MAX_BYTES (64U << 20)
#define NOW_S                1800000000LL

static inline int setup_arena(void **state)
{
    encode_init();
    *state = arena_new(TEST_ARENA_MAX_BYTES);
    return 0;
}

static inline int teardown_arena(void **state)
{
    arena_free(*state);
    return 0;
}

#define ARENA_TEST(function) cmocka_unit_test_setup_teardown(function, setup_arena, teardown_arena)

/* base64url(header).base64url(payload), which is what gets signed. */
static inline struct str signed_part_of(struct arena *a, struct str header, struct str payload)
{
    return arena_printf(a, "%.*s.%.*s", STR_ARG(base64url_encode(a, header)),
                        STR_ARG(base64url_encode(a, payload)));
}

static inline struct str with_signature(struct arena *a, struct str signed_part,
                                        struct str signature)
{
    return arena_printf(a, "%.*s.%.*s", STR_ARG(signed_part),
                        STR_ARG(base64url_encode(a, signature)));
}

/* A token of exactly these texts, with a good RS256 signature. */
static inline struct str make_token(struct arena *a, const struct jwt_signer *s, struct str header,
                                    struct str payload)
{
    struct str part = signed_part_of(a, header, payload);
    return with_signature(a, part, jwt_signer_sign_bytes(s, a, part));
}

/* The object with one member replaced by raw JSON text, or removed (raw NULL). */
static inline struct str object_with(struct arena *a, const char *object, const char *member,
                                     const char *raw)
{
    cJSON *tree = cJSON_Parse(object);
    assert_non_null(tree);
    if (member) {
        cJSON_DeleteItemFromObjectCaseSensitive(tree, member);
        if (raw)
            assert_non_null(cJSON_AddRawToObject(tree, member, raw));
    }
    char *text = cJSON_PrintUnformatted(tree);
    struct str copy = arena_dup(a, str_from(text));
    cJSON_free(text);
    cJSON_Delete(tree);
    return copy;
}

static inline struct str read_whole_file(struct arena *a, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    struct buf b;
    char chunk[4096];
    size_t got = 0;
    buf_init(&b, TEST_ARENA_MAX_BYTES / 4);
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(&b, str_n(chunk, got));
    (void)fclose(file);
    struct str text = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return text;
}

/* The parsed vector file; skips the test when the vectors are not on this machine. */
static inline const cJSON *load_vectors(struct arena *a, const char *name)
{
    const char *dir = getenv("VECTORS_DIR");
    if (!dir || access(dir, R_OK) != 0) {
        print_message("skipped: VECTORS_DIR is not set or not readable\n");
        skip();
    }
    struct error e = {0};
    const char *path = arena_printf(a, "%s/%s", dir ? dir : "", name).ptr;
    const cJSON *tree = json_parse(a, read_whole_file(a, path), &e);
    if (!tree)
        fail_msg("%s: %s", path, e.detail);
    return tree;
}

static inline struct str vector_text(const cJSON *object, const char *name)
{
    struct str text = {0};
    if (!json_str(object, name, &text))
        fail_msg("vector without %s", name);
    return text;
}

static inline struct str vector_bytes(struct arena *a, const cJSON *object, const char *name)
{
    struct str hex = vector_text(object, name);
    char *bytes = arena_alloc(a, hex.len / 2 + 1);
    assert_true(hex_decode(hex, bytes, hex.len / 2));
    return str_n(bytes, hex.len / 2);
}

static inline struct str print_json(struct arena *a, const cJSON *tree)
{
    struct buf b;
    buf_init(&b, TEST_ARENA_MAX_BYTES / 4);
    assert_true(json_write(&b, tree));
    struct str text = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return text;
}

#endif
