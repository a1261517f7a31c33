/* validate.c - from the best spelling of the name down, until one door is left */
#include "registry/validate.h"

#include "registry/names.h"

/* Doors that fit so far, in the order found, none twice. */
struct doors {
    uint32_t items[VALIDATE_ALTERNATIVES_MAX];
    size_t count; /* may be larger than what is kept */
};

/* What the names of one spelling class offer. */
struct findings {
    struct doors full;      /* all that was claimed */
    struct doors in_range;  /* the same, but the number is inside a range door */
    struct doors number;    /* number and area, another letter */
    struct doors elsewhere; /* number and letter, another area */
    struct doors near;      /* the street's own numbers */
};

struct validation {
    struct registry_reader *reader;
    const struct claim *claim;
    uint8_t letter; /* index of the claimed letter */
    bool letter_known;
    struct findings found;
};

const char *validity_text(enum validity v)
{
    static const char *const texts[] = {
#define X(code, text) [code] = (text),
        VALIDITY_TABLE(X)
#undef X
    };

    return texts[v];
}

static void add(struct doors *d, uint32_t door)
{
    for (size_t i = 0; i < d->count && i < VALIDATE_ALTERNATIVES_MAX; i++) {
        if (d->items[i] == door)
            return;
    }
    if (d->count < VALIDATE_ALTERNATIVES_MAX)
        d->items[d->count] = door;
    d->count++;
}

/* Two registry points of the same street, number and letter are one door to whoever names it. */
static void add_door(const struct pack *p, struct doors *d, uint32_t door)
{
    const struct pack_door *new = &p->doors[door];
    uint32_t last =
        d->count > 0 && d->count <= VALIDATE_ALTERNATIVES_MAX ? d->items[d->count - 1] : UINT32_MAX;

    if (last != UINT32_MAX && new->number > 0 && memcmp(&p->doors[last], new, sizeof *new) == 0 &&
        pack_street_of(p, last) == pack_street_of(p, door))
        return;
    add(d, door);
}

static bool in_areas(const struct claim *c, const struct pack_street *street)
{
    for (size_t i = 0; i < ARRAY_LEN(c->areas); i++) {
        if (c->areas[i] && !area_holds(c->areas[i], street))
            return false;
    }
    return true;
}

enum number_fit { NUMBER_NO, NUMBER_SAME, NUMBER_IN_RANGE };

static enum number_fit fit_number(const struct pack_door *d, const struct claim *c)
{
    int last = d->number + d->span;

    if (d->number == 0)
        return NUMBER_NO;
    if (c->number_to >= 0)
        return d->number == c->number && last == c->number_to ? NUMBER_SAME : NUMBER_NO;
    if (d->span == 0)
        return d->number == c->number ? NUMBER_SAME : NUMBER_NO;
    /* 6-8 holds 6 and 8; 6-9 holds all between. */
    if (c->number < d->number || c->number > last ||
        (d->span % 2 == 0 && (c->number - d->number) % 2 != 0))
        return NUMBER_NO;
    return NUMBER_IN_RANGE;
}

static void look_at_numbered(struct validation *v, uint32_t door, bool here)
{
    const struct pack *p = v->reader->pack;
    const struct pack_door *d = &p->doors[door];
    enum number_fit fit = fit_number(d, v->claim);
    bool letter = v->letter_known && d->letter == v->letter;

    if (fit == NUMBER_NO)
        return;
    if (!here) {
        if (letter)
            add_door(p, &v->found.elsewhere, door);
    } else if (!letter) {
        add_door(p, &v->found.number, door);
    } else {
        add_door(p, fit == NUMBER_SAME ? &v->found.full : &v->found.in_range, door);
    }
}

static void look_at_named(struct validation *v, uint32_t door, bool here)
{
    add(here ? &v->found.full : &v->found.elsewhere, door);
}

/* A street of houses has a point without a number, too; that is no address. Out in the country it
 * is the farm, and the numbers are its lots. */
static bool is_named_place(const struct pack *p, const struct pack_street *street, uint32_t door)
{
    return p->doors[door].number == 0 && (p->postcodes[street->postcode].kind == POSTCODE_RURAL ||
                                          p->doors[street[1].first_door - 1].number == 0);
}

static void look_at_street(struct validation *v, uint32_t index)
{
    const struct pack *p = v->reader->pack;
    const struct pack_street *street = &p->streets[index];
    bool here = in_areas(v->claim, street);

    for (uint32_t door = street[0].first_door; door < street[1].first_door; door++) {
        if (v->claim->number >= 0)
            look_at_numbered(v, door, here);
        else if (is_named_place(p, street, door))
            look_at_named(v, door, here);
        if (here && p->doors[door].number > 0)
            add(&v->found.near, door);
    }
}

static void look_at_name(struct validation *v, uint32_t name)
{
    const struct pack *p = v->reader->pack;
    const struct pack_name *n = &p->names[name];

    for (uint32_t i = n[0].first_street; i < n[1].first_street; i++)
        look_at_street(v, i);
    for (uint32_t i = n[0].first_special; i < n[1].first_special; i++) {
        uint32_t door = p->specials[i];
        bool here = in_areas(v->claim, &p->streets[pack_street_of(p, door)]);

        if (v->claim->number >= 0)
            look_at_numbered(v, door, here);
        else
            look_at_named(v, door, here);
        if (here)
            add(&v->found.near, door);
    }
}

static void offer(struct verdict *ret, enum validity validity, const struct doors *d)
{
    ret->validity = validity;
    ret->alternative_count =
        d->count < VALIDATE_ALTERNATIVES_MAX ? d->count : VALIDATE_ALTERNATIVES_MAX;
    memcpy(ret->alternatives, d->items, ret->alternative_count * sizeof *d->items);
}

