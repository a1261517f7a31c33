/*
 * registry_bench - rows for a large registry, and how long the search takes in one
 *
 *   registry_bench generate ROWS > CSV       the official format, invented, always the same
 *   registry_bench search DB [QUERIES]       p50 and p99 by kind of query, as JSON lines
 *   registry_bench queries DB COUNT          what the HTTP part asks, a percent-encoded text a line
 *
 * A search is what the service does between request and reply: read the text, find, fetch ten rows,
 * write JSON. Each query runs in three passes over all and the middle one counts: the machine is
 * shared. A search waits for nothing, so its CPU time is what it takes where no neighbour is.
 */
#include "base/clock.h"
#include "base/fold.h"
#include "registry/address.h"
#include "registry/names.h"
#include "registry/search.h"

#define QUERIES_DEFAULT 5000
#define RESULTS         10
#define PASSES          3
#define LETTERS_MAX     256

static uint64_t seed = 20221120;

static uint32_t below(uint32_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % bound;
}

/* --- rows ------------------------------------------------------------------------------------ */

static const char *const stems[] = {
    "Lauga",   "Hafnar",  "Njáls",   "Þórs",    "Ægis",     "Hvera",  "Brekku", "Skóla",   "Kirkju",
    "Borgar",  "Austur",  "Vestur",  "Norður",  "Suður",    "Mið",    "Efri",   "Neðri",   "Stóra",
    "Litla",   "Grænu",   "Rauða",   "Hvíta",   "Svarta",   "Gull",   "Silfur", "Stein",   "Klettá",
    "Hraun",   "Mýrar",   "Tjarnar", "Lækjar",  "Sjávar",   "Fjöru",  "Eyrar",  "Odda",    "Nes",
    "Höfða",   "Fjarðar", "Dal",     "Heiðar",  "Fell",     "Hlíðar", "Holta",  "Mela",    "Bakka",
    "Sanda",   "Grundar", "Valla",   "Engja",   "Tún",      "Akur",   "Korn",   "Birki",   "Víði",
    "Reyni",   "Furu",    "Lyng",    "Fífu",    "Sóleyjar", "Blómst", "Hrafna", "Svana",   "Álfta",
    "Gæsa",    "Erlu",    "Þrasta",  "Spóa",    "Lóu",      "Krumma", "Arnar",  "Fálka",   "Hauka",
    "Hest",    "Kálfa",   "Lamba",   "Sauða",   "Geita",    "Úlfs",   "Refa",   "Sel",     "Hval",
    "Lax",     "Silunga", "Ísa",     "Snæ",     "Vetrar",   "Sumar",  "Vor",    "Haust",   "Morgun",
    "Kvöld",   "Sólar",   "Mána",    "Stjörnu", "Ástu",     "Ólafs",  "Ketils", "Gunnars", "Helga",
    "Ingólfs",
};
static const char *const middles[] = {
    "",     "hóls", "garðs", "staða", "bæjar", "vatns", "ár",    "skarðs", "lands", "víkur",
    "kots", "hús",  "bóls",  "mós",   "gils",  "mar",   "fells", "brúar",  "torfu", "klaustur"};
