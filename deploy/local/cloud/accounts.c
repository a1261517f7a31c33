/*
 * accounts.c - accounts as administrators see them
 *
 * Source: cloud.google.com/identity-platform/docs/reference/rest/v1/projects.accounts; reasons and
 * forms as Firebase's own Auth emulator has them.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "identity.h"

#define UID_LETTERS 28
#define PAGE_MAX    1000

/* --- errors --- */

static void reply_error(struct response *res, int status, const char *message, const char *reason,
                        const char *name)
{
    cJSON *tree = json_object(res->http->arena), *error = json_add_object(tree, "error"), *first;

    json_add_i64(error, "code", status);
    json_add_text(error, "message", message);
    first = json_add_object(json_add_array(error, "errors"), NULL);
    json_add_text(first, "message", message);
    json_add_text(first, "reason", reason);
    json_add_text(first, "domain", "global");
    if (name)
        json_add_text(error, "status", name);
    respond_json(res, status, tree);
    res->error = status == 401   ? ERR_UNAUTHENTICATED
                 : status == 403 ? ERR_FORBIDDEN
                                 : ERR_BAD_REQUEST;
}

void reply_reason(struct response *res, const char *reason)
{
    reply_error(res, 400, reason, "invalid", NULL);
}

bool caller_is_administrator(const struct request *req, struct response *res)
{
    struct str credential = http_header_get(req->http, "Authorization");

    if (str_eq(credential, STR("Bearer owner")) ||
        str_eq(credential, STR("Bearer " LOCAL_ACCESS_TOKEN)))
        return true;
    if (credential.len == 0)
        reply_error(res, 403, "The request is missing a valid API key.", "forbidden",
                    "PERMISSION_DENIED");
    else
        reply_error(res, 401, "Request had invalid authentication credentials.", "authError",
                    "UNAUTHENTICATED");
    return false;
}

bool caller_has_api_key(const struct request *req, struct response *res)
{
    struct str key;

    if (request_query(req, "key", &key) && key.len > 0)
        return true;
    return caller_is_administrator(req, res);
}

/* --- create --- */

static struct str made_uid(struct arena *a)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    char *uid = arena_alloc(a, UID_LETTERS + 1);

    for (size_t i = 0; i < UID_LETTERS; i++)
        uid[i] = letters[random_below(sizeof(letters) - 1)];
    return str_n(uid, UID_LETTERS);
}

static const char *create(struct store *s, struct arena *a, struct str project, const cJSON *body,
                          cJSON *account)
{
    struct str uid = {NULL, 0}, now = arena_printf(a, "%lld", (long long)clock_unix_ms());
    const char *fault;
    bool flag;

    (void)json_str(body, "localId", &uid);
    if (uid.len == 0)
        uid = made_uid(a);
    if (uid.len > UID_MAX_BYTES)
        return "INVALID_LOCAL_ID";
    if (account_load(s, a, project, uid))
        return "DUPLICATE_LOCAL_ID";
    json_add_str(account, "localId", uid);
    json_add_str(account, "createdAt", now);
    json_add_str(account, "lastLoginAt", now);
    json_add_bool(account, "emailVerified", false);
    fault = account_apply(s, a, project, body, account);
    if (fault)
        return fault;
    if (json_bool(body, "disabled", &flag))
        account_set_bool(account, "disabled", flag);
    account_save(s, project, account);
    return NULL;
}

/* Reads the body; NULL and an answer when it is none. */
static const cJSON *admin_body(const struct request *req, struct response *res)
{
    struct refusal r;
    const cJSON *body;

    if (!caller_is_administrator(req, res))
        return NULL;
    body = body_object(req, &r);
    if (!body)
        reply_refusal(res, &r);
    return body;
}

static void copy_member(cJSON *to, const cJSON *from, const char *name)
{
    if (json_get(from, name))
        json_add_copy(to, name, json_get(from, name));
}

void create_account(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *account = json_object(req->arena), *reply = json_object(req->arena);
    const cJSON *body = admin_body(req, res);
    const char *fault;

    if (!body)
        return;
    store_begin(cloud->store);
    fault = create(cloud->store, req->arena, req->params[0], body, account);
    if (!store_end(cloud->store, fault == NULL))
        fault = "INTERNAL_ERROR";
    if (fault) {
        reply_reason(res, fault);
        return;
    }
    json_add_text(reply, "kind", "identitytoolkit#SignupNewUserResponse");
    copy_member(reply, account, "localId");
    copy_member(reply, account, "displayName");
    copy_member(reply, account, "email");
    reply_json(res, reply);
}

/* --- lookup --- */

static void add_found(cJSON *reply, const cJSON *account)
{
    cJSON *users = cJSON_GetObjectItemCaseSensitive(reply, "users");

    if (!account)
        return;
    json_add_copy(users ? users : json_add_array(reply, "users"), NULL, account);
}

void lookup_accounts(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    struct store *s = cloud->store;
    struct arena *a = req->arena;
    struct str project = req->params[0];
    cJSON *reply = json_object(a);
    const cJSON *body = admin_body(req, res), *item;

    if (!body)
        return;
    json_add_text(reply, "kind", "identitytoolkit#GetAccountInfoResponse");
    store_begin(s);
    cJSON_ArrayForEach(item, json_get(body, "localId"))
        add_found(reply, account_load(s, a, project, json_str_value(item)));
    cJSON_ArrayForEach(item, json_get(body, "email"))
        add_found(reply, account_by_email(s, a, project, json_str_value(item)));
    cJSON_ArrayForEach(item, json_get(body, "phoneNumber"))
        add_found(reply, account_by_phone(s, a, project, json_str_value(item)));
    (void)store_end(s, true);
    reply_json(res, reply);
}