static void conclude(const struct validation *v, struct verdict *ret)
{
    const struct findings *f = &v->found;
    const struct doors *full = f->full.count > 0 ? &f->full : &f->in_range;

    if (full->count == 1) {
        *ret = (struct verdict){.validity = VALIDITY_EXACT, .door = full->items[0]};
    } else if (full->count > 1) {
        offer(ret, VALIDITY_AMBIGUOUS, full);
    } else if (f->number.count > 0) {
        offer(ret, v->claim->letter.len > 0 ? VALIDITY_LETTER_UNKNOWN : VALIDITY_LETTER_MISSING,
              &f->number);
    } else if (f->elsewhere.count > 0) {
        offer(ret, VALIDITY_POSTCODE_CONFLICT, &f->elsewhere);
    } else {
        offer(ret, VALIDITY_NUMBER_UNKNOWN, &f->near);
    }
}

/* Doors by distance from the number that was claimed, the nearest first. */
struct nearest {
    uint32_t doors[VALIDATE_ALTERNATIVES_MAX];
    int distances[VALIDATE_ALTERNATIVES_MAX];
    size_t count;
};

static void insert_nearest(struct nearest *n, uint32_t door, int distance)
{
    size_t at = n->count;

    while (at > 0 && n->distances[at - 1] > distance)
        at--;
    if (at == VALIDATE_ALTERNATIVES_MAX)
        return;
    n->count += n->count < VALIDATE_ALTERNATIVES_MAX;
    for (size_t i = n->count - 1; i > at; i--) {
        n->distances[i] = n->distances[i - 1];
        n->doors[i] = n->doors[i - 1];
    }
    n->distances[at] = distance;
    n->doors[at] = door;
}

static void insert_street(const struct pack *p, const struct claim *claim,
                          const struct pack_street *street, struct nearest *n)
{
    if (!in_areas(claim, street))
        return;
    for (uint32_t door = street[0].first_door; door < street[1].first_door; door++) {
        int distance = p->doors[door].number - claim->number;

        if (p->doors[door].number > 0)
            insert_nearest(n, door, distance < 0 ? -distance : distance);
    }
}

/* Of a street's numbers the nearest are worth offering, not the first. */
static void offer_nearest(struct registry_reader *r, const struct matches *m,
                          const struct claim *claim, struct verdict *ret)
{
    struct nearest n = {.count = 0};

    for (uint32_t i = 0; i < m->count; i++) {
        const struct pack_name *name = &r->pack->names[r->names_found[i]];

        for (uint32_t s = name[0].first_street; s < name[1].first_street; s++)
            insert_street(r->pack, claim, &r->pack->streets[s], &n);
    }
    if (n.count == 0)
        return;
    memcpy(ret->alternatives, n.doors, n.count * sizeof *n.doors);
    ret->alternative_count = n.count;
}

static void find_letter(struct validation *v)
{
    const struct pack *p = v->reader->pack;
    struct buf typed, known;

    v->letter = PACK_NO_LETTER;
    v->letter_known = v->claim->letter.len == 0;
    buf_init(&typed, 4 * NAME_MAX_BYTES);
    buf_init(&known, 4 * NAME_MAX_BYTES);
    (void)name_spelling(v->claim->letter, &typed);
    for (uint32_t i = 1; i < p->letter_count && !v->letter_known; i++) {
        buf_clear(&known);
        (void)name_spelling(pack_text(p, p->letters[i]), &known);
        if (typed.len > 0 && str_eq(buf_str(&known), buf_str(&typed))) {
            v->letter = (uint8_t)i;
            v->letter_known = true;
        }
    }
    buf_done(&typed);
    buf_done(&known);
}

void validate_claim(struct registry_reader *r, const struct claim *claim, struct verdict *ret)
{
    static const unsigned classes[] = {MATCH_EXACT, MATCH_FOLDED, MATCH_INFLECTED};
    struct validation v = {.reader = r, .claim = claim};
    struct verdict best = {.validity = VALIDITY_STREET_UNKNOWN}, here;
    struct matches m;
    struct buf key, spelling;

    buf_init(&key, 4 * NAME_MAX_BYTES);
    buf_init(&spelling, 4 * NAME_MAX_BYTES);
    match_begin(&m, r);
    if (claim->street.len <= NAME_MAX_BYTES && name_key(claim->street, &key) &&
        name_spelling(claim->street, &spelling))
        match_whole(&m, &(struct match_text){buf_str(&key), buf_str(&spelling)});
    find_letter(&v);
    for (size_t c = 0; c < ARRAY_LEN(classes) && best.validity > VALIDITY_AMBIGUOUS; c++) {
        bool any = false;

        v.found = (struct findings){.full = {.count = 0}};
        for (uint32_t i = 0; i < m.count; i++) {
            if (r->name_costs[r->names_found[i]] == classes[c]) {
                look_at_name(&v, r->names_found[i]);
                any = true;
            }
        }
        here = (struct verdict){.validity = VALIDITY_STREET_UNKNOWN};
        if (any)
            conclude(&v, &here);
        if (here.validity < best.validity)
            best = here;
    }
    if (best.validity == VALIDITY_NUMBER_UNKNOWN && claim->number >= 0) {
        const struct claim anywhere = {.number = claim->number};

        offer_nearest(r, &m, claim, &best);
        if (best.alternative_count == 0)
            offer_nearest(r, &m, &anywhere, &best);
    }
    match_end(&m);
    buf_done(&key);
    buf_done(&spelling);
    *ret = best;
}
