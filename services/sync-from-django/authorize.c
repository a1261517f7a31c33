/*
 * authorize.c - who may call: the holder of the webhook key, or a signed call; M-F09
 *
 * The key opens this endpoint only: Django's own token is another secret and is not accepted here.
 * A signed call is good once: its nonce becomes a document that must not be there yet, so a replay
 * is refused by every instance and after a restart. Expired ones go by Firestore's TTL on
 * expiresAt.
 */
#include "base/encode.h"
#include "ops/log.h"
#include "sync_from_django.h"

#define NONCE_TTL_MS (2000LL * S2S_CLOCK_SKEW_S)

static bool refuse(struct response *res, const char *reason)
{
    respond_error(res, ERR_UNAUTHENTICATED, "Unauthorized");
    res->log_reason = reason;
    return false;
}

/* "Bearer <key>", "Token <key>" or the bare key (contract §3.3). */
static struct str presented_key(const struct http_request *http)
{
    struct str value = http_header_get(http, "Authorization");

    if (http_header_count(http, "Authorization") != 1)
        return STR("");
    if (str_starts_with(value, STR("Bearer ")))
        return str_trim(str_skip(value, 7));
    if (str_starts_with(value, STR("Token ")))
        return str_trim(str_skip(value, 6));
    return str_trim(value);
}

/* Hashes are compared, so that not even the length is told. */
static bool same_secret(struct str given, const char *secret)
{
    unsigned char a[SHA256_BYTES], b[SHA256_BYTES];

    sha256(given, a);
    sha256(str_from(secret), b);
    return equal_constant_time(str_n(a, sizeof a), str_n(b, sizeof b)) && secret[0];
}

static bool by_key(const struct request *req, struct response *res)
{
    const struct sync_service *service = req->own;
    struct str given = presented_key(req->http);
    bool current = same_secret(given, service->settings->api_key);
    bool previous = same_secret(given, service->settings->previous_key);

    if (!service->settings->api_key[0])
        return refuse(res, "no webhook key is configured");
    return current || previous || refuse(res, "wrong webhook key");
}

/* The answer to our first attempt may have been lost: then the document is ours. */
static bool is_ours(const struct request *req, struct str path, struct str owner, struct error *e)
{
    struct fs_document document;
    struct str found = STR("");

    if (!firestore_get(service_firestore(req->state), path, NULL, req->arena, req->deadline_ms,
                       &document, e))
        return false;
    if (document.exists && fs_get_str(document.fields, "owner", &found) && str_eq(found, owner))
        return true;
    return error_set(e, ERR_UNAUTHENTICATED, "nonce used before");
}

static bool nonce_is_new(const struct request *req, const struct s2s_key *key, struct str nonce,
                         struct error *e)
{
    cJSON *fields = fs_fields(req->arena);
    char owner[UUID_TEXT_SIZE], id[SHA256_HEX_SIZE];
    struct str path;

    uuid_v4(owner);
    sha256_hex(arena_printf(req->arena, "%.*s|%.*s", STR_ARG(key->id), STR_ARG(nonce)), id);
    path = arena_printf(req->arena, "sync_nonces/%s", id);
    fs_add_text(fields, "owner", owner);
    fs_add_time_ms(fields, "expiresAt", req->http->arrived_unix_ms + NONCE_TTL_MS);

    const struct fs_write write = {
        .kind = FS_SET, .path = path, .fields = fields, .precondition = FS_MUST_NOT_EXIST};

    if (firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                         req->deadline_ms, NULL, e))
        return true;
    return (e->code == ERR_CONFLICT || e->code == ERR_FAILED_PRECONDITION) &&
           is_ours(req, path, str_from(owner), e);
}

static bool by_signature(const struct request *req, struct response *res)
{
    const struct sync_service *service = req->own;
    const struct s2s_key *key = NULL;
    struct str nonce = STR("");
    struct error e = {0};

    if (s2s_verify(&service->keys, req->http, req->http->arrived_unix_ms / 1000, &key, &nonce,
                   &e) &&
        nonce_is_new(req, key, nonce, &e))
        return true;
    if (e.code == ERR_UNAUTHENTICATED)
        return refuse(res, "signature refused");
    respond_error(res, ERR_INTERNAL, "Internal server error");
    res->log_reason = arena_text(req->arena, str_from(e.detail));
    return false;
}

bool caller_is_the_register(const struct request *req, struct response *res)
{
    const struct sync_service *service = req->own;
    bool is_signed = http_header_count(req->http, "X-Signature") > 0;

    switch ((enum sync_auth)service->settings->auth) {
    case SYNC_AUTH_KEY:
        return by_key(req, res);
    case SYNC_AUTH_EITHER:
        return is_signed ? by_signature(req, res) : by_key(req, res);
    case SYNC_AUTH_SIGNATURE:
        return by_signature(req, res);
    }
    return refuse(res, "no such mode");
}
