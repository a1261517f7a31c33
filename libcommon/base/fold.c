#include "base/fold.h"

/* One combining mark, the letters it composes with, and what comes out. Source: UnicodeData.txt,
 * canonical decompositions in U+00E0..U+017E. */
struct composition {
    uint32_t mark;
    const char *letters;
    uint16_t composed[12];
};

/* clang-format off */
static const struct composition compositions[] = {
    {0x0300, "aeiou", {0xE0, 0xE8, 0xEC, 0xF2, 0xF9}},
    {0x0301, "aeiouyclnrsz", {0xE1, 0xE9, 0xED, 0xF3, 0xFA, 0xFD, 0x107, 0x13A, 0x144, 0x155, 0x15B, 0x17A}},
    {0x0302, "aeioucghjswy", {0xE2, 0xEA, 0xEE, 0xF4, 0xFB, 0x109, 0x11D, 0x125, 0x135, 0x15D, 0x175, 0x177}},
    {0x0303, "anoiu", {0xE3, 0xF1, 0xF5, 0x129, 0x169}},
    {0x0304, "aeiou", {0x101, 0x113, 0x12B, 0x14D, 0x16B}},
    {0x0306, "aegiou", {0x103, 0x115, 0x11F, 0x12D, 0x14F, 0x16D}},
    /* I with a dot is an i: its lower case, so that both forms of U+0130 agree. */
    {0x0307, "cegzi", {0x10B, 0x117, 0x121, 0x17C, 'i'}},
    {0x0308, "aeiouy", {0xE4, 0xEB, 0xEF, 0xF6, 0xFC, 0xFF}},
    {0x030A, "au", {0xE5, 0x16F}},
    {0x030B, "ou", {0x151, 0x171}},
    {0x030C, "cdelnrstz", {0x10D, 0x10F, 0x11B, 0x13E, 0x148, 0x159, 0x161, 0x165, 0x17E}},
    {0x0327, "cgklnrst", {0xE7, 0x123, 0x137, 0x13C, 0x146, 0x157, 0x15F, 0x163}},
    {0x0328, "aeiu", {0x105, 0x119, 0x12F, 0x173}},
};

#define PLAIN_FIRST 0xDFU
#define PLAIN_LAST  0x17FU

/* The plain spelling of U+00DF..U+017F; empty where it is no letter or one of the upper case. */
static const char plain_letters[PLAIN_LAST - PLAIN_FIRST + 1][3] = {
    "ss", "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i",
    "i", "d", "n", "o", "o", "o", "o", "o", "", "o", "u", "u", "u", "u", "y", "th",
    "y", "", "a", "", "a", "", "a", "", "c", "", "c", "", "c", "", "c", "",
    "d", "", "d", "", "e", "", "e", "", "e", "", "e", "", "e", "", "g", "",
    "g", "", "g", "", "g", "", "h", "", "h", "", "i", "", "i", "", "i", "",
    "i", "", "i", "", "ij", "", "j", "", "k", "k", "", "l", "", "l", "", "l",
    "", "l", "", "l", "", "n", "", "n", "", "n", "n", "", "n", "", "o", "",
    "o", "", "o", "", "oe", "", "r", "", "r", "", "r", "", "s", "", "s", "",
    "s", "", "s", "", "t", "", "t", "", "t", "", "u", "", "u", "", "u", "",
    "u", "", "u", "", "u", "", "w", "", "y", "", "", "z", "", "z", "", "z",
    "s",
};
/* clang-format on */

struct folding {
    struct buf *out;
    bool plain;
    bool started;     /* something was written: blanks now separate */
    bool blank;       /* a run of blanks is waiting for what follows */
    uint32_t pending; /* a letter that may still get a mark; 0: none */
};

static bool is_blank(uint32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static bool is_invisible(uint32_t c)
{
    return c == 0xAD || (c >= 0x200B && c <= 0x200D) || c == 0x2060 || c == 0xFEFF;
}

static bool is_mark(uint32_t c)
{
    return c >= 0x0300 && c <= 0x036F;
}

/* Unicode's simple lower case up to U+017F, and the four characters beyond that are canonically, or
 * by their lower case, one of ours. */
static uint32_t lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= 0xC0 && c <= 0xDE)
        return c == 0xD7 ? c : c + 32;
    if (c == 0x130)
        return 'i';
    if (c == 0x178)
        return 0xFF;
    bool upper_is_even = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177);
    bool upper_is_odd = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
    if (upper_is_even)
        return c | 1U;
    if (upper_is_odd)
        return c + (c & 1U);
    switch (c) {
    case 0x1E9E:
        return 0xDF;
    case 0x212A:
        return 'k';
    case 0x212B:
        return 0xE5;
    default:
        return c;
    }
}

/* 0 when the two have no common form in our tables. */
static uint32_t compose(uint32_t letter, uint32_t mark)
{
    /* U+0340 and U+0341 are canonically U+0300 and U+0301. */
    if (mark == 0x340 || mark == 0x341)
        mark -= 0x40;
    for (size_t i = 0; i < ARRAY_LEN(compositions); i++) {
        const struct composition *row = &compositions[i];
        if (row->mark != mark)
            continue;
        const char *found = letter < 0x80 ? strchr(row->letters, (int)letter) : NULL;
        return found ? row->composed[found - row->letters] : 0;
    }
    return 0;
}

static bool write_utf8(struct buf *b, uint32_t c)
{
    char bytes[4];
    if (c < 0x80)
        return buf_add_char(b, (char)c);
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    bytes[0] = (char)(((0xF00U >> len) & 0xFF) | c);
    return buf_add(b, str_n(bytes, len));
}

static bool write_char(struct folding *f, uint32_t c)
{
    if (f->blank && f->started && !buf_add_char(f->out, ' '))
        return false;
    f->blank = false;
    f->started = true;
    if (f->plain && c >= PLAIN_FIRST && c <= PLAIN_LAST && plain_letters[c - PLAIN_FIRST][0])
        return buf_add_text(f->out, plain_letters[c - PLAIN_FIRST]);
    return write_utf8(f->out, c);
}

static bool write_pending(struct folding *f)
{
    uint32_t c = f->pending;
    f->pending = 0;
    return c == 0 || write_char(f, c);
}

static bool take_char(struct folding *f, uint32_t c)
{
    if (is_mark(c)) {
        uint32_t composed = f->pending ? compose(f->pending, c) : 0;
        if (composed) {
            f->pending = composed;
            return true;
        }
        /* A mark that stays would meet the plain letter in front of it the next time. */
        return write_pending(f) && (f->plain || write_char(f, c));
    }
    if (!write_pending(f))
        return false;
    if (is_blank(c))
        f->blank = true;
    else if (c == 0)
        return write_char(f, c);
    else
        f->pending = lower(c);
    return true;
}

static bool fold(struct folding *f, struct str s)
{
    size_t before = f->out->len;
    bool ok = !f->out->overflow;
    while (ok && s.len) {
        uint32_t c = 0;
        size_t len = str_utf8_next(s, &c);
        s = str_skip(s, len ? len : 1);
        if (len && !is_invisible(c))
            ok = take_char(f, c);
    }
    ok = ok && write_pending(f);
    if (!ok && f->out->ptr) {
        f->out->len = before;
        f->out->ptr[before] = '\0';
    }
    return ok;
}

bool fold_icelandic(struct str s, struct buf *b)
{
    struct folding f = {.out = b, .plain = true};
    return fold(&f, s);
}

bool fold_case_only(struct str s, struct buf *b)
{
    struct folding f = {.out = b};
    return fold(&f, s);
}
