/* address.c - one door out of the packed index, its display text and JSON */
#include "registry/address.h"

#define DISPLAY_MAX_BYTES 2048

void address_read(const struct pack *p, uint32_t door, struct address *ret)
{
    must(door < p->door_count);
    const struct pack_street *street = &p->streets[pack_street_of(p, door)];
    const struct pack_postcode *postcode = &p->postcodes[street->postcode];
    const struct pack_door *d = &p->doors[door];
    const struct pack_detail *detail = &p->details[door];

    *ret = (struct address){
        .street = pack_text(p, p->names[street->name].text),
        .number = detail->own_number ? d->number : -1,
        .letter = pack_text(p, p->letters[d->letter]),
        .range_from = d->span > 0 ? d->number : 0,
        .range_to = d->span > 0 ? d->number + d->span : 0,
        .suffix = pack_text(p, detail->suffix),
        .special = pack_text(p, detail->special),
        .postcode = postcode->code,
        .city = pack_text(p, postcode->place),
        .municipality = pack_text(p, p->municipalities[street->municipality].name),
        .has_position = detail->latitude != PACK_NO_POSITION,
        .latitude_e8 = PACK_LATITUDE_E8 + detail->latitude,
        .longitude_e8 = PACK_LONGITUDE_E8 + detail->longitude,
        .hnitnum = detail->hnitnum,
        .landnr = detail->landnr,
    };
}

/* " 22A", " 6-8", "" */
static void add_door(struct buf *out, const struct address *address)
{
    if (address->number < 0 && address->suffix.len == 0)
        return;
    buf_add_char(out, ' ');
    if (address->range_to > 0) {
        buf_add(out, address->suffix);
        buf_add(out, address->letter);
        return;
    }
    if (address->number >= 0) {
        buf_add_i64(out, address->number);
        buf_add(out, address->letter);
        if (address->suffix.len > 0)
            buf_add_char(out, ' ');
    }
    buf_add(out, address->suffix);
}

static void add_display(struct buf *out, const struct address *address)
{
    buf_add(out, address->street);
    add_door(out, address);
    buf_add(out, STR(", "));
    buf_add_i64(out, address->postcode);
    buf_add_char(out, ' ');
    buf_add(out, address->city);
}

struct str address_display(struct arena *a, const struct address *address)
{
    char memory[DISPLAY_MAX_BYTES];
    struct buf b;

    buf_init_fixed(&b, memory, sizeof memory);
    add_display(&b, address);
    return arena_dup(a, buf_str(&b));
}

static void add_text(struct buf *out, struct str name, struct str value)
{
    buf_add(out, name);
    buf_add_json_string(out, value);
}

static void add_degrees(struct buf *out, struct str name, bool known, int64_t e8)
{
    uint64_t size = e8 < 0 ? 0 - (uint64_t)e8 : (uint64_t)e8;
    char decimals[9];

    buf_add(out, name);
    if (!known) {
        buf_add_text(out, "null");
        return;
    }
    if (e8 < 0)
        buf_add_char(out, '-');
    buf_add_i64(out, (int64_t)(size / 100000000));
    size %= 100000000;
    for (size_t i = sizeof decimals; --i > 0; size /= 10)
        decimals[i] = (char)('0' + size % 10);
    decimals[0] = '.';
    buf_add(out, str_n(decimals, sizeof decimals));
}

void address_write(struct buf *out, const struct address *address, enum address_style style,
                   int64_t distance_m)
{
    char memory[DISPLAY_MAX_BYTES];
    struct buf display;

    add_text(out, STR("{\"street\":"), address->street);
    buf_add(out, STR(",\"number\":"));
    if (address->number >= 0)
        buf_add_i64(out, address->number);
    else
        buf_add(out, STR("null"));
    add_text(out, STR(",\"letter\":"), address->letter);
    buf_add(out, style == ADDRESS_PLAIN ? STR(",\"postal_code\":\"") : STR(",\"postal_code\":"));
    buf_add_i64(out, address->postcode);
    add_text(out, style == ADDRESS_PLAIN ? STR("\",\"city\":") : STR(",\"city\":"), address->city);
    add_text(out, STR(",\"municipality\":"), address->municipality);
    add_degrees(out, STR(",\"latitude\":"), address->has_position, address->latitude_e8);
    add_degrees(out, STR(",\"longitude\":"), address->has_position, address->longitude_e8);
    buf_add(out, STR(",\"hnitnum\":"));
    buf_add_i64(out, address->hnitnum);
    if (style == ADDRESS_VALIDATED && address->landnr > 0) {
        buf_add(out, STR(",\"landnr\":"));
        buf_add_i64(out, address->landnr);
    } else if (style == ADDRESS_VALIDATED) {
        buf_add(out, STR(",\"landnr\":null"));
    }
    if (address->range_to > 0)
        buf_printf(out, ",\"number_range\":\"%d-%d\"", address->range_from, address->range_to);
    if (address->special.len > 0)
        add_text(out, STR(",\"special_name\":"), address->special);
    if (distance_m >= 0) {
        buf_add(out, STR(",\"distance_m\":"));
        buf_add_i64(out, distance_m);
    }
    buf_init_fixed(&display, memory, sizeof memory);
    add_display(&display, address);
    add_text(out, STR(",\"display\":"), buf_str(&display));
    buf_add_char(out, '}');
}
