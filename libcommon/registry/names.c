/* names.c - keys, spellings and the derived cases of names */
#include "registry/names.h"

#include "base/fold.h"

/* U+0080..U+00BF and U+2000..U+203F: no-break blanks, dashes, quotes. They are punctuation too. */
static size_t punctuation_len(const unsigned char *p, size_t left)
{
    if (left >= 2 && p[0] == 0xC2)
        return 2;
    if (left >= 3 && p[0] == 0xE2 && p[1] == 0x80)
        return 3;
    if (p[0] < 0x80 && !((p[0] >= 'a' && p[0] <= 'z') || (p[0] >= '0' && p[0] <= '9')))
        return 1;
    return 0;
}

/* Takes blanks and punctuation out of what stands in b behind `from`. */
static void squeeze(struct buf *b, size_t from)
{
    size_t out = from;

    for (size_t in = from; in < b->len;) {
        size_t skip = punctuation_len((const unsigned char *)b->ptr + in, b->len - in);

        if (skip > 0)
            in += skip;
        else
            b->ptr[out++] = b->ptr[in++];
    }
    if (b->ptr)
        b->ptr[out] = '\0';
    b->len = out;
}

bool name_key(struct str text, struct buf *b)
{
    size_t from = b->len;

    if (!fold_icelandic(text, b))
        return false;
    squeeze(b, from);
    return true;
}

bool name_spelling(struct str text, struct buf *b)
{
    size_t from = b->len;

    if (!fold_case_only(text, b))
        return false;
    squeeze(b, from);
    return true;
}

#define ROUGH_THORN '\1'
#define ROUGH_ASH   '\2'

bool name_rough(struct str text, struct buf *b)
{
    static const struct str ash = {"\xC3\xA6", 2}, thorn = {"\xC3\xBE", 2};
    struct buf spelling;
    struct str rest;
    size_t at = 0;
    bool ok;

    buf_init(&spelling, 4 * NAME_MAX_BYTES);
    ok = name_spelling(text, &spelling);
    rest = buf_str(&spelling);
    while (ok && at < rest.len) {
        struct str here = str_skip(rest, at);
        bool is_ash = str_starts_with(here, ash);

        if (!is_ash && !str_starts_with(here, thorn)) {
            at++;
            continue;
        }
        ok = name_key(str_take(rest, at), b) && buf_add_char(b, is_ash ? ROUGH_ASH : ROUGH_THORN);
        rest = str_skip(here, 2);
        at = 0;
    }
    ok = ok && name_key(rest, b);
    buf_done(&spelling);
    return ok;
}

size_t name_rough_of_key(struct str key, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < key.len; i++) {
        bool pair = i + 1 < key.len;

        if (pair && key.ptr[i] == 't' && key.ptr[i + 1] == 'h')
            out[n++] = ROUGH_THORN;
        else if (pair && key.ptr[i] == 'a' && key.ptr[i + 1] == 'e')
            out[n++] = ROUGH_ASH;
        else {
            out[n++] = key.ptr[i];
            continue;
        }
        i++;
    }
    return n;
}

/*
 * What stands for the nominative's ending in the other cases, given the dative's. The first row
 * that fits decides, so special words come before general endings. '~' turns the last ö of the stem
 * into a (höfn, hafnar).
 */
struct ending {
    const char *nominative;
    const char *dative;
    const char *forms[4];
};

