/* refusal.c - see refusal.h */
#include "service/refusal.h"

void refuse_with(struct response *res, const struct refusal *table, struct str code)
{
    cJSON *extra = NULL;

    while (table->code && !str_eq_text(code, table->code))
        table++;
    must(table->code != NULL);
    if (table->wire_code) {
        extra = json_object(res->request->arena);
        json_add_text(extra, "code", table->wire_code);
    }
    respond_error_extra(res, table->error, table->message, extra);
    res->log_reason = table->code;
}

void refuse_field(struct response *res, struct str field, struct str reason)
{
    static const struct {
        const char *reason, *words;
    } table[] = {
        {"missing", "is required"},
        {"type", "has the wrong type"},
        {"blank", "must not be blank"},
        {"too_long", "is too long"},
        {"too_few", "has too few entries"},
        {"too_many", "has too many entries"},
        {"ambiguous", "has entries that cannot be told apart"},
        {"value", "has a value that is not allowed"},
        {"range", "is out of range"},
        {"order", "must be later than the start"},
        {"unknown", "is not known"},
    };
    const char *words = "is not valid";
    cJSON *extra = json_object(res->request->arena);

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (str_eq_text(reason, table[i].reason))
            words = table[i].words;
    }
    json_add_str(extra, "field", field);
    respond_error_extra(
        res, ERR_BAD_REQUEST,
        arena_printf(res->request->arena, "The field %.*s %s.", STR_ARG(field), words).ptr, extra);
}
