/* query.c - words and numbers, and the ways to read them */
#include "registry/query.h"

#include "base/fold.h"
#include "registry/names.h"

/* --- words ----------------------------------------------------------------------------------- */

enum byte_class { BYTE_BLANK, BYTE_DASH, BYTE_DIGIT, BYTE_LETTER };

/* Class of the character at p, and its length. Dashes of all lengths are one. */
static enum byte_class classify(const unsigned char *p, size_t left, size_t *ret_len)
{
    *ret_len = 1;
    if (p[0] >= '0' && p[0] <= '9')
        return BYTE_DIGIT;
    if (p[0] == '-')
        return BYTE_DASH;
    if ((p[0] >= 'a' && p[0] <= 'z') || p[0] >= 0xC3) {
        if (left >= 3 && p[0] == 0xE2 && p[1] == 0x80) {
            *ret_len = 3;
            return p[2] >= 0x90 && p[2] <= 0x95 ? BYTE_DASH : BYTE_BLANK;
        }
        while (*ret_len < left && (p[*ret_len] & 0xC0) == 0x80)
            ++*ret_len;
        return BYTE_LETTER;
    }
    if (p[0] == 0xC2 && left >= 2)
        *ret_len = 2;
    return BYTE_BLANK;
}

static int token_number(struct str digits)
{
    int64_t value;

    while (digits.len > 1 && digits.ptr[0] == '0')
        digits = str_skip(digits, 1);
    return str_parse_i64(digits, 0, PACK_NUMBER_MAX, &value) ? (int)value : -1;
}

static void fold_token(struct arena *a, struct str text, struct query_token *t)
{
    struct buf b;

    buf_init(&b, 4 * QUERY_MAX_BYTES);
    t->spelling = text;
    (void)name_key(text, &b);
    t->key = arena_dup(a, buf_str(&b));
    buf_done(&b);
    t->number = t->is_number ? token_number(text) : -1;
}

static bool cut_into_tokens(struct query *q, struct arena *a, struct str text)
{
    bool dashed = false;

    for (size_t at = 0; at < text.len;) {
        size_t len, from = at;
        enum byte_class first = classify((const unsigned char *)text.ptr + at, text.len - at, &len);

        at += len;
        if (first == BYTE_BLANK || first == BYTE_DASH) {
            dashed = dashed || first == BYTE_DASH;
            continue;
        }
        while (at < text.len &&
               classify((const unsigned char *)text.ptr + at, text.len - at, &len) == first)
            at += len;
        if (q->token_count == QUERY_TOKENS_MAX)
            return false;
        struct query_token *t = &q->tokens[q->token_count++];

        *t = (struct query_token){.is_number = first == BYTE_DIGIT, .dashed = dashed};
        fold_token(a, str_n(text.ptr + from, at - from), t);
        dashed = false;
    }
    return q->token_count > 0;
}

/* --- towns ----------------------------------------------------------------------------------- */

bool area_holds(const struct area *area, const struct pack_street *street)
{
    return (area->postcodes[street->postcode / 8] >> street->postcode % 8 & 1) ||
           (area->municipalities[street->municipality / 8] >> street->municipality % 8 & 1);
}

bool reading_admits(const struct reading *r, const struct pack_street *street)
{
    for (size_t i = 0; i < r->area_count; i++) {
        if (!area_holds(&r->areas[i], street))
            return false;
    }
    return true;
}

void area_of_postcode(struct area *area, int index)
{
    *area = (struct area){.postcodes = {0}};
    area->postcodes[index / 8] = (uint8_t)(1u << index % 8);
}

static void widen(struct area *area, const struct pack_place *place)
{
    for (size_t i = 0; i < PACK_SET_BYTES; i++) {
        area->postcodes[i] |= place->postcodes[i];
        area->municipalities[i] |= place->municipalities[i];
    }
}

