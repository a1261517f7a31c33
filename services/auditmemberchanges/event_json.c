/* event_json.c - DocumentEventData in proto3's JSON form; see auditmemberchanges.h */
#include "auditmemberchanges.h"

/* A document that is not there is left out, null or {}. */
static bool read_document(const cJSON *document, const cJSON **ret_fields)
{
    static const cJSON none = {.type = cJSON_Object};
    const cJSON *fields = json_get(document, "fields");

    *ret_fields = NULL;
    if (!document || cJSON_IsNull(document))
        return true;
    if (!cJSON_IsObject(document) || (fields && !cJSON_IsObject(fields)))
        return false;
    if (document->child)
        *ret_fields = fields ? fields : &none;
    return true;
}

bool event_body_json(const cJSON *data, struct member_event *ret)
{
    const cJSON *old = json_get(data, "oldValue");

    if (!cJSON_IsObject(data))
        return false;
    if (!old)
        old = json_get(data, "old_value"); /* proto3's JSON readers take both spellings */
    return read_document(old, &ret->before) &&
           read_document(json_get(data, "value"), &ret->after) && (ret->before || ret->after);
}
