#include "load_requests.h"

#include <inttypes.h>

#define HEADER_SEPARATOR '\x1f'
#define FIELDS           4

struct field {
    const char *text;
    size_t length;
};

static char *read_whole(const char *path, size_t *ret_length)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return NULL;
    }
    char *text = NULL;
    size_t length = 0;
    size_t capacity = 0;
    for (;;) {
        if (capacity - length < 65536) {
            capacity = capacity ? capacity * 2 : 1U << 20;
            char *grown = capacity <= LOAD_FILE_MAX ? realloc(text, capacity) : NULL;
            if (!grown) {
                fprintf(stderr, "loadgen: %s is too large\n", path);
                free(text);
                fclose(file);
                return NULL;
            }
            text = grown;
        }
        size_t got = fread(text + length, 1, capacity - length, file);
        if (got == 0)
            break;
        length += got;
    }
    fclose(file);
    *ret_length = length;
    return text;
}

static int split(const char *line, size_t length, struct field fields[FIELDS])
{
    const char *end = line + length;
    for (int i = 0; i < FIELDS; i++) {
        const char *stop = i == FIELDS - 1 ? end : memchr(line, '\t', (size_t)(end - line));
        if (!stop)
            return 0;
        fields[i] = (struct field){line, (size_t)(stop - line)};
        line = stop + 1;
    }
    return 1;
}

/* Only what would break the framing is refused: tests want to send odd requests on purpose. */
static int fields_good(const struct field f[FIELDS])
{
    for (size_t i = 0; i < f[0].length; i++)
        if (f[0].text[i] < 'A' || f[0].text[i] > 'Z')
            return 0;
    if (f[0].length == 0 || f[0].length > 16 || f[1].length == 0 || f[1].text[0] != '/')
        return 0;
    return !memchr(f[1].text, ' ', f[1].length) && !memchr(f[1].text, '\r', f[1].length) &&
           !memchr(f[2].text, '\r', f[2].length);
}

static void append(struct load_requests *r, const char *text, size_t length)
{
    if (length > 0)
        memcpy(r->bytes + r->bytes_length, text, length);
    r->bytes_length += length;
}

static void append_headers(struct load_requests *r, struct field headers)
{
    const char *end = headers.text + headers.length;
    for (const char *at = headers.text; at < end;) {
        const char *stop = memchr(at, HEADER_SEPARATOR, (size_t)(end - at));
        if (!stop)
            stop = end;
        append(r, at, (size_t)(stop - at));
        append(r, "\r\n", 2);
        at = stop + 1;
    }
}

static void build(struct load_requests *r, const struct field f[FIELDS], const char *host)
{
    struct load_request *item = &r->items[r->count++];
    item->offset = r->bytes_length;
    char line[128];
    append(r, f[0].text, f[0].length);
    append(r, " ", 1);
    append(r, f[1].text, f[1].length);
    int n = snprintf(line, sizeof(line), " HTTP/1.1\r\nHost: %s\r\n", host);
    append(r, line, (size_t)n);
    append_headers(r, f[2]);
    if (f[3].length > 0 || f[0].text[0] == 'P') {
        n = snprintf(line, sizeof(line), "Content-Length: %zu\r\n", f[3].length);
        append(r, line, (size_t)n);
    }
    append(r, "\r\n", 2);
    append(r, f[3].text, f[3].length);
    item->length = r->bytes_length - item->offset;
}

static size_t count_lines(const char *text, size_t length)
{
    size_t lines = 0;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + length - at))); at++)
        lines++;
    return lines + 1;
}

static int build_all(struct load_requests *r, const char *text, size_t length, const char *host)
{
    const char *end = text + length;
    size_t number = 0;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            stop = end;
        struct field fields[FIELDS];
        number++;
        if (!split(line, (size_t)(stop - line), fields) || !fields_good(fields)) {
            fprintf(stderr, "loadgen: line %zu is no METHOD<tab>PATH<tab>HEADERS<tab>BODY\n",
                    number);
            return 0;
        }
        build(r, fields, host);
        line = stop + 1;
    }
    if (r->count == 0)
        fprintf(stderr, "loadgen: the request file is empty\n");
    return r->count > 0;
}

int load_requests_read(const char *path, const char *host, struct load_requests *ret)
{
    *ret = (struct load_requests){0};
    size_t length = 0;
    char *text = read_whole(path, &length);
    if (!text)
        return 0;
    size_t lines = count_lines(text, length);
    int good = lines <= LOAD_REQUESTS_MAX + 1;
    if (!good)
        fprintf(stderr, "loadgen: more than %u requests\n", LOAD_REQUESTS_MAX);
    if (good) {
        /* What a line can grow by: the fixed parts, and "\r\n" for each header's separator. */
        ret->items = calloc(lines, sizeof(*ret->items));
        ret->bytes = malloc(length * 2 + lines * 192);
        good = ret->items && ret->bytes && build_all(ret, text, length, host);
    }
    free(text);
    if (!good)
        load_requests_free(ret);
    return good;
}

void load_requests_free(struct load_requests *requests)
{
    free(requests->items);
    free(requests->bytes);
    *requests = (struct load_requests){0};
}
