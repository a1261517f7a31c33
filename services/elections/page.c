/* page.c - paging and filters of the two lists; see elections.h */
#include "elections.h"

#define LIMIT_DEFAULT 50
#define OFFSET_MAX    INT32_MAX

/* A number beyond every bound is still a number: it is clamped like any other. */
static int64_t read_number(const struct request *req, const char *name, int64_t fallback,
                           int64_t min, int64_t max)
{
    struct str text = {NULL, 0};
    int64_t value;
    bool negative;

    if (!request_query(req, name, &text))
        return fallback;
    negative = text.len > 1 && text.ptr[0] == '-';
    if (!str_is_digits(negative ? str_skip(text, 1) : text))
        return fallback;
    if (!str_parse_i64(text, INT64_MIN, INT64_MAX, &value))
        return negative ? min : max;
    return value < min ? min : value > max ? max : value;
}

struct page page_read(const struct request *req, int64_t limit_max)
{
    struct page page = {
        .limit = read_number(req, "limit", LIMIT_DEFAULT, INT32_MIN, limit_max),
        .offset = read_number(req, "offset", 0, 0, OFFSET_MAX),
    };

    if (page.limit == 0)
        page.limit = LIMIT_DEFAULT;
    if (page.limit < 1)
        page.limit = 1;
    return page;
}

struct str page_status(const struct request *req)
{
    struct str status = {NULL, 0};

    if (!request_query(req, "status", &status) || status.len == 0)
        return (struct str){NULL, 0};
    return status;
}

bool page_fits(struct response *res, size_t bytes)
{
    if (bytes <= LIST_MAX_BYTES)
        return true;
    respond_error(res, ERR_BAD_REQUEST,
                  "These elections are too long for one page; ask for fewer with limit.");
    return false;
}
