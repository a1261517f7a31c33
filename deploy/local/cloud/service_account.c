/*
 * service_account.c - the stack's service account: its key file, and signing for who has none
 *
 * The file looks like the one Google hands out, so GOOGLE_APPLICATION_CREDENTIALS can name it.
 * Source: cloud.google.com/iam/docs/keys-create-delete, …/reference/credentials/rest.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "identity.h"
#include "service/settings.h"

#include <errno.h>
#include <fcntl.h>

#define FILE_MAX_BYTES 16384
#define KID            "local-service-account"

/* --- the file --- */

static struct str default_email(const struct cloud_settings *settings, struct arena *a)
{
    return arena_printf(a, "local@%s.iam.gserviceaccount.com", settings->project_id);
}

static struct str file_text(const struct cloud_settings *settings, int64_t port, struct arena *a)
{
    struct jwt_signer *signer = jwt_signer_generate(STR(KID));
    cJSON *file = json_object(a);
    struct buf text;
    struct str copy;

    json_add_text(file, "type", "service_account");
    json_add_text(file, "project_id", settings->project_id);
    json_add_text(file, "private_key_id", KID);
    json_add_str(file, "private_key", jwt_signer_pem(signer, a));
    json_add_str(file, "client_email", default_email(settings, a));
    json_add_str(file, "token_uri",
                 arena_printf(a, "http://127.0.0.1:%lld/oauth2/token", (long long)port));
    jwt_signer_free(signer);
    buf_init(&text, FILE_MAX_BYTES);
    must(json_write(&text, file));
    copy = arena_dup(a, buf_str(&text));
    buf_done(&text);
    return copy;
}

bool service_account_make(struct service_state *state, struct cloud *cloud, struct error *e)
{
    const struct cloud_settings *settings = service_settings(state);
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    const char *path = arena_printf(a, "%s/service-account.json", settings->key_dir).ptr;
    struct str text = file_text(settings, service_server_settings(state)->port, a);
    bool good = true;
    int fd;

    if (*settings->key_dir) {
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            good = write(fd, text.ptr, text.len) == (ssize_t)text.len;
            good = close(fd) == 0 && good;
        } else {
            good = errno == EEXIST;
        }
    } else {
        cloud->service_account = strndup(text.ptr, text.len);
        must(cloud->service_account);
    }
    arena_free(a);
    return good || error_set(e, ERR_INTERNAL, "cannot write service-account.json to KEY_DIR");
}

static bool read_text(const struct request *req, struct str *ret)
{
    const struct cloud_settings *settings = service_settings(req->state);
    const struct cloud *cloud = req->own;
    const char *path;
    char *text;
    ssize_t len;
    int fd;

    if (cloud->service_account) {
        *ret = str_from(cloud->service_account);
        return true;
    }
    path = arena_printf(req->arena, "%s/service-account.json", settings->key_dir).ptr;
    text = arena_alloc(req->arena, FILE_MAX_BYTES);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, FILE_MAX_BYTES);
    close(fd);
    *ret = str_n(text, len > 0 ? (size_t)len : 0);
    return len > 0;
}

bool service_account_get(const struct request *req, struct service_account *ret)
{
    const cJSON *file;
    struct error e;
    struct str text;

    if (!read_text(req, &text))
        return false;
    file = json_parse(req->arena, text, &e);
    if (!json_str(file, "client_email", &ret->email) || !json_str(file, "private_key", &ret->pem))
        return false;
    ret->signer = jwt_signer_from_pem(ret->pem, STR(KID), &e);
    return ret->signer != NULL;
}

/* --- what it signed --- */

