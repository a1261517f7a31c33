/* source.c - the official rows, row by row */
#include "source.h"

#include "registry/names.h"

#define PROGRESS_ROWS 50000
/* More than this share of refused rows is no registry but a broken file. */
#define REFUSED_MAX_PERCENT 5

/* Iceland with its islands, degrees in 1e-8. */
#define SOUTH_E8 6280000000
#define NORTH_E8 6760000000
#define WEST_E8  (-2550000000)
#define EAST_E8  (-1250000000)

/* The header as Registers Iceland writes it. */
#define COLUMN_TABLE(X)                                                                            \
    X(FID)                                                                                         \
    X(HNITNUM)                                                                                     \
    X(SVFNR)                                                                                       \
    X(BYGGD)                                                                                       \
    X(LANDNR)                                                                                      \
    X(HEINUM)                                                                                      \
    X(MATSNR)                                                                                      \
    X(POSTNR)                                                                                      \
    X(HEITI_NF)                                                                                    \
    X(HEITI_TGF)                                                                                   \
    X(HUSNR)                                                                                       \
    X(BOKST)                                                                                       \
    X(VIDSK)                                                                                       \
    X(SERHEITI)                                                                                    \
    X(DAGS_INN)                                                                                    \
    X(DAGS_LEIDR)                                                                                  \
    X(GAGNA_EIGN)                                                                                  \
    X(TEGHNIT)                                                                                     \
    X(YFIRFARID)                                                                                   \
    X(YFIRF_HEITI)                                                                                 \
    X(ATH)                                                                                         \
    X(NAKV_XY)                                                                                     \
    X(HNIT)                                                                                        \
    X(N_HNIT_WGS84)                                                                                \
    X(E_HNIT_WGS84)                                                                                \
    X(NOTNR)                                                                                       \
    X(LM_HEIMILISFANG)                                                                             \
    X(VEF_BIRTING)                                                                                 \
    X(HUSMERKING)

enum column {
#define X(name) COLUMN_##name,
    COLUMN_TABLE(X)
#undef X
        COLUMN_COUNT
};

static const char *const column_names[COLUMN_COUNT] = {
#define X(name) #name,
    COLUMN_TABLE(X)
#undef X
};

struct columns {
    size_t at[COLUMN_COUNT];
};

const char *refusal_text(enum refusal r)
{
    static const char *const texts[REFUSAL_COUNT] = {
#define X(code, text) [code] = (text),
        REFUSAL_TABLE(X)
#undef X
    };

    return texts[r];
}

int64_t source_refused(const struct source *s)
{
    int64_t sum = 0;

    for (size_t i = 0; i < REFUSAL_COUNT; i++)
        sum += s->refused[i];
    return sum;
}

/* By name, in any order; all of them, none twice, none besides. */
static bool read_header(struct csv *csv, struct columns *columns, struct error *e)
{
    bool found[COLUMN_COUNT] = {false};

    switch (csv_next(csv)) {
    case CSV_ROW:
        break;
    case CSV_END:
        return error_set(e, ERR_BAD_REQUEST, "the file is empty");
    case CSV_CUT:
    case CSV_TOO_LONG:
    case CSV_READ_ERROR:
        return error_set(e, ERR_BAD_REQUEST, "the first line cannot be read");
    }
    for (size_t f = 0; f < csv->field_count; f++) {
        size_t c = 0;

        while (c < COLUMN_COUNT && !str_eq_text(csv_field(csv, f), column_names[c]))
            c++;
        if (c == COLUMN_COUNT || found[c])
            return error_set(e, ERR_BAD_REQUEST, "the header changed: column %zu is %s", f + 1,
                             c == COLUMN_COUNT ? "unknown" : "there twice");
        found[c] = true;
        columns->at[c] = f;
    }
    for (size_t c = 0; c < COLUMN_COUNT; c++) {
        if (!found[c])
            return error_set(e, ERR_BAD_REQUEST, "the header changed: column %s is missing",
                             column_names[c]);
    }
    return true;
}

