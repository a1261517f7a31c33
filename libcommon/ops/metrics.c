#include "ops/metrics.h"

#include <dirent.h>
#include <stdatomic.h>

/* Upper bounds in microseconds, about two for every doubling; the last bucket has none. */
static const int64_t bucket_us[] = {
    500,    700,    1000,    1400,    2000,    2800,    4000,    5600,    8000,    11000,
    16000,  22000,  32000,   45000,   64000,   90000,   128000,  180000,  250000,  350000,
    500000, 700000, 1000000, 1400000, 2000000, 2800000, 4000000, 5600000, 8000000, 10000000};

#define BUCKETS ARRAY_LEN(bucket_us)

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM };

static const char *const family_type_names[] = {"counter", "gauge", "histogram"};

struct metric {
    struct metric *next;
    char *labels;
    atomic_uint_fast64_t value;
};

struct histogram {
    struct histogram *next;
    char *labels;
    atomic_uint_fast64_t sum_us;
    atomic_uint_fast64_t counts[BUCKETS + 1];
};

/* All samples of one name; a list of one of the two kinds, in the order of registration. */
struct family {
    struct family *next;
    const char *name;
    const char *help;
    enum family_type type;
    struct metric *metrics;
    struct histogram *histograms;
};

struct collector {
    struct collector *next;
    void (*collect)(void *arg, struct buf *out);
    void *arg;
};

struct metrics {
    const char *service;
    struct family *families;
    struct collector *collectors;
};

static void *make(size_t size)
{
    void *memory = calloc(1, size);
    must(memory);
    return memory;
}

struct metrics *metrics_new(const char *service)
{
    struct metrics *m = make(sizeof(*m));
    m->service = service;
    return m;
}

static void free_family(struct family *family)
{
    while (family->metrics) {
        struct metric *metric = family->metrics;
        family->metrics = metric->next;
        free(metric->labels);
        free(metric);
    }
    while (family->histograms) {
        struct histogram *histogram = family->histograms;
        family->histograms = histogram->next;
        free(histogram->labels);
        free(histogram);
    }
    free(family);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    while (m->families) {
        struct family *family = m->families;
        m->families = family->next;
        free_family(family);
    }
    while (m->collectors) {
        struct collector *collector = m->collectors;
        m->collectors = collector->next;
        free(collector);
    }
    free(m);
}

static bool is_name_char(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && c >= '0' && c <= '9');
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_name_char(s.ptr[i], i == 0))
            return false;
    }
    return s.len > 0;
}

/* name="value",…; in a value only \\ \" and \n are escapes. */
static bool are_labels(const char *labels)
{
    struct str s = str_from(labels);
    while (s.len) {
        size_t equals = str_find_char(s, '=');
        if (!is_name(str_take(s, equals)) || !str_starts_with(str_skip(s, equals), STR("=\"")))
            return false;
        s = str_skip(s, equals + 2);
        while (s.len && s.ptr[0] != '"') {
            if (s.ptr[0] == '\n' ||
                (s.ptr[0] == '\\' && (s.len < 2 || !memchr("\\\"n", s.ptr[1], 3))))
                return false;
            s = str_skip(s, s.ptr[0] == '\\' ? 2 : 1);
        }
        if (s.len == 0)
            return false;
        s = str_skip(s, 1);
        if (s.len && (s.ptr[0] != ',' || s.len == 1))
            return false;
        s = str_skip(s, 1);
    }
    return true;
}

static struct family *find_family(struct metrics *m, const char *name, const char *help,
                                  enum family_type type)
{
    struct family **at = &m->families;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (!*at) {
        must(is_name(str_from(name)) && str_find_char(str_from(help), '\n') == strlen(help));
        *at = make(sizeof(**at));
        (*at)->name = name;
        (*at)->help = help;
        (*at)->type = type;
    }
    must((*at)->type == type);
    return *at;
}

