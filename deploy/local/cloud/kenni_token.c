/* kenni_token.c - a code for tokens, the keys, and who an access token is of; see kenni.h */
#include "base/clock.h"
#include "base/encode.h"
#include "kenni.h"

#define VERIFIER_MIN 43
#define VERIFIER_MAX 128
#define ID_TOKEN_S   3600

static void reply_fault(const struct request *req, struct response *res, int status,
                        const char *error, const char *why)
{
    cJSON *reply = json_object(req->arena);

    json_add_text(reply, "error", error);
    json_add_text(reply, "error_description", why);
    respond_json(res, status, reply);
    res->error = status == 401 ? ERR_UNAUTHENTICATED : ERR_BAD_REQUEST;
}

/* --- who asks --- */

/* RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
static bool read_basic(const struct request *req, struct str *ret_id, struct str *ret_secret)
{
    struct str header = http_header_get(req->http, "Authorization"), text;
    size_t colon;

    if (!str_starts_with(header, STR("Basic ")) ||
        !base64_decode(req->arena, str_skip(header, 6), &text))
        return false;
    colon = str_find_char(text, ':');
    return colon < text.len && http_url_decode(req->arena, str_take(text, colon), true, ret_id) &&
           http_url_decode(req->arena, str_skip(text, colon + 1), true, ret_secret);
}

static bool is_our_client(const struct request *req, const struct http_param *fields, size_t count)
{
    const struct cloud_settings *settings = service_settings(req->state);
    struct str id = kenni_field(fields, count, "client_id");
    struct str secret = kenni_field(fields, count, "client_secret");

    if (http_header_count(req->http, "Authorization") > 0 && !read_basic(req, &id, &secret))
        return false;
    return str_eq_text(id, settings->kenni_client_id) &&
           equal_constant_time(secret, str_from(settings->kenni_client_secret));
}

/* --- the exchange --- */

static const char *grant_fault(const struct request *req, const struct kenni_grant *grant,
                               const struct http_param *fields, size_t count)
{
    struct str verifier = kenni_field(fields, count, "code_verifier");
    unsigned char hash[SHA256_BYTES];

    if (!str_eq(kenni_field(fields, count, "redirect_uri"), grant->redirect_uri))
        return "grant request is invalid: redirect_uri mismatch";
    sha256(verifier, hash);
    return str_eq(base64url_encode(req->arena, str_n(hash, sizeof hash)), grant->challenge)
               ? NULL
               : "grant request is invalid: PKCE verification failed";
}

/* The same person has the same sub, and it tells nothing. */
static struct str subject_of(const struct request *req, const cJSON *person)
{
    struct str given = json_str_value(json_get(person, "sub")), id;
    char hex[SHA256_HEX_SIZE];

    if (given.len > 0)
        return given;
    id = json_str_value(json_get(person, "national_id"));
    sha256_hex(arena_printf(req->arena, "kenni %.*s", STR_ARG(id)), hex);
    return arena_dup(req->arena, str_n(hex, 32));
}

static void add_person(const struct request *req, cJSON *claims, struct str person)
{
    struct error e;
    const cJSON *tree = json_parse(req->arena, person, &e), *member;

    must(tree); /* we wrote it */
    json_add_str(claims, "sub", subject_of(req, tree));
    cJSON_ArrayForEach(member, tree)
    {
        if (!json_get(claims, member->string))
            json_add_copy(claims, member->string, member);
    }
}

static struct str id_token(const struct request *req, const struct kenni_grant *grant,
                           struct str access_token)
{
    const struct cloud_settings *settings = service_settings(req->state);
    const struct cloud *cloud = req->own;
    int64_t now_s = clock_unix_ms() / 1000;
    cJSON *claims = json_object(req->arena);
    unsigned char hash[SHA256_BYTES];

