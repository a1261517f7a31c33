#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/aborts.h"
#include "base/arena.h"
#include "base/limits.h"

#include <stdalign.h>

static void test_arena_alloc_any_size_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    unsigned char *pieces[200];
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            size_t size = i * 37;
            pieces[i] = arena_alloc(a, size);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(pieces[i][k], 0);
            memset(pieces[i], (int)i, size);
        }
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            for (size_t k = 0; k < i * 37; k++)
                assert_int_equal(pieces[i][k], (unsigned char)i);
        }
        arena_reset(a);
    }
    assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
    arena_free(a);
    arena_free(NULL);
}

static void test_arena_used_bytes_starts_again_after_reset(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    assert_int_equal(arena_used_bytes(a), 0);
    arena_alloc(a, 100);
    size_t small = arena_used_bytes(a);
    assert_in_range(small, 100, 128);
    arena_alloc(a, 100000);
    assert_in_range(arena_used_bytes(a), 100100, 100256);
    arena_reset(a);
    assert_int_equal(arena_used_bytes(a), 0);
    arena_free(a);
}

static void test_arena_alloc_first_piece_after_reset_is_in_the_kept_block(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    void *first = arena_alloc(a, 10);
    arena_alloc(a, ARENA_BLOCK_BYTES);
    arena_alloc(a, 1000);
    arena_reset(a);
    assert_ptr_equal(arena_alloc(a, 10), first);
    arena_free(a);
}

static void test_arena_copies_keep_every_byte_and_end_in_nul(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct str copy = arena_dup(a, STR("a\0b"));
    assert_true(str_eq(copy, STR("a\0b")));
    assert_int_equal(copy.ptr[3], '\0');
    assert_string_equal(arena_text(a, STR("text")), "text");
    assert_string_equal(arena_text(a, (struct str){NULL, 0}), "");
    for (int len = 250; len < 262; len++) {
        struct str text = arena_printf(a, "%*s", len, "x");
        assert_int_equal(text.len, len);
        assert_int_equal(strlen(text.ptr), len);
        assert_int_equal(text.ptr[len - 1], 'x');
    }
    arena_free(a);
}

struct note {
    char order[16];
    size_t count;
};

static struct note note;

static void write_note(void *thing)
{
    note.order[note.count++] = *(const char *)thing;
}

static void test_arena_own_things_end_newest_first_and_once(void **state)
{
    (void)state;
    static char things[] = "abc";
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    memset(&note, 0, sizeof(note));
    for (size_t i = 0; i < 3; i++) {
        arena_alloc(a, 3000);
        arena_own(a, &things[i], write_note);
    }
    arena_reset(a);
    assert_string_equal(note.order, "cba");
    arena_own(a, &things[1], write_note);
    arena_free(a);
    assert_string_equal(note.order, "cbab");
}

/* What is released last may still look at what the arena holds. */
static void test_arena_own_fini_sees_arena_memory_intact(void **state)
{
    (void)state;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    memset(&note, 0, sizeof(note));
    char *inside = arena_alloc(a, 8000);
    inside[0] = 'x';
    arena_own(a, inside, write_note);
    arena_free(a);
    assert_string_equal(note.order, "x");
}

static void alloc_too_much(void *arg)
{
    arena_alloc(arg, 1001);
}

static void alloc_in_sum_too_much(void *arg)
{
    for (int i = 0; i < 100; i++)
        arena_alloc(arg, 16);
}

static void alloc_overflowing_array(void *arg)
{
    arena_alloc_array(arg, SIZE_MAX / 2, 3);
}

static void alloc_everything(void *arg)
{
    arena_alloc(arg, SIZE_MAX);
}

static void test_arena_alloc_past_the_limit_aborts(void **state)
{
    (void)state;
    struct arena *a = arena_new(1000);
    assert_true(aborts(alloc_too_much, a));
    assert_true(aborts(alloc_in_sum_too_much, a));
    assert_true(aborts(alloc_overflowing_array, a));
    assert_true(aborts(alloc_everything, a));
    arena_alloc(a, 900);
    arena_free(a);
    a = arena_new(SIZE_MAX);
    assert_true(aborts(alloc_everything, a));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc_any_size_is_zeroed_aligned_and_apart),
        cmocka_unit_test(test_arena_used_bytes_starts_again_after_reset),
        cmocka_unit_test(test_arena_alloc_first_piece_after_reset_is_in_the_kept_block),
        cmocka_unit_test(test_arena_copies_keep_every_byte_and_end_in_nul),
        cmocka_unit_test(test_arena_own_things_end_newest_first_and_once),
        cmocka_unit_test(test_arena_own_fini_sees_arena_memory_intact),
        cmocka_unit_test(test_arena_alloc_past_the_limit_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
