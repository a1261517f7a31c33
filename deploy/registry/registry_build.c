/*
 * registry_build.c - the official address file in, the registry file of the services out
 *
 * registry-build [options] CSV DB     ("-" reads standard input)
 * Exit codes: 0 built; 1 refused, the old file stays; 2 wrong use.
 */
#include "base/clock.h"
#include "database.h"

#include <errno.h>
#include <sys/stat.h>

#define ROW_CHANGE_MAX_PERCENT 5

struct options {
    const char *csv, *db, *postcodes, *municipalities, *source_date;
    bool accept_change, quiet;
};

static const char usage[] =
    "usage: registry-build --postcodes FILE --municipalities FILE [--source-date YYYY-MM-DD]\n"
    "                      [--accept-change] [--quiet] CSV DB\n"
    "CSV is Stadfangaskra.csv, or - for standard input. --accept-change allows a row count that\n"
    "moved more than 5 % from the file that stands at DB.\n";

static bool is_date(const char *text)
{
    struct str s = str_from(text);
    int64_t ms;
    char whole[32];

    if (s.len != 10)
        return false;
    (void)snprintf(whole, sizeof whole, "%sT00:00:00Z", text);
    return clock_parse_rfc3339(str_from(whole), &ms);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {
        {"--postcodes", &o->postcodes},
        {"--municipalities", &o->municipalities},
        {"--source-date", &o->source_date},
    };

    for (int i = 1; i < argc; i++) {
        size_t t = 0;

        while (t < ARRAY_LEN(texts) && strcmp(argv[i], texts[t].name) != 0)
            t++;
        if (t < ARRAY_LEN(texts) && i + 1 < argc)
            *texts[t].value = argv[++i];
        else if (strcmp(argv[i], "--accept-change") == 0)
            o->accept_change = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            o->quiet = true;
        else if ((argv[i][0] == '-' && argv[i][1] != '\0') || (o->csv && o->db))
            return false;
        else
            *(o->csv ? &o->db : &o->csv) = argv[i];
    }
    return o->csv && o->db && o->postcodes && o->municipalities &&
           (!o->source_date || is_date(o->source_date));
}

static void show_progress(int64_t rows)
{
    (void)fprintf(stderr, "registry-build: %lld rows read\n", (long long)rows);
}

static bool read_table(struct source *s, const char *path,
                       bool (*read)(struct source *s, FILE *in, struct error *e), struct error *e)
{
    FILE *in = fopen(path, "re");
    bool ok;

    if (!in)
        return error_set(e, ERR_BAD_REQUEST, "%.80s: %s", path, strerror(errno));
    ok = read(s, in, e);
    (void)fclose(in);
    return ok;
}

/* The date a downloaded file carries is that of the data: fetch keeps the server's. */
static void date_of(FILE *in, char date[CLOCK_ISO_SIZE])
{
    struct stat st;
    int64_t ms = clock_unix_ms();

    if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode))
        ms = (int64_t)st.st_mtim.tv_sec * 1000;
    clock_iso_utc(ms, date);
    date[10] = '\0';
}

static bool read_source(struct source *s, const struct options *o, char date[CLOCK_ISO_SIZE],
                        struct error *e)
{
    bool from_pipe = strcmp(o->csv, "-") == 0;
    FILE *in = from_pipe ? stdin : fopen(o->csv, "re");
    bool ok;

    if (!in)
        return error_set(e, ERR_BAD_REQUEST, "%.80s: %s", o->csv, strerror(errno));
    if (o->source_date)
        (void)str_copy(str_from(o->source_date), date, CLOCK_ISO_SIZE);
    else
        date_of(in, date);
    ok = source_read_rows(s, in, o->quiet ? NULL : show_progress, e);
    if (!from_pipe)
        (void)fclose(in);
    return ok;
}

static bool check_change(const struct options *o, int64_t rows, struct error *e)
{
    int64_t before = database_rows(o->db);
    int64_t moved = rows > before ? rows - before : before - rows;

    if (before < 0 || o->accept_change || moved * 100 <= before * ROW_CHANGE_MAX_PERCENT)
        return true;
    return error_set(e, ERR_BAD_REQUEST,
                     "%lld rows, %lld before: moved more than %d %% (--accept-change takes it)",
                     (long long)rows, (long long)before, ROW_CHANGE_MAX_PERCENT);
}

static void report(const struct source *s, const struct index *x, const char *date, int64_t ms)
{
    printf("source date      %s\n", date);
    printf("rows read        %lld\n", (long long)s->rows_read);
    printf("doors served     %zu\n", s->row_count);
    printf("names, streets   %zu, %zu\n", x->name_count, x->street_count);
    printf("without position %lld\n", (long long)s->without_position);
    printf("municipality unknown, that of the postcode taken  %lld\n",
           (long long)s->unknown_municipality);
    printf("rows refused     %lld\n", (long long)source_refused(s));
    for (size_t i = 0; i < REFUSAL_COUNT; i++) {
        if (s->refused[i] > 0)
            printf("  %-8lld %s\n", (long long)s->refused[i], refusal_text((enum refusal)i));
    }
    for (size_t i = 0; i < s->kept_count && i < 20; i++)
        printf("  line %lld: %s\n", (long long)s->kept[i].line, refusal_text(s->kept[i].why));
    if (s->kept_count > 20)
        printf("  … and more, in the table `refused` of the file\n");
    printf("index            %zu bytes\n", x->blob.len);
    printf("built in         %lld ms\n", (long long)ms);
    printf("Contains data of Staðfangaskrá (HMS), CC BY 4.0.\n");
}

static bool build(struct source *s, const struct options *o, struct error *e)
{
    int64_t began_ms = clock_mono_ms();
    char date[CLOCK_ISO_SIZE];
    const char *slash = strrchr(o->csv, '/');
    struct database_facts facts = {
        .source_date = date,
        .source_name = strcmp(o->csv, "-") == 0 ? "standard input"
                       : slash                  ? slash + 1
                                                : o->csv,
        .built_unix_ms = clock_unix_ms(),
    };
    struct index *x;
    bool ok;

    if (!read_table(s, o->municipalities, source_read_municipalities, e) ||
        !read_table(s, o->postcodes, source_read_postcodes, e) || !read_source(s, o, date, e) ||
        !check_change(o, (int64_t)s->row_count, e))
        return false;
    if (!o->quiet)
        show_progress(s->rows_read);
    x = index_build(s);
    ok = database_write(o->db, x, &facts, e);
    if (ok)
        report(s, x, date, clock_mono_ms() - began_ms);
    index_free(x);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {.csv = NULL};
    struct error e = {0};
    struct source *s;
    bool ok;

    if (!read_options(argc, argv, &o)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    s = source_new();
    ok = build(s, &o, &e);
    if (!ok)
        (void)fprintf(stderr, "registry-build: stopped, nothing was replaced: %s\n", e.detail);
    source_free(s);
    return ok ? 0 : 1;
}
