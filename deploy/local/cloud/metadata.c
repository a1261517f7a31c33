/*
 * metadata.c - access tokens: the metadata server of a machine at Google, and the token endpoint
 *
 * One token for everybody and good for ever; what it opens here is only played. Source:
 * cloud.google.com/compute/docs/metadata/querying-metadata; RFC 7523.
 */
#include "base/clock.h"
#include "identity.h"

#define GRANT "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* Both ways: who asks must not be a browser, who answers must not be a hotel's login page. */
static bool is_metadata_client(const struct request *req, struct response *res)
{
    respond_header(res, "Metadata-Flavor", "Google");
    if (str_eq(http_header_get(req->http, "Metadata-Flavor"), STR("Google")) &&
        http_header_count(req->http, "X-Forwarded-For") == 0)
        return true;
    respond_text(res, 403, "text/html; charset=utf-8",
                 STR("Missing Metadata-Flavor:Google header.\n"));
    res->error = ERR_FORBIDDEN;
    return false;
}

static void reply_token(const struct request *req, struct response *res)
{
    cJSON *reply = json_object(req->arena);

    json_add_text(reply, "access_token", LOCAL_ACCESS_TOKEN);
    json_add_i64(reply, "expires_in", TOKEN_TTL_S - 1);
    json_add_text(reply, "token_type", "Bearer");
    reply_json(res, reply);
}

void metadata_token(const struct request *req, struct response *res)
{
    if (is_metadata_client(req, res))
        reply_token(req, res);
}

void metadata_email(const struct request *req, struct response *res)
{
    struct service_account account;

    if (!is_metadata_client(req, res))
        return;
    if (!service_account_get(req, &account)) {
        respond_error(res, ERR_INTERNAL, "service-account.json cannot be used");
        return;
    }
    respond_text(res, 200, "application/text", account.email);
    jwt_signer_free(account.signer);
}

void metadata_project(const struct request *req, struct response *res)
{
    const struct cloud_settings *settings = service_settings(req->state);

    if (is_metadata_client(req, res))
        respond_text(res, 200, "application/text", str_from(settings->project_id));
}

/* --- the token endpoint --- */

static void reply_oauth_error(const struct request *req, struct response *res, const char *error,
                              const char *why)
{
    cJSON *reply = json_object(req->arena);

    json_add_text(reply, "error", error);
    json_add_text(reply, "error_description", why);
    respond_json(res, 400, reply);
    res->error = ERR_BAD_REQUEST;
}

static const char *assertion_fault(const struct request *req, struct str assertion)
{
    struct service_account account;
    int64_t now_s = clock_unix_ms() / 1000, iat = 0, exp = 0;
    struct str issuer = {NULL, 0}, scope = {NULL, 0};
    const cJSON *claims;
    bool good;

    if (!service_account_get(req, &account))
        return "service-account.json cannot be used";
    good = service_account_signed(&account, req->arena, assertion, &claims);
    jwt_signer_free(account.signer);
    if (!good)
        return "Invalid JWT Signature.";
    if (!json_str(claims, "iss", &issuer) || !str_eq(issuer, account.email))
        return "Invalid grant: account not found";
    if (!json_i64(claims, "iat", &iat) || !json_i64(claims, "exp", &exp) || exp <= now_s ||
        iat > now_s + 60 || exp > iat + TOKEN_TTL_S)
        return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
               "timeframe.";
    return json_str(claims, "scope", &scope) && scope.len > 0 ? NULL
                                                              : "Invalid OAuth scope or ID token "
                                                                "audience provided.";
}

void oauth_token(const struct request *req, struct response *res)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    struct str grant = {NULL, 0}, assertion = {NULL, 0};
    const char *fault;
    size_t count = 0;

    if (http_query_parse(req->arena, req->http->body, params, &count)) {
        for (size_t i = 0; i < count; i++) {
            if (str_eq_text(params[i].name, "grant_type"))
                grant = params[i].value;
            else if (str_eq_text(params[i].name, "assertion"))
                assertion = params[i].value;
        }
    }
    if (!str_eq(grant, STR(GRANT))) {
        reply_oauth_error(req, res, "unsupported_grant_type", "Invalid grant_type");
        return;
    }
    fault = assertion_fault(req, assertion);
    if (fault)
        reply_oauth_error(req, res, "invalid_grant", fault);
    else
        reply_token(req, res);
}
