/*
 * match.h - which names a piece of text may mean
 *
 * Hits are kept in the reader's scratch: for each name the cost of its best hit. The costs are
 * ranks, smaller is better (M-A05): exact spelling, start of the exact spelling, then the same with
 * accents forgiven, then other cases, then at the start of a later word; typing errors cost more
 * than all of these together with anything else a search may add. One thread per reader.
 */
#ifndef LIBCOMMON_REGISTRY_MATCH_H
#define LIBCOMMON_REGISTRY_MATCH_H

#include "registry/registry.h"

enum match_cost {
    MATCH_EXACT = 1,  /* 0 stands for no hit */
    MATCH_NEARLY = 9, /* exact spelling, one letter to come */
    MATCH_PREFIX = 10,
    MATCH_FOLDED = 20,
    MATCH_FOLDED_PREFIX = 30,
    MATCH_INFLECTED = 40,
    MATCH_INFLECTED_PREFIX = 50,
    MATCH_WORD = 60, /* begins a later word of the name */
    MATCH_NO_NAME = 70,
    MATCH_MISTYPED = 1000, /* and this much for each error, half as much more for a beginning */
    MATCH_MISTYPED_ACCENTS = 100, /* for each further error (3 count) when accents are looked at */
    MATCH_MISTYPED_DATIVE = 60,
    MATCH_INSIDE = 1450, /* inside a word: behind whole names one error away */
};

#define MATCH_ONE_ERROR_LETTERS  5
#define MATCH_TWO_ERRORS_LETTERS 9
#define MATCH_KEY_MAX            96 /* longer text is no name */

/* A piece of text, both ways. */
struct match_text {
    struct str key;
    struct str spelling;
};

struct matches {
    struct registry_reader *reader;
    uint32_t count; /* of reader->names_found */
};

void match_begin(struct matches *m, struct registry_reader *reader);
void match_end(struct matches *m); /* leaves the scratch clean */

/* Names that are the text, in any case. */
void match_whole(struct matches *m, const struct match_text *text);
/* Names that are the text, or of which a word begins with it. Two letters at least, else only whole
 * names. */
void match_prefix(struct matches *m, const struct match_text *text);
/* Names that hold the text inside. Three letters at least, else none. */
void match_inside(struct matches *m, const struct match_text *text);
/* A bit for each pair of neighbouring letters (several share one): what holds the text inside has
 * all bits of the text, and few other names do. */
uint64_t match_pairs(struct str key);
/*
 * Names (or their beginnings) at most `errors` (1 or 2) typing errors away: a letter more, less,
 * other, or two neighbours swapped. One error in five letters or more, two in nine or more: of the
 * name when all of it was typed, of the text when it is a beginning. Digits are not forgiven.
 */
void match_mistyped(struct matches *m, const struct match_text *text, unsigned errors);

/* Typing errors between two texts of at most MATCH_KEY_MAX bytes, counted in bytes. */
unsigned match_distance(struct str a, struct str b);

/* Errors allowed in so many letters. */
unsigned match_errors_allowed(size_t letters);

#endif
