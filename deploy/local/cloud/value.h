/*
 * value.h - Firestore's typed values: what is one, which comes first, and paths into maps
 *
 * A value is kept in one canonical form: integers and times as text, empty maps and arrays without
 * their member, times in microseconds. Trees belong to the arena or to the tree they are part of.
 * Pure; any thread. Source: firebase.google.com/docs/firestore/reference/rest/v1/Value and
 * …/docs/firestore/manage-data/data-types#value_type_ordering.
 */
#ifndef LOCAL_CLOUD_VALUE_H
#define LOCAL_CLOUD_VALUE_H

#include "google.h"

/* Maps and arrays within each other; Firestore has 20, JSON of libcommon fewer. */
#define VALUE_DEPTH_MAX 16

/* Adds the canonical form of a value somebody sent. False, and r says why, when it is none. */
bool value_read(const cJSON *value, cJSON *to, const char *name, struct refusal *r) MUST_CHECK;
/* The same for a map of values ("fields"); NULL counts as an empty one. */
cJSON *fields_read(struct arena *a, const cJSON *fields, struct refusal *r) MUST_CHECK;

/* Order across types: null < boolean < number < time < string < bytes < reference < geo point <
 * array < map; NaN is the least number. Below 0, 0, above 0. */
int value_compare(const cJSON *left, const cJSON *right);
/* Whether they are of one type in the sense of that order. */
bool value_comparable(const cJSON *left, const cJSON *right);
/* The same to the bit, also 3 and 3.0 apart. */
bool value_same(const cJSON *left, const cJSON *right);
bool value_is_null(const cJSON *value);
bool value_is_nan(const cJSON *value);
/* Of an integer or double. A long double holds every int64 and every double. */
long double value_number(const cJSON *value);
/* Parts of document paths in turn, each bytewise. */
int path_compare(struct str left, struct str right);

#define TIME_TEXT_SIZE 40
/* Years 1 to 9999; fractions as protobuf writes them: 0, 3 or 6 digits. */
void time_write(int64_t us, char out[TIME_TEXT_SIZE]);
/* ret_nanos (may be NULL): whether there was more behind the microseconds. */
bool time_read(struct str text, int64_t *ret_us, bool *ret_nanos);

struct field_path {
    struct str *parts; /* unquoted */
    size_t count;
};
/* "a.b", "a.`x y`". */
bool field_path_read(struct arena *a, struct str text, struct field_path *ret, struct refusal *r);
int field_path_compare(const struct field_path *left, const struct field_path *right);
bool field_path_is_name(const struct field_path *path); /* __name__ */

/* The value at a path, or NULL. Borrowed. */
const cJSON *field_get(const cJSON *fields, const struct field_path *path);
/* Puts a copy there; what is in the way becomes a map. False when too deep. */
bool field_set(cJSON *fields, const struct field_path *path, const cJSON *value, struct refusal *r);
void field_remove(cJSON *fields, const struct field_path *path);

/* A copy of what the paths name; NULL paths: of all. */
cJSON *fields_project(struct arena *a, const cJSON *fields, const struct field_path *paths,
                      size_t count);

#endif
