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

uint64_t match_pairs(struct str key)
{
    uint64_t pairs = 0;

    for (size_t i = 1; i < key.len; i++)
        pairs |= (uint64_t)1 << (((unsigned char)key.ptr[i - 1] * 37u +
                                  (unsigned char)key.ptr[i] * 11u) %
                                 64);
    return pairs;
}

void match_inside(struct matches *m, const struct match_text *text)
{
    const struct pack *p = m->reader->pack;
    uint64_t pairs = match_pairs(text->key);

    if (text->key.len < 3 || text->key.len > MATCH_KEY_MAX)
        return;
    for (uint32_t name = 0; name < p->name_count; name++) {
        if ((pairs & ~m->reader->name_pairs[name]) == 0 &&
            str_contains(pack_name_key(p, name), text->key))
            hit(m, name, MATCH_INSIDE);
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
 * Optimal string alignment as an automaton of bits: bit j of after[e] says that the first j letters
 * of the text and the letters of the key so far are at most e errors apart. One letter more of the
 * key is a dozen operations on words, whatever the length of the text (Wu and Manber, "Fast text
 * searching allowing errors", 1992; the swap of neighbours is Hyyrö's). Keys are sorted, so states
 * behind the letters a key shares with the one before stand already, and a beginning that is too
 * far off is passed over with all keys that share it.
 */
#define ERRORS_MAX        2
#define TEXT_MISTYPED_MAX 63 /* letters; bit 0 is for none of them */
#define FAR               200

struct state {
    uint64_t after[ERRORS_MAX + 1];
    uint8_t best_beginning; /* least distance of the text to the key so far or a beginning of it */
};

struct alignment {
    struct str text;
    unsigned limit;
    uint64_t places[256]; /* of each letter in the text: bit j + 1 for text[j] */
    struct state states[MATCH_KEY_MAX + 4];
};

/* Errors between the whole text and the key up to a state. */
static unsigned distance_at(const struct alignment *al, const struct state *s)
{
    for (unsigned e = 0; e <= al->limit; e++) {
        if (s->after[e] >> al->text.len & 1)
            return e;
    }
    return FAR;
}

static void alignment_begin(struct alignment *al, struct str text, unsigned limit)
{
    al->text = text;
    al->limit = limit;
    memset(al->places, 0, sizeof al->places);
    for (size_t j = 0; j < text.len; j++)
        al->places[(unsigned char)text.ptr[j]] |= (uint64_t)2 << j;
    for (unsigned e = 0; e <= ERRORS_MAX; e++)
        al->states[0].after[e] = ((uint64_t)2 << e) - 1;
    al->states[0].best_beginning = FAR;
}

/* The state behind key[0..d), d >= 1. False when nothing that begins so is near enough. */
static bool alignment_step(struct alignment *al, const char *key, size_t d)
{
    const struct state *before = &al->states[d - 1];
    struct state *now = &al->states[d];
    uint64_t places = al->places[(unsigned char)key[d - 1]];
    unsigned distance;

    now->after[0] = before->after[0] << 1 & places;
    for (unsigned e = 1; e <= al->limit; e++) {
        now->after[e] = (before->after[e] << 1 & places) | /* the same letter */
                        before->after[e - 1] |             /* one too many in the key */
                        before->after[e - 1] << 1 |        /* another */
                        now->after[e - 1] << 1;            /* one missing */
        if (d > 1)                                         /* two swapped */
            now->after[e] |= al->states[d - 2].after[e - 1] << 2 & places << 1 &
                             al->places[(unsigned char)key[d - 2]];
    }
    distance = distance_at(al, now);
    now->best_beginning =
        (uint8_t)(distance < before->best_beginning ? distance : before->best_beginning);
    return now->after[al->limit] != 0;
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
    unsigned whole = FAR, beginning = al->states[depth].best_beginning;
    bool digits = !same_digits(text->key, STR(""));

    if (digits &&
        !same_digits(text->key, str_n(m->reader->pack->rough_text + key->text, key->length)))
        return;
    if (complete)
        whole = distance_at(al, &al->states[depth]);
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

/* The next key, from i on, that shares fewer than `letters` letters with the one before it: eight
 * at a time, of which most are no such. */
static uint32_t next_branch(const struct pack *p, uint32_t i, size_t letters)
{
    static const uint64_t ones = 0x0101010101010101;
    uint64_t eight;

    for (; letters <= 128 && i + 8 <= p->rough_count; i += 8) {
        memcpy(&eight, p->shared + i, sizeof eight);
        /* The highest bit of a byte that is less (and perhaps of ones behind it). */
        if ((eight - ones * letters) & ~eight & ones * 128)
            break;
    }
    while (i < p->rough_count && p->shared[i] >= letters)
        i++;
    return i;
}

static void match_rough(struct matches *m, const struct match_text *text, struct str rough,
                        unsigned errors)
{
    const struct pack *p = m->reader->pack;
    struct alignment al;
    size_t depth = 0; /* states up to here belong to the key before */
    unsigned limit = limit_for(rough.len, errors);

    if (limit == 0 || rough.len > TEXT_MISTYPED_MAX)
        return;
    alignment_begin(&al, rough, limit);
    for (uint32_t i = 0; i < p->rough_count;) {
        const struct pack_key *key = &p->rough[i];
        size_t longest = rough.len + limit < key->length ? rough.len + limit : key->length;
        bool alive = true;

        depth = p->shared[i] < depth ? p->shared[i] : depth;
        while (depth < longest && alive)
            alive = alignment_step(&al, p->rough_text + key->text, ++depth);
        if (alive || al.states[depth].best_beginning <= limit)
            judge(m, &al, key, text, depth, alive && depth == key->length);
        i++;
        if (alive)
            continue;
        if (al.states[depth].best_beginning > limit) {
            i = next_branch(p, i, depth);
            continue;
        }
        /* Too far off with what follows, but the text is whole before: so it is for all of them. */
        for (; i < p->rough_count && p->shared[i] >= depth; i++)
            judge(m, &al, &p->rough[i], text, depth, false);
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
