/* match.c - exact, prefix, inflected, inner and mistyped matches over the packed names */
#include "registry/match.h"

#include "registry/names.h"

void match_begin(struct matches *m, struct registry_reader *reader)
{
    *m = (struct matches){.reader = reader};
}

void match_end(struct matches *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        m->reader->name_costs[m->reader->names_found[i]] = 0;
    m->count = 0;
}

static void hit(struct matches *m, uint32_t name, unsigned cost)
{
    uint16_t *best = &m->reader->name_costs[name];

    if (*best == 0)
        m->reader->names_found[m->count++] = name;
    if (*best == 0 || cost < *best)
        *best = (uint16_t)cost;
}

/* First key that is not before `text`. */
static uint32_t lower_bound(const struct pack *p, struct str text)
{
    uint32_t low = 0, high = p->key_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (str_cmp(pack_key_text(p, middle), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether the name begins with the text as it was typed. Mostly the key alone tells: what has no
 * accents is spelled as its key. */
static bool is_spelled_so(const struct pack *p, const struct pack_key *key,
                          const struct match_text *text, bool text_is_plain)
{
    if (text_is_plain)
        return key->plain >= text->key.len;
    if (key->plain >= text->key.len)
        return false;
    return str_starts_with(pack_text(p, p->names[key->name].spelling), text->spelling);
}

static unsigned cost_of(const struct pack *p, const struct pack_key *key, bool whole,
                        const struct match_text *text, bool text_is_plain)
{
    bool nearly = key->length == text->key.len + 1;

    if (key->form == FORM_WORD)
        return MATCH_WORD;
    if (key->form != FORM_NOMINATIVE)
        return whole ? MATCH_INFLECTED : MATCH_INFLECTED_PREFIX;
    if (is_spelled_so(p, key, text, text_is_plain))
        return whole ? MATCH_EXACT : nearly ? MATCH_NEARLY : MATCH_PREFIX;
    return whole ? MATCH_FOLDED : nearly ? MATCH_FOLDED_PREFIX - 1 : MATCH_FOLDED_PREFIX;
}

static void match_keys(struct matches *m, const struct match_text *text, bool whole_only)
{
    const struct pack *p = m->reader->pack;
    bool text_is_plain = str_eq(text->key, text->spelling);

    if (text->key.len == 0 || text->key.len > MATCH_KEY_MAX)
        return;
    for (uint32_t i = lower_bound(p, text->key); i < p->key_count; i++) {
        const struct pack_key *key = &p->keys[i];
        bool whole = key->length == text->key.len;

        if (!str_starts_with(pack_key_text(p, i), text->key) || (whole_only && !whole))
            break;
        if (key->form != FORM_WORD || !whole_only)
            hit(m, key->name, cost_of(p, key, whole, text, text_is_plain));
    }
}

void match_whole(struct matches *m, const struct match_text *text)
{
    match_keys(m, text, true);
}

void match_prefix(struct matches *m, const struct match_text *text)
{
    match_keys(m, text, text->key.len < 2);
}

void match_inside(struct matches *m, const struct match_text *text)
{
    const struct pack *p = m->reader->pack;
    const char *at = p->name_keys, *end = p->name_keys + p->name_keys_bytes;
    uint32_t name = 0;

    if (text->key.len < 3 || text->key.len > MATCH_KEY_MAX)
        return;
    while ((at = memmem(at, (size_t)(end - at), text->key.ptr, text->key.len)) != NULL) {
        size_t offset = (size_t)(at - p->name_keys);

        while (p->names[name + 1].key <= offset)
            name++;
        hit(m, name, MATCH_INSIDE);
        at = p->name_keys + p->names[name + 1].key;
    }
}

unsigned match_errors_allowed(size_t letters)
{
    return letters >= MATCH_TWO_ERRORS_LETTERS ? 2 : letters >= MATCH_ONE_ERROR_LETTERS ? 1 : 0;
}

unsigned match_distance(struct str a, struct str b)
{
    unsigned rows[3][MATCH_KEY_MAX + 1];

    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned cell = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1] ? 1u : 0u);

            cell = cell < above[j] + 1 ? cell : above[j] + 1;
            cell = cell < row[j - 1] + 1 ? cell : row[j - 1] + 1;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                rows[(i - 2) % 3][j - 2] + 1 < cell)
                cell = rows[(i - 2) % 3][j - 2] + 1;
            row[j] = cell;
        }
    }
    return rows[a.len % 3][b.len];
}

/*
 * Optimal string alignment distance, one row per letter of the key. Keys are sorted, so rows of the
 * letters a key shares with the one before stand already, and a beginning that is too far off is
 * passed over with all keys that share it. Only cells within `limit` of the diagonal are worked
 * out.
 */
struct alignment {
    struct str text;
    unsigned limit;
    uint8_t rows[MATCH_KEY_MAX + 4][MATCH_KEY_MAX + 2];
    uint8_t best_beginning[MATCH_KEY_MAX + 4]; /* least distance of the text to key[0..d] so far */
};

#define FAR 200

static void alignment_begin(struct alignment *al, struct str text, unsigned limit)
{
    al->text = text;
    al->limit = limit;
    for (size_t j = 0; j <= text.len; j++)
        al->rows[0][j] = (uint8_t)j;
    al->best_beginning[0] = FAR;
}

static uint8_t least(unsigned a, unsigned b)
{
    return (uint8_t)(a < b ? a : b);
}

