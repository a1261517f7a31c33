/* index.c - the rank of names and the order of doors */
#include "index.h"

#include "blob.h"

#define BLOB_MAX_BYTES (512u << 20)

struct mention {
    const char *text;
    uint32_t offset;
    uint32_t row;
    bool special;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct mention *)a)->text, ((const struct mention *)b)->text);
}

static const struct source *ranked; /* qsort has no context; one build, one thread */

static int by_doors(const void *a, const void *b)
{
    const struct index_name *x = a, *y = b;

    if (x->doors != y->doors)
        return x->doors > y->doors ? -1 : 1;
    return strcmp(source_text(ranked, x->text), source_text(ranked, y->text));
}

static struct mention *collect_mentions(const struct source *s, size_t *ret_count)
{
    struct mention *all = calloc(2 * s->row_count + 1, sizeof *all);
    size_t n = 0;

    must(all);
    for (size_t i = 0; i < s->row_count; i++) {
        const struct source_row *row = &s->rows[i];

        all[n++] =
            (struct mention){source_text(s, row->nominative), row->nominative, (uint32_t)i, false};
        if (row->special)
            all[n++] =
                (struct mention){source_text(s, row->special), row->special, (uint32_t)i, true};
    }
    qsort(all, n, sizeof *all, by_text);
    *ret_count = n;
    return all;
}

static void tell_row(struct source *s, const struct mention *m, uint32_t name)
{
    if (m->special)
        s->rows[m->row].special_name = name;
    else
        s->rows[m->row].name = name;
}

/* Numbers the names by falling number of doors and tells every row its name. */
static void name_rows(struct index *x)
{
    struct source *s = x->source;
    size_t count;
    struct mention *all = collect_mentions(s, &count);

    x->names = calloc(count + 1, sizeof *x->names);
    must(x->names);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(all[i].text, all[i - 1].text) != 0)
            x->names[x->name_count++].text = all[i].offset;
        x->names[x->name_count - 1].doors++;
    }
    ranked = s;
    qsort(x->names, x->name_count, sizeof *x->names, by_doors);
    for (uint32_t rank = 0; rank < x->name_count; rank++) {
        const struct mention wanted = {.text = source_text(s, x->names[rank].text)};
        const struct mention *found = bsearch(&wanted, all, count, sizeof *all, by_text);

        must(found);
        while (found > all && strcmp(found[-1].text, wanted.text) == 0)
            found--;
        for (; found < all + count && strcmp(found->text, wanted.text) == 0; found++)
            tell_row(s, found, rank);
    }
    free(all);
}

static void sort_letters(struct source *s)
{
    uint8_t moved[SOURCE_LETTERS_MAX + 1];
    uint32_t sorted[SOURCE_LETTERS_MAX + 1];

    for (size_t i = 0; i < s->letter_count; i++) {
        size_t before = 0;

        for (size_t j = 0; j < s->letter_count; j++)
            before += strcmp(source_text(s, s->letters[j]), source_text(s, s->letters[i])) < 0;
        moved[i] = (uint8_t)before;
        sorted[before] = s->letters[i];
    }
    memcpy(s->letters, sorted, s->letter_count * sizeof *sorted);
    for (size_t i = 0; i < s->row_count; i++)
        s->rows[i].letter = moved[s->rows[i].letter];
}

#define COMPARE(field)                                                                             \
    if (x->field != y->field)                                                                      \
    return x->field < y->field ? -1 : 1

static int by_door(const void *a, const void *b)
{
    const struct source_row *x = a, *y = b;

    COMPARE(name);
    COMPARE(postcode);
    COMPARE(municipality);
    COMPARE(number);
    COMPARE(letter);
    COMPARE(range_to);
    COMPARE(hnitnum);
    return 0;
}

static void find_streets(struct index *x)
{
    const struct source *s = x->source;

    x->streets = calloc(s->row_count + 1, sizeof *x->streets);
    must(x->streets);
    for (size_t i = 0; i < s->row_count; i++) {
        const struct source_row *row = &s->rows[i];

        if (i > 0 && row[-1].name == row->name && row[-1].postcode == row->postcode &&
            row[-1].municipality == row->municipality)
            continue;
        x->streets[x->street_count++] = (struct pack_street){
            .name = row->name,
            .first_door = (uint32_t)i,
            .postcode = row->postcode,
            .municipality = row->municipality,
        };
    }
    x->streets[x->street_count].first_door = (uint32_t)s->row_count;
}

struct index *index_build(struct source *s)
{
    struct index *x = calloc(1, sizeof *x);

    must(x);
    x->source = s;
    name_rows(x);
    sort_letters(s);
    qsort(s->rows, s->row_count, sizeof *s->rows, by_door);
    find_streets(x);
    buf_init(&x->blob, BLOB_MAX_BYTES);
    blob_write(x);
    return x;
}

void index_free(struct index *x)
{
    if (!x)
        return;
    free(x->names);
    free(x->streets);
    buf_done(&x->blob);
    free(x);
}
