/* pack.c - the packed arrays: checked once, then trusted */
#include "registry/pack.h"

_Static_assert(sizeof(struct pack_key) == 12, "as the file has it");
_Static_assert(sizeof(struct pack_name) == 20, "as the file has it");
_Static_assert(sizeof(struct pack_street) == 12, "as the file has it");
_Static_assert(sizeof(struct pack_door) == 4, "as the file has it");
_Static_assert(sizeof(struct pack_detail) == 24, "as the file has it");
_Static_assert(sizeof(struct pack_place) == 68, "as the file has it");
_Static_assert(sizeof(struct pack_postcode) == 20, "as the file has it");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little endian");

static const size_t item_bytes[PART_COUNT] = {
    [PART_TEXT] = 1,
    [PART_KEY_TEXT] = 1,
    [PART_KEYS] = sizeof(struct pack_key),
    [PART_ROUGH_TEXT] = 1,
    [PART_ROUGH] = sizeof(struct pack_key),
    [PART_SHARED] = 1,
    [PART_NAME_KEYS] = 1,
    [PART_NAMES] = sizeof(struct pack_name),
    [PART_STREETS] = sizeof(struct pack_street),
    [PART_DOORS] = sizeof(struct pack_door),
    [PART_DETAILS] = sizeof(struct pack_detail),
    [PART_SPECIAL] = sizeof(uint32_t),
    [PART_PLACES] = sizeof(struct pack_place),
    [PART_POSTCODES] = sizeof(struct pack_postcode),
    [PART_MUNICIPALITIES] = sizeof(struct pack_municipality),
    [PART_LETTERS] = sizeof(uint32_t),
};

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0xff51afd7ed558ccdu;
    return sum ^ sum >> 32;
}

/* Not for secrets, only for bits that fell over: eight bytes at a time, multiply and fold, in four
 * lanes, because one would wait for its own product. */
uint64_t pack_checksum(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint64_t lanes[4] = {1, 2, 3, 4}, words[4], sum = 0x9e3779b97f4a7c15u ^ bytes;

    for (; bytes >= sizeof words; p += sizeof words, bytes -= sizeof words) {
        memcpy(words, p, sizeof words);
        for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
            lanes[i] = mix(lanes[i], words[i]);
    }
    memset(words, 0, sizeof words);
    memcpy(words, p, bytes);
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
        sum = mix(mix(sum, lanes[i]), words[i]);
    return sum;
}

static bool broken(struct error *e, const char *what)
{
    return error_set(e, ERR_INTERNAL, "registry file is damaged: %s", what);
}

static bool find_parts(const void *blob, size_t bytes, const void *part[PART_COUNT],
                       size_t count[PART_COUNT], struct error *e)
{
    const struct pack_header *h = blob;

    if (bytes < sizeof *h || h->magic != PACK_MAGIC)
        return broken(e, "no index");
    if (h->schema != PACK_SCHEMA)
        return error_set(e, ERR_INTERNAL, "registry file has index version %u, need %u", h->schema,
                         PACK_SCHEMA);
    if (h->bytes != bytes)
        return error_set(e, ERR_INTERNAL,
                         "registry file is truncated: index of %zu bytes, not %llu", bytes,
                         (unsigned long long)h->bytes);
    if (h->checksum != pack_checksum((const char *)blob + sizeof *h, bytes - sizeof *h))
        return broken(e, "checksum of the index");
    for (size_t i = 0; i < PART_COUNT; i++) {
        uint64_t offset = h->parts[i].offset, size = h->parts[i].bytes;

        if (offset % 8 != 0 || offset > bytes || size > bytes - offset ||
            size % item_bytes[i] != 0 || size > UINT32_MAX)
            return broken(e, "part table");
        part[i] = (const char *)blob + offset;
        count[i] = (size_t)size / item_bytes[i];
    }
    return true;
}

static void fill(struct pack *p, const void *const part[PART_COUNT], const size_t count[PART_COUNT])
{
    p->text = part[PART_TEXT];
    p->text_bytes = count[PART_TEXT];
    p->key_text = part[PART_KEY_TEXT];
    p->key_text_bytes = count[PART_KEY_TEXT];
    p->keys = part[PART_KEYS];
    p->key_count = (uint32_t)count[PART_KEYS];
    p->rough_text = part[PART_ROUGH_TEXT];
    p->rough_text_bytes = count[PART_ROUGH_TEXT];
    p->rough = part[PART_ROUGH];
    p->rough_count = (uint32_t)count[PART_ROUGH];
    p->shared = part[PART_SHARED];
    p->name_keys = part[PART_NAME_KEYS];
    p->name_keys_bytes = count[PART_NAME_KEYS];
    p->names = part[PART_NAMES];
    p->name_count = (uint32_t)count[PART_NAMES] - 1;
    p->streets = part[PART_STREETS];
    p->street_count = (uint32_t)count[PART_STREETS] - 1;
    p->doors = part[PART_DOORS];
    p->door_count = (uint32_t)count[PART_DOORS];
    p->details = part[PART_DETAILS];
    p->specials = part[PART_SPECIAL];
    p->special_count = (uint32_t)count[PART_SPECIAL];
    p->places = part[PART_PLACES];
    p->place_count = (uint32_t)count[PART_PLACES];
    p->postcodes = part[PART_POSTCODES];
    p->postcode_count = (uint32_t)count[PART_POSTCODES];
    p->municipalities = part[PART_MUNICIPALITIES];
    p->municipality_count = (uint32_t)count[PART_MUNICIPALITIES];
    p->letters = part[PART_LETTERS];
    p->letter_count = (uint32_t)count[PART_LETTERS];
}

