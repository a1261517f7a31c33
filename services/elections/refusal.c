/* refusal.c - see elections.h */
#include "elections.h"

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
