/*
 * signin.c - custom tokens into ID tokens, and those anew
 *
 * Stricter than Firebase's emulator and like its cloud: the custom token's signature, issuer and
 * times are checked, ID tokens are signed RS256, and a revoked refresh token is refused. Source:
 * firebase.google.com/docs/auth/admin/create-custom-tokens, …/reference/rest/auth.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "identity.h"

#define CUSTOM_TOKEN_AUDIENCE                                                                      \
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
#define REFRESH_TOKEN_BYTES 32
#define CLOCK_SKEW_S        60

/* --- ID tokens --- */

static void add_claims(cJSON *claims, const cJSON *more)
{
    const cJSON *member;

    cJSON_ArrayForEach(member, more)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(claims, member->string);
        json_add_copy(claims, member->string, member);
    }
}

static void add_identity(cJSON *identities, const char *name, const cJSON *value)
{
    if (value)
        json_add_copy(json_add_array(identities, name), NULL, value);
}

static void add_from_account(cJSON *claims, const cJSON *account)
{
    static const char *const names[][2] = {{"displayName", "name"},
                                           {"photoUrl", "picture"},
                                           {"email", "email"},
                                           {"phoneNumber", "phone_number"}};
    cJSON *firebase, *identities;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_get(account, names[i][0]))
            account_set(claims, names[i][1], json_str_value(json_get(account, names[i][0])));
    }
    if (json_get(account, "email"))
        account_set_bool(claims, "email_verified",
                         cJSON_IsTrue(json_get(account, "emailVerified")));
    cJSON_DeleteItemFromObjectCaseSensitive(claims, "firebase");
    firebase = json_add_object(claims, "firebase");
    identities = json_add_object(firebase, "identities");
    add_identity(identities, "email", json_get(account, "email"));
    add_identity(identities, "phone", json_get(account, "phoneNumber"));
    json_add_text(firebase, "sign_in_provider", "custom");
}

/* Custom claims of the account, those of the custom token over them, Google's own over all. */
static struct str id_token(const struct request *req, struct str project, const cJSON *account,
                           const cJSON *token_claims, int64_t auth_time_s)
{
    const struct cloud *cloud = req->own;
    int64_t now_s = clock_unix_ms() / 1000;
    struct str uid = json_str_value(json_get(account, "localId")), text;
    cJSON *own = json_object(req->arena), *claims = json_object(req->arena);
    struct error e;

    if (json_str(account, "customAttributes", &text))
        add_claims(claims, json_parse(req->arena, text, &e));
    add_claims(claims, token_claims);
    add_from_account(claims, account);
    json_add_str(own, "iss",
                 arena_printf(req->arena, "https://securetoken.google.com/%.*s", STR_ARG(project)));
    json_add_str(own, "aud", project);
    json_add_i64(own, "auth_time", auth_time_s);
    json_add_str(own, "user_id", uid);
    json_add_str(own, "sub", uid);
    json_add_i64(own, "iat", now_s);
    json_add_i64(own, "exp", now_s + TOKEN_TTL_S);
    add_claims(claims, own);
    return jwt_sign(cloud->id_token_key, req->arena, claims);
}

/* --- signInWithCustomToken --- */

static const char *custom_token_fault(const struct request *req, struct str token,
                                      const cJSON **ret_claims, struct str *ret_uid)
{
    struct service_account account;
    int64_t now_s = clock_unix_ms() / 1000, exp = 0, iat = 0;
    const cJSON *claims;
    struct str text;
    bool good;

    if (!service_account_get(req, &account))
        return "INTERNAL_ERROR";
    good = service_account_signed(&account, req->arena, token, &claims);
    jwt_signer_free(account.signer);
    if (!claims)
        return "INVALID_CUSTOM_TOKEN : Invalid assertion format";
    if (!json_str(claims, "aud", &text) || !str_eq(text, STR(CUSTOM_TOKEN_AUDIENCE)))
        return "INVALID_CUSTOM_TOKEN : ((Invalid aud (audience)))";
    if (!json_str(claims, "uid", ret_uid) || ret_uid->len == 0)
        return "MISSING_IDENTIFIER";
    if (ret_uid->len > UID_MAX_BYTES)
        return "INVALID_IDENTIFIER";
    if (!json_str(claims, "iss", &text) || !str_eq(text, account.email) ||
        !json_str(claims, "sub", &text) || !str_eq(text, account.email))
        return "INVALID_CUSTOM_TOKEN : the issuer is no service account of this project";
    if (!good)
        return "INVALID_CUSTOM_TOKEN : the signature is wrong";
    if (!json_i64(claims, "iat", &iat) || !json_i64(claims, "exp", &exp) ||
        iat > now_s + CLOCK_SKEW_S || exp <= now_s || exp > iat + TOKEN_TTL_S)
        return "INVALID_CUSTOM_TOKEN : the token is expired, or not yet valid";
    *ret_claims = json_get(claims, "claims");
    return NULL;
}

