/* The official file read strictly: rows refused with their reason, files refused as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"

static const char header[] =
    "FID,HNITNUM,SVFNR,BYGGD,LANDNR,HEINUM,MATSNR,POSTNR,HEITI_NF,HEITI_TGF,HUSNR,BOKST,VIDSK,"
    "SERHEITI,DAGS_INN,DAGS_LEIDR,GAGNA_EIGN,TEGHNIT,YFIRFARID,YFIRF_HEITI,ATH,NAKV_XY,HNIT,"
    "N_HNIT_WGS84,E_HNIT_WGS84,NOTNR,LM_HEIMILISFANG,VEF_BIRTING,HUSMERKING\n";

/* One row from what differs; NULL takes the default. */
struct fields {
    const char *hnitnum, *postcode, *name, *number, *letter, *suffix, *special, *north, *east;
};

static const char * or (const char *value, const char *fallback)
{
    return value ? value : fallback;
}

static void add_row(struct buf *csv, struct fields f)
{
    static int next = 1000;
    char number[16];

    (void)snprintf(number, sizeof number, "%d", ++next);
    buf_printf(csv, "x,%s,0000,01,,1,,%s,%s,Laugavegi,%s,%s,%s,%s,,,,,,,,,,%s,%s,,,,\n",
               or (f.hnitnum, number), or (f.postcode, "101"), or (f.name, "Laugavegur"),
               or (f.number, "1"), or (f.letter, ""), or (f.suffix, ""), or (f.special, ""),
               or (f.north, "\"64,14000000\""), or (f.east, "\"-21,93000000\""));
}

/* Enough good rows that a bad one is below the limit of bad rows. */
static void add_good_rows(struct buf *csv, int count)
{
    while (count-- > 0)
        add_row(csv, (struct fields){.name = NULL});
}

static struct source *read_text(struct str csv, bool *ret_ok, struct error *e)
{
    struct source *s = source_new();
    FILE *in = fmemopen((void *)(uintptr_t)csv.ptr, csv.len, "r");

    must(in);
    assert_true(read_own_tables(s, e));
    *ret_ok = source_read_rows(s, in, NULL, e);
    (void)fclose(in);
    return s;
}

static void stops(struct str csv, const char *reason)
{
    struct error e = {0};
    bool ok;
    struct source *s = read_text(csv, &ok, &e);

    assert_false(ok);
    if (!strstr(e.detail, reason))
        fail_msg("\"%s\" instead of \"%s\"", e.detail, reason);
    source_free(s);
}

static void test_source_read_rows_changed_header_stops(void **state)
{
    char changed[sizeof header + 8];

    (void)state;
    stops(STR("\n"), "empty");
    stops(STR("HNITNUM,SVFNR\n1,2\n"), "is missing");
    (void)snprintf(changed, sizeof changed, "%.*s,NEW\n", (int)strlen(header) - 1, header);
    stops(str_from(changed), "column 30 is unknown");
    (void)snprintf(changed, sizeof changed, "HNITNUM%s", header + 3);
    stops(str_from(changed), "there twice");
    (void)snprintf(changed, sizeof changed, "fid%s", header + 3);
    stops(str_from(changed), "column 1 is unknown");
}

static void test_source_read_rows_truncated_file_stops(void **state)
{
    struct buf csv;

    (void)state;
    buf_init(&csv, 1 << 20);
    buf_add_text(&csv, header);
    add_good_rows(&csv, 3);
    stops(str_take(buf_str(&csv), csv.len - 1), "cut off in line 4");
    stops(str_take(buf_str(&csv), csv.len - 30), "cut off in line 4");
    stops(str_take(buf_str(&csv), strlen(header)), "no row");
    stops(str_take(buf_str(&csv), strlen(header) - 1), "first line");
    buf_done(&csv);
}

static void test_source_read_rows_bad_rows_are_refused_with_their_reason(void **state)
{
    static const struct {
        struct fields fields;
        enum refusal why;
    } bad[] = {
        {{.hnitnum = ""}, REFUSED_HNITNUM},
        {{.hnitnum = "12x"}, REFUSED_HNITNUM},
        {{.hnitnum = "-5"}, REFUSED_HNITNUM},
        {{.hnitnum = "1001"}, REFUSED_TWICE},
        {{.postcode = ""}, REFUSED_POSTCODE},
        {{.postcode = "999"}, REFUSED_POSTCODE},
        {{.postcode = "1O1"}, REFUSED_POSTCODE},
        {{.name = ""}, REFUSED_NAME},
        {{.name = "--"}, REFUSED_NAME},
        {{.name = "La\xFFugavegur"}, REFUSED_UTF8},
        {{.name = "Lauga\x01vegur"}, REFUSED_UTF8},
        {{.number = "x"}, REFUSED_NUMBER},
        {{.number = "99999"}, REFUSED_NUMBER},
        {{.number = "-1"}, REFUSED_NUMBER},
        {{.letter = "ABCDEFGHIJKLM"}, REFUSED_LETTER},
        {{.north = "\"64,1x\""}, REFUSED_POSITION},
        {{.north = ""}, REFUSED_POSITION},
        {{.north = "\"0,0\"", .east = "\"0,0\""}, REFUSED_POSITION},
        {{.north = "\"64,1,1\""}, REFUSED_POSITION},
        {{.east = "-92582912001"}, REFUSED_POSITION}, /* times 10^8: more than 63 bits */
    };
    struct error e = {0};
    struct buf csv;
    struct source *s;
    int64_t expected[REFUSAL_COUNT] = {0};
    bool ok;

    (void)state;
    buf_init(&csv, 1 << 20);
    buf_add_text(&csv, header);
    add_row(&csv, (struct fields){.hnitnum = "1001"});
    add_good_rows(&csv, 999);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        add_row(&csv, bad[i].fields);
        expected[bad[i].why]++;
    }
    buf_add_text(&csv, "too,few,columns\n");
    expected[REFUSED_COLUMNS]++;
    s = read_text(buf_str(&csv), &ok, &e);
    assert_true(ok);
    assert_int_equal(s->row_count, 1000);
    assert_int_equal(source_refused(s), ARRAY_LEN(bad) + 1);
    for (size_t i = 0; i < REFUSAL_COUNT; i++) {
        if (s->refused[i] != expected[i])
            fail_msg("%s: %d rows, not %d", refusal_text((enum refusal)i), (int)s->refused[i],
                     (int)expected[i]);
    }
    source_free(s);
    buf_done(&csv);
}

