#include "load_report.h"

#include <inttypes.h>

static const char *const error_names[LOAD_ERRORS] = {
    [LOAD_OK] = "none",         [LOAD_CONNECT] = "connect", [LOAD_CLOSED] = "closed",
    [LOAD_TIMEOUT] = "timeout", [LOAD_REPLY] = "reply",     [LOAD_UNSENT] = "unsent",
};

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static uint32_t nearest_rank(const uint32_t *sorted, size_t count, size_t percent)
{
    if (count == 0)
        return 0;
    size_t rank = (count * percent + 99) / 100;
    return sorted[rank > 0 ? rank - 1 : 0];
}

int load_summarise(const struct load_run *run, struct load_summary *ret)
{
    *ret = (struct load_summary){0};
    uint32_t *times = malloc((run->count + 1) * sizeof(*times));
    if (!times)
        return 0;
    for (size_t i = 0; i < run->count; i++) {
        const struct load_outcome *o = &run->outcomes[i];
        ret->retries += o->retries;
        ret->by_error[o->error]++;
        if (o->error != LOAD_OK) {
            ret->errors++;
            continue;
        }
        ret->by_status[o->status]++;
        times[ret->answered++] = o->us;
    }
    qsort(times, ret->answered, sizeof(*times), compare_u32);
    ret->p50_us = nearest_rank(times, ret->answered, 50);
    ret->p95_us = nearest_rank(times, ret->answered, 95);
    ret->p99_us = nearest_rank(times, ret->answered, 99);
    ret->max_us = nearest_rank(times, ret->answered, 100);
    if (run->elapsed_us > 0)
        ret->rate = (double)ret->answered * 1e6 / (double)run->elapsed_us;
    free(times);
    return 1;
}

static double ms(uint32_t us)
{
    return (double)us / 1000.0;
}

void load_print_table(FILE *out, const struct load_run *run, const struct load_summary *s)
{
    fprintf(out, "%-9s %8s %8s %8s %9s %9s %9s %9s %10s\n", "mode", "sent", "errors", "retries",
            "p50 ms", "p95 ms", "p99 ms", "max ms", "per second");
    fprintf(out, "%-9s %8zu %8zu %8zu %9.2f %9.2f %9.2f %9.2f %10.0f\n", run->mode,
            run->count - s->by_error[LOAD_UNSENT], s->errors, s->retries, ms(s->p50_us),
            ms(s->p95_us), ms(s->p99_us), ms(s->max_us), s->rate);
    for (size_t status = 0; status < 600; status++)
        if (s->by_status[status] > 0)
            fprintf(out, "  answered %zu: %zu\n", status, s->by_status[status]);
    for (size_t error = LOAD_OK + 1; error < LOAD_ERRORS; error++)
        if (s->by_error[error] > 0)
            fprintf(out, "  error, %s: %zu\n", error_names[error], s->by_error[error]);
}

void load_print_json(FILE *out, const struct load_run *run, const struct load_summary *s)
{
    fprintf(out,
            "{\"mode\":\"%s\",\"count\":%zu,\"answered\":%zu,\"errors\":%zu,\"retries\":%zu,"
            "\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"rate\":%.1f,"
            "\"elapsed_ms\":%.3f,\"connections\":%zu,\"cpu_ms\":%.3f",
            run->mode, run->count, s->answered, s->errors, s->retries, ms(s->p50_us), ms(s->p95_us),
            ms(s->p99_us), ms(s->max_us), s->rate, (double)run->elapsed_us / 1e3, run->connections,
            (double)run->cpu_us / 1e3);
    fprintf(out, ",\"by_status\":{");
    const char *comma = "";
    for (size_t status = 0; status < 600; status++)
        if (s->by_status[status] > 0) {
            fprintf(out, "%s\"%zu\":%zu", comma, status, s->by_status[status]);
            comma = ",";
        }
    fprintf(out, "},\"by_error\":{");
    comma = "";
    for (size_t error = LOAD_OK + 1; error < LOAD_ERRORS; error++)
        if (s->by_error[error] > 0) {
            fprintf(out, "%s\"%s\":%zu", comma, error_names[error], s->by_error[error]);
            comma = ",";
        }
    fprintf(out, "}}\n");
}