static const char *const endings[][2] = {
    {"vegur", "vegi"},    {"gata", "götu"},      {"stígur", "stíg"},   {"braut", "braut"},
    {"stræti", "stræti"}, {"holt", "holti"},     {"hlíð", "hlíð"},     {"tún", "túni"},
    {"gerði", "gerði"},   {"land", "landi"},     {"sel", "seli"},      {"bakki", "bakka"},
    {"lundur", "lundi"},  {"byggð", "byggð"},    {"nes", "nesi"},      {"dalur", "dal"},
    {"brekka", "brekku"}, {"berg", "bergi"},     {"ás", "ási"},        {"mýri", "mýri"},
    {"kot", "koti"},      {"hvammur", "hvammi"}, {"garður", "garði"},  {"hóll", "hóli"},
    {"staðir", "stöðum"}, {"hólar", "hólum"},    {"vellir", "völlum"}, {"höfði", "höfða"},
    {"vík", "vík"},       {"tunga", "tungu"},
};
static const int areas[][2] = {
    {101, 0},    {105, 0},    {108, 0},    {112, 0},    {200, 1000}, {203, 1000}, {210, 1300},
    {220, 1400}, {230, 2000}, {240, 2300}, {250, 2510}, {270, 1604}, {300, 3000}, {301, 3511},
    {310, 3609}, {311, 3609}, {320, 3609}, {340, 3716}, {355, 3714}, {371, 3811}, {400, 4200},
    {415, 4100}, {450, 4607}, {510, 4911}, {530, 5508}, {541, 5613}, {550, 5716}, {551, 5716},
    {580, 6250}, {600, 6000}, {603, 6000}, {605, 6513}, {620, 6400}, {640, 6100}, {641, 6613},
    {660, 6613}, {675, 6100}, {690, 7502}, {700, 7400}, {701, 7400}, {730, 7300}, {740, 7300},
    {780, 8401}, {800, 8200}, {801, 8200}, {803, 8722}, {805, 8719}, {806, 8721}, {810, 8716},
    {815, 8717}, {845, 8710}, {850, 8614}, {851, 8614}, {860, 8613}, {861, 8613}, {870, 8508},
    {880, 8509}, {900, 8000},
};

static const char header[] =
    "FID,HNITNUM,SVFNR,BYGGD,LANDNR,HEINUM,MATSNR,POSTNR,HEITI_NF,HEITI_TGF,HUSNR,BOKST,VIDSK,"
    "SERHEITI,DAGS_INN,DAGS_LEIDR,GAGNA_EIGN,TEGHNIT,YFIRFARID,YFIRF_HEITI,ATH,NAKV_XY,HNIT,"
    "N_HNIT_WGS84,E_HNIT_WGS84,NOTNR,LM_HEIMILISFANG,VEF_BIRTING,HUSMERKING\n";

struct street {
    const char *stem, *middle;
    const char *const *ending;
    const int *area;
    uint32_t south, east; /* of the town's corner, 1e-8 degrees */
};

static void print_door(int64_t id, const struct street *s, unsigned number, const char *letter)
{
    char text[16] = "";
    uint32_t south = s->south + below(200000), east = s->east + below(400000);

    if (number > 0)
        (void)snprintf(text, sizeof text, "%u", number);
    printf(
        "f.%lld,%lld,%04d,01,%lld,%lld,,%d,%s%s%s,%s%s%s,%s,%s,,,,,,,,,,,,\"%d,%08u\",\"-%d,%08u\""
        ",,,,%s%s\n",
        (long long)id, (long long)id + 20000000, s->area[1],
        (long long)100000 + (long long)(id / 3), (long long)id + 3000000, s->area[0], s->stem,
        s->middle, s->ending[0], s->stem, s->middle, s->ending[1], text, letter,
        63 + (int)(south / 100000000), south % 100000000, 14 + (int)(east / 100000000),
        east % 100000000, text, letter);
}

/* As in the real rows: more than half of all streets are one farm without a number. */
static int generate(int64_t rows)
{
    static const char *const letters[] = {"", "", "", "", "", "", "A", "B"};
    int64_t id = 0;

    (void)fputs(header, stdout);
    while (id < rows) {
        uint32_t a = below(ARRAY_LEN(stems)), b = below(ARRAY_LEN(stems));
        struct street s = {
            .stem = stems[a < b ? a : b], /* some names are common */
            .middle = middles[below(ARRAY_LEN(middles))],
            .ending = endings[below(ARRAY_LEN(endings))],
            .area = areas[below(ARRAY_LEN(areas))],
            .south = 50000000 + below(250000000),
            .east = 50000000 + below(900000000),
        };
        unsigned doors = below(100) < 57 ? 0 : 2 + below(24), number = 1;

        if (doors == 0)
            print_door(++id, &s, 0, "");
        for (unsigned i = 0; i < doors && id < rows; i++) {
            print_door(++id, &s, number, letters[below(ARRAY_LEN(letters))]);
            number += 1 + below(2);
        }
    }
    return ferror(stdout) ? 1 : 0;
}

