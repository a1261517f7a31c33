/* search.c - candidates of all readings, ranked; only what is shown is looked up later */
#include "registry/search.h"

#include "registry/names.h"
#include "registry/query.h"
#include "registry/ranking.h"

/* What a door adds to its name's cost. */
#define COST_LETTER_NOT_TYPED 1
#define COST_INSIDE_RANGE     2
#define COST_LETTER_FOLDED    3
#define COST_NUMBER_AS_CODE   4 /* what may be a house number was read as a postcode */
#define COST_ONE_BUILDING     5 /* its door may stand in a street with many */
#define COST_RANGE_PART       30
#define COST_NUMBER_BEGINNING 35
#define COST_MISTYPED_AREA    900
#define COST_NEXT_STREET_MAX  40

/* With so many true matches nobody looks for what else it may have been. */
#define WEAK_BELOW 20

#define FEW_DOORS 64

/* Passes over all names that one search may make to forgive typing errors. */
#define MISTYPED_PASSES_MAX 3

struct search {
    struct registry_reader *reader;
    const struct pack *pack;
    struct arena *arena;
    struct str text;
    struct query query;
    struct ranking ranking;
    uint64_t *taken; /* ranks of the result so far */
    uint8_t *seen;   /* a bit for each door in the result; NULL: few enough to look through */
    size_t taken_count, limit;
    uint64_t worst; /* top of the heap when worst_name was found */
    uint32_t worst_name;
    unsigned errors;      /* to forgive in a name */
    uint8_t letters[256]; /* of the reading at hand: 0 does not fit, else 1 + cost */
};

static bool is_taken(const struct search *s, uint32_t door)
{
    if (s->seen)
        return s->seen[door / 8] >> door % 8 & 1;
    for (size_t i = 0; i < s->taken_count; i++) {
        if (RANK_DOOR(s->taken[i]) == door)
            return true;
    }
    return false;
}

static void take(struct search *s, uint64_t rank)
{
    uint32_t door = RANK_DOOR(rank);

    if (s->taken_count == s->limit || is_taken(s, door))
        return;
    if (s->seen)
        s->seen[door / 8] |= (uint8_t)(1u << door % 8);
    s->taken[s->taken_count++] = rank;
}

static void take_ranking(struct search *s)
{
    ranking_sort(&s->ranking);
    for (size_t i = 0; i < s->ranking.count; i++)
        take(s, s->ranking.heap[i]);
    s->ranking.count = 0;
}

/* --- one street ------------------------------------------------------------------------------ */

static void prepare_letters(struct search *s, const struct reading *r)
{
    const struct pack *p = s->pack;
    struct buf key, spelling;

    memset(s->letters, 0, sizeof s->letters);
    if (r->letter.key.len == 0) {
        memset(s->letters, 1 + COST_LETTER_NOT_TYPED, sizeof s->letters);
        s->letters[PACK_NO_LETTER] = 1;
        return;
    }
    buf_init(&key, 4 * NAME_MAX_BYTES);
    buf_init(&spelling, 4 * NAME_MAX_BYTES);
    for (uint32_t i = 1; i < p->letter_count; i++) {
        struct str letter = pack_text(p, p->letters[i]);

        buf_clear(&key);
        buf_clear(&spelling);
        if (!name_key(letter, &key) || !name_spelling(letter, &spelling))
            continue;
        if (str_eq(buf_str(&spelling), r->letter.spelling))
            s->letters[i] = 1;
        else if (str_eq(buf_str(&key), r->letter.key))
            s->letters[i] = 1 + COST_LETTER_FOLDED;
    }
    buf_done(&key);
    buf_done(&spelling);
}

static bool begins_with(int number, int typed)
{
    while (number > typed)
        number /= 10;
    return number == typed;
}

/* A door 6-8 holds 6 and 8; a door 6-9 holds all of them. */
static bool is_inside(const struct pack_door *d, int number)
{
    return d->span > 0 && number >= d->number && number <= d->number + d->span &&
           (d->span % 2 != 0 || (number - d->number) % 2 == 0);
}

