/* The strict scan of RFC 8259 that stands in front of cJSON. */
#include "base/json.h"
#include "base/limits.h"

/* Objects up to this size are searched for equal names pairwise, larger ones are sorted. */
#define PAIRWISE_MAX 12
#define NAMES_INLINE 48

/* A member name as it stands in the text, without its quotes. */
struct name {
    const char *ptr;
    uint32_t len;
    uint32_t hash; /* of the unescaped name */
};

/* The names of all objects that are open, the outermost first. */
struct names {
    struct name few[NAMES_INLINE];
    struct name *items;
    size_t count;
    size_t capacity;
};

struct scan {
    const char *start;
    const char *at;
    const char *end;
    const char *fault; /* the rule that was broken */
    struct names names;
    int depth;
};

static bool refuse(struct scan *s, const char *rule)
{
    if (!s->fault)
        s->fault = rule;
    return false;
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four hex digits at p, or -1. */
static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The escape at p (behind the backslash), its length; 0 when it is none we accept. */
static size_t read_escape(const char *p, const char *end, uint32_t *ret_char)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (p == end)
        return 0;
    if (*p != 'u') {
        const char *found = memchr(from, *p, sizeof(from) - 1);
        *ret_char = found ? (uint32_t)to[found - from] : 0;
        return found ? 1 : 0;
    }
    int high = hex4(p + 1, end);
    if (high <= 0 || (high >= 0xDC00 && high <= 0xDFFF))
        return 0;
    if (high < 0xD800 || high > 0xDFFF) {
        *ret_char = (uint32_t)high;
        return 5;
    }
    if (end - p < 11 || p[5] != '\\' || p[6] != 'u')
        return 0;
    int low = hex4(p + 7, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0;
    *ret_char = 0x10000U + (((uint32_t)high - 0xD800U) << 10) + ((uint32_t)low - 0xDC00U);
    return 11;
}

/* FNV-1a over characters: the spelling of a name does not matter, and order comes from names_order,
 * so collisions cost nothing that an attacker could pile up. */
static uint32_t hash_add(uint32_t hash, uint32_t character)
{
    return (hash ^ character) * 16777619U;
}

/* One string, its opening quote at s->at. ret is what stands between the quotes. */
static bool scan_string(struct scan *s, struct name *ret)
{
    const char *first = ++s->at;
    uint32_t hash = 2166136261U;
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;
        uint32_t character = c;
        size_t len = 1;
        if (c == '\\') {
            len = read_escape(s->at + 1, s->end, &character);
            if (len == 0)
                return refuse(s, "escape not allowed");
            len++;
        } else if (c < 0x20) {
            return refuse(s, "control character in a string");
        } else if (c >= 0x80) {
            len = str_utf8_next(str_n(s->at, (size_t)(s->end - s->at)), &character);
            if (len == 0)
                return refuse(s, "invalid UTF-8");
        }
        hash = hash_add(hash, character);
        s->at += len;
    }
    if (s->at == s->end)
        return refuse(s, "string without an end");
    *ret = (struct name){first, (uint32_t)(s->at - first), hash};
    s->at++;
    return true;
}

static bool scan_digits(struct scan *s)
{
    const char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > first;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool scan_number(struct scan *s)
{
    const char *first = s->at;
    char text[JSON_NUMBER_MAX_BYTES + 1];
    take(s, '-');
    const char *whole = s->at;
    if (!scan_digits(s))
        return refuse(s, "value expected");
    if (*whole == '0' && s->at - whole > 1)
        return refuse(s, "number with a leading zero");
    if (take(s, '.') && !scan_digits(s))
        return refuse(s, "digit expected");
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (!scan_digits(s))
            return refuse(s, "digit expected");
        if (str_copy(str_n(first, (size_t)(s->at - first)), text, sizeof(text)) &&
            __builtin_isinf(strtod(text, NULL)))
            return refuse(s, "number out of range");
    }
    /* Without an exponent the length bounds the value as well. */
    if (s->at - first > JSON_NUMBER_MAX_BYTES)
        return refuse(s, "number too long");
    return true;
}

static bool scan_word(struct scan *s, struct str word)
{
    if (!str_starts_with(str_n(s->at, (size_t)(s->end - s->at)), word))
        return refuse(s, "value expected");
    s->at += word.len;
    return true;
}

/* The next character of a name that was scanned before; false at its end. */
static bool name_next(struct name *n, uint32_t *ret_char)
{
    size_t len;
    if (n->len == 0)
        return false;
    if (*n->ptr == '\\')
        len = 1 + read_escape(n->ptr + 1, n->ptr + n->len, ret_char);
    else
        len = str_utf8_next(str_n(n->ptr, n->len), ret_char);
    n->ptr += len;
    n->len -= (uint32_t)len;
    return true;
}

