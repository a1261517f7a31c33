/*
 * arena.h - memory that dies with the request
 *
 * Everything a handler allocates comes from its arena and is gone after the reply. arena_own() ties
 * other resources to the same end. One thread at a time. Running past max_bytes aborts the process:
 * handlers bound their input first.
 */
#ifndef LIBCOMMON_BASE_ARENA_H
#define LIBCOMMON_BASE_ARENA_H

#include "base/must.h"
#include "base/str.h"

struct arena;

struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena *a);  /* NULL is fine; owned things are released newest first */
void arena_reset(struct arena *a); /* as free, but keeps one block for the next request */

/* Zeroed, aligned for any type, never NULL. */
void *arena_alloc(struct arena *a, size_t size);
/* count * size, overflow aborts. */
void *arena_alloc_array(struct arena *a, size_t count, size_t size);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* Copy with a NUL behind. */
struct str arena_dup(struct arena *a, struct str s);
const char *arena_text(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

/* fini(thing) is called when the arena ends or is reset. */
void arena_own(struct arena *a, void *thing, void (*fini)(void *thing));

/* Bytes handed out since the last reset. */
size_t arena_used_bytes(const struct arena *a);

#endif