static bool range_cost(const struct pack_door *d, const struct reading *r, unsigned *cost)
{
    int last = d->number + d->span;

    if (d->number == r->number && last == r->number_to)
        return true;
    if (d->number > r->number_to || last < r->number)
        return false;
    if (d->span == 0 && (r->number_to - r->number) % 2 == 0 && (d->number - r->number) % 2 != 0)
        return false;
    *cost += COST_RANGE_PART;
    return true;
}

static bool number_cost(const struct pack_door *d, const struct reading *r, unsigned *cost)
{
    if (d->number == 0 || r->number == 0)
        return false;
    if (r->number_to >= 0)
        return range_cost(d, r, cost);
    if (d->number == r->number && d->span == 0)
        return true;
    if (is_inside(d, r->number)) {
        *cost += COST_INSIDE_RANGE;
        return true;
    }
    *cost += COST_NUMBER_BEGINNING;
    return r->letter.key.len == 0 && begins_with(d->number, r->number);
}

static void add_door(struct search *s, size_t reading, uint32_t door, unsigned cost, bool single)
{
    const struct pack_door *d = &s->pack->doors[door];
    const struct reading *r = &s->query.readings[reading];

    if (r->number >= 0) {
        if (!number_cost(d, r, &cost) || s->letters[d->letter] == 0)
            return;
        cost += s->letters[d->letter] - 1u;
    } else if (r->has_postcode) {
        cost += COST_NUMBER_AS_CODE;
    }
    ranking_add(&s->ranking, RANK(cost, door, reading, single ? 1u : 0u));
}

static void add_street(struct search *s, size_t reading, uint32_t street, unsigned cost)
{
    const struct pack_street *at = &s->pack->streets[street];
    const struct reading *r = &s->query.readings[reading];

    if (!reading_admits(r, at))
        return;
    if (r->number < 0) {
        add_door(s, reading, at->first_door, cost, false);
        return;
    }
    for (uint32_t door = at[0].first_door; door < at[1].first_door; door++)
        add_door(s, reading, door, cost, false);
}

/* Doors stand in the order of their names. So when enough better ones are known, the names behind
 * the worst of those need not be looked at; a beginning of two letters has hundreds. Buildings do
 * not stand in that order, but cost more than the streets of the same name. */
static bool is_hopeless(struct search *s, uint32_t name, unsigned cost)
{
    const struct ranking *k = &s->ranking;

    if (k->count < k->capacity)
        return false;
    if (s->worst != k->heap[0]) {
        s->worst = k->heap[0];
        s->worst_name = s->pack->streets[pack_street_of(s->pack, RANK_DOOR(s->worst))].name;
    }
    return cost > RANK_COST(s->worst) || (cost == RANK_COST(s->worst) && name > s->worst_name);
}

static void add_name(struct search *s, size_t reading, uint32_t name, unsigned cost)
{
    const struct pack_name *n = &s->pack->names[name];

    for (uint32_t i = n[0].first_street; i < n[1].first_street; i++) {
        add_street(s, reading, i, cost);
        /* Of guesses every name comes once before any comes twice. */
        if (cost >= MATCH_MISTYPED && i - n[0].first_street < COST_NEXT_STREET_MAX)
            cost++;
    }
    for (uint32_t i = n[0].first_special; i < n[1].first_special; i++) {
        uint32_t door = s->pack->specials[i];

        if (reading_admits(&s->query.readings[reading],
                           &s->pack->streets[pack_street_of(s->pack, door)]))
            add_door(s, reading, door, cost + COST_ONE_BUILDING, true);
    }
}

/* --- the passes ------------------------------------------------------------------------------ */

/* NULL: match_mistyped(), with s->errors. */
typedef void match_function(struct matches *m, const struct match_text *text);
#define MISTYPED ((match_function *)NULL)

static void add_matches(struct search *s, size_t reading, match_function *match, unsigned extra)
{
    struct matches m;

    prepare_letters(s, &s->query.readings[reading]);
    match_begin(&m, s->reader);
    if (match)
        match(&m, &s->query.readings[reading].name);
    else
        match_mistyped(&m, &s->query.readings[reading].name, s->errors);
    for (uint32_t i = 0; i < m.count; i++) {
        uint32_t name = s->reader->names_found[i];

        if (!is_hopeless(s, name, s->reader->name_costs[name] + extra))
            add_name(s, reading, name, s->reader->name_costs[name] + extra);
    }
    match_end(&m);
}

