/* account.c - one account: in the store, and what may be written into it; see identity.h */
#include "identity.h"

#define CLAIMS_MAX_BYTES 1000

/* --- one account --- */

static void delete_tree(void *tree)
{
    cJSON_Delete(tree);
}

cJSON *account_of_row(sqlite3_stmt *row, struct arena *a)
{
    cJSON *account = cJSON_ParseWithLength((const char *)sqlite3_column_text(row, 0),
                                           (size_t)sqlite3_column_bytes(row, 0));

    must(cJSON_IsObject(account)); /* we wrote it */
    arena_own(a, account, delete_tree);
    return account;
}

static cJSON *find(struct store *s, struct arena *a, const char *sql, struct str project,
                   struct str value)
{
    sqlite3_stmt *row = store_statement(s, sql);
    cJSON *account = NULL;

    store_bind_str(row, 1, project);
    store_bind_str(row, 2, value);
    if (store_step(s, row)) {
        account = account_of_row(row, a);
        sqlite3_reset(row);
    }
    return account;
}

cJSON *account_load(struct store *s, struct arena *a, struct str project, struct str uid)
{
    return find(s, a, "select account from accounts where project = ?1 and uid = ?2", project, uid);
}

cJSON *account_by_email(struct store *s, struct arena *a, struct str project, struct str email)
{
    return find(s, a,
                "select account from accounts where project = ?1 and json_extract(account, "
                "'$.email') = lower(?2)",
                project, email);
}

cJSON *account_by_phone(struct store *s, struct arena *a, struct str project, struct str phone)
{
    return find(s, a,
                "select account from accounts where project = ?1 and json_extract(account, "
                "'$.phoneNumber') = ?2",
                project, phone);
}

void account_save(struct store *s, struct str project, const cJSON *account)
{
    sqlite3_stmt *put = store_statement(
        s, "insert or replace into accounts (project, uid, account) values (?1, ?2, ?3)");
    struct buf text;

    buf_init(&text, 1U << 20);
    must(json_write(&text, account));
    store_bind_str(put, 1, project);
    store_bind_str(put, 2, json_str_value(json_get(account, "localId")));
    store_bind_str(put, 3, buf_str(&text));
    store_run(s, put);
    buf_done(&text);
}

void account_remove(struct store *s, struct str project, struct str uid)
{
    sqlite3_stmt *gone = store_statement(s, "delete from accounts where project = ?1 and uid = ?2");
    sqlite3_stmt *tokens =
        store_statement(s, "delete from refresh_tokens where project = ?1 and uid = ?2");

    store_bind_str(gone, 1, project);
    store_bind_str(gone, 2, uid);
    store_run(s, gone);
    store_bind_str(tokens, 1, project);
    store_bind_str(tokens, 2, uid);
    store_run(s, tokens);
}

void account_set(cJSON *account, const char *name, struct str value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(account, name);
    json_add_str(account, name, value);
}

void account_set_bool(cJSON *account, const char *name, bool value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(account, name);
    json_add_bool(account, name, value);
}

bool account_is_disabled(const cJSON *account)
{
    return cJSON_IsTrue(json_get(account, "disabled"));
}

int64_t account_valid_since_s(const cJSON *account)
{
    int64_t seconds = 0;

    (void)str_parse_i64(json_str_value(json_get(account, "validSince")), 0, INT64_MAX, &seconds);
    return seconds;
}

/* --- what may be written --- */

static const char *email_fault(struct store *s, struct arena *a, struct str project,
                               struct str email, struct str uid)
{
    size_t at = str_find_char(email, '@');
    const cJSON *other;

    if (at == 0 || at + 1 >= email.len || str_find_char(email, ' ') < email.len)
        return "INVALID_EMAIL";
    other = account_by_email(s, a, project, email);
    return other && !str_eq(json_str_value(json_get(other, "localId")), uid) ? "EMAIL_EXISTS"
                                                                             : NULL;
}

static const char *phone_fault(struct store *s, struct arena *a, struct str project,
                               struct str phone, struct str uid)
{
    const cJSON *other;

    if (!str_starts_with(phone, STR("+")) || !str_is_digits(str_skip(phone, 1)))
        return "INVALID_PHONE_NUMBER : Invalid format.";
    other = account_by_phone(s, a, project, phone);
    return other && !str_eq(json_str_value(json_get(other, "localId")), uid) ? "PHONE_NUMBER_EXISTS"
                                                                             : NULL;
}

static const char *claims_fault(struct arena *a, struct str text)
{
    static const char *const forbidden[] = {
        "iss", "aud", "sub", "iat", "exp",       "nbf",      "jti",     "nonce",
        "azp", "acr", "amr", "cnf", "auth_time", "firebase", "at_hash", "c_hash"};
    struct error e;
    const cJSON *claims;

    if (text.len > CLAIMS_MAX_BYTES)
        return "CLAIMS_TOO_LARGE";
    claims = json_parse(a, text, &e);
    if (!cJSON_IsObject(claims))
        return "INVALID_CLAIMS";
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
        if (json_get(claims, forbidden[i]))
            return arena_printf(a, "FORBIDDEN_CLAIM : %s", forbidden[i]).ptr;
    }
    return NULL;
}

static struct str lower_case(struct arena *a, struct str text)
{
    char *copy = arena_alloc(a, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = (char)tolower((unsigned char)text.ptr[i]);
    return str_n(copy, text.len);
}

/* As Google shows a phone number: as a provider too. */
static void set_phone(cJSON *account, struct str phone)
{
    cJSON *provider;

    cJSON_DeleteItemFromObjectCaseSensitive(account, "providerUserInfo");
    provider = json_add_object(json_add_array(account, "providerUserInfo"), NULL);
    json_add_text(provider, "providerId", "phone");
    json_add_str(provider, "phoneNumber", phone);
    json_add_str(provider, "rawId", phone);
    account_set(account, "phoneNumber", phone);
}

void account_remove_phone(cJSON *account)
{
    if (!json_get(account, "phoneNumber"))
        return;
    cJSON_DeleteItemFromObjectCaseSensitive(account, "phoneNumber");
    cJSON_DeleteItemFromObjectCaseSensitive(account, "providerUserInfo");
    json_add_array(account, "providerUserInfo");
}

const char *account_apply(struct store *s, struct arena *a, struct str project, const cJSON *body,
                          cJSON *account)
{
    struct str uid = json_str_value(json_get(account, "localId")), text;
    const char *fault;
    bool flag;

    if (json_str(body, "email", &text)) {
        fault = email_fault(s, a, project, text, uid);
        if (fault)
            return fault;
        if (json_get(account, "email") && !json_get(account, "initialEmail"))
            account_set(account, "initialEmail", json_str_value(json_get(account, "email")));
        account_set(account, "email", lower_case(a, text));
        account_set_bool(account, "emailVerified", false);
    }
    if (json_str(body, "phoneNumber", &text)) {
        fault = phone_fault(s, a, project, text, uid);
        if (fault)
            return fault;
        set_phone(account, text);
    }
    if (json_str(body, "customAttributes", &text)) {
        fault = claims_fault(a, text);
        if (fault)
            return fault;
        account_set(account, "customAttributes", text);
    }
    if (json_str(body, "displayName", &text))
        account_set(account, "displayName", text);
    if (json_str(body, "photoUrl", &text))
        account_set(account, "photoUrl", text);
    if (json_bool(body, "emailVerified", &flag))
        account_set_bool(account, "emailVerified", flag);
    return NULL;
}
