/*
 * csv.h - comma-separated rows from a stream, as RFC 4180 has them
 *
 * LF or CRLF, quoted fields with doubled quotes, line breaks inside quotes, an optional byte order
 * mark. A file that ends inside a quote or without a line break is cut off: CSV_CUT. One thread.
 */
#ifndef DEPLOY_REGISTRY_CSV_H
#define DEPLOY_REGISTRY_CSV_H

#include "base/buf.h"

#define CSV_FIELDS_MAX    64
#define CSV_ROW_MAX_BYTES 65536

enum csv_result { CSV_ROW, CSV_END, CSV_CUT, CSV_TOO_LONG, CSV_READ_ERROR };

struct csv {
    FILE *in;
    struct buf text;
    size_t ends[CSV_FIELDS_MAX];
    size_t field_count; /* may be larger than CSV_FIELDS_MAX: then only so many are kept */
    int64_t line;       /* where the row began, from 1 */
    int64_t lines_read;
    bool wide; /* more fields than fit */
};

void csv_init(struct csv *c, FILE *in);
void csv_done(struct csv *c);

/* Reads one row; its fields live until the next call. Empty lines are passed over. */
enum csv_result csv_next(struct csv *c);
struct str csv_field(const struct csv *c, size_t index); /* index < field_count */

#endif
