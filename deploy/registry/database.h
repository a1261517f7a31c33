/*
 * database.h - the registry file itself
 *
 * Written beside its final place and renamed over it, so that readers see the old file or the new
 * one, whole. One thread.
 */
#ifndef DEPLOY_REGISTRY_DATABASE_H
#define DEPLOY_REGISTRY_DATABASE_H

#include "index.h"

struct database_facts {
    const char *source_date; /* "2022-11-20" */
    const char *source_name; /* file name of the source, or "standard input" */
    int64_t built_unix_ms;
};

/* Rows of the file that stands at `path` now; -1 when there is none, or it is not a registry. */
int64_t database_rows(const char *path);

bool database_write(const char *path, const struct index *x, const struct database_facts *facts,
                    struct error *e) MUST_CHECK;

#endif
