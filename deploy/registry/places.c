/* places.c - towns, regions and municipalities in all their cases */
#include "blob.h"

#include "registry/names.h"

struct place_entry {
    struct str key;
    struct pack_place place;
};

struct place_list {
    struct place_entry *items;
    size_t count, capacity;
};

/* Adds bit `index` of a postcode (or municipality) under one spelling. */
static void add_place_key(struct writer *w, struct place_list *list, struct str text, bool is_code,
                          size_t index)
{
    struct str key = writer_folded(w, text, name_key);
    size_t i = 0;
    uint8_t *set;

    if (key.len < 2)
        return;
    while (i < list->count && !str_eq(list->items[i].key, key))
        i++;
    if (i == list->count) {
        if (list->count == list->capacity) {
            list->capacity = list->capacity ? 2 * list->capacity : 256;
            list->items = realloc(list->items, list->capacity * sizeof *list->items);
            must(list->items);
        }
        list->items[list->count++] = (struct place_entry){.key = key};
    }
    set = is_code ? list->items[i].place.postcodes : list->items[i].place.municipalities;
    set[index / 8] |= (uint8_t)(1u << index % 8);
}

static void add_place(struct writer *w, struct place_list *list, struct str nominative,
                      struct str dative, bool is_code, size_t index)
{
    struct str forms[NAME_FORMS_MAX];
    size_t count = name_forms(w->arena, nominative, dative, forms);

    add_place_key(w, list, nominative, is_code, index);
    add_place_key(w, list, dative, is_code, index);
    for (size_t i = 0; i < count; i++)
        add_place_key(w, list, forms[i], is_code, index);
}

static struct str take_word(struct str *rest)
{
    struct str word = {NULL, 0};

    (void)str_split(rest, ' ', &word);
    return word;
}

/* "Höfn í Hornafirði" is also "Höfn", "Suðurland og Reykjanes" also each of the two. */
static void add_postcode_places(struct writer *w, struct place_list *list, struct str nominative,
                                struct str dative, size_t index)
{
    struct str rest = nominative, rest_dative = dative;
    struct str word = take_word(&rest), word_dative = take_word(&rest_dative);

    add_place(w, list, nominative, dative, true, index);
    if (!rest.ptr)
        return;
    add_place(w, list, word, word_dative, true, index);
    if (str_starts_with(rest, STR("og ")) && str_starts_with(rest_dative, STR("og ")))
        add_place(w, list, str_skip(rest, 3), str_skip(rest_dative, 3), true, index);
}

static int by_place(const void *a, const void *b)
{
    return str_cmp(((const struct place_entry *)a)->key, ((const struct place_entry *)b)->key);
}

static void write_names(struct writer *w)
{
    static const char before[] = "Sveitarfélagið ";
    const struct source *s = w->x->source;
    struct place_list list = {.items = NULL};

    for (size_t i = 0; i < s->postcode_count; i++) {
        const struct source_postcode *p = &s->postcodes[i];

        add_postcode_places(w, &list, str_from(source_text(s, p->place)),
                            str_from(source_text(s, p->place_dative)), i);
        add_postcode_places(w, &list, str_from(source_text(s, p->region)),
                            str_from(source_text(s, p->region_dative)), i);
    }
    for (size_t i = 0; i < s->municipality_count; i++) {
        struct str name = str_from(source_text(s, s->municipalities[i].name));

        add_place(w, &list, name, str_from(""), false, i);
        if (str_starts_with(name, STR(before)))
            add_place(w, &list, str_skip(name, sizeof before - 1), str_from(""), false, i);
    }
    if (list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, by_place);
    for (size_t i = 0; i < list.count; i++) {
        list.items[i].place.key = writer_put_text(w, list.items[i].key);
        writer_put(w, PART_PLACES, &list.items[i].place, sizeof list.items[i].place);
    }
    free(list.items);
}

static void write_areas(struct writer *w)
{
    const struct source *s = w->x->source;

    for (size_t i = 0; i < s->postcode_count; i++) {
        const struct source_postcode *from = &s->postcodes[i];
        struct pack_postcode p = {
            .code = from->code,
            .municipality = from->municipality,
            .kind = from->kind,
            .place = writer_put_text(w, str_from(source_text(s, from->place))),
            .place_dative = writer_put_text(w, str_from(source_text(s, from->place_dative))),
            .region = writer_put_text(w, str_from(source_text(s, from->region))),
            .region_dative = writer_put_text(w, str_from(source_text(s, from->region_dative))),
        };

        writer_put(w, PART_POSTCODES, &p, sizeof p);
    }
    for (size_t i = 0; i < s->municipality_count; i++) {
        struct pack_municipality m = {
            .code = s->municipalities[i].code,
            .name = writer_put_text(w, str_from(source_text(s, s->municipalities[i].name))),
        };

        writer_put(w, PART_MUNICIPALITIES, &m, sizeof m);
    }
}

void places_write(struct writer *w)
{
    write_names(w);
    write_areas(w);
}
