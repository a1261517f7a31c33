/* validate.c - the answer: level, the door, or what it might have been */
#include "validate_address.h"

#include "registry/address.h"
#include "registry/search.h"

/* The claim as one text, for messages and for the search of suggestions. */
static struct str claim_text(struct arena *a, const struct posted *p)
{
    const struct claim *c = &p->claim;
    struct str number = str_from(""), postcode = str_from("");

    if (c->number >= 0 && c->number_to >= 0)
        number = arena_printf(a, " %d-%d", c->number, c->number_to);
    else if (c->number >= 0)
        number = arena_printf(a, " %d%.*s", c->number, STR_ARG(c->letter));
    if (p->postcode >= 0)
        postcode = arena_printf(a, ", %d", p->postcode);
    return arena_printf(a, "%.*s%.*s%.*s", STR_ARG(c->street), STR_ARG(number), STR_ARG(postcode));
}

static struct str error_of(struct arena *a, const struct posted *p, const struct verdict *v)
{
    switch (v->validity) {
    case VALIDITY_EXACT:
        return str_from("");
    case VALIDITY_AMBIGUOUS:
        return arena_printf(a, "Several addresses match: %.*s", STR_ARG(claim_text(a, p)));
    case VALIDITY_NUMBER_UNKNOWN:
    case VALIDITY_STREET_UNKNOWN:
        if (p->claim.number < 0)
            return str_from("House number is required");
        break;
    case VALIDITY_LETTER_MISSING:
    case VALIDITY_LETTER_UNKNOWN:
    case VALIDITY_POSTCODE_CONFLICT:
        break;
    }
    return arena_printf(a, "Address not found in national registry: %.*s",
                        STR_ARG(claim_text(a, p)));
}

static void write_address(struct buf *out, const struct pack *p, uint32_t door)
{
    struct address address;

    address_read(p, door, &address);
    address_write(out, &address, ADDRESS_VALIDATED, -1);
}

static void write_alternatives(struct buf *out, const struct pack *p, const uint32_t *doors,
                               size_t count)
{
    buf_add_text(out, ",\"alternatives\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        write_address(out, p, doors[i]);
    }
    buf_add_char(out, ']');
}

static void write_suggestions(struct buf *out, struct registry_reader *r, struct arena *a,
                              const struct posted *p)
{
    struct search_result found;
    struct address address;

    search_suggest(r, a, claim_text(a, p), &found);
    buf_add_text(out, ",\"suggestions\":[");
    for (size_t i = 0; i < found.suggestion_count; i++) {
        address_read(r->pack, found.suggestions[i], &address);
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_json_string(out, address_display(a, &address));
    }
    buf_add_char(out, ']');
}

static void write_warnings(struct buf *out, const struct posted *p)
{
    buf_add_text(out, ",\"warnings\":[");
    for (size_t i = 0; i < p->warning_count; i++)
        buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", p->warnings[i]);
    buf_add_char(out, ']');
}

static void write_verdict(struct buf *out, struct registry_reader *r, struct arena *a,
                          const struct posted *p, const struct verdict *v)
{
    bool valid = v->validity == VALIDITY_EXACT;

    buf_printf(out, "{\"valid\":%s,\"address\":", valid ? "true" : "false");
    if (!valid)
        buf_add_text(out, "null");
    else
        write_address(out, r->pack, v->door);
    buf_add_text(out, ",\"error\":");
    if (valid)
        buf_add_text(out, "null");
    else
        buf_add_json_string(out, error_of(a, p, v));
    buf_printf(out, ",\"level\":\"%s\"", validity_text(v->validity));
    write_alternatives(out, r->pack, v->alternatives, v->alternative_count);
    if (v->validity == VALIDITY_STREET_UNKNOWN)
        write_suggestions(out, r, a, p);
    write_warnings(out, p);
    buf_add_char(out, '}');
}

static void write_refusal(struct buf *out, struct arena *a, const char *text, struct str value)
{
    buf_add_text(out, "{\"valid\":false,\"address\":null,\"error\":");
    buf_add_json_string(out, arena_printf(a, "%s%.*s", text, STR_ARG(value)));
    buf_add_text(out, ",\"level\":null,\"alternatives\":[],\"warnings\":[]}");
}

void validate_one(const struct request *req, const cJSON *data, struct buf *out)
{
    struct registry_reader *r = registry_borrow(req);
    struct posted posted;
    struct verdict verdict;

    posted_read(data, r->pack, req->arena, &posted);
    if (posted.error) {
        registry_count(req, LOOKUP_INVALID);
        write_refusal(out, req->arena, posted.error, posted.error_value);
    } else {
        validate_claim(r, &posted.claim, &verdict);
        if (verdict.alternative_count > 0)
            posted_warn_of_conflict(&posted, r->pack, &verdict);
        registry_count(req, verdict.validity == VALIDITY_EXACT ? LOOKUP_FOUND : LOOKUP_NOTHING);
        write_verdict(out, r, req->arena, &posted, &verdict);
    }
    registry_release(r);
}

void call_validate(const struct request *req, struct response *res)
{
    struct buf body;

    buf_init(&body, VERDICT_MAX_BYTES);
    buf_add_text(&body, "{\"result\":");
    validate_one(req, req->body, &body);
    buf_add_char(&body, '}');
    must(!body.overflow);
    respond_text(res, 200, "application/json; charset=utf-8", buf_str(&body));
    buf_done(&body);
}
