/*
 * query.h - what somebody typed, taken apart
 *
 * A text is cut into words and numbers. A reading says which of them are the name and what the rest
 * is: house number, letter, range, postcode, town. Name, number, postcode and town come in any
 * order, so one text may have several readings ("Laugavegur 101": a number or a postcode); the
 * search follows them all. Pure functions over the packed index, any thread. Source: M-A02, M-A08.
 */
#ifndef LIBCOMMON_REGISTRY_QUERY_H
#define LIBCOMMON_REGISTRY_QUERY_H

#include "base/arena.h"
#include "registry/match.h"

#define QUERY_MAX_BYTES    200 /* longer texts find nothing */
#define QUERY_TOKENS_MAX   16
#define QUERY_READINGS_MAX 24
#define QUERY_AREAS_MAX    3

struct query_token {
    struct str key;
    struct str spelling;
    bool is_number;
    int number;  /* -1 when it has more than four digits */
    bool dashed; /* a dash stands before it */
};

/* Streets by postcode or municipality; as struct pack_place. */
struct area {
    uint8_t postcodes[PACK_SET_BYTES];
    uint8_t municipalities[PACK_SET_BYTES];
};

struct reading {
    struct match_text name; /* empty: the text names only an area */
    int number;             /* -1: none typed */
    int number_to;          /* -1: no range typed */
    struct match_text letter;
    struct area areas[QUERY_AREAS_MAX];
    size_t area_count;
    bool has_postcode;  /* one of the areas was typed as a number */
    bool mistyped_area; /* a town was only found with an error forgiven */
};

struct query {
    const struct pack *pack;
    struct query_token tokens[QUERY_TOKENS_MAX];
    size_t token_count;
    struct reading readings[QUERY_READINGS_MAX];
    size_t reading_count;
};

/* False when there is nothing to search for: no letter or digit, too long, too many words, not
 * UTF-8. */
bool query_read(struct query *q, const struct pack *pack, struct arena *a, struct str text);

/* Forgets the readings and makes them anew, now forgiving typing errors in town names. */
void query_read_mistyped(struct query *q, struct arena *a);

/* The text of `count` tokens as one name. */
void query_run(const struct query *q, struct arena *a, size_t from, size_t count,
               struct match_text *ret);

bool area_holds(const struct area *area, const struct pack_street *street);
bool reading_admits(const struct reading *r, const struct pack_street *street);
/* Area of one postcode (index), and of a town's name in any case; false when there is none. */
void area_of_postcode(struct area *area, int index);
bool area_of_place(const struct pack *p, struct str key, struct area *area);

/* "22", "22a", "8 C", "6-8": what may stand in a number field. False when it is something else.
 * *letter points into text. */
bool query_house_number(struct str text, int *ret_number, int *ret_to, struct str *ret_letter);

#endif
