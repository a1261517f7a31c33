/* admin_body.c - an election on its way in and out; see elections.h */
#include "elections.h"

struct str body_text(const struct request *req)
{
    struct buf text;
    struct str copy;

    buf_init(&text, 8 * HTTP_BODY_MAX_BYTES);
    must(json_write(&text, req->body));
    copy = arena_dup(req->arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

void respond_election(const struct request *req, struct response *res, int status,
                      struct str election, const char *message)
{
    struct str words_of_it =
        message ? arena_printf(req->arena, ",\"message\":\"%s\"", message) : STR("");

    respond_text(res, status, "application/json; charset=utf-8",
                 arena_printf(req->arena, "{\"success\":true,\"election\":%.*s%.*s}",
                              STR_ARG(election), STR_ARG(words_of_it)));
}
