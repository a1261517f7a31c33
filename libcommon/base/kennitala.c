#include "base/kennitala.h"

/* 0..99, of two digits that were checked. */
static int two_digits(const char *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

/* A person's day, or a company's, which has 40 added. */
static bool has_date_form(const char digits[KENNITALA_SIZE])
{
    int day = two_digits(digits);
    int month = two_digits(digits + 2);
    return ((day >= 1 && day <= 31) || (day >= 41 && day <= 71)) && month >= 1 && month <= 12;
}

bool kennitala_normalise(struct str text, char out[KENNITALA_SIZE])
{
    char digits[KENNITALA_SIZE];
    bool hyphen = text.len == 11 && text.ptr[6] == '-';
    if (text.len != 10 && !hyphen)
        return false;
    memcpy(digits, text.ptr, 6);
    memcpy(digits + 6, text.ptr + (hyphen ? 7 : 6), 4);
    digits[10] = '\0';
    if (!str_is_digits(str_n(digits, 10)))
        return false;
    if (digits[0] != '8' && digits[0] != '9' && !has_date_form(digits))
        return false;
    memcpy(out, digits, sizeof(digits));
    return true;
}

void kennitala_mask(const char normalised[KENNITALA_SIZE], char out[KENNITALA_MASK_SIZE])
{
    memcpy(out, normalised, 6);
    memcpy(out + 6, "-****", 6);
}
