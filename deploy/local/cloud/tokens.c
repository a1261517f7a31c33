/*
 * tokens.c - ID tokens and App Check tokens with Google's claims
 *
 * Everything in a call that is no instruction of ours becomes a claim; one that Google would set
 * replaces it, and null leaves it out. So a test can ask for a token that is wrong in one point.
 * Source: firebase.google.com/docs/auth/admin/verify-id-tokens,
 * …/app-check/custom-resource-backend.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "cloud.h"

#define SCRATCH_MAX_BYTES (256U << 10) /* one token at a time */
#define REPLY_MAX_BYTES   (8U << 20)
#define ASKED_MAX_BYTES   4096      /* claims of one token: services take tokens of 8 KiB at most */
#define TTL_MAX_S         315360000 /* ten years, either way */

/* --- claims --- */

/* What is wrong with what is asked for one token, so that nothing beyond these bounds is built. */
static const char *fault_of(const cJSON *asked, const char *subject)
{
    int64_t ttl_s = TOKEN_TTL_S;
    struct str text;
    struct buf size;
    bool fits;

    if (!json_str(asked, subject, &text) || text.len == 0)
        return "uid (of an App Check token: app_id) must be a text that is not empty";
    if (json_get(asked, "ttl_s") &&
        (!json_i64(asked, "ttl_s", &ttl_s) || ttl_s < -TTL_MAX_S || ttl_s > TTL_MAX_S))
        return "ttl_s must be a whole number of seconds within ten years";
    buf_init(&size, ASKED_MAX_BYTES);
    fits = json_write(&size, asked);
    buf_done(&size);
    return fits ? NULL : "the claims of one token may have 4096 bytes";
}

static bool is_instruction(const char *name)
{
    static const char *const instructions[] = {"uid",   "project", "ttl_s",  "app_id",
                                               "count", "prefix",  "tokens", NULL};

    for (size_t i = 0; instructions[i]; i++) {
        if (strcmp(instructions[i], name) == 0)
            return true;
    }
    return false;
}

static void add_asked_claims(cJSON *claims, const cJSON *asked)
{
    const cJSON *member;

    cJSON_ArrayForEach(member, asked)
    {
        if (is_instruction(member->string))
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(claims, member->string);
        if (!cJSON_IsNull(member))
            json_add_item(claims, member->string, cJSON_Duplicate(member, true));
    }
}

static void add_times(cJSON *claims, const cJSON *asked, int64_t now_s)
{
    int64_t ttl_s = TOKEN_TTL_S;

    (void)json_i64(asked, "ttl_s", &ttl_s);
    json_add_i64(claims, "iat", now_s);
    json_add_i64(claims, "exp", now_s + ttl_s);
}

static struct str project_of(const struct request *req, const cJSON *asked)
{
    const struct cloud_settings *settings = service_settings(req->state);
    struct str project = str_from(settings->project_id);

    (void)json_str(asked, "project", &project);
    return project;
}

static struct str sign_id_token(const struct request *req, struct arena *a, const cJSON *asked)
{
    const struct cloud *cloud = req->own;
    struct str project = project_of(req, asked), uid = json_str_value(json_get(asked, "uid"));
    int64_t now_s = clock_unix_ms() / 1000;
    cJSON *claims = json_object(a), *firebase = cJSON_CreateObject();

    json_add_str(claims, "iss",
                 arena_printf(a, "https://securetoken.google.com/%.*s", STR_ARG(project)));
    json_add_str(claims, "aud", project);
    json_add_i64(claims, "auth_time", now_s);
    json_add_str(claims, "user_id", uid);
    json_add_str(claims, "sub", uid);
    add_times(claims, asked, now_s);
    json_add_item(firebase, "identities", cJSON_CreateObject());
    json_add_text(firebase, "sign_in_provider", "custom");
    json_add_item(claims, "firebase", firebase);
    add_asked_claims(claims, asked);
    return jwt_sign(cloud->id_token_key, a, claims);
}

/* --- one token --- */

void issue_id_token(const struct request *req, struct response *res)
{
    const char *fault = fault_of(req->body, "uid");
    cJSON *reply = json_object(req->arena);

    if (fault) {
        respond_error(res, ERR_BAD_REQUEST, fault);
        return;
    }
    json_add_str(reply, "idToken", sign_id_token(req, req->arena, req->body));
    respond_json(res, 200, reply);
}

