/* address.c - rows of the door table, their display text and JSON */
#include "registry/address.h"

#include <sqlite3.h>

#define DISPLAY_MAX_BYTES 2048

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
