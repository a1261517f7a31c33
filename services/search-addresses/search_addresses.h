/*
 * search_addresses.h - what the files of this service share
 */
#ifndef SEARCH_ADDRESSES_H
#define SEARCH_ADDRESSES_H

#include "registry/address.h"
#include "service/registry_hooks.h"

#define LIMIT_DEFAULT         10
#define LIMIT_MAX             20
#define NEAREST_LIMIT_DEFAULT 1
#define QUERY_LETTERS_MIN     2
#define BODY_MAX_BYTES        65536 /* 20 addresses and what stands around them */

struct search_settings {
    struct registry_settings registry;
    int64_t cache_max_age_s;
};

/* Use cases, one file each. */
void call_search(const struct request *req, struct response *res);
void get_search(const struct request *req, struct response *res);
void get_nearest(const struct request *req, struct response *res);

/* ?limit=: `fallback` when absent, at most LIMIT_MAX; false (and answered 400) when it is no whole
 * number from 1. */
bool read_limit(const struct request *req, struct response *res, size_t fallback, size_t *ret);

/*
 * Cache headers of a GET. The tag names data, program and question, so a client that has the answer
 * is told so before anything is searched: true when that was answered.
 */
bool is_unchanged(const struct request *req, struct response *res, const struct registry_reader *r);

#endif