/* Trimmed, runs of blanks as one. */
uint32_t source_add_text(struct source *s, struct str text)
{
    uint32_t offset = (uint32_t)s->text.len;
    bool blank = false;

    text = str_trim(text);
    if (text.len == 0)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        bool is_blank = text.ptr[i] == ' ' || text.ptr[i] == '\t';

        if (!is_blank || !blank)
            buf_add_char(&s->text, is_blank ? ' ' : text.ptr[i]);
        blank = is_blank;
    }
    buf_add_char(&s->text, '\0');
    must(!s->text.overflow);
    return offset;
}

static bool parse_degrees(struct str text, int64_t *ret_e8)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    int64_t value = 0;
    int decimals = -1;

    text = str_skip(text, negative ? 1 : 0);
    if (text.len == 0 || text.len > 24)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.ptr[i];

        if ((ch == ',' || ch == '.') && decimals < 0) {
            decimals = 0;
        } else if (ch >= '0' && ch <= '9') {
            if (decimals < 0 && value > 99)
                return false; /* no position has four digits before the comma */
            if (decimals < 8)
                value = value * 10 + (ch - '0');
            if (decimals >= 0 && decimals < 8)
                decimals++;
        } else {
            return false;
        }
    }
    for (decimals = decimals < 0 ? 0 : decimals; decimals < 8; decimals++)
        value *= 10;
    *ret_e8 = negative ? -value : value;
    return true;
}

static bool read_position(struct str north, struct str east, struct source_row *row)
{
    row->latitude_e8 = row->longitude_e8 = SOURCE_NO_POSITION;
    if (north.len == 0 && east.len == 0)
        return true;
    return parse_degrees(north, &row->latitude_e8) && parse_degrees(east, &row->longitude_e8) &&
           row->latitude_e8 >= SOUTH_E8 && row->latitude_e8 <= NORTH_E8 &&
           row->longitude_e8 >= WEST_E8 && row->longitude_e8 <= EAST_E8;
}

/* VIDSK "6-8" is a range; a range without HUSNR has no number of its own. */
static bool read_number(struct str number, struct str suffix, struct source_row *row)
{
    struct str rest = suffix, from;
    int64_t value = 0, first, last;

    if (number.len > 0 && !str_parse_i64(number, 0, PACK_NUMBER_MAX, &value))
        return false;
    row->number = (uint16_t)value;
    row->has_number = value > 0;
    if (!str_split(&rest, '-', &from) ||
        !str_parse_i64(str_trim(from), 1, PACK_NUMBER_MAX, &first) ||
        !str_parse_i64(str_trim(rest), 1, PACK_NUMBER_MAX, &last) || last <= first ||
        last - first > PACK_DOOR_SPAN_MAX || (value > 0 && value != first))
        return true;
    row->number = (uint16_t)first;
    row->range_to = (uint16_t)last;
    return true;
}

static bool read_letter(struct source *s, struct str letter, uint8_t *ret)
{
    size_t i = 0;

    if (letter.len > 12)
        return false;
    while (i < s->letter_count && !str_eq_text(letter, source_text(s, s->letters[i])))
        i++;
    if (i == s->letter_count) {
        if (i > SOURCE_LETTERS_MAX)
            return false;
        s->letters[s->letter_count++] = source_add_text(s, letter);
    }
    *ret = (uint8_t)i;
    return true;
}

static bool read_names(struct source *s, const struct csv *csv, const struct columns *c,
                       struct source_row *row)
{
    struct str name = str_trim(csv_field(csv, c->at[COLUMN_HEITI_NF]));
    struct str dative = str_trim(csv_field(csv, c->at[COLUMN_HEITI_TGF]));
    struct str special = str_trim(csv_field(csv, c->at[COLUMN_SERHEITI]));
    struct str suffix = str_trim(csv_field(csv, c->at[COLUMN_VIDSK]));
    struct buf key;
    bool ok;

