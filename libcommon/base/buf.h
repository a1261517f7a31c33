/*
 * buf.h - bytes that grow, up to a limit that is always named
 *
 * A failed add (limit reached) sets `overflow`, keeps what was there and makes all later adds fail:
 * check once, at the end. An add is done whole or not at all. Running out of memory aborts. Not
 * thread-safe.
 */
#ifndef LIBCOMMON_BASE_BUF_H
#define LIBCOMMON_BASE_BUF_H

#include "base/must.h"
#include "base/str.h"

struct buf {
    char *ptr; /* always NUL-terminated behind len once anything was added; NULL before */
    size_t len;
    size_t capacity;
    size_t max_bytes;
    bool overflow;
    bool fixed; /* ptr is memory of the caller, never freed or grown */
};

void buf_init(struct buf *b, size_t max_bytes);
/* Writes into the caller's memory and never allocates; holds up to size - 1 bytes. size >= 1. */
void buf_init_fixed(struct buf *b, char *memory, size_t size);
void buf_done(struct buf *b);  /* frees; the buf may be initialised again */
void buf_clear(struct buf *b); /* keeps the memory, forgets content and overflow */

bool buf_add(struct buf *b, struct str s);
bool buf_add_text(struct buf *b, const char *text);
bool buf_add_char(struct buf *b, char c);
bool buf_add_i64(struct buf *b, int64_t n); /* decimal; a tenth of what buf_printf() costs */
bool buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Adds s as a JSON string, quotes included; invalid UTF-8 becomes U+FFFD, control characters and
 * U+007F are escaped. */
bool buf_add_json_string(struct buf *b, struct str s);

/* Adds s percent-encoded: all but RFC 3986 "unreserved" characters. */
bool buf_add_url(struct buf *b, struct str s);

/* Borrowed view; dies with the next add. */
struct str buf_str(const struct buf *b);

/* The memory becomes the caller's (free()); the buf is empty afterwards. Never NULL. */
char *buf_take(struct buf *b, size_t *ret_len);

#endif