/* jwt_decode() wants a kid, which the Admin SDK's custom tokens do not have. */
static bool split(struct arena *a, struct str token, struct jwt *ret)
{
    struct str rest = token, header, payload, signature, text;
    struct error e;

    *ret = (struct jwt){.kid = STR(KID)};
    if (token.len > JWT_MAX_BYTES || !str_split(&rest, '.', &header) ||
        !str_split(&rest, '.', &payload) || !str_split(&rest, '.', &signature) || rest.ptr)
        return false;
    ret->signed_part = str_take(token, header.len + 1 + payload.len);
    if (!base64url_decode(a, header, &text))
        return false;
    ret->header = json_parse(a, text, &e);
    if (!base64url_decode(a, payload, &text))
        return false;
    ret->claims = json_parse(a, text, &e);
    return cJSON_IsObject(ret->header) && cJSON_IsObject(ret->claims) &&
           base64url_decode(a, signature, &ret->signature);
}

bool service_account_signed(const struct service_account *account, struct arena *a,
                            struct str token, const cJSON **ret_claims)
{
    struct str algorithm = {NULL, 0};
    struct jwk_set *keys;
    struct jwt decoded;
    struct error e;
    bool good;

    *ret_claims = NULL;
    if (!split(a, token, &decoded))
        return false;
    *ret_claims = decoded.claims;
    keys = jwk_set_parse(jwt_signer_jwks(account->signer, a), &e);
    must(keys);
    good = json_str(decoded.header, "alg", &algorithm) && str_eq(algorithm, STR("RS256")) &&
           jwt_verify(&decoded, keys, &e);
    jwk_set_free(keys);
    return good;
}

/* --- signBlob, signJwt --- */

static bool sign_blob(const struct request *req, const cJSON *body,
                      const struct service_account *account, cJSON *reply, struct refusal *r)
{
    struct str payload = {NULL, 0}, data;

    if (!json_str(body, "payload", &payload) || !base64_decode(req->arena, payload, &data))
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "payload must be base64");
    json_add_text(reply, "keyId", KID);
    json_add_str(
        reply, "signedBlob",
        base64_encode(req->arena, jwt_signer_sign_bytes(account->signer, req->arena, data)));
    return true;
}

static bool sign_jwt(const struct request *req, const cJSON *body,
                     const struct service_account *account, cJSON *reply, struct refusal *r)
{
    struct str payload = {NULL, 0};
    const cJSON *claims;
    struct error e;

    (void)json_str(body, "payload", &payload);
    claims = payload.len <= JWT_CLAIMS_MAX_BYTES ? json_parse(req->arena, payload, &e) : NULL;
    if (!cJSON_IsObject(claims))
        return refuse(r, GSTATUS_INVALID_ARGUMENT, "payload must be a short JSON object as text");
    json_add_text(reply, "keyId", KID);
    json_add_str(reply, "signedJwt", jwt_sign(account->signer, req->arena, claims));
    return true;
}

static bool sign(const struct request *req, cJSON *reply, struct refusal *r)
{
    struct str rest = req->params[1], email, verb = {NULL, 0};
    struct service_account account;
    const cJSON *body;
    bool good;

    (void)str_split(&rest, ':', &email);
    (void)str_split(&rest, ':', &verb);
    if (!caller_is_allowed(req, r))
        return false;
    body = body_object(req, r);
    if (!body)
        return false;
    if (!service_account_get(req, &account))
        return refuse(r, GSTATUS_INTERNAL, "service-account.json cannot be used");
    if (!str_eq(email, account.email) && !str_eq(email, STR("-")))
        good = refuse(r, GSTATUS_NOT_FOUND, "there is no such service account");
    else if (str_eq(verb, STR("signBlob")))
        good = sign_blob(req, body, &account, reply, r);
    else if (str_eq(verb, STR("signJwt")))
        good = sign_jwt(req, body, &account, reply, r);
    else
        good = refuse(r, GSTATUS_NOT_FOUND, "there is no such method");
    jwt_signer_free(account.signer);
    return good;
}

void sign_as_service_account(const struct request *req, struct response *res)
{
    cJSON *reply = json_object(req->arena);
    struct refusal r;

    if (sign(req, reply, &r))
        reply_json(res, reply);
    else
        reply_refusal(res, &r);
}