/* --- queries --------------------------------------------------------------------------------- */

enum kind { KIND_PREFIX, KIND_FULL, KIND_FOLDED, KIND_MISTYPED, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = {"prefix", "full", "folded", "mistyped"};

static size_t letters_of(struct str text, size_t starts[LETTERS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < text.len && n < LETTERS_MAX - 1; i++) {
        if (((unsigned char)text.ptr[i] & 0xC0) != 0x80)
            starts[n++] = i;
    }
    starts[n] = text.len;
    return n;
}

static struct str folded(struct arena *a, struct str text)
{
    struct buf b;
    struct str s;

    buf_init(&b, 4096);
    must(fold_icelandic(text, &b));
    s = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return s;
}

static struct str misspell(struct arena *a, struct str name)
{
    size_t starts[LETTERS_MAX], n = letters_of(name, starts), at = below((uint32_t)(n - 1));
    struct str before = str_take(name, starts[at]), behind = str_skip(name, starts[at + 1]);

    if (below(2))
        return arena_printf(a, "%.*s%.*s", STR_ARG(before), STR_ARG(behind));
    return arena_printf(a, "%.*s%c%.*s", STR_ARG(before), (int)('a' + below(26)), STR_ARG(behind));
}

static struct str make_query(struct registry_reader *r, struct arena *a, enum kind kind)
{
    uint32_t door = below(r->pack->door_count);
    struct address address;
    size_t starts[LETTERS_MAX], n;

    address_read(r->pack, door, &address);
    n = letters_of(address.street, starts);
    switch (kind) {
    case KIND_PREFIX: {
        size_t length = 2 + below(5);

        return str_take(address.street, starts[length < n ? length : n]);
    }
    case KIND_FULL:
        return address_display(a, &address);
    case KIND_FOLDED:
        return folded(a, address_display(a, &address));
    case KIND_MISTYPED:
    case KIND_COUNT:
        break;
    }
    struct str text = misspell(a, n < 5 ? STR("Laugavegur") : address.street);

