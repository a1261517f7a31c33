/* blob.c - keys, names, streets and doors as packed arrays */
#include "blob.h"

#include "registry/names.h"

void writer_put(struct writer *w, enum pack_part part, const void *item, size_t bytes)
{
    buf_add(&w->parts[part], str_n(item, bytes));
}

uint32_t writer_put_text(struct writer *w, struct str text)
{
    uint32_t offset = (uint32_t)w->parts[PART_TEXT].len;

    must(text.len <= 255);
    buf_add_char(&w->parts[PART_TEXT], (char)(unsigned char)text.len);
    buf_add(&w->parts[PART_TEXT], text);
    return offset;
}

struct str writer_folded(struct writer *w, struct str text, bool (*fold)(struct str, struct buf *))
{
    struct buf b;
    struct str s;

    buf_init(&b, 8 * NAME_MAX_BYTES);
    must(fold(text, &b));
    s = arena_dup(w->arena, str_take(buf_str(&b), 255));
    buf_done(&b);
    return s;
}

struct key_entry {
    struct str text;
    uint32_t name;
    uint8_t form;
    uint8_t plain;
};

struct key_list {
    struct key_entry *items;
    size_t count, capacity;
    size_t name_from; /* first of the name at hand */
    bool (*fold)(struct str, struct buf *);
    bool stored_only; /* no derived cases: typing errors are counted from what people read */
};

static size_t shared_bytes(struct str a, struct str b)
{
    size_t n = 0;

    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

static void add_key(struct writer *w, struct key_list *list, struct str text, uint32_t name,
                    enum pack_form form)
{
    struct str key = writer_folded(w, text, list->fold);

    if (key.len == 0)
        return;
    for (size_t i = list->name_from; i < list->count; i++) {
        if (str_eq(list->items[i].text, key))
            return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 4096;
        list->items = realloc(list->items, list->capacity * sizeof *list->items);
        must(list->items);
    }
    list->items[list->count++] =
        (struct key_entry){key, name, (uint8_t)form,
                           (uint8_t)shared_bytes(key, writer_folded(w, text, name_spelling))};
}

static void add_cases(struct writer *w, struct key_list *list, struct str nominative,
                      struct str dative, uint32_t name)
{
    struct str forms[NAME_FORMS_MAX];
    size_t count = list->stored_only ? 0 : name_forms(w->arena, nominative, dative, forms);

    if (dative.len > 0)
        add_key(w, list, dative, name, FORM_DATIVE);
    for (size_t i = 0; i < count; i++)
        add_key(w, list, forms[i], name, FORM_DERIVED);
}

/* "Klausturhólar C-Gata" is also found as "C-Gata" and as "Gata". */
static void add_words(struct writer *w, struct key_list *list, struct str nominative, uint32_t name)
{
    for (size_t i = 1; i < nominative.len && !list->stored_only; i++) {
        unsigned char before = (unsigned char)nominative.ptr[i - 1];
        unsigned char here = (unsigned char)nominative.ptr[i];

        if (before < 0x80 && !isalnum(before) && (here >= 0x80 || isalnum(here)))
            add_key(w, list, str_skip(nominative, i), name, FORM_WORD);
    }
}

/* Rows of one name stand together; most have the dative of the row before. */
static void add_name_keys(struct writer *w, struct key_list *list)
{
    const struct index *x = w->x;
    const struct source *s = x->source;
    size_t row = 0;

    for (uint32_t name = 0; name < x->name_count; name++) {
        struct str nominative = str_from(source_text(s, x->names[name].text));
        const char *last = NULL;

        list->name_from = list->count;
        add_key(w, list, nominative, name, FORM_NOMINATIVE);
        for (; row < s->row_count && s->rows[row].name == name; row++) {
            const char *dative = source_text(s, s->rows[row].dative);

            if (!last || strcmp(last, dative) != 0)
                add_cases(w, list, nominative, str_from(dative), name);
            last = dative;
        }
        if (!last)
            add_cases(w, list, nominative, str_from(""), name);
        add_words(w, list, nominative, name);
    }
}

static int by_key(const void *a, const void *b)
{
    const struct key_entry *x = a, *y = b;
    int order = str_cmp(x->text, y->text);

    if (order != 0)
        return order;
    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    return x->form - y->form;
}

/* Names with the same key share its bytes. */
static void write_sorted(struct writer *w, struct key_list *list, enum pack_part text_part,
                         enum pack_part key_part)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, by_key);
    for (size_t i = 0; i < list->count; i++) {
        const struct key_entry *k = &list->items[i];
        size_t shared = i > 0 ? shared_bytes(k[-1].text, k->text) : 0;
        struct pack_key key = {
            .text = (uint32_t)w->parts[text_part].len,
            .name = k->name,
            .length = (uint8_t)k->text.len,
            .form = k->form,
            .plain = k->plain,
        };

        if (i > 0 && shared == k->text.len && shared == k[-1].text.len)
            key.text -= key.length;
        else
            buf_add(&w->parts[text_part], k->text);
        writer_put(w, key_part, &key, sizeof key);
        if (key_part == PART_ROUGH)
            buf_add_char(&w->parts[PART_SHARED], (char)(unsigned char)shared);
    }
}

static void write_keys(struct writer *w)
{
    struct key_list list = {.fold = name_key};

    add_name_keys(w, &list);
    write_sorted(w, &list, PART_KEY_TEXT, PART_KEYS);
    free(list.items);
    list = (struct key_list){.fold = name_rough, .stored_only = true};
    add_name_keys(w, &list);
    write_sorted(w, &list, PART_ROUGH_TEXT, PART_ROUGH);
    free(list.items);
}

