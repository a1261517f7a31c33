#include "cloud/identity_toolkit.h"

#include "cloud/google_api.h"
#include "cloud/identity_private.h"

#define URL_MAX_BYTES       1024
#define BODY_MAX_BYTES      16384
#define UPDATE_ATTEMPTS_MAX 3

static char *take_text(struct buf *b)
{
    must(!b->overflow);
    return buf_take(b, NULL);
}

struct identity_toolkit *identity_toolkit_new(const struct identity_toolkit_config *config)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-:.";
    must(str_only(str_from(config->project_id), allowed));
    struct identity_toolkit *it = calloc(1, sizeof(*it));
    struct buf b;
    must(it);
    it->api = (struct google_api){.client = config->client, .tokens = config->tokens};
    it->emulator = config->emulator_host && config->emulator_host[0] != '\0';
    char *base = google_base_url("identitytoolkit.googleapis.com", config->emulator_host, true);
    buf_init(&b, URL_MAX_BYTES);
    buf_printf(&b, "%sv1/projects/%s/accounts", base, config->project_id);
    it->accounts_url = take_text(&b);
    free(base);
    buf_init(&b, URL_MAX_BYTES);
    buf_add_text(&b, config->iam_url ? config->iam_url : "https://iamcredentials.googleapis.com");
    it->iam_url = take_text(&b);
    return it;
}

void identity_toolkit_free(struct identity_toolkit *it)
{
    if (!it)
        return;
    free(it->accounts_url);
    free(it->iam_url);
    free(it);
}

/* ---- One request ---- */

static enum error_code code_of_reason(const char *reason, enum error_code otherwise)
{
    static const struct {
        const char *reason;
        enum error_code code;
    } rows[] = {
        {"DUPLICATE_LOCAL_ID", ERR_CONFLICT},      {"EMAIL_EXISTS", ERR_CONFLICT},
        {"PHONE_NUMBER_EXISTS", ERR_CONFLICT},     {"USER_NOT_FOUND", ERR_NOT_FOUND},
        {"CLAIMS_TOO_LARGE", ERR_BAD_REQUEST},     {"FORBIDDEN_CLAIM", ERR_BAD_REQUEST},
        {"INVALID_CLAIMS", ERR_BAD_REQUEST},       {"INVALID_LOCAL_ID", ERR_BAD_REQUEST},
        {"QUOTA_EXCEEDED", ERR_UNAVAILABLE},       {"TOO_MANY_ATTEMPTS_TRY_LATER", ERR_UNAVAILABLE},
        {"CONFIGURATION_NOT_FOUND", ERR_INTERNAL}, {"INSUFFICIENT_PERMISSION", ERR_INTERNAL},
        {"PROJECT_NOT_FOUND", ERR_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(reason, rows[i].reason) == 0)
            return rows[i].code;
    }
    return otherwise;
}

/* Every one of these may be asked twice: an account that is created again is DUPLICATE_LOCAL_ID,
 * an update sets what it sets. */
static bool ask(struct identity_toolkit *it, const char *what, const char *verb, const cJSON *body,
                struct arena *a, int64_t deadline_ms, const cJSON **ret, struct error *e)
{
    struct buf text;
    struct google_answer answer;
    struct error error = {.code = ERR_NONE};
    buf_init(&text, BODY_MAX_BYTES);
    if (!json_write(&text, body)) {
        buf_done(&text);
        return error_set(e, ERR_BAD_REQUEST, "%s: too long", what);
    }
    const struct google_call call = {
        .what = what,
        .url = arena_printf(a, "%s%s", it->accounts_url, verb),
        .body = buf_str(&text),
        .repeatable = true,
        .deadline_ms = deadline_ms,
    };
    bool ok = google_call(&it->api, &call, a, &answer, &error);
    buf_done(&text);
    if (!ok)
        return error_set(e, code_of_reason(answer.reason, error.code), "%s%s%s", error.detail,
                         answer.reason[0] != '\0' ? ", " : "", answer.reason);
    *ret = answer.json;
    return true;
}

bool identity_uid_check(struct str uid, struct error *e)
{
    bool good = uid.len > 0 && uid.len <= UID_MAX_BYTES && str_is_utf8(uid) &&
                str_find_char(uid, '\0') == uid.len;
    return good || error_set(e, ERR_BAD_REQUEST, "identity: uid is none");
}

/* ---- Accounts ---- */

static const cJSON *read_claims(struct str text, struct arena *a)
{
    const cJSON *claims = json_parse(a, text, NULL);
    return cJSON_IsObject(claims) ? claims : json_object(a);
}

