/* look_up.c - one row of the postcode table */
#include "validate_postal_code.h"

/* The code, or why it is none: `value` is what is shown of it. */
struct posted {
    int64_t code;
    const char *error;
    struct str value;
};

static struct posted read_code(const cJSON *data)
{
    static const char required[] = "Postal code is required";
    static const char invalid[] = "Invalid postal code format: ";
    const cJSON *item = json_get(data, "postal_code");
    struct posted p = {.code = 0};
    struct str text;

    if (!cJSON_IsObject(data) || !data->child)
        return (struct posted){.error = "No data provided"};
    if (!item || cJSON_IsNull(item))
        return (struct posted){.error = required};
    if (json_i64(data, "postal_code", &p.code)) {
        if (p.code >= 100 && p.code <= 999)
            return p;
        return (struct posted){.error = invalid, .value = STR("not three digits")};
    }
    if (!cJSON_IsString(item))
        return (struct posted){.error = invalid, .value = STR("not a code")};
    text = str_trim(json_str_value(item));
    if (text.len == 0)
        return (struct posted){.error = required};
    if (text.len == 3 && str_parse_i64(text, 100, 999, &p.code))
        return p;
    p.error = invalid;
    p.value = str_take(text, 20);
    if (!str_is_utf8(p.value))
        p.value = STR("not three digits");
    return p;
}

static void add_text(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ",\"%s\":", name);
    buf_add_json_string(out, value);
}

static void write_info(struct buf *out, const struct pack *pack, const struct pack_postcode *p)
{
    static const char *const kinds[POSTCODE_KIND_COUNT] = {"town", "rural", "po_box"};
    static const char *const types[POSTCODE_KIND_COUNT] = {"Þéttbýli", "Dreifbýli", "Pósthólf"};

    buf_printf(out, "{\"code\":%u", (unsigned)p->code);
    add_text(out, "city", pack_text(pack, p->place));
    add_text(out, "city_dative", pack_text(pack, p->place_dative));
    add_text(out, "region", pack_text(pack, p->region));
    add_text(out, "municipality", pack_text(pack, pack->municipalities[p->municipality].name));
    add_text(out, "type", str_from(types[p->kind]));
    add_text(out, "kind", str_from(kinds[p->kind]));
    buf_printf(out, ",\"po_box\":%s}", p->kind == POSTCODE_PO_BOX ? "true" : "false");
}

static void write_refusal(struct buf *out, struct arena *a, const char *text, struct str value)
{
    buf_add_text(out, "{\"result\":{\"valid\":false,\"info\":null,\"error\":");
    buf_add_json_string(out, arena_printf(a, "%s%.*s", text, STR_ARG(value)));
    buf_add_text(out, "}}");
}

void call_postcode(const struct request *req, struct response *res)
{
    struct registry_reader *r = registry_borrow(req);
    struct posted p = read_code(req->body);
    int index = p.error ? -1 : pack_postcode_find(r->pack, p.code);
    struct buf body;

    buf_init(&body, 8192);
    if (p.error) {
        registry_count(req, LOOKUP_INVALID);
        write_refusal(&body, req->arena, p.error, p.value);
    } else if (index < 0) {
        registry_count(req, LOOKUP_NOTHING);
        write_refusal(&body, req->arena, "Postal code not found: ",
                      arena_printf(req->arena, "%lld", (long long)p.code));
    } else {
        registry_count(req, LOOKUP_FOUND);
        buf_add_text(&body, "{\"result\":{\"valid\":true,\"info\":");
        write_info(&body, r->pack, &r->pack->postcodes[index]);
        buf_add_text(&body, ",\"error\":null}}");
    }
    registry_release(r);
    must(!body.overflow);
    respond_text(res, 200, "application/json; charset=utf-8", buf_str(&body));
    buf_done(&body);
}
