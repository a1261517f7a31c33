/* person.c - the claims of an ID token as a person; contract §3.1 step 8, §4.2, M-F39, M-F41 */
#include "handlekenniauth.h"

#include "base/kennitala.h"

#define LOCAL_PHONE_DIGITS   7
#define FOREIGN_DIGITS_MIN   5
#define FOREIGN_DIGITS_MAX   15 /* ITU-T E.164 */
#define ICELAND_COUNTRY_CODE STR("354")

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c == 0x7F)
            return true;
    }
    return false;
}

/* Cut between characters. */
static struct str cut_text(struct str s, size_t max_bytes)
{
    size_t len = 0;
    uint32_t c;

    while (len < s.len) {
        size_t step = str_utf8_next(str_skip(s, len), &c);

        if (step == 0 || len + step > max_bytes)
            break;
        len += step;
    }
    return str_take(s, len);
}

static struct str read_name(const cJSON *claims)
{
    struct str name = STR("");

    if (!json_str(claims, "name", &name) || str_trim(name).len == 0)
        (void)json_str(claims, "audkenni_name", &name);
    name = str_trim(name);
    return has_control(name) ? STR("") : cut_text(name, NAME_MAX_BYTES);
}

static struct str read_email(const cJSON *claims)
{
    struct str email = STR("");
    size_t at;

    (void)json_str(claims, "email", &email);
    email = str_trim(email);
    at = str_find_char(email, '@');
    if (email.len > EMAIL_MAX_BYTES || has_control(email) || at == 0 || at + 1 >= email.len ||
        str_find_char(str_skip(email, at + 1), '@') != email.len - at - 1 ||
        str_find_char(email, ' ') != email.len)
        return STR("");
    return email;
}

/* Digits of s in out; blanks, hyphens, dots and brackets between them go. False on anything else.
 */
static bool take_digits(struct str s, char *out, size_t size, size_t *ret_len)
{
    *ret_len = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] >= '0' && s.ptr[i] <= '9') {
            if (*ret_len + 1 >= size)
                return false;
            out[(*ret_len)++] = s.ptr[i];
        } else if (s.ptr[i] == '\0' || !strchr(" -.()/", s.ptr[i])) {
            return false;
        }
    }
    out[*ret_len] = '\0';
    return true;
}

struct str phone_normalise(struct arena *a, struct str text)
{
    struct str rest = str_trim(text);
    bool international = str_starts_with(rest, STR("+"));
    char *out = arena_alloc(a, PHONE_MAX_BYTES + 1);
    struct str digits;
    size_t len;

    if (!take_digits(str_skip(rest, international ? 1 : 0), out, PHONE_MAX_BYTES + 1, &len))
        return STR("");
    digits = str_n(out, len);
    if (!international && str_starts_with(digits, STR("00"))) {
        international = true;
        digits = str_skip(digits, 2);
    }
    if (str_starts_with(digits, ICELAND_COUNTRY_CODE) && (international || digits.len > 7)) {
        digits = str_skip(digits, ICELAND_COUNTRY_CODE.len);
        international = false;
    }
    if (!international)
        return digits.len == LOCAL_PHONE_DIGITS ? digits : STR("");
    if (digits.len < FOREIGN_DIGITS_MIN || digits.len > FOREIGN_DIGITS_MAX)
        return STR("");
    return arena_printf(a, "+%.*s", STR_ARG(digits));
}

bool person_read(struct arena *a, const cJSON *claims, struct person *ret)
{
    struct str number = STR(""), phone = STR("");

    *ret = (struct person){.name = STR(""), .email = STR(""), .phone = STR("")};
    if (!json_str(claims, "national_id", &number) || !kennitala_normalise(number, ret->kennitala))
        return false;
    ret->name = read_name(claims);
    ret->email = read_email(claims);
    (void)json_bool(claims, "email_verified", &ret->email_verified);
    (void)json_str(claims, "phone_number", &phone);
    ret->phone = phone_normalise(a, phone);
    (void)json_bool(claims, "phone_number_verified", &ret->phone_verified);
    return true;
}
