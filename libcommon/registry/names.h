/*
 * names.h - Icelandic names as the address search compares them
 *
 * Two forms of a name: its key (folded, without blanks and punctuation: "Minni-Hlíð" is
 * "minnihlid") and its spelling (lower case with accents, also without blanks and punctuation).
 * Keys forgive, spellings tell who was exact. Pure functions, any thread. Source: M-A03, M-A04.
 */
#ifndef LIBCOMMON_REGISTRY_NAMES_H
#define LIBCOMMON_REGISTRY_NAMES_H

#include "base/arena.h"
#include "base/buf.h"

/* Longest name, in bytes, that is stored or searched for. */
#define NAME_MAX_BYTES 200

/* Appended to b; false when b is full. Invalid UTF-8 is dropped. */
bool name_key(struct str text, struct buf *b);
bool name_spelling(struct str text, struct buf *b);

/*
 * A key for counting typing errors: þ and æ are one byte each, because they are one letter to the
 * person who mistypes them. From the text itself; or from a key, where "th" and "ae" may stand for
 * them (never longer than the key; out has key.len bytes).
 */
bool name_rough(struct str text, struct buf *b);
size_t name_rough_of_key(struct str key, char *out);

/*
 * The cases of a name that the registry does not store. `nominative` and `dative` are as stored;
 * dative may be empty. Gives up to NAME_FORMS_MAX lower-case forms (arena memory), none of them
 * equal to the two given. The endings are those of street, farm and town names; what is derived is
 * only ever searched for, never shown, so a form that no one uses does no harm.
 */
#define NAME_FORMS_MAX 6
size_t name_forms(struct arena *a, struct str nominative, struct str dative,
                  struct str forms[NAME_FORMS_MAX]);

#endif
