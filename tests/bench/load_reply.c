#include "load_reply.h"

#define STATUS_LINE_MIN   12 /* HTTP/1.1 200 */
#define RETRY_AFTER_MAX_S 60

static bool read_number(const char *at, const char *end, size_t *ret)
{
    size_t value = 0;
    const char *first = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (value > 100000000)
            return false;
        value = value * 10 + (size_t)(*at - '0');
    }
    *ret = value;
    return at > first && at == end;
}

static bool named(const char *line, const char *colon, const char *name)
{
    size_t length = strlen(name);
    return (size_t)(colon - line) == length && strncasecmp(line, name, length) == 0;
}

/* False when the header makes the reply one this program does not read. */
static bool read_header(const char *line, const char *end, struct load_reply *ret, bool *has_length)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon)
        return false;
    const char *value = colon + 1;
    while (value < end && *value == ' ')
        value++;
    size_t number = 0;
    if (named(line, colon, "Content-Length")) {
        *has_length = read_number(value, end, &ret->body_length);
        return *has_length;
    }
    if (named(line, colon, "Connection"))
        ret->close = end - value == 5 && strncasecmp(value, "close", 5) == 0;
    else if (named(line, colon, "Retry-After") && read_number(value, end, &number) &&
             number <= RETRY_AFTER_MAX_S)
        ret->retry_after_s = (unsigned)number;
    return !named(line, colon, "Transfer-Encoding");
}

static bool read_head(const char *in, const char *head_end, struct load_reply *ret,
                      bool *has_length)
{
    size_t status = 0;
    if (head_end - in < STATUS_LINE_MIN || memcmp(in, "HTTP/1.", 7) != 0 ||
        !read_number(in + 9, in + 12, &status) || status < 100 || status > 599)
        return false;
    ret->status = (uint16_t)status;
    const char *line = memmem(in, (size_t)(head_end - in) + 2, "\r\n", 2);
    for (line += 2; line < head_end;) {
        const char *end = memmem(line, (size_t)(head_end - line) + 2, "\r\n", 2);
        if (!read_header(line, end, ret, has_length))
            return false;
        line = end + 2;
    }
    return true;
}

enum load_reply_state load_reply_parse(const char *in, size_t length, bool head_only, bool ended,
                                       struct load_reply *ret)
{
    *ret = (struct load_reply){.retry_after_s = 1};
    const char *head_end = memmem(in, length, "\r\n\r\n", 4);
    if (!head_end)
        return LOAD_REPLY_PART;
    bool has_length = false;
    if (!read_head(in, head_end, ret, &has_length))
        return LOAD_REPLY_BAD;
    ret->body = head_end + 4;
    size_t have = length - (size_t)(ret->body - in);
    if (head_only || ret->status == 204 || ret->status == 304)
        ret->body_length = 0;
    else if (!has_length) {
        ret->body_length = have;
        ret->close = true;
        return ended ? LOAD_REPLY_WHOLE : LOAD_REPLY_PART;
    }
    if (have < ret->body_length)
        return LOAD_REPLY_PART;
    /* More than was announced: requests and replies would be out of step from here on. */
    return have == ret->body_length ? LOAD_REPLY_WHOLE : LOAD_REPLY_BAD;
}