/* A town or postcode alone: its streets. */
static void add_area(struct search *s, size_t reading)
{
    prepare_letters(s, &s->query.readings[reading]);
    for (uint32_t i = 0; i < s->pack->street_count; i++)
        add_street(s, reading, i, MATCH_NO_NAME);
}

static bool has_digit(struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] >= '0' && key.ptr[i] <= '9')
            return true;
    }
    return false;
}

/* A whole name with its number or town: what was meant is clear, and what else it may be is noise.
 */
static bool is_complete(const struct search *s)
{
    for (size_t i = 0; i < s->ranking.count; i++) {
        const struct reading *r = &s->query.readings[RANK_READING(s->ranking.heap[i])];
        unsigned cost = RANK_COST(s->ranking.heap[i]);

        if ((r->number >= 0 || r->area_count > 0) &&
            (cost < MATCH_NEARLY || (cost >= MATCH_FOLDED && cost < MATCH_FOLDED_PREFIX - 1) ||
             (cost >= MATCH_INFLECTED && cost < MATCH_INFLECTED_PREFIX)))
            return true;
    }
    return false;
}

/* True when more should be looked for. */
static bool find_true(struct search *s)
{
    bool complete;

    for (size_t i = 0; i < s->query.reading_count; i++) {
        if (s->query.readings[i].name.key.len > 0)
            add_matches(s, i, match_prefix, 0);
        else
            add_area(s, i);
    }
    complete = is_complete(s);
    take_ranking(s);
    return !complete;
}

/* The streets are all there: now their other doors, the best street first. */
static void find_more_doors(struct search *s)
{
    size_t streets = s->taken_count;

    for (size_t i = 0; i < streets && s->taken_count < s->limit; i++) {
        uint64_t rank = s->taken[i];
        const struct pack_street *street =
            &s->pack->streets[pack_street_of(s->pack, RANK_DOOR(rank))];

        if (RANK_SINGLE(rank) || s->query.readings[RANK_READING(rank)].number >= 0)
            continue;
        for (uint32_t door = street[0].first_door + 1;
             door < street[1].first_door && s->taken_count < s->limit; door++)
            take(s, RANK(0, door, RANK_READING(rank), 0u));
    }
}

static void find_mistyped_names(struct search *s, bool with_digits, size_t passes)
{
    for (size_t i = 0; i < s->query.reading_count && passes > 0; i++) {
        struct str key = s->query.readings[i].name.key;

        if (key.len == 0 || has_digit(key) != with_digits)
            continue;
        add_matches(s, i, MISTYPED, 0);
        passes--;
    }
}

static void find_mistyped_areas(struct search *s, size_t passes)
{
    query_read_mistyped(&s->query, s->arena);
    for (size_t i = 0; i < s->query.reading_count; i++) {
        if (!s->query.readings[i].mistyped_area || s->query.readings[i].name.key.len == 0)
            continue;
        add_matches(s, i, match_prefix, COST_MISTYPED_AREA);
        if (passes > 0 && !has_digit(s->query.readings[i].name.key)) {
            add_matches(s, i, MISTYPED, COST_MISTYPED_AREA);
            passes--;
        }
    }
}

static void find_inside(struct search *s)
{
    for (size_t i = 0; i < s->query.reading_count; i++) {
        if (!has_digit(s->query.readings[i].name.key))
            add_matches(s, i, match_inside, 0);
    }
}

/*
 * Typing errors, and texts inside of words. Names of words alone come first, a number is mostly the
 * house's; then towns; and a second error only where nothing else was found.
 */
static void find_weak(struct search *s)
{
    for (s->errors = 1; s->errors <= 2; s->errors++) {
        if (s->errors == 2)
            (void)query_read(&s->query, s->pack, s->arena, s->text);
        find_mistyped_names(s, false, 2);
        if (s->errors == 1)
            find_inside(s);
        take_ranking(s);
        if (s->taken_count > 0)
            return;
        find_mistyped_names(s, true, 1);
        find_mistyped_areas(s, 1);
        take_ranking(s);
        if (s->taken_count > 0)
            return;
    }
}

