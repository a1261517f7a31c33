/* cors.c - what browsers of other origins may read; contract voting.md §7.2, members.md §2.4, M-F51
 */
#include "service/state.h"

const struct cors_profile cors_voting = {
    .credentials = true,
    .preflight_status = 204,
    .methods = "GET,HEAD,PUT,PATCH,POST,DELETE",
};
const struct cors_profile cors_callable = {
    .any_origin = true,
    .preflight_status = 200,
    .methods = "POST",
};
const struct cors_profile cors_plain = {
    .preflight_status = 204,
    .methods = "GET, POST, OPTIONS",
    .allow_headers =
        "Content-Type, Authorization, X-Firebase-AppCheck, X-Request-ID, X-Correlation-ID",
    .expose_headers = "X-Correlation-ID",
    .max_age_s = "3600",
};

static bool origin_is_listed(const struct service_state *state, struct str origin)
{
    for (size_t i = 0; i < state->cors_origin_count; i++) {
        if (str_eq(state->cors_origins[i], origin) || str_eq(state->cors_origins[i], STR("*")))
            return true;
    }
    return false;
}

static void allow(const struct cors_profile *profile, const struct request *req,
                  struct response *res, struct str origin)
{
    http_response_header(res->http, "Access-Control-Allow-Origin", origin);
    (void)req;
    if (profile->expose_headers)
        respond_header(res, "Access-Control-Expose-Headers", profile->expose_headers);
}

static void answer_preflight(const struct cors_profile *profile, const struct request *req,
                             struct response *res)
{
    struct str asked = http_header_get(req->http, "Access-Control-Request-Headers");

    respond_empty(res, profile->preflight_status);
    respond_header(res, "Access-Control-Allow-Methods", profile->methods);
    respond_header(res, "Vary", "Origin, Access-Control-Request-Headers");
    if (profile->allow_headers)
        respond_header(res, "Access-Control-Allow-Headers", profile->allow_headers);
    else if (asked.len > 0 && http_is_field_value(asked))
        http_response_header(res->http, "Access-Control-Allow-Headers", asked);
    if (profile->max_age_s)
        respond_header(res, "Access-Control-Max-Age", profile->max_age_s);
}

bool cors_apply(const struct service_state *state, const struct request *req, struct response *res)
{
    const struct cors_profile *profile = state->service->cors;
    struct str origin = http_header_get(req->http, "Origin");
    /* Server-to-server routes are no business of browsers. */
    bool browser_route = !(req->route && req->route->auth == AUTH_SERVICE);

    if (!profile || !browser_route)
        return false;
    respond_header(res, "Vary", "Origin");
    if (profile->credentials)
        respond_header(res, "Access-Control-Allow-Credentials", "true");
    if (origin.len > 0 && http_is_field_value(origin) &&
        (profile->any_origin || origin_is_listed(state, origin)))
        allow(profile, req, res, origin);
    if (req->http->method != HTTP_OPTIONS)
        return false;
    answer_preflight(profile, req, res);
    return true;
}
