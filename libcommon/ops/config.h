/*
 * config.h - settings from the environment, by one table that parses, checks, prints and documents
 * them
 *
 * A service lists its settings once. The same table reads the environment, refuses what is out of
 * range, and prints itself (--print-config). Secrets are looked up as NAME, then as
 * name-with-hyphens in lower case (what the Firebase CLI makes), then as a file named by NAME_FILE
 * (content trimmed). `aliases` are further names, tried in order before NAME_FILE, those of a
 * secret in both spellings too. An empty value counts as unset. A secret's value is never printed.
 */
#ifndef LIBCOMMON_OPS_CONFIG_H
#define LIBCOMMON_OPS_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>

enum config_type { CONFIG_TEXT, CONFIG_SECRET_TEXT, CONFIG_INTEGER, CONFIG_BOOLEAN, CONFIG_CHOICE };

struct config_key {
    const char *name; /* UPPER_SNAKE, unit suffix where there is one */
    enum config_type type;
    size_t offset;        /* of the member: const char *, int64_t or bool */
    const char *fallback; /* default as text, also read by the rules but for a minimum length when
                             it is ""; NULL: required */
    int64_t min, max;     /* integers: range; texts: length in bytes */
    const char *choices;  /* CONFIG_CHOICE: "off|monitor|enforce"; the member is an int64_t index */
    const char *unit;     /* "ms", "connections", "" */
    const char *doc;      /* one sentence */
    const char *aliases;  /* further environment names separated by ',', or NULL */
};

/* clang-format off */
#define CONFIG_STR(type_, member, name_, fallback_, doc_) \
    { .name = name_, .type = CONFIG_TEXT, .offset = offsetof(type_, member), .fallback = fallback_, .max = 4096, .unit = "", .doc = doc_ }
#define CONFIG_SECRET(type_, member, name_, fallback_, min_len, doc_) \
    { .name = name_, .type = CONFIG_SECRET_TEXT, .offset = offsetof(type_, member), .fallback = fallback_, .min = min_len, .max = 16384, .unit = "", .doc = doc_ }
#define CONFIG_INT(type_, member, name_, fallback_, min_, max_, unit_, doc_) \
    { .name = name_, .type = CONFIG_INTEGER, .offset = offsetof(type_, member), .fallback = fallback_, .min = min_, .max = max_, .unit = unit_, .doc = doc_ }
#define CONFIG_BOOL(type_, member, name_, fallback_, doc_) \
    { .name = name_, .type = CONFIG_BOOLEAN, .offset = offsetof(type_, member), .fallback = fallback_, .unit = "", .doc = doc_ }
#define CONFIG_ENUM(type_, member, name_, fallback_, choices_, doc_) \
    { .name = name_, .type = CONFIG_CHOICE, .offset = offsetof(type_, member), .fallback = fallback_, .choices = choices_, .unit = "", .doc = doc_ }
#define CONFIG_END { .name = NULL }
/* clang-format on */

/* Where values come from: a NAME=value array like environ, NULL-terminated. */
struct config_source {
    char *const *environment;
};

/*
 * Fills *settings from the source. All faults are found, not only the first: each is one line in
 * `faults` (name and rule, never the value). False when there is any. Booleans:
 * true|false|1|0|yes|no|on|off, any case. Strings live in the arena.
 */
bool config_load(const struct config_key *keys, struct config_source source, struct arena *a,
                 void *settings, struct buf *faults) MUST_CHECK;

/* The table as aligned text: name, type, default, unit, meaning. Appended. */
void config_print(const struct config_key *keys, struct buf *out);

#endif