static bool begin(struct search *s, struct registry_reader *r, struct arena *a, struct str text,
                  size_t limit)
{
    s->reader = r;
    s->pack = r->pack;
    s->arena = a;
    s->text = text;
    s->limit = limit < SEARCH_LIMIT_MAX ? limit : SEARCH_LIMIT_MAX;
    s->taken_count = 0;
    s->worst = UINT64_MAX;
    if (limit == 0 || !query_read(&s->query, r->pack, a, text))
        return false;
    /* A door may come once in each reading. */
    s->ranking.capacity = s->limit * (s->query.reading_count + 1);
    s->ranking.count = 0;
    s->ranking.heap = arena_alloc_array(a, s->ranking.capacity, sizeof *s->ranking.heap);
    s->taken = arena_alloc_array(a, s->limit, sizeof *s->taken);
    s->seen = s->limit > FEW_DOORS ? arena_alloc(a, r->pack->door_count / 8 + 1) : NULL;
    return true;
}

/* --- suggestions ----------------------------------------------------------------------------- */

/* The door of a street that is next to the number typed; the first without one. */
static uint32_t nearest_number(const struct pack *p, uint32_t first, int number)
{
    const struct pack_street *street = &p->streets[pack_street_of(p, first)];
    uint32_t best = first;
    int best_distance = -1;

    for (uint32_t door = street[0].first_door; number > 0 && door < street[1].first_door; door++) {
        int distance = p->doors[door].number - number;

        distance = distance < 0 ? -distance : distance;
        if (best_distance < 0 || distance < best_distance) {
            best_distance = distance;
            best = door;
        }
    }
    return best;
}

static int typed_number(const struct query *q)
{
    for (size_t i = 0; i < q->token_count; i++) {
        if (q->tokens[i].is_number &&
            (q->tokens[i].key.len != 3 || pack_postcode_find(q->pack, q->tokens[i].number) < 0))
            return q->tokens[i].number;
    }
    return -1;
}

/* Any run of words that is like a name, the longest first; numbers and towns do not count. */
static void suggest_names(struct search *s, match_function *match, size_t passes)
{
    struct query *q = &s->query;
    struct reading *r = &q->readings[0];

    for (size_t n = q->token_count; n > 0 && s->taken_count == 0; n--) {
        for (size_t from = 0; from + n <= q->token_count && passes > 0; from++) {
            *r = (struct reading){.number = -1, .number_to = -1};
            query_run(q, s->arena, from, n, &r->name);
            if (r->name.key.len < 2 || has_digit(r->name.key))
                continue;
            add_matches(s, 0, match, 0);
            passes--;
        }
        take_ranking(s);
    }
}

static void suggest(struct search *s, struct search_result *ret)
{
    int number = typed_number(&s->query);

    s->limit = s->limit < SEARCH_SUGGESTION_MAX ? s->limit : SEARCH_SUGGESTION_MAX;
    suggest_names(s, match_prefix, SIZE_MAX);
    s->errors = 2;
    suggest_names(s, MISTYPED, MISTYPED_PASSES_MAX);
    for (size_t i = 0; i < s->taken_count; i++)
        ret->suggestions[i] = nearest_number(s->pack, RANK_DOOR(s->taken[i]), number);
    ret->suggestion_count = s->taken_count;
}

void search_doors(struct registry_reader *r, struct arena *a, struct str text, size_t limit,
                  struct search_result *ret)
{
    struct search s;
    bool more;

    *ret = (struct search_result){.doors = NULL};
    if (!begin(&s, r, a, text, limit))
        return;
    more = find_true(&s);
    if (s.taken_count < s.limit)
        find_more_doors(&s);
    if (more && s.taken_count < s.limit && s.taken_count < WEAK_BELOW)
        find_weak(&s);
    ret->count = s.taken_count;
    ret->doors = arena_alloc_array(a, s.taken_count + 1, sizeof *ret->doors);
    for (size_t i = 0; i < s.taken_count; i++)
        ret->doors[i] = RANK_DOOR(s.taken[i]);
    if (s.taken_count == 0)
        suggest(&s, ret);
}

void search_suggest(struct registry_reader *r, struct arena *a, struct str text,
                    struct search_result *ret)
{
    struct search s;

    *ret = (struct search_result){.doors = NULL};
    if (begin(&s, r, a, text, SEARCH_SUGGESTION_MAX))
        suggest(&s, ret);
}