static const struct ending endings[] = {
    {"fjörður", "firði", {"fjörð", "fjarðar"}},
    {"völlur", "velli", {"völl", "vallar"}},
    {"vellir", "völlum", {"velli", "valla"}},
    {"köttur", "ketti", {"kött", "kattar"}},
    {"mörk", "mörk", {"merkur", "markar"}},
    {"vík", "vík", {"víkur"}},
    {"nótt", "nótt", {"nætur"}},
    {"ey", "eyju", {"eyjar"}},
    {"ey", "ey", {"eyjar", "eyju"}},
    {"kaupstaður", "kaupstað", {"kaupstaðar"}},
    {"ær", "æ", {"æ", "æjar"}},
    {"ur", "ri", {"urs"}},
    {"ur", "um", {"a", "na"}},
    {"ur", "i", {"", "s", "ar", "jar"}},
    {"ur", "", {"", "s", "ar", "jar"}},
    {"jall", "jalli", {"jalls"}},
    {"ll", "li", {"l", "ls"}},
    {"nn", "ni", {"n", "ns"}},
    {"inn", "num", {"inn", "ins"}},
    {"ir", "um", {"i", "a"}},
    {"ar", "um", {"a"}},
    {"ur", "r", {"urs"}},
    {"a", "um", {"na"}},
    {"ó", "ó", {"óar"}},
    {"á", "á", {"ár"}},
    {"ú", "ú", {"úar"}},
    {"i", "i", {"is", "ar"}},
    {"a", "a", {NULL}},
    {"a", "u", {NULL}},
    {"i", "a", {NULL}},
    {"", "um", {"~a", "a"}},
    {"", "i", {"s"}},
    {"", "", {"~ar", "ar", "ur", "s"}},
};

/* Without a stored dative the ending alone has to tell. */
static const struct ending undeclined[] = {
    {"a", "", {"u"}},   {"i", "", {"a"}},        {"ur", "", {"i", "", "s", "ar"}},
    {"ar", "", {"um"}}, {"ir", "", {"um", "i"}}, {"staður", "", {"stað", "staðar"}},
    {"ll", "", {"li"}}, {"nn", "", {"ni"}},      {"", "", {"i", "s", "ar"}},
};

static struct str with_ending(struct arena *a, struct str stem, const char *ending)
{
    static const struct str o_umlaut = {"ö", 2};
    bool shift = ending[0] == '~';
    size_t at = stem.len;

    if (shift) {
        for (at = stem.len; at >= 2; at--) {
            if (str_eq(str_n(stem.ptr + at - 2, 2), o_umlaut))
                break;
        }
        if (at < 2)
            shift = false;
        ending++;
    }
    if (!shift)
        return arena_printf(a, "%.*s%s", STR_ARG(stem), ending);
    return arena_printf(a, "%.*sa%.*s%s", STR_ARG(str_take(stem, at - 2)),
                        STR_ARG(str_skip(stem, at)), ending);
}

static size_t add_form(struct str form, struct str nominative, struct str dative,
                       struct str forms[NAME_FORMS_MAX], size_t count)
{
    if (form.len < 2 || str_eq(form, nominative) || str_eq(form, dative))
        return count;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(forms[i], form))
            return count;
    }
    must(count < NAME_FORMS_MAX);
    forms[count] = form;
    return count + 1;
}

static struct str lower(struct arena *a, struct str text)
{
    struct buf b;
    struct str s;

    buf_init(&b, 4 * NAME_MAX_BYTES);
    (void)fold_case_only(text, &b);
    s = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return s;
}

size_t name_forms(struct arena *a, struct str nominative, struct str dative,
                  struct str forms[NAME_FORMS_MAX])
{
    struct str nf = lower(a, nominative), tgf = lower(a, dative);
    const struct ending *table = tgf.len > 0 ? endings : undeclined;
    size_t rows = tgf.len > 0 ? ARRAY_LEN(endings) : ARRAY_LEN(undeclined);
    size_t count = 0;

    for (size_t i = 0; i < rows; i++) {
        const struct ending *e = &table[i];
        struct str end = str_from(e->nominative);

        if (!str_ends_with(nf, end) || !str_ends_with(tgf, str_from(e->dative)))
            continue;
        for (size_t f = 0; f < ARRAY_LEN(e->forms) && e->forms[f]; f++)
            count = add_form(with_ending(a, str_take(nf, nf.len - end.len), e->forms[f]), nf, tgf,
                             forms, count);
        break;
    }
    return count;
}
