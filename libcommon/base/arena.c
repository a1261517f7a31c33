#include "base/arena.h"

#include "base/limits.h"

#include <stdalign.h>
#include <stdarg.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* Under ASan unused memory is poisoned and a gap kept behind every piece, so that overruns and uses
 * after a reset are found inside a block too. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_GAP 16U
static void poison(void *memory, size_t size)
{
    memset(memory, 0xA5, size);
    __asan_poison_memory_region(memory, size);
}

static void unpoison(void *memory, size_t size)
{
    __asan_unpoison_memory_region(memory, size);
}
#else
#define ARENA_GAP              0U
#define poison(memory, size)   ((void)(memory), (void)(size))
#define unpoison(memory, size) ((void)(memory), (void)(size))
#endif

#define ARENA_ALIGN alignof(max_align_t)

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

struct arena_owned {
    struct arena_owned *next;
    void *thing;
    void (*fini)(void *thing);
};

/* The first block lies behind the arena itself: a small request costs one malloc, a reused arena
 * none. `current` is where the next piece is tried. */
struct arena {
    size_t max_bytes;
    size_t used_bytes;
    struct arena_owned *owned;
    struct arena_block *current;
    struct arena_block *extra;
    struct arena_block *first;
};

#define ARENA_HEAD_BYTES ((sizeof(struct arena) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN)
#define ARENA_DATA_BYTES (ARENA_BLOCK_BYTES - ARENA_HEAD_BYTES - sizeof(struct arena_block))

static void block_init(struct arena_block *block, size_t size)
{
    block->next = NULL;
    block->size = size;
    block->used = 0;
    unpoison(block->data, size);
    poison(block->data, size);
}

struct arena *arena_new(size_t max_bytes)
{
    unsigned char *memory = malloc(ARENA_BLOCK_BYTES);
    must(memory);
    struct arena *a = (void *)memory;
    *a = (struct arena){.max_bytes = max_bytes, .first = (void *)(memory + ARENA_HEAD_BYTES)};
    a->current = a->first;
    block_init(a->first, ARENA_DATA_BYTES);
    return a;
}

void arena_reset(struct arena *a)
{
    while (a->owned) {
        struct arena_owned *newest = a->owned;
        a->owned = newest->next;
        newest->fini(newest->thing);
    }
    while (a->extra) {
        struct arena_block *block = a->extra;
        a->extra = block->next;
        unpoison(block->data, block->size);
        free(block);
    }
    block_init(a->first, ARENA_DATA_BYTES);
    a->current = a->first;
    a->used_bytes = 0;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    unpoison(a->first->data, a->first->size);
    free(a);
}

static struct arena_block *block_add(struct arena *a, size_t size)
{
    struct arena_block *block = NULL;
    must(size <= SIZE_MAX - sizeof(*block));
    block = malloc(sizeof(*block) + size);
    must(block);
    block_init(block, size);
    block->next = a->extra;
    a->extra = block;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    must(size <= a->max_bytes);
    /* Rounded up, and never nothing, so that two pieces have two addresses. */
    size_t rounded = (size / ARENA_ALIGN + (size % ARENA_ALIGN || size == 0)) * ARENA_ALIGN;
    size_t need = rounded + ARENA_GAP;
    must(need >= size && rounded <= a->max_bytes - a->used_bytes);
    struct arena_block *block = a->current;
    if (need > block->size - block->used) {
        /* What is large gets a block of its own and leaves the rest of the current one in use. */
        bool large = need > ARENA_BLOCK_BYTES / 2;
        block = block_add(a, large ? need : ARENA_BLOCK_BYTES - sizeof(struct arena_block));
        if (!large)
            a->current = block;
    }
    void *piece = block->data + block->used;
    block->used += need;
    a->used_bytes += rounded;
    unpoison(piece, size);
    return memset(piece, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    must(!__builtin_mul_overflow(count, size, &bytes));
    return arena_alloc(a, bytes);
}

const char *arena_text(struct arena *a, struct str s)
{
    must(s.len < SIZE_MAX);
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

struct str arena_dup(struct arena *a, struct str s)
{
    return str_n(arena_text(a, s), s.len);
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int written = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    must(written >= 0);
    size_t len = (size_t)written;
    if (len < sizeof(small))
        return arena_dup(a, str_n(small, len));
    char *text = arena_alloc(a, len + 1);
    va_start(args, format);
    vsnprintf(text, len + 1, format, args);
    va_end(args);
    return str_n(text, len);
}

void arena_own(struct arena *a, void *thing, void (*fini)(void *thing))
{
    struct arena_owned *owned = ARENA_NEW(a, struct arena_owned);
    *owned = (struct arena_owned){a->owned, thing, fini};
    a->owned = owned;
}

size_t arena_used_bytes(const struct arena *a)
{
    return a->used_bytes;
}
