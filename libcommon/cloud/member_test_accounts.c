/* member_test_accounts.c - see member_document.h */
#include "cloud/member_document.h"

#define PREFIX_DIGITS_MIN 4
#define WHOLE_DIGITS      (KENNITALA_SIZE - 1)

static bool read_entry(struct str entry, struct member_test_accounts *ret)
{
    size_t n = ret->count;
    bool is_genuine = str_starts_with(entry, STR("!"));
    struct str digits = str_skip(entry, is_genuine ? 1 : 0);
    bool is_whole = digits.len == WHOLE_DIGITS;
    bool is_system = digits.len > 0 && (digits.ptr[0] == '8' || digits.ptr[0] == '9');

    if (n == MEMBER_TEST_ACCOUNTS_MAX || !str_is_digits(digits) || digits.len < PREFIX_DIGITS_MIN ||
        digits.len > WHOLE_DIGITS || (!is_whole && (is_genuine || !is_system)))
        return false;
    ret->entries[n].is_genuine = is_genuine;
    ret->count++;
    return str_copy(digits, ret->entries[n].digits, sizeof ret->entries[n].digits);
}

bool member_test_accounts_parse(struct str text, struct member_test_accounts *ret, struct error *e)
{
    struct str rest = text, entry;

    ret->count = 0;
    if (str_eq_text(text, "none")) /* an empty setting is one that is not set */
        return true;
    while (str_split(&rest, ',', &entry)) {
        entry = str_trim(entry);
        if (entry.len > 0 && !read_entry(entry, ret))
            return error_set(e, ERR_BAD_REQUEST, "test account %zu is not like 9999",
                             ret->count + 1);
    }
    return true;
}

bool member_is_test_account(const struct member_test_accounts *accounts, struct str ssn)
{
    char number[KENNITALA_SIZE];
    bool is_test = false;

    if (!kennitala_normalise(ssn, number))
        return false;
    for (size_t i = 0; i < accounts->count; i++) {
        if (!str_starts_with(str_from(number), str_from(accounts->entries[i].digits)))
            continue;
        if (accounts->entries[i].is_genuine)
            return false;
        is_test = true;
    }
    return is_test;
}