/* Doors with a special name, grouped by it. */
static uint32_t *sort_specials(const struct index *x, size_t *ret_count)
{
    const struct source *s = x->source;
    uint32_t *first = calloc(x->name_count + 1, sizeof *first);
    uint32_t *sorted;
    size_t count = 0;

    must(first);
    for (size_t i = 0; i < s->row_count; i++) {
        if (s->rows[i].special_name != UINT32_MAX) {
            first[s->rows[i].special_name + 1]++;
            count++;
        }
    }
    for (size_t i = 0; i < x->name_count; i++)
        first[i + 1] += first[i];
    sorted = calloc(count + 1, sizeof *sorted);
    must(sorted);
    for (size_t i = 0; i < s->row_count; i++) {
        if (s->rows[i].special_name != UINT32_MAX)
            sorted[first[s->rows[i].special_name]++] = (uint32_t)i;
    }
    free(first);
    *ret_count = count;
    return sorted;
}

static void write_names(struct writer *w)
{
    const struct index *x = w->x;
    const struct source *s = x->source;
    size_t special_count, special = 0, street = 0;
    uint32_t *specials = sort_specials(x, &special_count);

    for (uint32_t i = 0; i <= x->name_count; i++) {
        struct pack_name name = {
            .key = (uint32_t)w->parts[PART_NAME_KEYS].len,
            .first_street = (uint32_t)street,
            .first_special = (uint32_t)special,
        };

        if (i < x->name_count) {
            struct str text = str_from(source_text(s, x->names[i].text));

            name.text = writer_put_text(w, text);
            name.spelling = writer_put_text(w, writer_folded(w, text, name_spelling));
            buf_add_char(&w->parts[PART_NAME_KEYS], '\n');
            buf_add(&w->parts[PART_NAME_KEYS], writer_folded(w, text, name_key));
            while (street < x->street_count && x->streets[street].name == i)
                street++;
            while (special < special_count && s->rows[specials[special]].special_name == i)
                special++;
        }
        writer_put(w, PART_NAMES, &name, sizeof name);
    }
    writer_put(w, PART_SPECIAL, specials, special_count * sizeof *specials);
    writer_put(w, PART_STREETS, x->streets, (x->street_count + 1) * sizeof *x->streets);
    free(specials);
}

static void write_detail(struct writer *w, const struct source_row *row, uint32_t empty)
{
    struct pack_detail detail = {
        .latitude = PACK_NO_POSITION,
        .hnitnum = (uint32_t)row->hnitnum,
        .landnr = (uint32_t)row->landnr & INT32_MAX,
        .own_number = row->has_number,
        .suffix = empty,
        .special = empty,
    };

    if (row->latitude_e8 != SOURCE_NO_POSITION) {
        detail.latitude = (int32_t)(row->latitude_e8 - PACK_LATITUDE_E8);
        detail.longitude = (int32_t)(row->longitude_e8 - PACK_LONGITUDE_E8);
    }
    if (row->suffix)
        detail.suffix = writer_put_text(w, str_from(source_text(w->x->source, row->suffix)));
    if (row->special_name != UINT32_MAX) {
        struct pack_name name;

        memcpy(&name, w->parts[PART_NAMES].ptr + row->special_name * sizeof name, sizeof name);
        detail.special = name.text;
    }
    writer_put(w, PART_DETAILS, &detail, sizeof detail);
}

static void write_doors(struct writer *w)
{
    const struct source *s = w->x->source;

    uint32_t empty = (uint32_t)w->parts[PART_TEXT].len; /* the first letter */

    for (size_t i = 0; i < s->letter_count; i++) {
        uint32_t text = writer_put_text(w, str_from(source_text(s, s->letters[i])));

        writer_put(w, PART_LETTERS, &text, sizeof text);
    }
    for (size_t i = 0; i < s->row_count; i++) {
        const struct source_row *row = &s->rows[i];
        struct pack_door door = {
            .number = row->number,
            .letter = row->letter,
            .span = (uint8_t)(row->range_to > 0 ? row->range_to - row->number : 0),
        };

        writer_put(w, PART_DOORS, &door, sizeof door);
        write_detail(w, row, empty);
    }
}

static void assemble(struct writer *w)
{
    static const char zeros[8];
    struct buf *blob = &w->x->blob;
    struct pack_header h = {.magic = PACK_MAGIC, .schema = PACK_SCHEMA};

    buf_add(blob, str_n(&h, sizeof h));
    for (size_t i = 0; i < PART_COUNT; i++) {
        must(!w->parts[i].overflow);
        buf_add(blob, str_n(zeros, (8 - blob->len % 8) % 8));
        h.parts[i].offset = blob->len;
        h.parts[i].bytes = w->parts[i].len;
        buf_add(blob, buf_str(&w->parts[i]));
    }
    must(!blob->overflow);
    h.bytes = blob->len;
    h.checksum = pack_checksum(blob->ptr + sizeof h, blob->len - sizeof h);
    memcpy(blob->ptr, &h, sizeof h);
}

void blob_write(struct index *x)
{
    struct writer w = {.x = x};

    w.arena = arena_new(BLOB_MAX_BYTES);
    for (size_t i = 0; i < PART_COUNT; i++)
        buf_init(&w.parts[i], BLOB_MAX_BYTES);
    write_keys(&w);
    write_names(&w);
    write_doors(&w);
    places_write(&w);
    assemble(&w);
    for (size_t i = 0; i < PART_COUNT; i++)
        buf_done(&w.parts[i]);
    arena_free(w.arena);
}