static char *copy_labels(const char *labels)
{
    must(are_labels(labels));
    char *copy = strdup(labels);
    must(copy);
    return copy;
}

static struct metric *find_metric(struct metrics *m, const char *name, const char *help,
                                  const char *labels, enum family_type type)
{
    struct metric **at = &find_family(m, name, help, type)->metrics;
    while (*at && strcmp((*at)->labels, labels) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = make(sizeof(**at));
        (*at)->labels = copy_labels(labels);
    }
    return *at;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *help,
                               const char *labels)
{
    return find_metric(m, name, help, labels, FAMILY_COUNTER);
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help,
                             const char *labels)
{
    return find_metric(m, name, help, labels, FAMILY_GAUGE);
}

void metric_add(struct metric *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

void metric_set(struct metric *gauge, uint64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

uint64_t metric_value(const struct metric *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}

struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                    const char *labels)
{
    struct histogram **at = &find_family(m, name, help, FAMILY_HISTOGRAM)->histograms;
    while (*at && strcmp((*at)->labels, labels) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = make(sizeof(**at));
        (*at)->labels = copy_labels(labels);
    }
    return *at;
}

void histogram_observe_us(struct histogram *h, int64_t us)
{
    size_t bucket = 0;
    if (us < 0)
        us = 0;
    while (bucket < BUCKETS && us > bucket_us[bucket])
        bucket++;
    atomic_fetch_add_explicit(&h->counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
}

void metrics_collector(struct metrics *m, void (*collect)(void *arg, struct buf *out), void *arg)
{
    struct collector **at = &m->collectors;
    while (*at)
        at = &(*at)->next;
    *at = make(sizeof(**at));
    (*at)->collect = collect;
    (*at)->arg = arg;
}

static void print_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_name(struct buf *out, const char *name, const char *labels)
{
    buf_add_text(out, name);
    if (labels[0])
        buf_printf(out, "{%s}", labels);
    buf_add_char(out, ' ');
}

static bool has_head(const struct buf *out, const char *name)
{
    char line[256];
    struct str text = buf_str(out);
    int len = snprintf(line, sizeof(line), "# HELP %s ", name);
    must(len > 0 && (size_t)len < sizeof(line));
    for (;;) {
        if (str_starts_with(text, str_n(line, (size_t)len)))
            return true;
        size_t newline = str_find_char(text, '\n');
        if (newline == text.len)
            return false;
        text = str_skip(text, newline + 1);
    }
}

void metrics_print_value(struct buf *out, const char *name, enum metric_kind kind, const char *help,
                         const char *labels, double value)
{
    must(is_name(str_from(name)) && are_labels(labels));
    if (!has_head(out, name))
        print_head(out, name, kind == METRIC_COUNTER ? "counter" : "gauge", help);
    print_name(out, name, labels);
    if (__builtin_isnan(value))
        buf_add_text(out, "NaN\n");
    else if (__builtin_isinf(value))
        buf_add_text(out, value > 0 ? "+Inf\n" : "-Inf\n");
    else
        buf_printf(out, "%.15g\n", value);
}

static void print_metric(struct buf *out, const char *name, const struct metric *metric)
{
    print_name(out, name, metric->labels);
    buf_printf(out, "%llu\n", (unsigned long long)metric_value(metric));
}

/* The count is the sum of what was read of the buckets, so that one scrape agrees with itself while
 * other threads count on. */
static void print_histogram(struct buf *out, const char *name, const struct histogram *h)
{
    const char *comma = h->labels[0] ? "," : "";
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        count += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, h->labels, comma,
                   (double)bucket_us[i] / 1e6, (unsigned long long)count);
    }
    count += atomic_load_explicit(&h->counts[BUCKETS], memory_order_relaxed);
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, h->labels, comma,
               (unsigned long long)count);
    uint64_t sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    buf_printf(out, "%s_sum%s%s%s %llu.%06llu\n", name, h->labels[0] ? "{" : "", h->labels,
               h->labels[0] ? "}" : "", (unsigned long long)(sum_us / 1000000),
               (unsigned long long)(sum_us % 1000000));
    buf_printf(out, "%s_count%s%s%s %llu\n", name, h->labels[0] ? "{" : "", h->labels,
               h->labels[0] ? "}" : "", (unsigned long long)count);
}