static void test_source_read_rows_too_many_bad_rows_stop(void **state)
{
    struct buf csv;

    (void)state;
    buf_init(&csv, 1 << 20);
    buf_add_text(&csv, header);
    add_good_rows(&csv, 18);
    add_row(&csv, (struct fields){.postcode = "1"});
    stops(buf_str(&csv), "1 of 19 rows cannot be served");
    buf_done(&csv);
}

static void test_source_read_rows_forms_of_the_format_are_read(void **state)
{
    struct error e = {0};
    struct buf csv;
    struct source *s;
    bool ok;

    (void)state;
    buf_init(&csv, 1 << 20);
    buf_add_text(&csv, "\xEF\xBB\xBF");
    buf_add(&csv, str_take(str_from(header), strlen(header) - 1));
    buf_add_text(&csv, "\r\n");
    add_row(&csv, (struct fields){.hnitnum = "1", .name = "\"Bær, \"\"efri\"\"\"", .number = ""});
    add_row(&csv, (struct fields){.hnitnum = "2", .number = "", .suffix = "6-8"});
    add_row(&csv, (struct fields){.hnitnum = "3", .number = "6", .suffix = "6-8"});
    add_row(&csv, (struct fields){.hnitnum = "4", .number = "7", .suffix = "6-8"});
    add_row(&csv, (struct fields){.hnitnum = "5", .number = "", .suffix = "bílskúr"});
    add_row(&csv, (struct fields){.hnitnum = "6", .name = "", .special = "Viti", .number = "0"});
    add_row(&csv, (struct fields){.hnitnum = "7", .north = "", .east = ""});
    add_row(&csv, (struct fields){.hnitnum = "8", .name = " Selás   E ", .letter = "Á"});
    s = read_text(buf_str(&csv), &ok, &e);
    assert_true(ok);
    assert_int_equal(s->row_count, 8);
    assert_string_equal(source_text(s, s->rows[0].nominative), "Bær, \"efri\"");
    assert_int_equal(s->rows[0].number, 0);
    assert_int_equal(s->rows[0].latitude_e8, 6414000000);
    assert_int_equal(s->rows[0].longitude_e8, -2193000000);
    assert_true(s->rows[1].number == 6 && s->rows[1].range_to == 8 && !s->rows[1].has_number);
    assert_true(s->rows[2].number == 6 && s->rows[2].range_to == 8 && s->rows[2].has_number);
    assert_true(s->rows[3].number == 7 && s->rows[3].range_to == 0);
    assert_true(s->rows[4].number == 0 && s->rows[4].range_to == 0);
    assert_string_equal(source_text(s, s->rows[5].nominative), "Viti");
    assert_int_equal(s->rows[6].latitude_e8, SOURCE_NO_POSITION);
    assert_string_equal(source_text(s, s->rows[7].nominative), "Selás E");
    source_free(s);
    buf_done(&csv);
}

static bool reads_postcodes(const char *text)
{
    struct error e = {0};
    struct source *s = source_new();
    char towns[] = "code,name\n0,Reykjavíkurborg\n";
    FILE *in = fmemopen(towns, sizeof towns - 1, "r");
    bool ok = source_read_municipalities(s, in, &e);

    assert_true(ok);
    (void)fclose(in);
    in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    ok = source_read_postcodes(s, in, &e);
    (void)fclose(in);
    source_free(s);
    return ok;
}

#define POSTCODE_HEADER "code,place,place_dative,region,region_dative,kind,municipality\n"

static void test_source_read_postcodes_faults_are_refused(void **state)
{
    (void)state;
    assert_true(reads_postcodes(POSTCODE_HEADER "101,a,b,c,d,town,0\n103,a,b,c,d,rural,0\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER));
    assert_false(reads_postcodes("code,place\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "103,a,b,c,d,town,0\n101,a,b,c,d,town,0\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "101,a,b,c,d,city,0\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "101,a,b,c,d,town,7\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "101,,b,c,d,town,0\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "99,a,b,c,d,town,0\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "101,a,b,c,d,town\n"));
    assert_false(reads_postcodes(POSTCODE_HEADER "101,a,b,c,d,town,0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_read_rows_changed_header_stops),
        cmocka_unit_test(test_source_read_rows_truncated_file_stops),
        cmocka_unit_test(test_source_read_rows_bad_rows_are_refused_with_their_reason),
        cmocka_unit_test(test_source_read_rows_too_many_bad_rows_stop),
        cmocka_unit_test(test_source_read_rows_forms_of_the_format_are_read),
        cmocka_unit_test(test_source_read_postcodes_faults_are_refused),
    };

    return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