    if (name.len == 0) {
        name = special;
        special = str_from("");
    }
    if (name.len > NAME_MAX_BYTES || dative.len > NAME_MAX_BYTES || special.len > NAME_MAX_BYTES ||
        suffix.len > NAME_MAX_BYTES)
        return false;
    buf_init(&key, 4 * NAME_MAX_BYTES);
    ok = name_key(name, &key) && key.len > 0 && key.len <= 255;
    buf_clear(&key);
    ok = ok && name_key(special, &key) && key.len <= 255;
    if (key.len == 0)
        special = str_from("");
    buf_done(&key);
    if (!ok)
        return false;
    row->nominative = source_add_text(s, name);
    row->dative = source_add_text(s, dative);
    row->special = source_add_text(s, special);
    row->suffix = source_add_text(s, suffix);
    return true;
}

bool source_is_clean(const struct csv *csv)
{
    struct str all = str_n(csv->text.ptr, csv->text.len);

    for (size_t i = 0; i < all.len; i++) {
        if ((unsigned char)all.ptr[i] < 0x20 || all.ptr[i] == 0x7f)
            return false;
    }
    return str_is_utf8(all);
}

static int find_postcode(const struct source *s, int64_t code)
{
    for (size_t i = 0; i < s->postcode_count; i++) {
        if (s->postcodes[i].code == code)
            return (int)i;
    }
    return -1;
}

int source_municipality(const struct source *s, int64_t code)
{
    for (size_t i = 0; i < s->municipality_count; i++) {
        if (s->municipalities[i].code == code)
            return (int)i;
    }
    return -1;
}

static void read_area(struct source *s, struct source_row *row, int postcode, struct str code)
{
    int64_t number;
    int municipality = str_parse_i64(code, 0, 9999, &number) ? source_municipality(s, number) : -1;

    row->postcode = (uint8_t)postcode;
    row->municipality =
        municipality >= 0 ? (uint8_t)municipality : s->postcodes[postcode].municipality;
    s->unknown_municipality += municipality < 0;
}

/* Gives REFUSAL_COUNT for a good row. */
static enum refusal read_row(struct source *s, const struct csv *csv, const struct columns *c,
                             struct source_row *row)
{
    int64_t number = 0;
    int postcode;

    *row = (struct source_row){.line = csv->line, .special_name = UINT32_MAX};
    if (csv->field_count != COLUMN_COUNT || csv->wide)
        return REFUSED_COLUMNS;
    if (!source_is_clean(csv))
        return REFUSED_UTF8;
    if (!str_parse_i64(csv_field(csv, c->at[COLUMN_HNITNUM]), 1, UINT32_MAX, &row->hnitnum))
        return REFUSED_HNITNUM;
    postcode = str_parse_i64(csv_field(csv, c->at[COLUMN_POSTNR]), 1, 999, &number)
                   ? find_postcode(s, number)
                   : -1;
    if (postcode < 0)
        return REFUSED_POSTCODE;
    if (!read_number(str_trim(csv_field(csv, c->at[COLUMN_HUSNR])),
                     str_trim(csv_field(csv, c->at[COLUMN_VIDSK])), row))
        return REFUSED_NUMBER;
    if (!read_letter(s, str_trim(csv_field(csv, c->at[COLUMN_BOKST])), &row->letter))
        return REFUSED_LETTER;
    if (!read_position(str_trim(csv_field(csv, c->at[COLUMN_N_HNIT_WGS84])),
                       str_trim(csv_field(csv, c->at[COLUMN_E_HNIT_WGS84])), row))
        return REFUSED_POSITION;
    if (!read_names(s, csv, c, row))
        return REFUSED_NAME;
    read_area(s, row, postcode, csv_field(csv, c->at[COLUMN_SVFNR]));
    if (!str_parse_i64(csv_field(csv, c->at[COLUMN_LANDNR]), 1, INT32_MAX, &row->landnr))
        row->landnr = 0;
    return REFUSAL_COUNT;
}

