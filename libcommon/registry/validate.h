/*
 * validate.h - is this address in the registry, and which door is it
 *
 * Strict where the search forgives: the whole name, in any case and with plain letters for accents,
 * the number, the letter as it is. A name that is spelled exactly goes before one that only folds
 * to the same. Valid means one door was named. One thread per reader. Source: members.md §3.7,
 * M-A07, M-A08, M-A10, M-A13.
 */
#ifndef LIBCOMMON_REGISTRY_VALIDATE_H
#define LIBCOMMON_REGISTRY_VALIDATE_H

#include "base/arena.h"
#include "registry/query.h"

#define VALIDATE_ALTERNATIVES_MAX 10

#define VALIDITY_TABLE(X)                                                                          \
    X(VALIDITY_EXACT, "exact")                                                                     \
    X(VALIDITY_AMBIGUOUS, "ambiguous")                 /* several doors have this name */          \
    X(VALIDITY_LETTER_MISSING, "letter_missing")       /* the number exists, with letters only */  \
    X(VALIDITY_LETTER_UNKNOWN, "letter_unknown")       /* the number exists without this letter */ \
    X(VALIDITY_POSTCODE_CONFLICT, "postcode_conflict") /* exists, but not in this area */          \
    X(VALIDITY_NUMBER_UNKNOWN, "number_unknown")                                                   \
    X(VALIDITY_STREET_UNKNOWN, "street_unknown")

enum validity {
#define X(code, text) code,
    VALIDITY_TABLE(X)
#undef X
};

const char *validity_text(enum validity v);

struct claim {
    struct str street;
    int number;    /* -1: none */
    int number_to; /* -1: no range */
    struct str letter;
    const struct area *areas[2]; /* postcode, town; NULL: not given */
};

struct verdict {
    enum validity validity;
    uint32_t door; /* when exact */
    uint32_t alternatives[VALIDATE_ALTERNATIVES_MAX];
    size_t alternative_count;
};

void validate_claim(struct registry_reader *r, const struct claim *claim, struct verdict *ret);

#endif