/* --- update --- */

static void remove_attributes(const cJSON *body, cJSON *account)
{
    static const char *const attributes[][2] = {
        {"DISPLAY_NAME", "displayName"}, {"PHOTO_URL", "photoUrl"}, {"EMAIL", "email"}};
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(body, "deleteAttribute"))
    {
        for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
            if (str_eq_text(json_str_value(item), attributes[i][0]))
                cJSON_DeleteItemFromObjectCaseSensitive(account, attributes[i][1]);
        }
    }
    cJSON_ArrayForEach(item, json_get(body, "deleteProvider"))
    {
        if (str_eq_text(json_str_value(item), "phone"))
            account_remove_phone(account);
    }
}

static const char *update(struct store *s, struct arena *a, struct str project, const cJSON *body,
                          cJSON **ret)
{
    struct str uid, text, email;
    const char *fault;
    int64_t seconds;
    bool flag;

    if (!json_str(body, "localId", &uid) || uid.len == 0)
        return "MISSING_LOCAL_ID";
    *ret = account_load(s, a, project, uid);
    if (!*ret)
        return "USER_NOT_FOUND";
    email = arena_dup(a, json_str_value(json_get(*ret, "email")));
    fault = account_apply(s, a, project, body, *ret);
    if (fault)
        return fault;
    /* Another address ends all sessions. */
    if (!str_eq(email, json_str_value(json_get(*ret, "email"))))
        account_set(*ret, "validSince",
                    arena_printf(a, "%lld", (long long)(clock_unix_ms() / 1000)));
    remove_attributes(body, *ret);
    if (json_bool(body, "disableUser", &flag))
        account_set_bool(*ret, "disabled", flag);
    if (json_str(body, "validSince", &text))
        account_set(*ret, "validSince", text);
    else if (json_i64(body, "validSince", &seconds))
        account_set(*ret, "validSince", arena_printf(a, "%lld", (long long)seconds));
    account_save(s, project, *ret);
    return NULL;
}

void update_account(const struct request *req, struct response *res)
{
    static const char *const shown[] = {"localId", "emailVerified", "providerUserInfo",
                                        "email",   "displayName",   "photoUrl"};
    struct cloud *cloud = req->own;
    cJSON *account = NULL, *reply = json_object(req->arena);
    const cJSON *body = admin_body(req, res);
    const char *fault;

    if (!body)
        return;
    store_begin(cloud->store);
    fault = update(cloud->store, req->arena, req->params[0], body, &account);
    if (!store_end(cloud->store, fault == NULL))
        fault = "INTERNAL_ERROR";
    if (fault) {
        reply_reason(res, fault);
        return;
    }
    json_add_text(reply, "kind", "identitytoolkit#SetAccountInfoResponse");
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        copy_member(reply, account, shown[i]);
    if (json_get(body, "email"))
        json_add_copy(reply, "newEmail", json_get(account, "email"));
    reply_json(res, reply);
}

/* --- delete --- */

void delete_account(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *reply = json_object(req->arena);
    const cJSON *body = admin_body(req, res);
    struct str uid = {NULL, 0};
    const char *fault = NULL;

    if (!body)
        return;
    (void)json_str(body, "localId", &uid);
    store_begin(cloud->store);
    if (uid.len == 0)
        fault = "MISSING_LOCAL_ID";
    else if (!account_load(cloud->store, req->arena, req->params[0], uid))
        fault = "USER_NOT_FOUND";
    else
        account_remove(cloud->store, req->params[0], uid);
    (void)store_end(cloud->store, fault == NULL);
    if (fault) {
        reply_reason(res, fault);
        return;
    }
    json_add_text(reply, "kind", "identitytoolkit#DeleteAccountResponse");
    reply_json(res, reply);
}

void delete_all_accounts(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    sqlite3_stmt *all;

    store_begin(cloud->store);
    all = store_statement(cloud->store, "delete from accounts where project = ?1");
    store_bind_str(all, 1, req->params[0]);
    store_run(cloud->store, all);
    all = store_statement(cloud->store, "delete from refresh_tokens where project = ?1");
    store_bind_str(all, 1, req->params[0]);
    store_run(cloud->store, all);
    (void)store_end(cloud->store, true);
    reply_json(res, json_object(req->arena));
}

/* --- list --- */

void list_accounts(const struct request *req, struct response *res)
{
    struct cloud *cloud = req->own;
    cJSON *reply = json_object(req->arena), *users = json_add_array(reply, "users");
    struct str after = {NULL, 0}, text;
    int64_t max = 20, count = 0;
    sqlite3_stmt *rows;

    if (!caller_is_administrator(req, res))
        return;
    json_add_text(reply, "kind", "identitytoolkit#DownloadAccountResponse");
    (void)request_query(req, "nextPageToken", &after);
    if (request_query(req, "maxResults", &text) && !str_parse_i64(text, 1, PAGE_MAX, &max)) {
        reply_reason(res, "INVALID_PAGE_SELECTION");
        return;
    }
    store_begin(cloud->store);
    rows = store_statement(cloud->store, "select account from accounts where project = ?1 and uid "
                                         "> ?2 order by uid limit ?3");
    store_bind_str(rows, 1, req->params[0]);
    store_bind_str(rows, 2, after);
    sqlite3_bind_int64(rows, 3, max);
    while (store_step(cloud->store, rows)) {
        const cJSON *account = account_of_row(rows, req->arena);

        json_add_copy(users, NULL, account);
        if (++count == max)
            json_add_copy(reply, "nextPageToken", json_get(account, "localId"));
    }
    (void)store_end(cloud->store, true);
    reply_json(res, reply);
}