static void refuse(struct source *s, int64_t line, enum refusal why)
{
    s->refused[why]++;
    if (s->kept_count < SOURCE_REFUSED_KEPT_MAX)
        s->kept[s->kept_count++] = (struct source_refused){line, why};
}

static struct source_row *next_row(struct source *s)
{
    if (s->row_count == s->row_capacity) {
        s->row_capacity = s->row_capacity ? 2 * s->row_capacity : 4096;
        s->rows = realloc(s->rows, s->row_capacity * sizeof *s->rows);
        must(s->rows);
    }
    return &s->rows[s->row_count];
}

static int by_hnitnum(const void *a, const void *b)
{
    const struct source_row *x = a, *y = b;

    if (x->hnitnum != y->hnitnum)
        return x->hnitnum < y->hnitnum ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Of rows with the same number the first in the file stays. */
static void drop_repeated(struct source *s)
{
    size_t kept = 0;

    if (s->row_count > 0)
        qsort(s->rows, s->row_count, sizeof *s->rows, by_hnitnum);
    for (size_t i = 0; i < s->row_count; i++) {
        if (kept > 0 && s->rows[kept - 1].hnitnum == s->rows[i].hnitnum)
            refuse(s, s->rows[i].line, REFUSED_TWICE);
        else
            s->rows[kept++] = s->rows[i];
    }
    s->row_count = kept;
}

static bool check_end(struct source *s, enum csv_result last, int64_t line, struct error *e)
{
    int64_t refused;

    switch (last) {
    case CSV_END:
        break;
    case CSV_CUT:
        return error_set(e, ERR_BAD_REQUEST, "the file is cut off in line %lld", (long long)line);
    case CSV_TOO_LONG:
    case CSV_ROW:
        return error_set(e, ERR_BAD_REQUEST, "line %lld is too long", (long long)line);
    case CSV_READ_ERROR:
        return error_set(e, ERR_INTERNAL, "reading failed in line %lld", (long long)line);
    }
    drop_repeated(s);
    refused = source_refused(s);
    if (s->row_count == 0)
        return error_set(e, ERR_BAD_REQUEST, "the file has no row that can be served");
    if (refused * 100 > s->rows_read * REFUSED_MAX_PERCENT)
        return error_set(e, ERR_BAD_REQUEST, "%lld of %lld rows cannot be served, more than %d %%",
                         (long long)refused, (long long)s->rows_read, REFUSED_MAX_PERCENT);
    return true;
}

bool source_read_rows(struct source *s, FILE *in, void (*progress)(int64_t rows), struct error *e)
{
    struct columns columns = {0};
    struct csv csv;
    enum csv_result result = CSV_END;
    bool ok;

    must(s->postcode_count > 0 && s->municipality_count > 0);
    csv_init(&csv, in);
    ok = read_header(&csv, &columns, e);
    while (ok && (result = csv_next(&csv)) == CSV_ROW) {
        struct source_row *row = next_row(s);
        enum refusal why = read_row(s, &csv, &columns, row);

        s->rows_read++;
        if (why == REFUSAL_COUNT) {
            s->without_position += row->latitude_e8 == SOURCE_NO_POSITION;
            s->row_count++;
        } else {
            refuse(s, csv.line, why);
        }
        if (progress && s->rows_read % PROGRESS_ROWS == 0)
            progress(s->rows_read);
    }
    ok = ok && check_end(s, result, csv.line, e);
    csv_done(&csv);
    return ok;
}

struct source *source_new(void)
{
    struct source *s = calloc(1, sizeof *s);

    must(s);
    buf_init(&s->text, UINT32_MAX / 2);
    buf_add_char(&s->text, '\0');
    s->letter_count = 1; /* the empty one */
    return s;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    buf_done(&s->text);
    free(s->rows);
    free(s);
}

const char *source_text(const struct source *s, uint32_t offset)
{
    must(offset < s->text.len);
    return s->text.ptr + offset;
}
