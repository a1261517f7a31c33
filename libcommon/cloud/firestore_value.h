/*
 * firestore_value.h - Firestore's typed values in their JSON form
 *
 * A map of fields is a cJSON object {name: {"stringValue": …}, …} as the REST API has it, so
 * documents need no model of their own. Builders add to such a map; readers take a dotted path
 * ("membership.status") through nested maps. Pure; any thread. Source:
 * firebase.google.com/docs/firestore/reference/rest/v1/Value.
 */
#ifndef LIBCOMMON_CLOUD_FIRESTORE_VALUE_H
#define LIBCOMMON_CLOUD_FIRESTORE_VALUE_H

#include "base/json.h"

/* Maps and arrays within each other, in what fs_add_json() takes. Firestore would take 20, but JSON
 * of more than JSON_DEPTH_MAX could not be read back. */
#define FS_DEPTH_MAX            8
#define FS_FIELD_NAME_MAX_BYTES 1500

#define FS_PLAIN_WHOLE_MAX 9007199254740992 /* 2^53: larger ones stay text in plain JSON */

/* Builders. A name may be added once: must(). Times before 1970 are clamped. `fields` is a map from
 * fs_fields() or fs_add_map(). */
cJSON *fs_fields(struct arena *a);
void fs_add_str(cJSON *fields, const char *name, struct str value);
void fs_add_text(cJSON *fields, const char *name, const char *value); /* NULL: null */
void fs_add_i64(cJSON *fields, const char *name, int64_t value);
void fs_add_double(cJSON *fields, const char *name, double value);
void fs_add_bool(cJSON *fields, const char *name, bool value);
void fs_add_null(cJSON *fields, const char *name);
void fs_add_time_ms(cJSON *fields, const char *name, int64_t unix_ms);
cJSON *fs_add_map(cJSON *fields, const char *name);   /* gives the inner fields */
cJSON *fs_add_array(cJSON *fields, const char *name); /* gives the array to push to */
void fs_push_str(cJSON *array, struct str value);
cJSON *fs_push_map(cJSON *array); /* gives the inner fields */
/* Any plain JSON value as Firestore has it: whole numbers become integerValue, objects maps, arrays
 * arrays. False, and nothing added, for an array in an array, more than FS_DEPTH_MAX levels, and
 * names that Firestore does not take (empty, too long, __x__). */
bool fs_add_json(cJSON *fields, const char *name, const cJSON *plain) MUST_CHECK;

/* Readers: false when absent or of another type. Borrowed. */
const cJSON *fs_get(const cJSON *fields, const char *path); /* the typed value, or NULL */
bool fs_get_str(const cJSON *fields, const char *path, struct str *ret);
bool fs_get_bool(const cJSON *fields, const char *path, bool *ret);
bool fs_get_i64(const cJSON *fields, const char *path, int64_t *ret);
bool fs_get_double(const cJSON *fields, const char *path, double *ret); /* integers too */
bool fs_get_time_ms(const cJSON *fields, const char *path, int64_t *ret);
const cJSON *fs_get_map(const cJSON *fields,
                        const char *path); /* inner fields, or NULL; {} for an empty map */
const cJSON *fs_get_array(const cJSON *fields,
                          const char *path); /* cJSON array of typed values, or NULL */
/* Of one typed value, as an array's element is: as fs_get_map() and fs_get_array(), and the text,
 * empty when it is no string. */
const cJSON *fs_value_map(const cJSON *value);
const cJSON *fs_value_array(const cJSON *value);
struct str fs_value_str(const cJSON *value);

/* A typed value or fields map as plain JSON (times as text, bytes as base64), new, owned by the
 * arena. */
cJSON *fs_to_plain(struct arena *a, const cJSON *fields);

#endif
