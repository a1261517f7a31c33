/*
 * metrics.h - counters and histograms in Prometheus text form
 *
 * Registered at start, changed with atomics from any thread, printed on demand. Values other
 * modules keep (pools, server, clients) are read when printing through collectors. Label values are
 * from fixed tables (route, status class), so memory is bounded. Source:
 * prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
 */
#ifndef LIBCOMMON_OPS_METRICS_H
#define LIBCOMMON_OPS_METRICS_H

#include "base/buf.h"

struct metrics;

/* All names and texts given to these functions are borrowed for as long as the metrics live, but
 * for labels and those of metrics_print_value(). Registration happens before threads start;
 * registering the same name and labels again gives the same metric. Names and labels that
 * Prometheus would refuse are our own mistake: must(). */
struct metrics *metrics_new(const char *service);
void metrics_free(struct metrics *m);

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* A counter or gauge with fixed labels ("route=\"/api/vote\",status=\"201\"" or ""). The same name
 * may be registered with other labels; help of the first counts. */
struct metric;
struct metric *metrics_counter(struct metrics *m, const char *name, const char *help,
                               const char *labels);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help,
                             const char *labels);
void metric_add(struct metric *c, uint64_t n);
void metric_set(struct metric *gauge, uint64_t value);
uint64_t metric_value(const struct metric *c);

/* Latency histogram in seconds; fixed buckets 0.5 ms .. 10 s, about two per doubling. */
struct histogram;
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                    const char *labels);
void histogram_observe_us(struct histogram *h, int64_t us);

/* Called while printing; adds lines with metrics_print_value(). Several collectors may print the
 * same name with different labels: metrics_print() brings their samples together. */
void metrics_collector(struct metrics *m, void (*collect)(void *arg, struct buf *out), void *arg);
/* Prints one sample, with "# HELP" and "# TYPE" in front when out has none for the name yet. labels
 * may be "". The caller keeps samples of one name together. */
void metrics_print_value(struct buf *out, const char *name, enum metric_kind kind, const char *help,
                         const char *labels, double value);

/* All of it; also service_info, process_cpu_seconds_total, process_resident_memory_bytes,
 * process_open_fds. */
void metrics_print(struct metrics *m, struct buf *out);

#endif
