/*
 * source.h - rows of the official file, checked one by one
 *
 * Reads Stadfangaskra.csv (29 columns found by name, UTF-8, comma decimals) and our own two tables:
 * postcodes and municipalities. What cannot be served is refused with a reason and counted; a file
 * that is not the official one, or not all of it, stops the build. One thread.
 */
#ifndef DEPLOY_REGISTRY_SOURCE_H
#define DEPLOY_REGISTRY_SOURCE_H

#include "base/error.h"
#include "csv.h"
#include "registry/pack.h"

#define SOURCE_REFUSED_KEPT_MAX 10000
#define SOURCE_LETTERS_MAX      255
#define SOURCE_NO_POSITION      INT64_MIN

#define REFUSAL_TABLE(X)                                                                           \
    X(REFUSED_COLUMNS, "wrong number of columns")                                                  \
    X(REFUSED_UTF8, "not UTF-8, or control characters")                                            \
    X(REFUSED_HNITNUM, "no HNITNUM")                                                               \
    X(REFUSED_TWICE, "HNITNUM came before")                                                        \
    X(REFUSED_NAME, "no name with a letter in it, or too long")                                    \
    X(REFUSED_POSTCODE, "postcode missing or not in our table")                                    \
    X(REFUSED_NUMBER, "house number is no number up to 9999")                                      \
    X(REFUSED_LETTER, "letter too long")                                                           \
    X(REFUSED_POSITION, "position unreadable or outside Iceland")

enum refusal {
#define X(code, text) code,
    REFUSAL_TABLE(X)
#undef X
        REFUSAL_COUNT
};

const char *refusal_text(enum refusal r);

/* Texts are offsets into `text`, NUL-terminated; 0 is the empty text. */
struct source_row {
    uint32_t nominative, dative, special, suffix;
    uint16_t number; /* 0: none */
    uint16_t range_to;
    bool has_number; /* false for a range without a number of its own */
    uint8_t letter;  /* index into letters */
    uint8_t postcode, municipality;
    int64_t hnitnum, landnr;
    int64_t latitude_e8, longitude_e8;
    int64_t line;
    uint32_t name, special_name; /* filled by the index; special_name UINT32_MAX: none */
};

struct source_postcode {
    uint16_t code;
    uint8_t kind, municipality;
    uint32_t place, place_dative, region, region_dative;
};

struct source_municipality {
    uint32_t code;
    uint32_t name;
};

struct source_refused {
    int64_t line;
    enum refusal why;
};

struct source {
    struct buf text;
    struct source_row *rows;
    size_t row_count, row_capacity;
    struct source_postcode postcodes[PACK_POSTCODES_MAX];
    size_t postcode_count;
    struct source_municipality municipalities[PACK_POSTCODES_MAX];
    size_t municipality_count;
    uint32_t letters[SOURCE_LETTERS_MAX + 1]; /* sorted, the first is empty */
    size_t letter_count;
    int64_t rows_read;
    int64_t refused[REFUSAL_COUNT];
    struct source_refused kept[SOURCE_REFUSED_KEPT_MAX];
    size_t kept_count;
    int64_t unknown_municipality; /* rows served under the municipality of their postcode */
    int64_t without_position;
};

struct source *source_new(void);
void source_free(struct source *s);
const char *source_text(const struct source *s, uint32_t offset);
int64_t source_refused(const struct source *s); /* all reasons together */

/* For the readers of rows and tables. Trims and joins blanks; the empty text is 0. */
uint32_t source_add_text(struct source *s, struct str text);
bool source_is_clean(const struct csv *csv); /* UTF-8 without control characters */
int source_municipality(const struct source *s, int64_t code); /* index, or -1 */

/* Our own tables; both before the rows. */
bool source_read_municipalities(struct source *s, FILE *in, struct error *e) MUST_CHECK;
bool source_read_postcodes(struct source *s, FILE *in, struct error *e) MUST_CHECK;

/* `progress` (may be NULL) is called now and then with the rows read so far. */
bool source_read_rows(struct source *s, FILE *in, void (*progress)(int64_t rows),
                      struct error *e) MUST_CHECK;

#endif
