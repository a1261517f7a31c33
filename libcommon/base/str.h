/*
 * str.h - a length and where it starts: text that is borrowed
 *
 * A struct str never owns. It may hold any byte, NUL included; ptr may be NULL only when len is 0.
 * Pure functions, any thread.
 */
#ifndef LIBCOMMON_BASE_STR_H
#define LIBCOMMON_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *ptr;
    size_t len;
};

/* For literals and arrays: STR("POST"). */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

struct str str_from(const char *text); /* NUL-terminated; NULL gives an empty str */
struct str str_n(const void *ptr, size_t len);

bool str_is_empty(struct str s);
bool str_eq(struct str a, struct str b);
bool str_eq_ci(struct str a, struct str b); /* ASCII letters only */
bool str_eq_text(struct str a, const char *text);
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);
int str_cmp(struct str a, struct str b); /* bytewise order, shorter first */

/* Position of the first `c`, or s.len. */
size_t str_find_char(struct str s, char c);
bool str_contains(struct str s, struct str needle);

/* s without its first n bytes (n is clamped), and s cut to its first n bytes. */
struct str str_skip(struct str s, size_t n);
struct str str_take(struct str s, size_t n);

/* Without ASCII blanks (space, tab, CR, LF) at both ends. */
struct str str_trim(struct str s);

/*
 * Takes the part before `separator` off *rest and gives it; the separator goes. When none is left
 * the whole rest is given and *rest becomes {NULL, 0}. Returns false, and gives nothing, when
 * rest->ptr is NULL.
 */
bool str_split(struct str *rest, char separator, struct str *ret_part);

/* True when every byte is one of `allowed` (NUL-terminated set); an empty str is not. */
bool str_only(struct str s, const char *allowed);
bool str_is_digits(struct str s); /* one or more of 0-9 */
bool str_is_lower_hex(struct str s);

/* Strict decimal, an optional leading '-', no blanks, no '+'; false when it is not, or leaves
 * min..max. */
bool str_parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret_value);
/* Strict decimal fraction as in JSON without exponent ("-21.9426"), at most 63 bytes; false on
 * anything else. The locale plays no part. */
bool str_parse_double(struct str s, double *ret_value);

/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool str_is_utf8(struct str s);

/* Bytes of the UTF-8 character s starts with (1..4), and the character; 0 when s is empty or starts
 * with anything str_is_utf8() refuses. */
size_t str_utf8_next(struct str s, uint32_t *ret_char);

/* Copies into `out` with a NUL behind, cut to size - 1 bytes; returns false when it was cut. size
 * >= 1. */
bool str_copy(struct str s, char *out, size_t size);

#endif