static struct str new_refresh_token(struct store *s, struct arena *a, struct str project,
                                    struct str uid, const cJSON *claims, int64_t auth_time_s)
{
    unsigned char random[REFRESH_TOKEN_BYTES];
    struct str token;
    struct buf text;
    sqlite3_stmt *put = store_statement(
        s, "insert into refresh_tokens (token, project, uid, claims, auth_time) values (?1, ?2, "
           "?3, ?4, ?5)");

    random_bytes(random, sizeof random);
    token = base64url_encode(a, str_n(random, sizeof random));
    buf_init(&text, JWT_MAX_BYTES);
    if (claims)
        must(json_write(&text, claims)); /* it came in a token of that size */
    store_bind_str(put, 1, token);
    store_bind_str(put, 2, project);
    store_bind_str(put, 3, uid);
    store_bind_str(put, 4, claims ? buf_str(&text) : STR("{}"));
    sqlite3_bind_int64(put, 5, auth_time_s);
    store_run(s, put);
    buf_done(&text);
    return token;
}

/* The account of the token, made when there is none. */
static cJSON *signed_in_account(struct store *s, struct arena *a, struct str project,
                                struct str uid, bool *ret_new)
{
    struct str now = arena_printf(a, "%lld", (long long)clock_unix_ms());
    cJSON *account = account_load(s, a, project, uid);
    char iso[CLOCK_ISO_SIZE];

    *ret_new = !account;
    if (!account) {
        account = json_object(a);
        json_add_str(account, "localId", uid);
        json_add_str(account, "createdAt", now);
    }
    if (account_is_disabled(account))
        return account;
    clock_iso_utc(clock_unix_ms(), iso);
    account_set(account, "lastLoginAt", now);
    account_set(account, "lastRefreshAt", str_from(iso));
    account_set_bool(account, "customAuth", true);
    account_save(s, project, account);
    return account;
}

void sign_in_with_custom_token(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    const struct cloud_settings *settings = service_settings(req->state);
    struct str project = str_from(settings->project_id), token = {NULL, 0}, uid = {NULL, 0};
    const cJSON *body, *claims = NULL, *account;
    int64_t now_s = clock_unix_ms() / 1000;
    cJSON *reply = json_object(req->arena);
    const char *fault;
    struct refusal r;
    bool is_new, disabled;

    if (!caller_has_api_key(req, res))
        return;
    body = body_object(req, &r);
    (void)json_str(body, "token", &token);
    fault = token.len == 0 ? "MISSING_CUSTOM_TOKEN" : custom_token_fault(req, token, &claims, &uid);
    if (fault) {
        reply_reason(res, fault);
        return;
    }
    store_begin(cloud->store);
    account = signed_in_account(cloud->store, req->arena, project, uid, &is_new);
    disabled = account_is_disabled(account);
    json_add_text(reply, "kind", "identitytoolkit#VerifyCustomTokenResponse");
    json_add_bool(reply, "isNewUser", is_new);
    if (!disabled) {
        json_add_str(reply, "idToken", id_token(req, project, account, claims, now_s));
        json_add_str(reply, "refreshToken",
                     new_refresh_token(cloud->store, req->arena, project, uid, claims, now_s));
        json_add_text(reply, "expiresIn", "3600");
    }
    (void)store_end(cloud->store, !disabled);
    if (disabled)
        reply_reason(res, "USER_DISABLED");
    else
        reply_json(res, reply);
}

/* --- refresh --- */

struct refresh {
    struct str project, uid;
    const cJSON *claims;
    int64_t auth_time_s;
};

static bool load_refresh(struct store *s, struct arena *a, struct str token, struct refresh *ret)
{
    sqlite3_stmt *row = store_statement(
        s, "select project, uid, claims, auth_time from refresh_tokens where token = ?1");
    struct error e;

    store_bind_str(row, 1, token);
    if (!store_step(s, row))
        return false;
    ret->project = store_column(row, 0, a);
    ret->uid = store_column(row, 1, a);
    ret->claims = json_parse(a, store_column(row, 2, a), &e);
    ret->auth_time_s = sqlite3_column_int64(row, 3);
    sqlite3_reset(row);
    return true;
}

