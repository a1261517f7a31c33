/*
 * once.c - one idempotency key, one update
 *
 * The key's document is created before anything else, so of two calls one goes on. The reply is
 * kept sealed under a key made of the client's own one: nobody else can read it. Firestore's TTL on
 * expiresAt removes it.
 */
#include "base/encode.h"
#include "updatememberprofile.h"

#define TTL_MS         86400000LL
#define END_TIMEOUT_MS 2000
#define REPLY_MAX      65536

struct keys {
    struct str path;
    unsigned char seal_key[SHA256_BYTES];
    char fingerprint[SHA256_HEX_SIZE];
    char call[UUID_TEXT_SIZE]; /* tells this call's claim from another one's */
};

static struct str key_of(const struct request *req, const struct profile_update *update)
{
    return req->idempotency_key.len > 0 ? req->idempotency_key : update->idempotency_key;
}

static void derive(const struct request *req, const struct profile_update *update, struct keys *ret)
{
    const struct str owner[] = {STR("id"), req->identity.uid},
                     seal_of[] = {STR("seal"), req->identity.uid};
    unsigned char hash[SHA256_BYTES];
    char hex[SHA256_HEX_SIZE];
    struct buf text;

    hmac_sha256_fields(key_of(req, update), owner, 2, hash);
    hmac_sha256_fields(key_of(req, update), seal_of, 2, ret->seal_key);
    hex_encode(hash, sizeof hash, hex);
    ret->path = arena_printf(req->arena, "profile_updates/%s", hex);
    buf_init(&text, REPLY_MAX);
    buf_add_text(&text, update->kennitala);
    (void)json_write(&text, update->updates);
    sha256_hex(buf_str(&text), ret->fingerprint);
    buf_done(&text);
    uuid_v4(ret->call);
}

static bool claim(const struct request *req, const struct keys *keys,
                  const struct fs_document *abandoned, struct error *e)
{
    cJSON *fields = fs_fields(req->arena);
    struct fs_write write = {.kind = FS_SET, .path = keys->path, .fields = fields};

    fs_add_text(fields, "fingerprint", keys->fingerprint);
    fs_add_text(fields, "call", keys->call);
    fs_add_time_ms(fields, "startedAt", req->http->arrived_unix_ms);
    fs_add_time_ms(fields, "expiresAt", req->http->arrived_unix_ms + TTL_MS);
    member_document_guard(&write, abandoned);
    return firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                            req->deadline_ms, NULL, e);
}

/* The claim stands although it was answered with a failure: the answer got lost. Nobody else would
 * free the key for ABANDONED_AFTER_MS. */
static bool is_claimed(const struct request *req, const struct keys *keys)
{
    struct fs_document document;
    struct str call;

    return firestore_get(service_firestore(req->state), keys->path, NULL, req->arena,
                         req->deadline_ms, &document, NULL) &&
           document.exists && fs_get_str(document.fields, "call", &call) &&
           str_eq_text(call, keys->call);
}

static enum once refuse(struct response *res, enum error_code code, const char *message)
{
    respond_error(res, code, message);
    return ONCE_ANSWERED;
}

static enum once replay(const struct request *req, struct response *res, const struct keys *keys,
                        struct str sealed)
{
    struct str box = STR(""), plain = STR("");
    const cJSON *reply = NULL;

    if (base64_decode(req->arena, sealed, &box) &&
        seal_open(req->arena, keys->seal_key, box, &plain))
        reply = json_parse(req->arena, plain, NULL);
    if (!reply)
        return refuse(res, ERR_INTERNAL, "The former reply cannot be read.");
    respond_json(res, 200, reply);
    res->log_reason = "replayed";
    return ONCE_ANSWERED;
}

enum once once_begin(const struct request *req, struct response *res,
                     const struct profile_update *update)
{
    const struct profile_service *service = req->own;
    struct fs_document known;
    struct str fingerprint = STR(""), sealed = STR("");
    struct error e = {0};
    struct keys keys;
    int64_t started_ms = 0;

    if (key_of(req, update).len == 0)
        return ONCE_GO;
    derive(req, update, &keys);
    if (!firestore_get(service_firestore(req->state), keys.path, NULL, req->arena, req->deadline_ms,
                       &known, &e)) {
        respond_failure(res, &e);
        return ONCE_ANSWERED;
    }
    if (known.exists) {
        (void)fs_get_str(known.fields, "fingerprint", &fingerprint);
        (void)fs_get_time_ms(known.fields, "startedAt", &started_ms);
        if (!str_eq_text(fingerprint, keys.fingerprint))
            return refuse(res, ERR_UNPROCESSABLE, "This key belongs to another request.");
        if (fs_get_str(known.fields, "reply", &sealed))
            return replay(req, res, &keys, sealed);
        if (req->http->arrived_unix_ms - started_ms < service->settings->abandoned_after_ms)
            return refuse(res, ERR_ABORTED, "The same request is still running.");
    }
    if (claim(req, &keys, &known, &e) || is_claimed(req, &keys))
        return ONCE_GO;
    if (e.code == ERR_CONFLICT || e.code == ERR_FAILED_PRECONDITION)
        return refuse(res, ERR_ABORTED, "The same request is still running.");
    respond_failure(res, &e);
    return ONCE_ANSWERED;
}

static void keep(const struct request *req, const struct keys *keys, const cJSON *reply,
                 struct fs_write *write)
{
    static const struct str mask[] = {{"reply", 5}};
    cJSON *fields = fs_fields(req->arena);
    struct buf text;

    buf_init(&text, REPLY_MAX);
    must(json_write(&text, reply));
    fs_add_str(fields, "reply",
               base64_encode(req->arena, seal(req->arena, keys->seal_key, buf_str(&text))));
    buf_done(&text);
    write->kind = FS_MERGE;
    write->fields = fields;
    write->mask = mask;
    write->mask_count = 1;
}

void once_end(const struct request *req, const struct profile_update *update, const cJSON *reply)
{
    struct error e = {0};
    struct keys keys;
    bool ok = false;

    if (key_of(req, update).len == 0)
        return;
    derive(req, update, &keys);

    struct fs_write write = {.kind = FS_DELETE, .path = keys.path};

    if (reply)
        keep(req, &keys, reply, &write);
    /* Twice: without it the key is taken for ABANDONED_AFTER_MS, and whoever repeats has to wait.
     */
    for (int i = 0; !ok && i < 2; i++)
        ok = firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                              clock_mono_ms() + END_TIMEOUT_MS, NULL, &e);
    if (!ok)
        log_warning("idempotency record not written", LOG_TEXT("reason", str_from(e.detail)));
}
