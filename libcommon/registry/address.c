/* address.c - rows of the door table, their display text and JSON */
#include "registry/address.h"

#include <sqlite3.h>

static struct str column_text(sqlite3_stmt *q, int column, struct arena *a)
{
    const unsigned char *text = sqlite3_column_text(q, column);

    return text ? arena_dup(a, str_n(text, (size_t)sqlite3_column_bytes(q, column))) : str_from("");
}

static void read_row(struct registry_reader *r, struct arena *a, struct address *ret)
{
    sqlite3_stmt *q = r->door;

    ret->number = sqlite3_column_type(q, 0) == SQLITE_NULL ? -1 : sqlite3_column_int(q, 0);
    ret->suffix = column_text(q, 1, a);
    ret->special = column_text(q, 2, a);
    ret->hnitnum = sqlite3_column_int64(q, 3);
    ret->landnr = sqlite3_column_int64(q, 4);
    ret->has_position = sqlite3_column_type(q, 5) != SQLITE_NULL;
    ret->latitude_e8 = sqlite3_column_int64(q, 5);
    ret->longitude_e8 = sqlite3_column_int64(q, 6);
    ret->range_from = sqlite3_column_int(q, 7);
    ret->range_to = sqlite3_column_int(q, 8);
}

bool address_read(struct registry_reader *r, struct arena *a, uint32_t door, struct address *ret,
                  struct error *e)
{
    const struct pack *p = r->pack;
    const struct pack_street *street;
    int step;

    must(door < p->door_count);
    *ret = (struct address){.number = -1};
    sqlite3_bind_int64(r->door, 1, (sqlite3_int64)door + 1);
    step = sqlite3_step(r->door);
    if (step == SQLITE_ROW)
        read_row(r, a, ret);
    sqlite3_reset(r->door);
    if (step != SQLITE_ROW)
        return error_set(e, ERR_INTERNAL, "registry row: SQLite result %d", step);
    street = &p->streets[pack_street_of(p, door)];
    ret->street = pack_text(p, p->names[street->name].text);
    ret->letter = pack_text(p, p->letters[p->doors[door].letter]);
    ret->postcode = p->postcodes[street->postcode].code;
    ret->city = pack_text(p, p->postcodes[street->postcode].place);
    ret->municipality = pack_text(p, p->municipalities[street->municipality].name);
    return true;
}

/* " 22A", " 6-8", "" */
static struct str number_text(struct arena *a, const struct address *address)
{
    if (address->range_to > 0)
        return arena_printf(a, " %.*s%.*s", STR_ARG(address->suffix), STR_ARG(address->letter));
    if (address->number < 0)
        return address->suffix.len > 0 ? arena_printf(a, " %.*s", STR_ARG(address->suffix))
                                       : str_from("");
    return arena_printf(a, " %d%.*s%s%.*s", address->number, STR_ARG(address->letter),
                        address->suffix.len > 0 ? " " : "", STR_ARG(address->suffix));
}

struct str address_display(struct arena *a, const struct address *address)
{
    struct str number = number_text(a, address);

    return arena_printf(a, "%.*s%.*s, %d %.*s", STR_ARG(address->street), STR_ARG(number),
                        address->postcode, STR_ARG(address->city));
}

static void add_text(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ",\"%s\":", name);
    buf_add_json_string(out, value);
}

static void add_degrees(struct buf *out, const char *name, bool known, int64_t e8)
{
    int64_t size = e8 < 0 ? -e8 : e8;

    if (known)
        buf_printf(out, ",\"%s\":%s%lld.%08lld", name, e8 < 0 ? "-" : "",
                   (long long)(size / 100000000), (long long)(size % 100000000));
    else
        buf_printf(out, ",\"%s\":null", name);
}

void address_write(struct buf *out, struct arena *a, const struct address *address,
                   enum address_style style, int64_t distance_m)
{
    buf_add_text(out, "{\"street\":");
    buf_add_json_string(out, address->street);
    if (address->number >= 0)
        buf_printf(out, ",\"number\":%d", address->number);
    else
        buf_add_text(out, ",\"number\":null");
    add_text(out, "letter", address->letter);
    buf_printf(out, style == ADDRESS_PLAIN ? ",\"postal_code\":\"%d\"" : ",\"postal_code\":%d",
               address->postcode);
    add_text(out, "city", address->city);
    add_text(out, "municipality", address->municipality);
    add_degrees(out, "latitude", address->has_position, address->latitude_e8);
    add_degrees(out, "longitude", address->has_position, address->longitude_e8);
    buf_printf(out, ",\"hnitnum\":%lld", (long long)address->hnitnum);
    if (style == ADDRESS_VALIDATED && address->landnr > 0)
        buf_printf(out, ",\"landnr\":%lld", (long long)address->landnr);
    else if (style == ADDRESS_VALIDATED)
        buf_add_text(out, ",\"landnr\":null");
    if (address->range_to > 0)
        buf_printf(out, ",\"number_range\":\"%d-%d\"", address->range_from, address->range_to);
    if (address->special.len > 0)
        add_text(out, "special_name", address->special);
    if (distance_m >= 0)
        buf_printf(out, ",\"distance_m\":%lld", (long long)distance_m);
    add_text(out, "display", address_display(a, address));
    buf_add_char(out, '}');
}