    return address.number < 0 ? text : arena_printf(a, "%.*s %d", STR_ARG(text), address.number);
}

static int64_t cpu_us(void)
{
    struct timespec now;

    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct taken {
    int64_t wall_us, cpu_us;
};

static struct taken search_once(struct registry_reader *r, struct arena *a, struct str text,
                                struct buf *out)
{
    struct taken began = {clock_mono_us(), cpu_us()};
    struct search_result found;

    search_doors(r, a, text, RESULTS, &found);
    buf_clear(out);
    for (size_t i = 0; i < found.count; i++) {
        struct address address;

        address_read(r->pack, found.doors[i], &address);
        address_write(out, &address, ADDRESS_PLAIN, -1);
    }
    must(!out->overflow);
    return (struct taken){clock_mono_us() - began.wall_us, cpu_us() - began.cpu_us};
}

static int by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The middle one of each query's passes, all of them sorted. */
static void sort_middles(int64_t (*times)[PASSES], size_t queries, int64_t *ret_sorted)
{
    for (size_t i = 0; i < queries; i++) {
        qsort(times[i], PASSES, sizeof times[i][0], by_time);
        ret_sorted[i] = times[i][PASSES / 2];
    }
    qsort(ret_sorted, queries, sizeof *ret_sorted, by_time);
}

/* The whole list three times over, so that between two runs of a query a thousand others ran. */
static void measure(struct registry_reader *r, enum kind kind, size_t queries)
{
    struct arena *text_arena = arena_new(256 << 20), *a = arena_new(8 << 20);
    struct str *texts = calloc(queries + 1, sizeof *texts);
    int64_t(*wall)[PASSES] = calloc(queries + 1, sizeof *wall);
    int64_t(*cpu)[PASSES] = calloc(queries + 1, sizeof *cpu);
    int64_t *middle = calloc(queries + 1, sizeof *middle);
    struct buf out;

    must(texts && wall && cpu && middle);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < queries; i++)
        texts[i] = arena_dup(text_arena, make_query(r, text_arena, kind));
    for (size_t pass = 0; pass < PASSES; pass++) {
        for (size_t i = 0; i < queries; i++) {
            struct taken taken = search_once(r, a, texts[i], &out);

            wall[i][pass] = taken.wall_us;
            cpu[i][pass] = taken.cpu_us;
            arena_reset(a);
        }
    }
    sort_middles(wall, queries, middle);
    printf("{\"kind\":\"%s\",\"queries\":%zu,\"p50_us\":%lld,\"p99_us\":%lld,\"worst_us\":%lld",
           kind_names[kind], queries, (long long)middle[queries / 2],
           (long long)middle[queries * 99 / 100], (long long)middle[queries - 1]);
    sort_middles(cpu, queries, middle);
    printf(",\"cpu_p50_us\":%lld,\"cpu_p99_us\":%lld}\n", (long long)middle[queries / 2],
           (long long)middle[queries * 99 / 100]);
    free(texts);
    free(wall);
    free(cpu);
    free(middle);
    buf_done(&out);
    arena_free(text_arena);
    arena_free(a);
}

/* As people type: half of it beginnings, one in ten with a slip of the finger. */
static enum kind mixed(size_t i)
{
    static const enum kind mix[] = {KIND_PREFIX, KIND_FULL,    KIND_PREFIX, KIND_FOLDED,
                                    KIND_PREFIX, KIND_FOLDED,  KIND_PREFIX, KIND_FULL,
                                    KIND_PREFIX, KIND_MISTYPED};

    return mix[i % ARRAY_LEN(mix)];
}

static void print_queries(struct registry_reader *r, size_t count)
{
    struct arena *a = arena_new(8 << 20);
    struct buf out;

    buf_init(&out, 4096);
    for (size_t i = 0; i < count; i++) {
        buf_clear(&out);
        buf_add_url(&out, make_query(r, a, mixed(i)));
        printf("%.*s\n", STR_ARG(buf_str(&out)));
        arena_reset(a);
    }
    buf_done(&out);
    arena_free(a);
}

static int with_registry(const char *path, size_t count, bool queries_only)
{
    struct error e = {0};
    int64_t began_us = clock_mono_us();
    struct registry *registry = registry_open(path, 1, &e);
    struct registry_reader *r;

    if (!registry) {
        (void)fprintf(stderr, "registry_bench: %s\n", e.detail);
        return 1;
    }
    r = registry_acquire(registry);
    if (queries_only) {
        print_queries(r, count);
    } else {
        printf("{\"kind\":\"open\",\"rows\":%u,\"names\":%u,\"us\":%lld}\n", r->pack->door_count,
               r->pack->name_count, (long long)(clock_mono_us() - began_us));
        for (int kind = 0; kind < KIND_COUNT; kind++)
            measure(r, (enum kind)kind, count);
    }
    registry_release(r);
    registry_close(registry);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t count = QUERIES_DEFAULT;

    if (argc > 3 && !str_parse_i64(str_from(argv[3]), 100, 1000000, &count))
        argc = 0;
    if (argc == 3 && strcmp(argv[1], "generate") == 0 &&
        str_parse_i64(str_from(argv[2]), 1, 10000000, &count))
        return generate(count);
    if (argc >= 3 && argc <= 4 && strcmp(argv[1], "search") == 0)
        return with_registry(argv[2], (size_t)count, false);
    if (argc == 4 && strcmp(argv[1], "queries") == 0)
        return with_registry(argv[2], (size_t)count, true);
    (void)fputs("usage: registry_bench generate ROWS | search DB [QUERIES] | queries DB COUNT\n",
                stderr);
    return 2;
}
