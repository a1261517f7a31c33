#include "base/must.h"

#include "base/clock.h"

static const char *must_service = "";

void must_set_service(const char *service)
{
    must_service = service;
}

/* Plain copying only: the heap may be the thing that is broken. */
static size_t put_escaped(char *out, size_t at, size_t limit, const char *text)
{
    for (; *text && at + 2 < limit; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            out[at++] = '\\';
        out[at++] = c < 0x20 || c > 0x7E ? '?' : (char)c;
    }
    return at;
}

static size_t put_plain(char *out, size_t at, size_t limit, const char *text)
{
    while (*text && at < limit)
        out[at++] = *text++;
    return at;
}

void must_fail(const char *expression, const char *file, int line)
{
    char text[1024];
    char now[CLOCK_ISO_SIZE];
    char number[16];
    const char *slash = strrchr(file, '/');
    size_t at = 0;
    /* Two thirds of the room at most for what is not ours to bound, so that the end always fits. */
    size_t limit = sizeof(text) * 2 / 3;

    clock_iso_utc(clock_unix_ms(), now);
    snprintf(number, sizeof(number), "%d", line);
    at = put_plain(text, at, limit, "{\"ts\":\"");
    at = put_plain(text, at, limit, now);
    at = put_plain(text, at, limit, "\",\"time\":\"");
    at = put_plain(text, at, limit, now);
    at = put_plain(text, at, limit, "\",\"severity\":\"CRITICAL\",\"service\":\"");
    at = put_escaped(text, at, limit / 3, must_service);
    at = put_plain(text, at, limit, "\",\"message\":\"must failed\",\"expression\":\"");
    at = put_escaped(text, at, limit, expression);
    at = put_plain(text, at, sizeof(text), "\",\"file\":\"");
    at = put_escaped(text, at, sizeof(text) - 64, slash ? slash + 1 : file);
    at = put_plain(text, at, sizeof(text), "\",\"line\":");
    at = put_plain(text, at, sizeof(text), number);
    at = put_plain(text, at, sizeof(text), "}\n");
    /* Nothing can be done when stderr is gone; the abort below says the rest. */
    ssize_t written = write(STDERR_FILENO, text, at);
    (void)written;
    abort();
}
