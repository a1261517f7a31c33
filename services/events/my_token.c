/* my_token.c - GET /api/my-token: kept for old pages; a token is shown once, when it is made
 * (contract §3.2, V-C9) */
#include "events.h"

void my_token(const struct request *req, struct response *res)
{
    cJSON *extra;

    if (!member_is_proven(req, res))
        return;
    extra = json_object(req->arena);
    json_add_text(
        extra, "hint",
        "If you have lost your voting token, ask for another with POST /api/request-token and "
        "{\"replace\": true}; the lost one then stops working.");
    respond_error_extra(res, ERR_BAD_REQUEST,
                        "A voting token is shown once only, when it is issued.", extra);
}