/* Works out row d (key[0..d], d >= 1). Returns its least cell. */
static unsigned alignment_row(struct alignment *al, const char *key, size_t d)
{
    const char *text = al->text.ptr;
    size_t m = al->text.len, k = al->limit;
    size_t from = d > k ? d - k : 1, to = d + k < m ? d + k : m;
    uint8_t *row = al->rows[d];
    const uint8_t *above = al->rows[d - 1];
    unsigned smallest = FAR;

    row[from - 1] = (uint8_t)(from == 1 ? d : FAR);
    if (from == 1)
        smallest = row[0];
    for (size_t j = from; j <= to; j++) {
        /* The row above ends one cell earlier: what lies beyond the band is far. */
        unsigned up = j < d + k ? above[j] : FAR;
        unsigned cell = above[j - 1] + (key[d - 1] != text[j - 1] ? 1u : 0u);

        cell = least(cell, up + 1u);
        cell = least(cell, row[j - 1] + 1u);
        if (d > 1 && j > 1 && key[d - 1] == text[j - 2] && key[d - 2] == text[j - 1])
            cell = least(cell, al->rows[d - 2][j - 2] + 1u);
        row[j] = (uint8_t)cell;
        smallest = least(smallest, cell);
    }
    al->best_beginning[d] = al->best_beginning[d - 1];
    if (to == m && from <= m)
        al->best_beginning[d] = least(al->best_beginning[d], row[m]);
    return smallest;
}

/* Among equally many errors the name that is nearer with its accents is the likelier one. */
static unsigned accent_cost(const struct matches *m, const struct pack_key *key,
                            const struct match_text *text, unsigned errors)
{
    struct str spelling = pack_text(m->reader->pack, m->reader->pack->names[key->name].spelling);
    unsigned distance;

    if (key->form != FORM_NOMINATIVE)
        return MATCH_MISTYPED_DATIVE;
    distance = match_distance(spelling, text->spelling);
    distance = distance > errors ? distance - errors : 0;
    return MATCH_MISTYPED_ACCENTS * (distance < 3 ? distance : 3);
}

/* A digit is no slip of the finger: 7 is not 4. */
static bool same_digits(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a.len && !isdigit((unsigned char)a.ptr[i]))
            i++;
        while (j < b.len && !isdigit((unsigned char)b.ptr[j]))
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

static void judge(struct matches *m, const struct alignment *al, const struct pack_key *key,
                  const struct match_text *text, size_t depth, bool complete)
{
    unsigned whole = FAR, beginning = al->best_beginning[depth];
    bool digits = !same_digits(text->key, STR(""));

    if (digits &&
        !same_digits(text->key, str_n(m->reader->pack->rough_text + key->text, key->length)))
        return;
    if (complete && al->text.len + al->limit >= key->length &&
        key->length + al->limit >= al->text.len)
        whole = al->rows[depth][al->text.len];
    /* No error at all is a true match, found as such. */
    if (whole > 0 && whole <= match_errors_allowed(key->length) && whole <= al->limit)
        hit(m, key->name, MATCH_MISTYPED * whole + accent_cost(m, key, text, whole));
    else if (!digits && beginning > 0 && beginning <= match_errors_allowed(al->text.len) &&
             beginning <= al->limit)
        hit(m, key->name, MATCH_MISTYPED * beginning + MATCH_MISTYPED / 2);
}

/* Letters may be what is missing, so the name may be that much longer than the text. */
static unsigned limit_for(size_t letters, unsigned errors)
{
    unsigned limit = letters + 2 >= MATCH_TWO_ERRORS_LETTERS  ? 2
                     : letters + 1 >= MATCH_ONE_ERROR_LETTERS ? 1
                                                              : 0;

    return limit < errors ? limit : errors;
}

static void match_rough(struct matches *m, const struct match_text *text, struct str rough,
                        unsigned errors)
{
    const struct pack *p = m->reader->pack;
    struct alignment al;
    size_t dead = SIZE_MAX, depth = 0;
    unsigned limit = limit_for(rough.len, errors);

    if (limit == 0)
        return;
    alignment_begin(&al, rough, limit);
    for (uint32_t i = 0; i < p->rough_count; i++) {
        const struct pack_key *key = &p->rough[i];
        size_t longest = rough.len + limit < key->length ? rough.len + limit : key->length;

        if (p->shared[i] < dead) {
            depth = p->shared[i] < depth ? p->shared[i] : depth;
            dead = SIZE_MAX;
            while (depth < longest && dead == SIZE_MAX) {
                depth++;
                if (alignment_row(&al, p->rough_text + key->text, depth) > limit)
                    dead = depth;
            }
        }
        if (dead == SIZE_MAX || al.best_beginning[dead] <= limit)
            judge(m, &al, key, text, depth, dead == SIZE_MAX && depth == key->length);
    }
}

void match_mistyped(struct matches *m, const struct match_text *text, unsigned errors)
{
    char shorter[MATCH_KEY_MAX];
    struct buf rough;
    struct str as_typed;

    if (text->key.len + 2 > MATCH_KEY_MAX || text->spelling.len > MATCH_KEY_MAX)
        return;
    buf_init(&rough, 2 * MATCH_KEY_MAX);
    (void)name_rough(text->spelling, &rough);
    as_typed = buf_str(&rough);
    match_rough(m, text, as_typed, errors);
    /* "th" and "ae" may stand for þ and æ. */
    if (str_contains(as_typed, STR("th")) || str_contains(as_typed, STR("ae")))
        match_rough(m, text, str_n(shorter, name_rough_of_key(text->key, shorter)), errors);
    buf_done(&rough);
}
