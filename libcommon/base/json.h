/*
 * json.h - JSON from outside, read strictly; cJSON does the rest
 *
 * cJSON alone is lax: look-up ignores case, "\u0000" and raw NUL cut strings, duplicate keys and
 * bad UTF-8 pass, `01` and 1e999 are numbers. Every text from outside goes through json_parse(),
 * every look-up through json_get(). Any thread; no I/O. Source: RFC 8259; PLATFORM notes on
 * cJSON 1.7.15.
 */
#ifndef LIBCOMMON_BASE_JSON_H
#define LIBCOMMON_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <cjson/cJSON.h>

/*
 * Checks and parses one whole text: valid UTF-8, RFC 8259 grammar, no raw control characters, no
 * NUL and no "\u0000", no lone surrogates, depth <= JSON_DEPTH_MAX, no member name twice in an
 * object (compared unescaped), numbers finite and of at most JSON_NUMBER_MAX_BYTES, nothing behind
 * the value. The tree belongs to the arena. On failure NULL
 * and ERR_BAD_REQUEST; the detail names position and rule, never content.
 */
const cJSON *json_parse(struct arena *a, struct str text, struct error *e) MUST_CHECK;

/* The check alone. */
bool json_check(struct str text, struct error *e) MUST_CHECK;

/* Case-sensitive member; NULL when absent, or when object is NULL or no object. A member that is
 * null is given (cJSON_IsNull). */
const cJSON *json_get(const cJSON *object, const char *name);

/* Typed readers: false when absent or of another type; *ret is then untouched. Strings borrow from
 * the tree. */
bool json_str(const cJSON *object, const char *name, struct str *ret);
bool json_bool(const cJSON *object, const char *name, bool *ret);
/* A JSON number without fraction within ±(2^53 - 1), where no rounding can hide. */
bool json_i64(const cJSON *object, const char *name, int64_t *ret);
struct str json_str_value(const cJSON *item); /* empty when it is no string */

/* First member whose name is not in the NULL-terminated list `allowed`; NULL when all are known.
 * Borrowed. */
const char *json_unknown_member(const cJSON *object, const char *const *allowed);

/*
 * A tree to build a reply in; owned by the arena. These are roots: what goes into a tree is made in
 * its place with json_add_object() and json_add_array().
 */
cJSON *json_object(struct arena *a);
cJSON *json_array(struct arena *a);

/*
 * Adders. `to` is an object, or an array when name is NULL. They abort on a lack of memory; names
 * and strings must be UTF-8 without NUL (checked: must()).
 */
void json_add_str(cJSON *to, const char *name, struct str value);
void json_add_str_or_null(cJSON *object, const char *name, struct str value); /* ptr NULL: null */
void json_add_text(cJSON *to, const char *name, const char *value);           /* NULL adds null */
void json_add_i64(cJSON *to, const char *name, int64_t value);   /* |value| <= 2^53, must() */
void json_add_double(cJSON *to, const char *name, double value); /* finite, must() */
void json_add_bool(cJSON *to, const char *name, bool value);
void json_add_null(cJSON *to, const char *name);
/* A new, empty child; it lives as long as the tree. */
cJSON *json_add_object(cJSON *to, const char *name);
cJSON *json_add_array(cJSON *to, const char *name);
/* A deep copy, of a parsed tree or one of ours. */
void json_add_copy(cJSON *to, const char *name, const cJSON *item);
/* item, from cJSON_Create…() or cJSON_Duplicate(), becomes part of the tree. One of json_object()
 * or json_array() belongs to the arena already and is refused: must(). */
void json_add_item(cJSON *to, const char *name, cJSON *item);

/* Compact text of a tree, appended. Whole numbers within ±2^53 are written as such, others with as
 * many digits as they need to come back the same. */
bool json_write(struct buf *b, const cJSON *tree);

#endif