void issue_app_check_token(const struct request *req, struct response *res)
{
    const struct cloud_settings *settings = service_settings(req->state);
    const struct cloud *cloud = req->own;
    struct arena *a = req->arena;
    const char *fault = fault_of(req->body, "app_id");
    cJSON *claims = json_object(a), *reply = json_object(a), *audience;
    struct str project = project_of(req, req->body);

    if (fault) {
        respond_error(res, ERR_BAD_REQUEST, fault);
        return;
    }
    audience = cJSON_CreateArray();
    json_add_str(
        claims, "iss",
        arena_printf(a, "https://firebaseappcheck.googleapis.com/%s", settings->project_number));
    json_add_str(claims, "sub", json_str_value(json_get(req->body, "app_id")));
    cJSON_AddItemToArray(
        audience, cJSON_CreateString(arena_printf(a, "projects/%s", settings->project_number).ptr));
    cJSON_AddItemToArray(
        audience, cJSON_CreateString(arena_printf(a, "projects/%.*s", STR_ARG(project)).ptr));
    json_add_item(claims, "aud", audience);
    add_times(claims, req->body, clock_unix_ms() / 1000);
    add_asked_claims(claims, req->body);
    json_add_str(reply, "token", jwt_sign(cloud->app_check_key, a, claims));
    respond_json(res, 200, reply);
}

/* --- many tokens --- */

/* A number with a possible date for the nth made-up person: 33,600 different ones. */
static struct str nth_kennitala(struct arena *a, int64_t n)
{
    return arena_printf(a, "%02d%02d%02d2009", (int)(n % 28 + 1), (int)(n / 28 % 12 + 1),
                        (int)(n / 336 % 100));
}

/* What {count, prefix, …} asks for its nth: the common claims, a uid and a kennitala of its own. */
static const cJSON *nth_asked(const struct request *req, struct arena *a, struct str prefix,
                              int64_t n)
{
    cJSON *asked = json_object(a);

    json_add_str(asked, "kennitala", nth_kennitala(a, n));
    for (const cJSON *member = req->body->child; member; member = member->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(asked, member->string);
        json_add_item(asked, member->string, cJSON_Duplicate(member, true));
    }
    cJSON_DeleteItemFromObjectCaseSensitive(asked, "uid");
    json_add_str(asked, "uid", arena_printf(a, "%.*s%lld", STR_ARG(prefix), (long long)n));
    return asked;
}

static void add_token(struct buf *out, struct str token)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '[')
        buf_add_char(out, ',');
    buf_add_json_string(out, token);
}

/* Each token is made in memory of its own, so that thousands fit into one request. */
static const char *add_listed(const struct request *req, const cJSON *list, struct arena *scratch,
                              struct buf *out)
{
    const cJSON *asked;

    cJSON_ArrayForEach(asked, list)
    {
        const char *fault = fault_of(asked, "uid");

        if (fault)
            return fault;
        arena_reset(scratch);
        add_token(out, sign_id_token(req, scratch, asked));
    }
    return NULL;
}

static const char *add_counted(const struct request *req, struct arena *scratch, struct buf *out)
{
    struct str prefix = STR("voter-");
    int64_t count;

    if (!json_i64(req->body, "count", &count) || count < 1 || count > TOKENS_AT_ONCE_MAX)
        return "tokens must be a list, or count a number from 1 to 5000";
    (void)json_str(req->body, "prefix", &prefix);
    if (prefix.len > UID_MAX_BYTES)
        return "prefix may have 128 bytes";
    for (int64_t n = 0; n < count; n++) {
        const cJSON *asked;
        const char *fault;

        arena_reset(scratch);
        asked = nth_asked(req, scratch, prefix, n);
        fault = fault_of(asked, "uid");
        if (fault)
            return fault;
        add_token(out, sign_id_token(req, scratch, asked));
    }
    return NULL;
}

void issue_id_tokens(const struct request *req, struct response *res)
{
    const cJSON *list = json_get(req->body, "tokens");
    struct arena *scratch;
    const char *fault;
    struct buf out;

    if (cJSON_IsArray(list) && cJSON_GetArraySize(list) > TOKENS_AT_ONCE_MAX) {
        respond_error(res, ERR_BAD_REQUEST, "at most 5000 tokens at once");
        return;
    }
    scratch = arena_new(SCRATCH_MAX_BYTES);
    buf_init(&out, REPLY_MAX_BYTES);
    buf_add_text(&out, "{\"idTokens\":[");
    fault = cJSON_IsArray(list) ? add_listed(req, list, scratch, &out)
                                : add_counted(req, scratch, &out);
    buf_add_text(&out, "]}");
    if (!fault && out.overflow)
        fault = "the answer would be too large; ask for fewer tokens or claims";
    if (fault)
        respond_error(res, ERR_BAD_REQUEST, fault);
    else
        respond_text(res, 200, "application/json; charset=utf-8", buf_str(&out));
    buf_done(&out);
    arena_free(scratch);
}

/* --- keys --- */

static void send_keys(struct response *res, const struct jwt_signer *key)
{
    struct str document = jwt_signer_jwks(key, res->http->arena);

    respond_text(res, 200, "application/json; charset=utf-8", document);
    respond_header(res, "Cache-Control", "public, max-age=3600, must-revalidate, no-transform");
}

void get_id_token_keys(const struct request *req, struct response *res)
{
    const struct cloud *cloud = req->own;

    send_keys(res, cloud->id_token_key);
}

void get_app_check_keys(const struct request *req, struct response *res)
{
    const struct cloud *cloud = req->own;

    send_keys(res, cloud->app_check_key);
}
