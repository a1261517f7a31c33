/* Rows of the official address file: each is served or refused with a reason, none is lost. */
#include "fuzz.h"

#include "registry/fixture.h"

#include <string.h>

static const char header[] =
    "FID,HNITNUM,SVFNR,BYGGD,LANDNR,HEINUM,MATSNR,POSTNR,HEITI_NF,HEITI_TGF,HUSNR,BOKST,VIDSK,"
    "SERHEITI,DAGS_INN,DAGS_LEIDR,GAGNA_EIGN,TEGHNIT,YFIRFARID,YFIRF_HEITI,ATH,NAKV_XY,HNIT,"
    "N_HNIT_WGS84,E_HNIT_WGS84,NOTNR,LM_HEIMILISFANG,VEF_BIRTING,HUSMERKING\n";

static struct source *tables; /* read once; every input starts from a copy */

void fuzz_start(void)
{
    struct error e = {0};

    tables = source_new();
    must(read_own_tables(tables, &e));
}

static struct source *copy_of_tables(void)
{
    struct source *s = source_new();

    buf_clear(&s->text);
    must(buf_add(&s->text, buf_str(&tables->text)));
    memcpy(s->postcodes, tables->postcodes, sizeof s->postcodes);
    memcpy(s->municipalities, tables->municipalities, sizeof s->municipalities);
    s->postcode_count = tables->postcode_count;
    s->municipality_count = tables->municipality_count;
    return s;
}

/* Input: '+' for a good column line in front; anything else is the whole file. */
void fuzz_input(struct arena *a, struct str input)
{
    struct source *s;
    struct error e = {0};
    struct str text = input;
    FILE *in;
    bool ok;

    if (str_starts_with(input, STR("+")))
        text = arena_printf(a, "%s%.*s", header, STR_ARG(str_skip(input, 1)));
    if (text.len == 0)
        return;
    s = copy_of_tables();
    in = fmemopen((void *)(uintptr_t)text.ptr, text.len, "r");
    must(in);
    ok = source_read_rows(s, in, NULL, &e);
    (void)fclose(in);
    must(ok || e.code != ERR_NONE);
    must(!ok || (int64_t)s->row_count + source_refused(s) == s->rows_read);
    for (size_t i = 0; i < s->row_count; i++) {
        const struct source_row *row = &s->rows[i];

        must(row->postcode < s->postcode_count && row->municipality < s->municipality_count);
        must(row->nominative < s->text.len && row->dative < s->text.len);
        must(row->letter < s->letter_count);
    }
    source_free(s);
}
