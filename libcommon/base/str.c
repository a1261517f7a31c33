#include "base/str.h"

#include <locale.h>
#include <pthread.h>

struct str str_from(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

struct str str_n(const void *ptr, size_t len)
{
    return (struct str){ptr, len};
}

bool str_is_empty(struct str s)
{
    return s.len == 0;
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower_ascii(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_ci(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower_ascii(a.ptr[i]) != lower_ascii(b.ptr[i]))
            return false;
    }
    return true;
}

bool str_eq_text(struct str a, const char *text)
{
    return str_eq(a, str_from(text));
}

bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_take(s, prefix.len), prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_skip(s, s.len - suffix.len), suffix);
}

int str_cmp(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order)
        return order < 0 ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

size_t str_find_char(struct str s, char c)
{
    const char *found = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return found ? (size_t)(found - s.ptr) : s.len;
}

bool str_contains(struct str s, struct str needle)
{
    if (needle.len == 0)
        return true;
    return s.len >= needle.len && memmem(s.ptr, s.len, needle.ptr, needle.len) != NULL;
}

struct str str_skip(struct str s, size_t n)
{
    if (n > s.len)
        n = s.len;
    /* Adding to a null pointer is undefined, even zero. */
    return n ? (struct str){s.ptr + n, s.len - n} : s;
}

struct str str_take(struct str s, size_t n)
{
    return (struct str){s.ptr, n < s.len ? n : s.len};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    size_t start = 0;
    while (start < s.len && is_blank(s.ptr[start]))
        start++;
    s = str_skip(s, start);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_split(struct str *rest, char separator, struct str *ret_part)
{
    if (!rest->ptr)
        return false;
    size_t at = str_find_char(*rest, separator);
    *ret_part = str_take(*rest, at);
    *rest = at < rest->len ? str_skip(*rest, at + 1) : (struct str){NULL, 0};
    return true;
}

bool str_only(struct str s, const char *allowed)
{
    size_t count = strlen(allowed);
    for (size_t i = 0; i < s.len; i++) {
        if (!memchr(allowed, s.ptr[i], count))
            return false;
    }
    return s.len > 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool str_is_digits(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

bool str_is_lower_hex(struct str s)
{
    return str_only(s, "0123456789abcdef");
}

bool str_parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret_value)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    struct str digits = str_skip(s, negative ? 1 : 0);
    if (!str_is_digits(digits))
        return false;
    /* Counted downwards: the negative side has room for one more. */
    int64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, (int64_t)(digits.ptr[i] - '0'), &value))
            return false;
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
        return false;
    if (value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)? */
static bool is_json_fraction(struct str s)
{
    if (s.len && s.ptr[0] == '-')
        s = str_skip(s, 1);
    size_t point = str_find_char(s, '.');
    struct str whole = str_take(s, point);
    if (!str_is_digits(whole) || (whole.len > 1 && whole.ptr[0] == '0'))
        return false;
    return point == s.len || str_is_digits(str_skip(s, point + 1));
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool str_parse_double(struct str s, double *ret_value)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[64];
    if (!is_json_fraction(s) || !str_copy(s, text, sizeof(text)))
        return false;
    pthread_once(&once, make_c_locale);
    *ret_value = c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
    return true;
}

/* First bytes and the range their second byte must lie in (RFC 3629 §4); the rest are 80..BF. */
static bool utf8_shape(unsigned char first, size_t *len, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
        *len = 2;
    } else if ((first & 0xF0) == 0xE0) {
        *len = 3;
        if (first == 0xE0)
            *low = 0xA0;
        if (first == 0xED)
            *high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        *len = 4;
        if (first == 0xF0)
            *low = 0x90;
        if (first == 0xF4)
            *high = 0x8F;
    } else {
        return false;
    }
    return true;
}

size_t str_utf8_next(struct str s, uint32_t *ret_char)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t len;
    unsigned char low;
    unsigned char high;
    if (s.len == 0)
        return 0;
    if (p[0] < 0x80) {
        *ret_char = p[0];
        return 1;
    }
    if (!utf8_shape(p[0], &len, &low, &high) || len > s.len || p[1] < low || p[1] > high)
        return 0;
    uint32_t value = p[0] & (0x7FU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3FU);
    }
    *ret_char = value;
    return len;
}

bool str_is_utf8(struct str s)
{
    size_t at = 0;
    while (at < s.len) {
        uint64_t eight;
        uint32_t ignored;
        if (s.len - at >= sizeof(eight)) {
            memcpy(&eight, s.ptr + at, sizeof(eight));
            if ((eight & 0x8080808080808080U) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        size_t len = str_utf8_next(str_skip(s, at), &ignored);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

bool str_copy(struct str s, char *out, size_t size)
{
    size_t len = s.len < size ? s.len : size - 1;
    if (len)
        memcpy(out, s.ptr, len);
    out[len] = '\0';
    return len == s.len;
}