static void print_family(struct buf *out, const struct family *family)
{
    print_head(out, family->name, family_type_names[family->type], family->help);
    for (const struct metric *metric = family->metrics; metric; metric = metric->next)
        print_metric(out, family->name, metric);
    for (const struct histogram *h = family->histograms; h; h = h->next)
        print_histogram(out, family->name, h);
}

/* The metric a line is about. */
static struct str line_name(struct str line)
{
    if (str_starts_with(line, STR("# ")))
        line = str_skip(line, strlen("# HELP "));
    size_t len = 0;
    while (len < line.len && is_name_char(line.ptr[len], len == 0))
        len++;
    return str_take(line, len);
}

/* Whether a line before `end` is about `name`. */
static bool was_seen(struct str lines, const char *end, struct str name)
{
    struct str line;
    while (str_split(&lines, '\n', &line) && line.ptr < end) {
        if (str_eq(line_name(line), name))
            return true;
    }
    return false;
}

/* Collectors print one after the other, and two of them the same name; Prometheus wants all samples
 * of a name in one group. */
static void print_grouped(struct buf *out, struct str lines)
{
    struct str rest = lines;
    struct str line;
    while (str_split(&rest, '\n', &line) && line.len) {
        struct str name = line_name(line);
        if (was_seen(lines, line.ptr, name))
            continue;
        struct str same = str_skip(lines, (size_t)(line.ptr - lines.ptr));
        while (str_split(&same, '\n', &line) && line.len) {
            if (str_eq(line_name(line), name)) {
                buf_add(out, line);
                buf_add_char(out, '\n');
            }
        }
    }
}

static double resident_bytes(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    text[0] = '\0';
    char *line = fgets(text, (int)sizeof(text), file);
    fclose(file);
    /* All pages, then the resident ones. */
    struct str rest = str_from(line);
    struct str pages = str_skip(rest, str_find_char(rest, ' ') + 1);
    int64_t count = 0;
    if (!str_parse_i64(str_take(pages, str_find_char(pages, ' ')), 0, INT64_MAX / 65536, &count))
        return 0;
    return (double)(count * sysconf(_SC_PAGESIZE));
}

static double open_fds(void)
{
    double count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the directory itself */
}

static void print_process(struct buf *out, const char *service)
{
    struct timespec cpu = {0};
    struct buf labels;
    buf_init(&labels, 256);
    buf_printf(&labels, "service=\"%s\",version=\"%s\"", service, SUITE_VERSION);
    metrics_print_value(out, "service_info", METRIC_GAUGE, "What runs here.", buf_str(&labels).ptr,
                        1);
    buf_done(&labels);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    metrics_print_value(out, "process_cpu_seconds_total", METRIC_COUNTER,
                        "User and system CPU time spent.", "",
                        (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    metrics_print_value(out, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory size.",
                        "", resident_bytes());
    metrics_print_value(out, "process_open_fds", METRIC_GAUGE, "Open file descriptors.", "",
                        open_fds());
}

void metrics_print(struct metrics *m, struct buf *out)
{
    struct buf collected;
    for (const struct family *family = m->families; family; family = family->next)
        print_family(out, family);
    buf_init(&collected, out->max_bytes);
    for (const struct collector *c = m->collectors; c; c = c->next)
        c->collect(c->arg, &collected);
    print_process(&collected, m->service);
    /* An overflow of the collected part is one of the whole. */
    print_grouped(out, buf_str(&collected));
    out->overflow = out->overflow || collected.overflow;
    buf_done(&collected);
}