/* Places whose key is `key`, or begins with it. */
static bool find_places(const struct pack *p, struct str key, bool beginning, struct area *area)
{
    uint32_t low = 0, high = p->place_count;
    bool found = false;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (str_cmp(pack_text(p, p->places[middle].key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *area = (struct area){.postcodes = {0}};
    for (; low < p->place_count; low++) {
        struct str place = pack_text(p, p->places[low].key);

        if (!(beginning ? str_starts_with(place, key) : str_eq(place, key)))
            break;
        widen(area, &p->places[low]);
        found = true;
    }
    return found;
}

bool area_of_place(const struct pack *p, struct str key, struct area *area)
{
    return key.len > 0 && find_places(p, key, false, area);
}

static bool find_places_mistyped(const struct pack *p, struct str key, struct area *area)
{
    bool found = false;

    *area = (struct area){.postcodes = {0}};
    if (key.len + 1 < MATCH_ONE_ERROR_LETTERS || key.len > MATCH_KEY_MAX)
        return false;
    for (uint32_t i = 0; i < p->place_count; i++) {
        struct str place = pack_text(p, p->places[i].key);
        unsigned allowed = match_errors_allowed(place.len);

        if (allowed == 0 || place.len > key.len + allowed || key.len > place.len + allowed ||
            place.len > MATCH_KEY_MAX || match_distance(key, place) > allowed)
            continue;
        widen(area, &p->places[i]);
        found = true;
    }
    return found;
}

/* --- readings -------------------------------------------------------------------------------- */

#define PLACE_WORDS_MAX 4

enum place_state { PLACE_NOT_LOOKED_FOR, PLACE_NONE, PLACE_SPELLED, PLACE_MISTYPED };

/* Which words are a town is the same in all readings, of which one text has hundreds: it is looked
 * for once. */
struct reader_state {
    struct query *q;
    struct arena *arena;
    size_t name_from, name_end;
    bool forgive;
    uint8_t states[QUERY_TOKENS_MAX][PLACE_WORDS_MAX]; /* by first word and number of words - 1 */
    struct area areas[QUERY_TOKENS_MAX][PLACE_WORDS_MAX];
};

static struct match_text join(struct arena *a, const struct query_token *tokens, size_t count)
{
    struct match_text text;
    struct buf key, spelling;

    if (count == 1)
        return (struct match_text){tokens[0].key, tokens[0].spelling};
    buf_init(&key, 8 * QUERY_MAX_BYTES);
    buf_init(&spelling, 8 * QUERY_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        buf_add(&key, tokens[i].key);
        buf_add(&spelling, tokens[i].spelling);
    }
    text.key = arena_dup(a, buf_str(&key));
    text.spelling = arena_dup(a, buf_str(&spelling));
    buf_done(&key);
    buf_done(&spelling);
    return text;
}

static void keep(struct reader_state *s, const struct reading *r)
{
    struct query *q = s->q;
    struct reading *kept = &q->readings[q->reading_count];

    *kept = *r;
    kept->name = join(s->arena, q->tokens + s->name_from, s->name_end - s->name_from);
    if (kept->name.key.len == 0 && kept->area_count == 0)
        return;
    q->reading_count++;
}

static void read_rest(struct reader_state *s, size_t at, const struct reading *so_far);

static void read_number(struct reader_state *s, size_t at, const struct reading *so_far)
{
    const struct query_token *t = s->q->tokens + at;
    size_t left = (at < s->name_from ? s->name_from : s->q->token_count) - at;
    struct reading r = *so_far;
    int postcode = t->key.len == 3 ? pack_postcode_find(s->q->pack, t->number) : -1;

    if (r.number < 0 && t->number >= 0) {
        r.number = t->number;
        if (left > 1 && t[1].is_number && t[1].dashed && t[1].number > t->number) {
            r.number_to = t[1].number;
            read_rest(s, at + 2, &r);
            r.number_to = -1;
        }
        if (left > 1 && !t[1].is_number && !t[1].dashed && t[1].key.len <= 3) {
            r.letter = (struct match_text){t[1].key, t[1].spelling};
            read_rest(s, at + 2, &r);
            r.letter = (struct match_text){.key = {NULL, 0}};
        }
        read_rest(s, at + 1, &r);
        r = *so_far;
    }
    if (postcode >= 0 && r.area_count < QUERY_AREAS_MAX) {
        area_of_postcode(&r.areas[r.area_count++], postcode);
        r.has_postcode = true;
        read_rest(s, at + 1, &r);
    }
}

/* The town that n words from `at` on are; the last words of the text may be its beginning. */
static enum place_state look_for_place(struct reader_state *s, size_t at, size_t n)
{
    uint8_t *state = &s->states[at][n - 1];
    struct area *area = &s->areas[at][n - 1];
    bool last = at + n == s->q->token_count && s->name_end > s->name_from;
    struct str key;

    if (*state != PLACE_NOT_LOOKED_FOR)
        return *state;
    key = join(s->arena, s->q->tokens + at, n).key;
    if (find_places(s->q->pack, key, last && key.len >= 2, area))
        *state = PLACE_SPELLED;
    else
        *state =
            s->forgive && find_places_mistyped(s->q->pack, key, area) ? PLACE_MISTYPED : PLACE_NONE;
    return *state;
}

static void read_place(struct reader_state *s, size_t at, const struct reading *so_far)
{
    size_t left = (at < s->name_from ? s->name_from : s->q->token_count) - at;
    struct reading r;

    if (so_far->area_count == QUERY_AREAS_MAX)
        return;
    r = *so_far;
    r.area_count++;
    for (size_t n = left < PLACE_WORDS_MAX ? left : PLACE_WORDS_MAX; n > 0; n--) {
        enum place_state state = look_for_place(s, at, n);

        if (state == PLACE_NONE)
            continue;
        r.areas[so_far->area_count] = s->areas[at][n - 1];
        r.mistyped_area = so_far->mistyped_area || state == PLACE_MISTYPED;
        read_rest(s, at + n, &r);
    }
}

static bool is_filler(const struct query_token *t)
{
    return str_eq_text(t->spelling, "í") || str_eq_text(t->spelling, "á") ||
           str_eq_text(t->spelling, "ísland") || str_eq_text(t->spelling, "iceland");
}

static void read_rest(struct reader_state *s, size_t at, const struct reading *so_far)
{
    const struct query_token *t;

    if (s->q->reading_count == QUERY_READINGS_MAX)
        return;
    if (at == s->name_from)
        at = s->name_end;
    if (at == s->q->token_count) {
        keep(s, so_far);
        return;
    }
    t = &s->q->tokens[at];
    if (t->is_number) {
        read_number(s, at, so_far);
        return;
    }
    read_place(s, at, so_far);
    if (is_filler(t))
        read_rest(s, at + 1, so_far);
}

static bool has_word(const struct query *q, size_t from, size_t end)
{
    for (size_t i = from; i < end; i++) {
        if (!q->tokens[i].is_number)
            return true;
    }
    return false;
}

/* Every run of words may be the name, the longest first; last comes the reading without one. */
static void read_all(struct query *q, struct arena *a, bool forgive)
{
    const struct reading nothing = {.number = -1, .number_to = -1};
    struct reader_state s;

    s.q = q;
    s.arena = a;
    s.forgive = forgive;
    memset(s.states, PLACE_NOT_LOOKED_FOR, sizeof s.states);
    q->reading_count = 0;
    for (size_t n = q->token_count; n > 0; n--) {
        for (size_t from = 0; from + n <= q->token_count; from++) {
            /* "17. júní" begins with a number; a number beside other words is none of the name. */
            if (!has_word(q, from, from + n) && n < q->token_count)
                continue;
            s.name_from = from;
            s.name_end = from + n;
            read_rest(&s, 0, &nothing);
        }
    }
    /* Without a name, the last words must be the whole of a town. */
    memset(s.states, PLACE_NOT_LOOKED_FOR, sizeof s.states);
    s.name_from = s.name_end = q->token_count;
    read_rest(&s, 0, &nothing);
}

bool query_read(struct query *q, const struct pack *pack, struct arena *a, struct str text)
{
    struct buf b;
    bool ok = text.len <= QUERY_MAX_BYTES && str_is_utf8(text);

    *q = (struct query){.pack = pack};
    if (!ok)
        return false;
    buf_init(&b, 4 * QUERY_MAX_BYTES);
    ok = fold_case_only(text, &b) && cut_into_tokens(q, a, arena_dup(a, buf_str(&b)));
    buf_done(&b);
    if (ok)
        read_all(q, a, false);
    return ok;
}

void query_read_mistyped(struct query *q, struct arena *a)
{
    read_all(q, a, true);
}

void query_run(const struct query *q, struct arena *a, size_t from, size_t count,
               struct match_text *ret)
{
    *ret = join(a, q->tokens + from, count);
}

bool query_house_number(struct str text, int *ret_number, int *ret_to, struct str *ret_letter)
{
    size_t digits = 0;
    struct str rest;

    text = str_trim(text);
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    *ret_number = digits > 0 ? token_number(str_take(text, digits)) : -1;
    *ret_to = -1;
    rest = str_trim(str_skip(text, digits));
    *ret_letter = (struct str){NULL, 0};
    if (*ret_number < 0 || rest.len == 0)
        return *ret_number >= 0;
    if (rest.ptr[0] == '-' || str_starts_with(rest, STR("\xE2\x80\x93"))) {
        rest = str_trim(str_skip(rest, rest.ptr[0] == '-' ? 1 : 3));
        *ret_to = str_is_digits(rest) ? token_number(rest) : -1;
        return *ret_to > *ret_number;
    }
    *ret_letter = rest;
    for (size_t i = 0; i < rest.len; i++) {
        if (!isalpha((unsigned char)rest.ptr[i]) && (unsigned char)rest.ptr[i] < 0x80)
            return false;
    }
    return rest.len <= 8 && str_is_utf8(rest);
}