static bool read_account(const cJSON *user, struct str uid, struct arena *a,
                         struct identity_account *ret)
{
    struct str text = STR("");
    struct str seconds = STR("");
    if (!json_str(user, "localId", &ret->uid) || !str_eq(ret->uid, uid))
        return false;
    ret->exists = true;
    ret->email = STR("");
    (void)json_str(user, "email", &ret->email);
    (void)json_bool(user, "disabled", &ret->disabled);
    (void)json_str(user, "customAttributes", &text);
    ret->claims = read_claims(text, a);
    /* A revocation that cannot be read must not pass as none. */
    return !json_get(user, "validSince") ||
           (json_str(user, "validSince", &seconds) &&
            str_parse_i64(seconds, 0, INT64_MAX / 1000, &ret->valid_since_s));
}

bool identity_lookup(struct identity_toolkit *it, struct str uid, struct arena *a,
                     int64_t deadline_ms, struct identity_account *ret, struct error *e)
{
    const cJSON *answer = NULL;
    *ret = (struct identity_account){.exists = false};
    if (!identity_uid_check(uid, e))
        return false;
    cJSON *body = json_object(a);
    json_add_str(json_add_array(body, "localId"), NULL, uid);
    if (!ask(it, "identity lookup", ":lookup", body, a, deadline_ms, &answer, e))
        return false;
    const cJSON *users = json_get(answer, "users");
    if (!users || (cJSON_IsArray(users) && !users->child))
        return true;
    return read_account(cJSON_GetArrayItem(users, 0), uid, a, ret) ||
           error_set(e, ERR_BAD_GATEWAY, "identity lookup: answer in an unknown shape");
}

bool identity_create(struct identity_toolkit *it, struct str uid, struct str display_name,
                     struct arena *a, int64_t deadline_ms, struct error *e)
{
    const cJSON *answer = NULL;
    if (!identity_uid_check(uid, e))
        return false;
    cJSON *body = json_object(a);
    json_add_str(body, "localId", uid);
    if (display_name.len > 0)
        json_add_str(body, "displayName", display_name);
    return ask(it, "identity create", "", body, a, deadline_ms, &answer, e);
}

static bool update(struct identity_toolkit *it, struct str uid, const char *member,
                   struct str value, struct arena *a, int64_t deadline_ms, struct error *e)
{
    const cJSON *answer = NULL;
    cJSON *body = json_object(a);
    json_add_str(body, "localId", uid);
    json_add_str(body, member, value);
    return ask(it, "identity update", ":update", body, a, deadline_ms, &answer, e);
}

bool identity_revoke_tokens(struct identity_toolkit *it, struct str uid, int64_t now_s,
                            struct arena *a, int64_t deadline_ms, struct error *e)
{
    return identity_uid_check(uid, e) &&
           update(it, uid, "validSince", arena_printf(a, "%lld", (long long)now_s), a, deadline_ms,
                  e);
}

/* ---- Claims ---- */

static bool claims_hold(const cJSON *claims, const cJSON *changes)
{
    const cJSON *change = NULL;
    cJSON_ArrayForEach(change, changes)
    {
        const cJSON *now = json_get(claims, change->string);
        if (cJSON_IsNull(change) ? now != NULL : !cJSON_Compare(now, change, true))
            return false;
    }
    return true;
}

static bool lookup_existing(struct identity_toolkit *it, struct str uid, struct arena *a,
                            int64_t deadline_ms, struct identity_account *ret, struct error *e)
{
    return identity_lookup(it, uid, a, deadline_ms, ret, e) &&
           (ret->exists || error_set(e, ERR_NOT_FOUND, "identity update: no such account"));
}

bool identity_update_claims(struct identity_toolkit *it, struct str uid, const cJSON *changes,
                            struct arena *a, int64_t deadline_ms, struct error *e)
{
    struct identity_account account;
    struct str text;
    must(cJSON_IsObject(changes));
    if (!lookup_existing(it, uid, a, deadline_ms, &account, e))
        return false;
    for (unsigned attempt = 0; attempt < UPDATE_ATTEMPTS_MAX; attempt++) {
        if (!identity_merge_claims(account.claims, changes, a, &text, e))
            return false;
        if (claims_hold(account.claims, changes))
            return true;
        if (!update(it, uid, "customAttributes", text, a, deadline_ms, e) ||
            !lookup_existing(it, uid, a, deadline_ms, &account, e))
            return false;
    }
    return claims_hold(account.claims, changes) ||
           error_set(e, ERR_ABORTED, "identity update: overwritten by others");
}