static bool is_text(const struct pack *p, uint32_t offset)
{
    return offset < p->text_bytes && (unsigned char)p->text[offset] <= p->text_bytes - offset - 1;
}

static bool check_keys(const struct pack *p, const struct pack_key *keys, uint32_t count,
                       size_t text_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pack_key *k = &keys[i];

        if (k->name >= p->name_count || k->length == 0 || k->text > text_bytes ||
            k->length > text_bytes - k->text || k->form > FORM_WORD)
            return false;
    }
    return true;
}

static bool check_shared(const struct pack *p)
{
    for (uint32_t i = 0; i < p->rough_count; i++) {
        if (p->shared[i] > p->rough[i].length ||
            p->shared[i] > (i > 0 ? p->rough[i - 1].length : 0))
            return false;
    }
    return true;
}

static bool check_names(const struct pack *p)
{
    if (!check_keys(p, p->keys, p->key_count, p->key_text_bytes) ||
        !check_keys(p, p->rough, p->rough_count, p->rough_text_bytes) || !check_shared(p))
        return false;
    for (uint32_t i = 0; i < p->name_count; i++) {
        const struct pack_name *n = &p->names[i];

        if (!is_text(p, n->text) || !is_text(p, n->spelling) || n->key >= n[1].key ||
            n->first_street > n[1].first_street || n->first_special > n[1].first_special)
            return false;
    }
    return p->names[0].key == 0 && p->names[0].first_street == 0 &&
           p->names[0].first_special == 0 && p->names[p->name_count].key == p->name_keys_bytes &&
           p->names[p->name_count].first_street == p->street_count &&
           p->names[p->name_count].first_special == p->special_count;
}

static bool check_streets(const struct pack *p)
{
    for (uint32_t i = 0; i < p->street_count; i++) {
        const struct pack_street *s = &p->streets[i];

        if (s->name >= p->name_count || s->first_door >= s[1].first_door ||
            s->postcode >= p->postcode_count || s->municipality >= p->municipality_count)
            return false;
    }
    for (uint32_t i = 0; i < p->door_count; i++) {
        if (p->doors[i].letter >= p->letter_count || !is_text(p, p->details[i].suffix) ||
            !is_text(p, p->details[i].special))
            return false;
    }
    for (uint32_t i = 0; i < p->special_count; i++) {
        if (p->specials[i] >= p->door_count)
            return false;
    }
    return p->streets[0].first_door == 0 && p->streets[p->street_count].first_door == p->door_count;
}

static bool check_places(const struct pack *p)
{
    for (uint32_t i = 0; i < p->place_count; i++) {
        if (!is_text(p, p->places[i].key))
            return false;
    }
    for (uint32_t i = 0; i < p->postcode_count; i++) {
        const struct pack_postcode *c = &p->postcodes[i];

        if (c->municipality >= p->municipality_count || c->kind >= POSTCODE_KIND_COUNT ||
            !is_text(p, c->place) || !is_text(p, c->place_dative) || !is_text(p, c->region) ||
            !is_text(p, c->region_dative))
            return false;
    }
    for (uint32_t i = 0; i < p->municipality_count; i++) {
        if (!is_text(p, p->municipalities[i].name))
            return false;
    }
    for (uint32_t i = 0; i < p->letter_count; i++) {
        if (!is_text(p, p->letters[i]))
            return false;
    }
    return pack_text(p, p->letters[PACK_NO_LETTER]).len == 0;
}

bool pack_check(const void *blob, size_t bytes, struct pack *ret, struct error *e)
{
    const void *part[PART_COUNT] = {NULL};
    size_t count[PART_COUNT] = {0};

    must((uintptr_t)blob % 8 == 0);
    if (!find_parts(blob, bytes, part, count, e))
        return false;
    if (count[PART_NAMES] < 2 || count[PART_STREETS] < 2 || count[PART_DOORS] < 1 ||
        count[PART_POSTCODES] < 1 || count[PART_POSTCODES] > PACK_POSTCODES_MAX ||
        count[PART_MUNICIPALITIES] < 1 || count[PART_MUNICIPALITIES] > 8 * PACK_SET_BYTES ||
        count[PART_LETTERS] < 1 || count[PART_SHARED] != count[PART_ROUGH] ||
        count[PART_DETAILS] != count[PART_DOORS] || count[PART_KEYS] < 1)
        return broken(e, "empty index");
    fill(ret, part, count);
    ret->checksum = ((const struct pack_header *)blob)->checksum;
    if (!check_names(ret) || !check_streets(ret) || !check_places(ret))
        return broken(e, "index points outside itself");
    return true;
}

struct str pack_text(const struct pack *p, uint32_t offset)
{
    return str_n(p->text + offset + 1, (unsigned char)p->text[offset]);
}

struct str pack_name_key(const struct pack *p, uint32_t name)
{
    const struct pack_name *n = &p->names[name];

    return str_n(p->name_keys + n[0].key + 1, n[1].key - n[0].key - 1);
}

struct str pack_key_text(const struct pack *p, uint32_t key)
{
    return str_n(p->key_text + p->keys[key].text, p->keys[key].length);
}

uint32_t pack_street_of(const struct pack *p, uint32_t door)
{
    uint32_t low = 0, high = p->street_count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (p->streets[middle].first_door <= door)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

int pack_postcode_find(const struct pack *p, int64_t code)
{
    uint32_t low = 0, high = p->postcode_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (p->postcodes[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->postcode_count && p->postcodes[low].code == code ? (int)low : -1;
}
