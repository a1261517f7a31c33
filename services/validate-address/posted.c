/* posted.c - the fields of a call, whatever they hold; M-A10, M-A11, M-A14 */
#include "validate_address.h"

#include "registry/names.h"

static const char street_required[] = "Street name is required";
static const char invalid_number[] = "Invalid house number: ";

/* A text, or a whole number as text; absent and null are empty. False for anything else. */
static bool read_text(const cJSON *data, const char *name, struct arena *a, struct str *ret)
{
    const cJSON *item = json_get(data, name);
    int64_t number;

    *ret = str_from("");
    if (!item || cJSON_IsNull(item))
        return true;
    if (cJSON_IsString(item)) {
        *ret = str_trim(json_str_value(item));
        return true;
    }
    if (!json_i64(data, name, &number))
        return false;
    *ret = arena_printf(a, "%lld", (long long)number);
    return true;
}

static void warn(struct posted *p, const char *code)
{
    if (p->warning_count < CLAIM_WARNINGS_MAX)
        p->warnings[p->warning_count++] = code;
}

static void read_street(const cJSON *data, struct arena *a, struct posted *p)
{
    if (!read_text(data, "street", a, &p->claim.street) || p->claim.street.len == 0)
        p->error = street_required;
    else if (p->claim.street.len > NAME_MAX_BYTES)
        p->error = "Street name is too long";
}

/* "8", 8, "8C", "6-8"; "" and 0 count as missing. */
static void read_number(const cJSON *data, struct arena *a, struct posted *p)
{
    struct str text, letter;

    p->claim.number = p->claim.number_to = -1;
    if (!read_text(data, "number", a, &text)) {
        p->error = invalid_number;
        p->error_value = str_from("not a whole number");
        return;
    }
    if (text.len == 0 || str_eq(text, STR("0")))
        return;
    if (!query_house_number(text, &p->claim.number, &p->claim.number_to, &letter)) {
        p->error = invalid_number;
        p->error_value = str_take(text, 20);
        if (!str_is_utf8(p->error_value))
            p->error_value = str_from("not a whole number");
        return;
    }
    p->claim.letter = letter;
    if (p->claim.number == 0)
        p->claim.number = -1;
}

static void read_letter(const cJSON *data, struct arena *a, struct posted *p)
{
    struct str letter;

    if (!read_text(data, "letter", a, &letter) || letter.len > 12) {
        warn(p, "letter_ignored");
        return;
    }
    if (letter.len == 0)
        return;
    if (p->claim.letter.len > 0 && !str_eq_ci(p->claim.letter, letter))
        warn(p, "letter_twice");
    p->claim.letter = letter;
}

static void read_postcode(const cJSON *data, const struct pack *pack, struct arena *a,
                          struct posted *p)
{
    struct str text;
    int64_t code = 0;
    int index;

    p->postcode = -1;
    if (!read_text(data, "postal_code", a, &text) ||
        (text.len > 0 && (text.len != 3 || !str_parse_i64(text, 100, 999, &code)))) {
        warn(p, "postal_code_invalid");
        return;
    }
    if (text.len == 0)
        return;
    index = pack_postcode_find(pack, code);
    if (index < 0) {
        warn(p, "postal_code_unknown");
        return;
    }
    if (pack->postcodes[index].kind == POSTCODE_PO_BOX)
        warn(p, "postal_code_is_po_box");
    p->postcode = (int)code;
    area_of_postcode(&p->areas[0], index);
    p->claim.areas[0] = &p->areas[0];
}

static void read_city(const cJSON *data, const struct pack *pack, struct arena *a, struct posted *p)
{
    struct str text;
    struct buf key;

    if (!read_text(data, "city", a, &text) || text.len > NAME_MAX_BYTES) {
        warn(p, "city_ignored");
        return;
    }
    buf_init(&key, 4 * NAME_MAX_BYTES);
    if (text.len > 0 && name_key(text, &key)) {
        if (area_of_place(pack, buf_str(&key), &p->areas[1]))
            p->claim.areas[1] = &p->areas[1];
        else
            warn(p, "city_unknown");
    }
    buf_done(&key);
}

void posted_read(const cJSON *data, const struct pack *pack, struct arena *a, struct posted *ret)
{
    *ret = (struct posted){.claim = {.number = -1, .number_to = -1}};
    if (!cJSON_IsObject(data) || !data->child) {
        ret->error = "No data provided";
        return;
    }
    read_street(data, a, ret);
    if (!ret->error)
        read_number(data, a, ret);
    if (ret->error)
        return;
    read_letter(data, a, ret);
    read_postcode(data, pack, a, ret);
    read_city(data, pack, a, ret);
}

void posted_warn_of_conflict(struct posted *p, const struct pack *pack, const struct verdict *v)
{
    bool postcode_fits = false, city_fits = false;

    for (size_t i = 0; i < v->alternative_count; i++) {
        const struct pack_street *street = &pack->streets[pack_street_of(pack, v->alternatives[i])];
        bool postcode = !p->claim.areas[0] || area_holds(p->claim.areas[0], street);
        bool city = !p->claim.areas[1] || area_holds(p->claim.areas[1], street);

        if (postcode && city)
            return;
        postcode_fits = postcode_fits || postcode;
        city_fits = city_fits || city;
    }
    /* Where each fits some door and both fit none they contradict each other. */
    if (p->claim.areas[0] && (!postcode_fits || city_fits))
        warn(p, "postal_code_contradicts");
    if (p->claim.areas[1] && (!city_fits || postcode_fits))
        warn(p, "city_contradicts");
}
