#include "cloud/access_token_fetch.h"

#include "base/clock.h"

#define KEY_FILE_MAX_BYTES 65536
#define TOKEN_MAX_BYTES    4096 /* Google: leave room for 2048 */
#define EMAIL_MAX_BYTES    320
#define ANSWER_MAX_BYTES   16384
#define ASSERTION_LIFE_S   3600
#define LIFETIME_MAX_S     (12 * 3600)
#define ATTEMPT_MS         3000
#define ATTEMPTS_MAX       3
#define DEFAULT_TOKEN_URI  "https://oauth2.googleapis.com/token"
#define METADATA_PATH      "/computeMetadata/v1/instance/service-accounts/default/"
#define GRANT_TYPE         "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
#define FORM_TYPE          "application/x-www-form-urlencoded"
#define METADATA_FLAVOR    "Metadata-Flavor"

/* ---- The key file ---- */

static bool read_file(const char *path, struct buf *b)
{
    char chunk[4096];
    size_t got = 0;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_add(b, str_n(chunk, got));
    bool ok = !ferror(file) && !b->overflow;
    explicit_bzero(chunk, sizeof(chunk));
    (void)fclose(file);
    return ok;
}

static char *dup_str(struct str s)
{
    char *copy = strndup(s.ptr ? s.ptr : "", s.len);
    must(copy);
    return copy;
}

static bool take_key(struct token_origin *o, const cJSON *key, struct error *e)
{
    struct str email;
    struct str pem;
    struct str kid = STR("");
    struct str uri = STR(DEFAULT_TOKEN_URI);
    (void)json_str(key, "private_key_id", &kid);
    (void)json_str(key, "token_uri", &uri);
    if (!json_str(key, "client_email", &email) || email.len == 0 || email.len > EMAIL_MAX_BYTES ||
        !json_str(key, "private_key", &pem))
        return error_set(e, ERR_INTERNAL, "key file: no service account's key");
    o->signer = jwt_signer_from_pem(pem, kid, e);
    if (!o->signer)
        return false;
    o->key_email = dup_str(email);
    o->token_uri = dup_str(uri);
    return true;
}

bool token_origin_load_key(struct token_origin *o, const char *path, struct error *e)
{
    struct buf text;
    bool ok = false;
    buf_init(&text, KEY_FILE_MAX_BYTES);
    if (read_file(path, &text)) {
        struct arena *scratch = arena_new(ARENA_MAX_BYTES);
        const cJSON *key = json_parse(scratch, buf_str(&text), NULL);
        ok = take_key(o, key, e);
        arena_free(scratch);
    } else {
        error_set(e, ERR_INTERNAL, "key file: cannot be read");
    }
    if (text.ptr)
        explicit_bzero(text.ptr, text.len);
    buf_done(&text);
    return ok;
}

void token_origin_done(struct token_origin *o)
{
    jwt_signer_free(o->signer);
    free(o->key_email);
    free(o->token_uri);
    free(o->metadata_host);
    free(o->scope);
}

/* ---- Asking ---- */

static bool ask_metadata(const struct token_origin *o, const char *what, struct arena *a,
                         int64_t deadline_ms, struct http_answer *ret, struct error *e)
{
    const struct http_header flavor = {STR(METADATA_FLAVOR), STR("Google")};
    const struct http_call call = {
        .method = HTTP_GET,
        .url = arena_printf(a, "http://%s" METADATA_PATH "%s", o->metadata_host, what),
        .headers = &flavor,
        .header_count = 1,
        .deadline_ms = deadline_ms,
        .attempt_timeout_ms = ATTEMPT_MS,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .attempts_max = ATTEMPTS_MAX,
        .repeatable = true,
    };
    if (!http_client_call(o->client, &call, a, ret, NULL, e))
        return false;
    if (ret->status != 200)
        return error_set(e, ERR_UNAVAILABLE, "metadata server: status %d", ret->status);
    /* Whoever else may answer at that address does not say this. */
    if (!str_eq(http_answer_header(ret, METADATA_FLAVOR), STR("Google")))
        return error_set(e, ERR_UNAVAILABLE, "metadata server: is none");
    return true;
}

static struct str assertion(const struct token_origin *o, struct arena *a)
{
    int64_t now_s = clock_unix_ms() / 1000;
    cJSON *claims = json_object(a);
    json_add_text(claims, "iss", o->key_email);
    json_add_text(claims, "scope", o->scope);
    json_add_text(claims, "aud", o->token_uri);
    json_add_i64(claims, "iat", now_s);
    json_add_i64(claims, "exp", now_s + ASSERTION_LIFE_S);
    return jwt_sign(o->signer, a, claims);
}

/* The assertion may be used more than once: asking again is safe. */
static bool ask_token_endpoint(const struct token_origin *o, struct arena *a, int64_t deadline_ms,
                               struct http_answer *ret, struct error *e)
{
    const struct http_header type = {STR("Content-Type"), STR(FORM_TYPE)};
    const struct http_call call = {
        .method = HTTP_POST,
        .url = str_from(o->token_uri),
        .headers = &type,
        .header_count = 1,
        .body =
            arena_printf(a, "grant_type=%s&assertion=%.*s", GRANT_TYPE, STR_ARG(assertion(o, a))),
        .deadline_ms = deadline_ms,
        .attempt_timeout_ms = ATTEMPT_MS,
        .answer_max_bytes = ANSWER_MAX_BYTES,
        .attempts_max = ATTEMPTS_MAX,
        .repeatable = true,
    };
    if (!http_client_call(o->client, &call, a, ret, NULL, e))
        return false;
    if (ret->status != 200)
        return error_set(e, ERR_UNAVAILABLE, "token endpoint: status %d", ret->status);
    return true;
}

static bool read_grant(struct str body, struct arena *a, struct token_grant *ret, struct error *e)
{
    const cJSON *json = json_parse(a, body, NULL);
    if (!json_str(json, "access_token", &ret->token) || ret->token.len == 0 ||
        ret->token.len > TOKEN_MAX_BYTES || !http_is_field_value(ret->token) ||
        !json_i64(json, "expires_in", &ret->lifetime_s) || ret->lifetime_s <= 0)
        return error_set(e, ERR_UNAVAILABLE, "answer without a token");
    if (ret->lifetime_s > LIFETIME_MAX_S)
        ret->lifetime_s = LIFETIME_MAX_S;
    return true;
}

bool token_origin_fetch(const struct token_origin *o, struct arena *a, int64_t deadline_ms,
                        struct token_grant *ret, struct error *e)
{
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    bool ok = o->signer ? ask_token_endpoint(o, a, deadline_ms, answer, e)
                        : ask_metadata(o, "token", a, deadline_ms, answer, e);
    return ok && read_grant(answer->body, a, ret, e);
}

bool token_origin_fetch_email(const struct token_origin *o, struct arena *a, int64_t deadline_ms,
                              struct str *ret, struct error *e)
{
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    if (!ask_metadata(o, "email", a, deadline_ms, answer, e))
        return error_set(e, ERR_UNAVAILABLE, "service account's e-mail: cannot be had");
    *ret = str_trim(answer->body);
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@.-_:";
    if (ret->len > EMAIL_MAX_BYTES || !str_only(*ret, allowed) ||
        str_find_char(*ret, '@') == ret->len)
        return error_set(e, ERR_UNAVAILABLE, "metadata server: no e-mail address");
    return true;
}