/* Hash first, then the unescaped names; 0 only for equal ones. */
static int names_order(const void *left, const void *right)
{
    struct name a = *(const struct name *)left;
    struct name b = *(const struct name *)right;
    uint32_t from_a = 0;
    uint32_t from_b = 0;
    if (a.hash != b.hash)
        return a.hash < b.hash ? -1 : 1;
    for (;;) {
        bool more_a = name_next(&a, &from_a);
        bool more_b = name_next(&b, &from_b);
        if (!more_a || !more_b)
            return (int)more_a - (int)more_b;
        if (from_a != from_b)
            return from_a < from_b ? -1 : 1;
    }
}

static bool names_differ(struct name *names, size_t count)
{
    if (count > PAIRWISE_MAX) {
        qsort(names, count, sizeof(*names), names_order);
        for (size_t i = 1; i < count; i++) {
            if (names_order(&names[i - 1], &names[i]) == 0)
                return false;
        }
        return true;
    }
    for (size_t i = 1; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (names[i].hash == names[k].hash && names_order(&names[i], &names[k]) == 0)
                return false;
        }
    }
    return true;
}

static void names_add(struct names *n, struct name name)
{
    if (n->count == n->capacity) {
        bool inlined = n->items == n->few;
        struct name *grown =
            realloc(inlined ? NULL : n->items, n->capacity * 2 * sizeof(struct name));
        must(grown);
        if (inlined)
            memcpy(grown, n->few, sizeof(n->few));
        n->items = grown;
        n->capacity *= 2;
    }
    n->items[n->count++] = name;
}

static bool scan_value(struct scan *s);

static bool scan_member(struct scan *s, size_t first_name)
{
    struct name name;
    skip_blanks(s);
    if (s->at == s->end || *s->at != '"')
        return refuse(s, "member name expected");
    if (!scan_string(s, &name))
        return false;
    if (s->names.count - first_name >= JSON_MEMBERS_MAX)
        return refuse(s, "too many members");
    names_add(&s->names, name);
    skip_blanks(s);
    if (!take(s, ':'))
        return refuse(s, "':' expected");
    return scan_value(s);
}

/* The opening bracket was taken. */
static bool scan_object(struct scan *s)
{
    size_t first_name = s->names.count;
    skip_blanks(s);
    if (take(s, '}'))
        return true;
    do {
        if (!scan_member(s, first_name))
            return false;
        skip_blanks(s);
    } while (take(s, ','));
    if (!take(s, '}'))
        return refuse(s, "',' or '}' expected");
    if (!names_differ(s->names.items + first_name, s->names.count - first_name))
        return refuse(s, "member name twice");
    s->names.count = first_name;
    return true;
}

static bool scan_array(struct scan *s)
{
    skip_blanks(s);
    if (take(s, ']'))
        return true;
    do {
        if (!scan_value(s))
            return false;
        skip_blanks(s);
    } while (take(s, ','));
    return take(s, ']') || refuse(s, "',' or ']' expected");
}

static bool scan_value(struct scan *s)
{
    struct name ignored;
    bool ok;
    skip_blanks(s);
    switch (s->at < s->end ? *s->at : '\0') {
    case '{':
    case '[':
        /* The bound on depth is the bound on our own recursion. */
        if (++s->depth > JSON_DEPTH_MAX)
            return refuse(s, "nested too deep");
        ok = *s->at++ == '{' ? scan_object(s) : scan_array(s);
        s->depth--;
        return ok;
    case '"':
        return scan_string(s, &ignored);
    case 't':
        return scan_word(s, STR("true"));
    case 'f':
        return scan_word(s, STR("false"));
    case 'n':
        return scan_word(s, STR("null"));
    default:
        return scan_number(s);
    }
}

bool json_check(struct str text, struct error *e)
{
    struct scan s = {.start = text.ptr, .at = text.ptr, .end = str_skip(text, text.len).ptr};
    if (text.len == 0)
        return error_set(e, ERR_BAD_REQUEST, "JSON: nothing there");
    if (text.len >= UINT32_MAX)
        return error_set(e, ERR_BAD_REQUEST, "JSON: text too long");
    s.names.items = s.names.few;
    s.names.capacity = NAMES_INLINE;
    bool ok = scan_value(&s);
    if (ok) {
        skip_blanks(&s);
        ok = s.at == s.end || refuse(&s, "more behind the value");
    }
    if (s.names.items != s.names.few)
        free(s.names.items);
    return ok ||
           error_set(e, ERR_BAD_REQUEST, "JSON: %s at byte %zu", s.fault, (size_t)(s.at - s.start));
}
