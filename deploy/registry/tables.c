/* tables.c - our own two tables: postcodes and municipalities */
#include "source.h"

#include "registry/names.h"

static const char *const postcode_columns[] = {"code",          "place", "place_dative", "region",
                                               "region_dative", "kind",  "municipality"};
static const char *const municipality_columns[] = {"code", "name"};

static bool next_table_row(struct csv *csv, const char *const *columns, size_t count,
                           const char *table, bool *ret_end, struct error *e)
{
    enum csv_result result = csv_next(csv);

    *ret_end = result == CSV_END;
    if (*ret_end)
        return true;
    if (result != CSV_ROW || csv->field_count != count || !source_is_clean(csv))
        return error_set(e, ERR_BAD_REQUEST, "%s table: line %lld is not whole", table,
                         (long long)csv->line);
    for (size_t i = 0; i < count && csv->line == 1; i++) {
        if (!str_eq_text(csv_field(csv, i), columns[i]))
            return error_set(e, ERR_BAD_REQUEST, "%s table: column %zu is not %s", table, i + 1,
                             columns[i]);
    }
    return true;
}

static bool add_municipality(struct source *s, const struct csv *csv, struct error *e)
{
    struct source_municipality *m = &s->municipalities[s->municipality_count];
    int64_t code;

    if (!str_parse_i64(csv_field(csv, 0), 0, 9999, &code) || csv_field(csv, 1).len == 0 ||
        csv_field(csv, 1).len > NAME_MAX_BYTES || s->municipality_count == PACK_POSTCODES_MAX - 1 ||
        (s->municipality_count > 0 && m[-1].code >= code))
        return error_set(e, ERR_BAD_REQUEST, "municipality table: line %lld", (long long)csv->line);
    m->code = (uint32_t)code;
    m->name = source_add_text(s, csv_field(csv, 1));
    s->municipality_count++;
    return true;
}

static bool add_postcode(struct source *s, const struct csv *csv, struct error *e)
{
    static const char *const kinds[POSTCODE_KIND_COUNT] = {"town", "rural", "po_box"};
    struct source_postcode *p = &s->postcodes[s->postcode_count];
    int64_t code = 0, municipality = 0;
    int found = str_parse_i64(csv_field(csv, 6), 0, 9999, &municipality)
                    ? source_municipality(s, municipality)
                    : -1;
    size_t kind = 0;
    bool ok = str_parse_i64(csv_field(csv, 0), 100, 999, &code) && found >= 0 &&
              s->postcode_count < PACK_POSTCODES_MAX &&
              (s->postcode_count == 0 || p[-1].code < code);

    while (kind < POSTCODE_KIND_COUNT && !str_eq_text(csv_field(csv, 5), kinds[kind]))
        kind++;
    for (size_t i = 1; i <= 4; i++)
        ok = ok && csv_field(csv, i).len > 0 && csv_field(csv, i).len <= NAME_MAX_BYTES;
    if (!ok || kind == POSTCODE_KIND_COUNT)
        return error_set(e, ERR_BAD_REQUEST, "postcode table: line %lld", (long long)csv->line);
    *p = (struct source_postcode){
        .code = (uint16_t)code,
        .kind = (uint8_t)kind,
        .municipality = (uint8_t)found,
        .place = source_add_text(s, csv_field(csv, 1)),
        .place_dative = source_add_text(s, csv_field(csv, 2)),
        .region = source_add_text(s, csv_field(csv, 3)),
        .region_dative = source_add_text(s, csv_field(csv, 4)),
    };
    s->postcode_count++;
    return true;
}

static bool read_table(struct source *s, FILE *in, const char *const *columns, size_t count,
                       const char *table,
                       bool (*add)(struct source *s, const struct csv *csv, struct error *e),
                       struct error *e)
{
    struct csv csv;
    bool ok, end = false;

    csv_init(&csv, in);
    while ((ok = next_table_row(&csv, columns, count, table, &end, e)) && !end) {
        if (csv.line > 1 && !(ok = add(s, &csv, e)))
            break;
    }
    csv_done(&csv);
    return ok;
}

bool source_read_municipalities(struct source *s, FILE *in, struct error *e)
{
    return read_table(s, in, municipality_columns, ARRAY_LEN(municipality_columns), "municipality",
                      add_municipality, e) &&
           (s->municipality_count > 0 ||
            error_set(e, ERR_BAD_REQUEST, "municipality table is empty"));
}

bool source_read_postcodes(struct source *s, FILE *in, struct error *e)
{
    return read_table(s, in, postcode_columns, ARRAY_LEN(postcode_columns), "postcode",
                      add_postcode, e) &&
           (s->postcode_count > 0 || error_set(e, ERR_BAD_REQUEST, "postcode table is empty"));
}
