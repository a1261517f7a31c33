/* cache.c - limits and cache headers of the GET routes */
#include "search_addresses.h"

#include "base/encode.h"

bool read_limit(const struct request *req, struct response *res, size_t fallback, size_t *ret)
{
    struct str text;
    int64_t value;

    *ret = fallback;
    if (!request_query(req, "limit", &text))
        return true;
    if (!str_parse_i64(text, 1, INT64_MAX, &value)) {
        registry_count(req, LOOKUP_INVALID);
        respond_error(res, ERR_BAD_REQUEST, "limit must be a whole number from 1");
        return false;
    }
    *ret = value < LIMIT_MAX ? (size_t)value : LIMIT_MAX;
    return true;
}

bool is_unchanged(const struct request *req, struct response *res, const struct registry_reader *r)
{
    const struct search_settings *settings = service_settings(req->state);
    struct str known = http_header_get(req->http, "If-None-Match");
    struct str question =
        arena_printf(req->arena, "%s|%016llx|%.*s", SUITE_VERSION,
                     (unsigned long long)registry_version(r), STR_ARG(req->http->target));
    char hex[CONTENT_TAG_SIZE];
    struct str tag;

    content_tag(question, hex);
    tag = arena_printf(req->arena, "W/\"%s\"", hex);
    http_response_header(res->http, "ETag", tag);
    http_response_header(
        res->http, "Cache-Control",
        arena_printf(req->arena, "public, max-age=%lld", (long long)settings->cache_max_age_s));
    if (known.len == 0 || !str_contains(known, tag))
        return false;
    respond_empty(res, 304);
    return true;
}
