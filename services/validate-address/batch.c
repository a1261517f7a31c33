/* batch.c - many addresses in one call, each answered as if it came alone; M-A17 */
#include "validate_address.h"

#define BATCH_BODY_MAX_BYTES (BATCH_MAX * VERDICT_MAX_BYTES)

/* The list, or NULL: not one of 1 to BATCH_MAX. */
static const cJSON *read_list(const cJSON *data)
{
    const cJSON *list = json_get(data, "addresses");
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;

    return count >= 1 && count <= BATCH_MAX ? list : NULL;
}

void call_batch(const struct request *req, struct response *res)
{
    const cJSON *list = read_list(req->body), *one;
    const char *between = "";
    struct buf body;

    if (!list) {
        registry_count(req, LOOKUP_INVALID);
        respond_text(res, 200, "application/json; charset=utf-8",
                     STR("{\"result\":{\"results\":[],\"error\":\"addresses must be a list of 1 to "
                         "50\"}}"));
        return;
    }
    buf_init(&body, BATCH_BODY_MAX_BYTES);
    buf_add_text(&body, "{\"result\":{\"results\":[");
    cJSON_ArrayForEach(one, list)
    {
        buf_add_text(&body, between);
        validate_one(req, one, &body);
        between = ",";
    }
    buf_add_text(&body, "],\"error\":null}}");
    must(!body.overflow);
    respond_text(res, 200, "application/json; charset=utf-8", buf_str(&body));
    buf_done(&body);
}