    sha256(access_token, hash);
    json_add_str(claims, "iss", kenni_issuer(req));
    json_add_text(claims, "aud", settings->kenni_client_id);
    json_add_i64(claims, "iat", now_s);
    json_add_i64(claims, "exp", now_s + ID_TOKEN_S);
    if (grant->nonce.len > 0)
        json_add_str(claims, "nonce", grant->nonce);
    json_add_str(claims, "at_hash", base64url_encode(req->arena, str_n(hash, SHA256_BYTES / 2)));
    add_person(req, claims, grant->person);
    return jwt_sign(cloud->kenni_key, req->arena, claims);
}

/* RFC 7636 §4.1. One that is missing is another matter. */
static bool verifier_is_malformed(struct str verifier)
{
    return verifier.len > 0 &&
           (verifier.len < VERIFIER_MIN || verifier.len > VERIFIER_MAX ||
            !str_only(verifier,
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"));
}

static void exchange(const struct request *req, struct response *res,
                     const struct http_param *fields, size_t count)
{
    struct cloud *cloud = req->own;
    struct str code = kenni_field(fields, count, "code"), token = {NULL, 0};
    cJSON *reply = json_object(req->arena);
    struct kenni_grant grant;
    const char *fault;

    if (!kenni_code_find(cloud->kenni, code, req->arena, &grant)) {
        reply_fault(req, res, 400, "invalid_grant", "grant request is invalid");
        return;
    }
    if (verifier_is_malformed(kenni_field(fields, count, "code_verifier"))) {
        reply_fault(req, res, 400, "invalid_request", "code_verifier is malformed");
        return;
    }
    fault = grant_fault(req, &grant, fields, count);
    if (!fault && !kenni_code_spend(cloud->kenni, code, req->arena, &token))
        fault = "grant request is invalid: the code was used";
    if (fault) {
        reply_fault(req, res, 400, "invalid_grant", fault);
        return;
    }
    json_add_str(reply, "access_token", token);
    json_add_i64(reply, "expires_in", ID_TOKEN_S);
    json_add_str(reply, "id_token", id_token(req, &grant, token));
    json_add_str(reply, "scope", grant.scope);
    json_add_text(reply, "token_type", "Bearer");
    respond_json(res, 200, reply);
}

void kenni_token(const struct request *req, struct response *res)
{
    struct http_param fields[HTTP_QUERY_PARAMS_MAX];
    struct str type = http_header_get(req->http, "Content-Type");
    size_t count = 0;

    if (!http_media_type_is(type, "application/x-www-form-urlencoded") ||
        !http_query_parse(req->arena, req->http->body, fields, &count)) {
        reply_fault(req, res, 400, "invalid_request",
                    "only application/x-www-form-urlencoded content-type bodies are supported");
        return;
    }
    if (!is_our_client(req, fields, count)) {
        reply_fault(req, res, 401, "invalid_client", "client authentication failed");
        respond_header(res, "WWW-Authenticate", "Basic realm=\"kenni\"");
        return;
    }
    if (!str_eq(kenni_field(fields, count, "grant_type"), STR("authorization_code"))) {
        reply_fault(req, res, 400, "unsupported_grant_type", "unsupported grant_type requested");
        return;
    }
    exchange(req, res, fields, count);
}

/* --- keys, userinfo --- */

void kenni_keys(const struct request *req, struct response *res)
{
    const struct cloud *cloud = req->own;

    respond_text(res, 200, "application/jwk-set+json; charset=utf-8",
                 jwt_signer_jwks(cloud->kenni_key, req->arena));
}

void kenni_userinfo(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    struct str header = http_header_get(req->http, "Authorization"), person;
    cJSON *reply = json_object(req->arena);

    if (!str_starts_with(header, STR("Bearer ")) ||
        !kenni_access_token_person(cloud->kenni, str_skip(header, 7), req->arena, &person)) {
        reply_fault(req, res, 401, "invalid_token", "invalid token provided");
        respond_header(res, "WWW-Authenticate", "Bearer realm=\"kenni\", error=\"invalid_token\"");
        return;
    }
    add_person(req, reply, person);
    respond_json(res, 200, reply);
}
