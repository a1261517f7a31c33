#include "base/buf.h"

#include <stdarg.h>

#define BUF_FIRST_BYTES 128

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_init_fixed(struct buf *b, char *memory, size_t size)
{
    must(memory && size >= 1);
    memory[0] = '\0';
    *b = (struct buf){.ptr = memory, .capacity = size, .max_bytes = size - 1, .fixed = true};
}

void buf_done(struct buf *b)
{
    if (!b->fixed)
        free(b->ptr);
    *b = (struct buf){.max_bytes = b->max_bytes};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->ptr)
        b->ptr[0] = '\0';
}

/* Room for `more` bytes and a NUL behind them. */
static bool buf_reserve(struct buf *b, size_t more)
{
    if (b->overflow || more > b->max_bytes || b->len > b->max_bytes - more) {
        b->overflow = true;
        return false;
    }
    size_t need = b->len + more + 1;
    must(need > more);
    if (need <= b->capacity)
        return true;
    must(!b->fixed);
    size_t capacity = b->capacity ? b->capacity : BUF_FIRST_BYTES;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *grown = realloc(b->ptr, capacity);
    must(grown);
    b->ptr = grown;
    b->capacity = capacity;
    return true;
}

/* The same where there is room already, which is nearly always: a reply is made of hundreds of
 * pieces. */
static inline bool buf_has_room(const struct buf *b, size_t more)
{
    size_t bound = b->capacity <= b->max_bytes ? b->capacity : b->max_bytes + 1;
    return !b->overflow && b->len < bound && more < bound - b->len;
}

bool buf_add(struct buf *b, struct str s)
{
    if (!buf_has_room(b, s.len) && !buf_reserve(b, s.len))
        return false;
    if (s.len)
        memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
    return true;
}

bool buf_add_text(struct buf *b, const char *text)
{
    return buf_add(b, str_from(text));
}

bool buf_add_char(struct buf *b, char c)
{
    if (!buf_has_room(b, 1) && !buf_reserve(b, 1))
        return false;
    b->ptr[b->len++] = c;
    b->ptr[b->len] = '\0';
    return true;
}

bool buf_add_i64(struct buf *b, int64_t n)
{
    char digits[20]; /* of -9223372036854775808 */
    size_t at = sizeof(digits);
    uint64_t left = n < 0 ? 0U - (uint64_t)n : (uint64_t)n;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (n < 0)
        digits[--at] = '-';
    return buf_add(b, str_n(digits + at, sizeof(digits) - at));
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    if (!buf_reserve(b, 0))
        return false;
    size_t room = b->capacity - b->len;
    va_start(args, format);
    int written = vsnprintf(b->ptr + b->len, room, format, args);
    va_end(args);
    must(written >= 0);
    size_t len = (size_t)written;
    if (len < room && len <= b->max_bytes - b->len) {
        b->len += len;
        return true;
    }
    b->ptr[b->len] = '\0';
    if (!buf_reserve(b, len))
        return false;
    va_start(args, format);
    vsnprintf(b->ptr + b->len, len + 1, format, args);
    va_end(args);
    b->len += len;
    return true;
}

/* Back to `len`, for adds made of several parts. */
static bool buf_undo(struct buf *b, size_t len)
{
    b->len = len;
    if (b->ptr)
        b->ptr[len] = '\0';
    return false;
}

static bool add_json_escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        return buf_add(b, STR("\\\""));
    case '\\':
        return buf_add(b, STR("\\\\"));
    case '\n':
        return buf_add(b, STR("\\n"));
    case '\r':
        return buf_add(b, STR("\\r"));
    case '\t':
        return buf_add(b, STR("\\t"));
    default:
        return buf_printf(b, "\\u%04x", (unsigned)c);
    }
}

static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c < 0x7F;
}

/* How many bytes from `at` on may stand in JSON as they are: mostly all of them. */
static size_t json_plain_run(struct str s, size_t at)
{
    size_t start = at, len;
    uint32_t ignored;
    while (at < s.len) {
        if (json_plain((unsigned char)s.ptr[at]))
            at++;
        else if ((unsigned char)s.ptr[at] >= 0x80 &&
                 (len = str_utf8_next(str_skip(s, at), &ignored)) > 0)
            at += len;
        else
            break;
    }
    return at - start;
}

bool buf_add_json_string(struct buf *b, struct str s)
{
    size_t before = b->len;
    size_t at = 0;
    bool ok = buf_add_char(b, '"');
    while (ok && at < s.len) {
        size_t run = json_plain_run(s, at);
        ok = run == 0 || buf_add(b, str_n(s.ptr + at, run));
        at += run;
        if (!ok || at == s.len)
            continue;
        unsigned char c = (unsigned char)s.ptr[at++];
        ok = c < 0x80 ? add_json_escape(b, c) : buf_add(b, STR("\xEF\xBF\xBD"));
    }
    ok = ok && buf_add_char(b, '"');
    return ok || buf_undo(b, before);
}

bool buf_add_url(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t before = b->len;
    bool ok = buf_reserve(b, 0);
    for (size_t i = 0; ok && i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
        ok = plain ? buf_add_char(b, (char)c) : buf_add(b, str_n(escape, sizeof(escape)));
    }
    return ok || buf_undo(b, before);
}

struct str buf_str(const struct buf *b)
{
    return b->ptr ? str_n(b->ptr, b->len) : STR("");
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    char *memory = b->ptr;
    if (ret_len)
        *ret_len = b->len;
    if (!memory || b->fixed) {
        struct str content = buf_str(b);
        memory = malloc(content.len + 1);
        must(memory);
        str_copy(content, memory, content.len + 1);
    }
    if (b->fixed)
        buf_clear(b);
    else
        *b = (struct buf){.max_bytes = b->max_bytes};
    return memory;
}