static const char *refresh(const struct request *req, struct str token, cJSON *reply)
{
    const struct cloud_settings *settings = service_settings(req->state);
    struct cloud *cloud = req->own;
    struct refresh known;
    const cJSON *account;
    struct str made;

    if (token.len == 0)
        return "MISSING_REFRESH_TOKEN";
    if (!load_refresh(cloud->store, req->arena, token, &known))
        return "INVALID_REFRESH_TOKEN";
    account = account_load(cloud->store, req->arena, known.project, known.uid);
    if (!account)
        return "USER_NOT_FOUND";
    if (account_is_disabled(account))
        return "USER_DISABLED";
    if (known.auth_time_s < account_valid_since_s(account))
        return "TOKEN_EXPIRED";
    made = id_token(req, known.project, account, known.claims, known.auth_time_s);
    json_add_str(reply, "id_token", made);
    json_add_str(reply, "access_token", made);
    json_add_text(reply, "expires_in", "3600");
    json_add_str(reply, "refresh_token", token);
    json_add_text(reply, "token_type", "Bearer");
    json_add_str(reply, "user_id", known.uid);
    json_add_text(reply, "project_id", settings->project_number);
    return NULL;
}

/* A form, as Google documents it, or JSON, as its clients may send. */
static struct str sent_refresh_token(const struct request *req)
{
    struct http_param params[HTTP_QUERY_PARAMS_MAX];
    struct str token = {NULL, 0};
    struct refusal r;
    size_t count = 0;

    if (http_media_type_is(http_header_get(req->http, "Content-Type"), "application/json")) {
        const cJSON *body = body_object(req, &r);

        if (!json_str(body, "refresh_token", &token))
            (void)json_str(body, "refreshToken", &token);
        return token;
    }
    if (http_query_parse(req->arena, req->http->body, params, &count)) {
        for (size_t i = 0; i < count; i++) {
            if (str_eq_text(params[i].name, "refresh_token"))
                token = params[i].value;
        }
    }
    return token;
}

void refresh_id_token(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *reply = json_object(req->arena);
    const char *fault;

    if (!caller_has_api_key(req, res))
        return;
    store_begin(cloud->store);
    fault = refresh(req, sent_refresh_token(req), reply);
    (void)store_end(cloud->store, true);
    if (fault)
        reply_reason(res, fault);
    else
        reply_json(res, reply);
}

/* --- accounts:lookup by the person --- */

static const char *own_account(const struct request *req, struct str token, const cJSON **ret)
{
    struct cloud *cloud = req->own;
    struct jwk_set *keys;
    struct jwt decoded;
    struct str project = {NULL, 0}, uid = {NULL, 0};
    int64_t issued_s = 0, expires_s = 0;
    struct error e;
    bool good;

    if (token.len == 0)
        return "MISSING_ID_TOKEN";
    keys = jwk_set_parse(jwt_signer_jwks(cloud->id_token_key, req->arena), &e);
    must(keys);
    good = jwt_decode(req->arena, token, false, &decoded, &e) && jwt_verify(&decoded, keys, &e) &&
           json_str(decoded.claims, "aud", &project) && json_str(decoded.claims, "sub", &uid) &&
           json_i64(decoded.claims, "iat", &issued_s) &&
           json_i64(decoded.claims, "exp", &expires_s);
    jwk_set_free(keys);
    if (!good)
        return "INVALID_ID_TOKEN";
    if (expires_s <= clock_unix_ms() / 1000)
        return "TOKEN_EXPIRED";
    *ret = account_load(cloud->store, req->arena, project, uid);
    if (!*ret)
        return "USER_NOT_FOUND";
    if (account_is_disabled(*ret))
        return "USER_DISABLED";
    return issued_s < account_valid_since_s(*ret) ? "TOKEN_EXPIRED" : NULL;
}

void lookup_own_account(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *reply = json_object(req->arena);
    const cJSON *account = NULL;
    struct str token = {NULL, 0};
    struct refusal r;
    const char *fault;

    if (!caller_has_api_key(req, res))
        return;
    (void)json_str(body_object(req, &r), "idToken", &token);
    store_begin(cloud->store);
    fault = own_account(req, token, &account);
    (void)store_end(cloud->store, true);
    if (fault) {
        reply_reason(res, fault);
        return;
    }
    json_add_text(reply, "kind", "identitytoolkit#GetAccountInfoResponse");
    json_add_copy(json_add_array(reply, "users"), NULL, account);
    reply_json(res, reply);
}
