/*
 * pack.h - the part of the registry file that is searched: sorted arrays, read as they lie
 *
 * A search touches thousands of names and numbers and shows ten of them. They are therefore kept as
 * packed arrays in one blob, which follows the last page of the SQLite database in the registry
 * file: there it lies in one piece, on a page of its own, and is used out of the mapped file
 * without a copy. Written by registry-build, read here. Little endian. Immutable after
 * pack_check(), any thread.
 *
 * Order is meaning: names stand by falling number of doors, streets by (name, postcode,
 * municipality), doors by (street, number, letter). A smaller door id is the better one among
 * equals.
 */
#ifndef LIBCOMMON_REGISTRY_PACK_H
#define LIBCOMMON_REGISTRY_PACK_H

#include "base/error.h"
#include "base/str.h"

#define PACK_MAGIC         0x4b50474bu
#define PACK_SCHEMA        2u /* also the file's user_version */
#define PACK_POSTCODES_MAX 256
#define PACK_NO_LETTER     0 /* index of the empty letter */
#define PACK_SET_BYTES     32
#define PACK_DOOR_SPAN_MAX 255
#define PACK_NUMBER_MAX    9999

/* Positions are kept as their distance from here, WGS84 in 1e-8 degrees. */
#define PACK_LATITUDE_E8  INT64_C(6500000000)
#define PACK_LONGITUDE_E8 INT64_C(-1900000000)
#define PACK_NO_POSITION  INT32_MIN

enum pack_part {
    PART_TEXT,       /* bytes: a length byte, then so many bytes of UTF-8 */
    PART_KEY_TEXT,   /* bytes: the keys, one behind the other */
    PART_KEYS,       /* struct pack_key, sorted by text */
    PART_ROUGH_TEXT, /* bytes: rough keys, one behind the other */
    PART_ROUGH,      /* struct pack_key, sorted: the stored cases only, for typing errors */
    PART_SHARED,     /* byte per rough key: how many leading bytes it shares with the one before */
    PART_NAME_KEYS,  /* bytes: "\n" and the nominative's key, by name: for matches inside names */
    PART_NAMES,      /* struct pack_name, and one more that ends the last */
    PART_STREETS,    /* struct pack_street, and one more */
    PART_DOORS,      /* struct pack_door; door id = index + 1 */
    PART_DETAILS,    /* struct pack_detail, by door: what is only shown */
    PART_SPECIAL,    /* uint32_t door ids of named buildings, grouped by name */
    PART_PLACES,     /* struct pack_place, sorted by key */
    PART_POSTCODES,  /* struct pack_postcode, by code */
    PART_MUNICIPALITIES, /* struct pack_municipality, by code */
    PART_LETTERS,        /* uint32_t text; the first is empty */
    PART_COUNT
};

/* FORM_WORD: the nominative from a later word on. */
enum pack_form { FORM_NOMINATIVE, FORM_DATIVE, FORM_DERIVED, FORM_WORD };

struct pack_key {
    uint32_t text; /* in PART_KEY_TEXT */
    uint32_t name;
    uint8_t length;
    uint8_t form;
    uint8_t plain; /* so many leading bytes are spelled as the key is */
    uint8_t zero;
};

struct pack_name {
    uint32_t text;     /* nominative as stored */
    uint32_t spelling; /* in PART_TEXT */
    uint32_t key;      /* of the '\n' in PART_NAME_KEYS */
    uint32_t first_street;
    uint32_t first_special;
};

struct pack_street {
    uint32_t name;
    uint32_t first_door; /* index */
    uint8_t postcode;    /* index */
    uint8_t municipality;
    uint16_t zero;
};

struct pack_door {
    uint16_t number; /* 0: none */
    uint8_t letter;
    uint8_t span; /* a range door holds number..number + span */
};

struct pack_detail {
    int32_t latitude, longitude; /* PACK_NO_POSITION in latitude: none */
    uint32_t hnitnum;
    uint32_t landnr : 31;     /* 0: not known */
    uint32_t own_number : 1;  /* a range may have none */
    uint32_t suffix, special; /* in PART_TEXT */
};

/* A town, region or municipality in one of its cases. A street is in it when its postcode or its
 * municipality is. */
struct pack_place {
    uint32_t key; /* in PART_TEXT */
    uint8_t postcodes[PACK_SET_BYTES];
    uint8_t municipalities[PACK_SET_BYTES];
};

enum postcode_kind { POSTCODE_TOWN, POSTCODE_RURAL, POSTCODE_PO_BOX, POSTCODE_KIND_COUNT };

struct pack_postcode {
    uint16_t code;
    uint8_t municipality; /* of most doors, index */
    uint8_t kind;
    uint32_t place, place_dative, region, region_dative;
};

struct pack_municipality {
    uint32_t code;
    uint32_t name;
};

struct pack_header {
    uint32_t magic;
    uint32_t schema;
    uint64_t bytes;    /* of the blob */
    uint64_t checksum; /* pack_checksum() of all that follows the header */
    struct {
        uint64_t offset; /* from the start of the blob, a multiple of 8 */
        uint64_t bytes;
    } parts[PART_COUNT];
};

struct pack {
    uint64_t checksum;
    const char *text, *key_text, *rough_text, *name_keys;
    size_t text_bytes, key_text_bytes, rough_text_bytes, name_keys_bytes;
    const struct pack_key *keys, *rough;
    const uint8_t *shared;
    const struct pack_name *names;
    const struct pack_street *streets;
    const struct pack_door *doors;
    const struct pack_detail *details;
    const uint32_t *specials;
    const struct pack_place *places;
    const struct pack_postcode *postcodes;
    const struct pack_municipality *municipalities;
    const uint32_t *letters;
    uint32_t key_count, rough_count, name_count, street_count, door_count, special_count;
    uint32_t place_count, postcode_count, municipality_count, letter_count;
};

/*
 * Looks at a blob (8-byte aligned, kept by the caller as long as the pack is used) and fills *ret.
 * Every offset and index is checked, so that later look-ups need not. False when it is not ours or
 * not whole: ERR_INTERNAL with the reason.
 */
bool pack_check(const void *blob, size_t bytes, struct pack *ret, struct error *e) MUST_CHECK;

uint64_t pack_checksum(const void *data, size_t bytes);

struct str pack_text(const struct pack *p, uint32_t offset);
struct str pack_key_text(const struct pack *p, uint32_t key);
/* The nominative's key of a name. */
struct str pack_name_key(const struct pack *p, uint32_t name);
/* The street a door belongs to. */
uint32_t pack_street_of(const struct pack *p, uint32_t door);
/* Index of a postcode, or -1. */
int pack_postcode_find(const struct pack *p, int64_t code);

#endif
