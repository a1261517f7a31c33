/*
 * account.c - one person, one account, whatever fails on the way (M-F08, M-F44)
 *
 * The uid of a new person is computed from the kennitala under a secret key, so any number of first
 * logins, in any instance, mean the same account and the same users document, and there is no
 * record of uniqueness that could be left behind. People the former deployment knew are found by
 * their kennitala first and keep their uid.
 *
 * The document is written before the account is made: Firestore failing leaves nothing, Auth
 * failing leaves a document that the next login finds and completes. The claims are written last;
 * without them there is no token.
 */
#include "handlekenniauth.h"

#include "base/clock.h"
#include "base/encode.h"
#include "cloud/firestore.h"
#include "cloud/identity_toolkit.h"
#include "users_document.h"

#define SETTLE_ATTEMPTS_MAX 8
#define CLAIM_ATTEMPTS_MAX  3
#define PAUSE_MAX_MS        40
#define UID_BYTES           17 /* 136 bits: 28 characters, as many as Firebase's own uids have */

struct str account_uid(struct arena *a, const char *uid_key, const char *kennitala)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
    const struct str fields[] = {STR("uid"), str_from(kennitala)};
    unsigned char hash[SHA256_BYTES];
    char *uid = arena_alloc(a, UID_BYTES * 8 / 5 + 2);
    unsigned bits = 0, held = 0;
    size_t len = 0;

    hmac_sha256_fields(str_from(uid_key), fields, ARRAY_LEN(fields), hash);
    for (size_t i = 0; i < UID_BYTES; i++) {
        held = (held << 8) | hash[i];
        for (bits += 8; bits >= 5; bits -= 5)
            uid[len++] = letters[(held >> (bits - 5)) & 31U];
    }
    if (bits > 0)
        uid[len++] = letters[(held << (5 - bits)) & 31U];
    return str_n(uid, len);
}

static bool store_failed(const struct request *req, struct login_failure *f, const struct error *e)
{
    return login_fail(req, f, LOGIN_STORE, ERR_INTERNAL, "INTERNAL", "sign_in_again", e->detail);
}

static struct str users_path(const struct request *req, struct str uid)
{
    return arena_printf(req->arena, "users/%.*s", STR_ARG(uid));
}

/* --- finding --- */

/* Both spellings: old documents may hold the hyphen. */
static const cJSON *both_spellings(struct arena *a, const char *kennitala)
{
    cJSON *holder = fs_fields(a), *array = fs_add_array(holder, "in");

    fs_push_str(array, str_from(kennitala));
    fs_push_str(array, arena_printf(a, "%.6s-%s", kennitala, kennitala + 6));
    return fs_get(holder, "in");
}

/* Of several accounts of one person, which the former deployment could make, always the oldest. */
static bool is_older(const struct fs_document *a, const struct fs_document *b)
{
    int64_t a_ms = 0, b_ms = 0;

    (void)clock_parse_rfc3339(a->create_time, &a_ms);
    (void)clock_parse_rfc3339(b->create_time, &b_ms);
    return a_ms != b_ms ? a_ms < b_ms : str_cmp(a->id, b->id) < 0;
}

static bool find_known(const struct request *req, const char *kennitala, struct fs_document *ret,
                       struct error *e)
{
    const struct fs_query query = {
        .collection = "users",
        .filters = {{"kennitala", FS_IN, both_spellings(req->arena, kennitala)}},
        .filter_count = 1,
        .limit = 10,
    };
    struct fs_document *found;
    size_t count;

    if (!firestore_query(service_firestore(req->state), &query, NULL, req->arena, req->deadline_ms,
                         &found, &count, e))
        return false;
    *ret = (struct fs_document){.exists = false};
    for (size_t i = 0; i < count; i++) {
        if (!ret->exists || is_older(&found[i], ret))
            *ret = found[i];
    }
    return true;
}

/* The document of the computed uid and the membership record in one call; a query only when there
 * is no such document. */
static bool find(const struct request *req, const struct person *person, struct fs_document *ret,
                 struct login_account *account, struct error *e)
{
    const struct login_service *service = req->own;
    struct str uid = account_uid(req->arena, service->settings.uid_key, person->kennitala);
    const struct str paths[] = {users_path(req, uid),
                                arena_printf(req->arena, "members/%s", person->kennitala)};
    struct fs_document documents[ARRAY_LEN(paths)];

    if (!firestore_get_all(service_firestore(req->state), paths, ARRAY_LEN(paths), NULL, req->arena,
                           req->deadline_ms, documents, e))
        return false;
    account->was_deleted =
        documents[1].exists && fs_get(documents[1].fields, "metadata.deleted_at") != NULL;
    *ret = documents[0];
    if (!ret->exists && !find_known(req, person->kennitala, ret, e))
        return false;
    account->uid = ret->exists ? ret->id : uid;
    return true;
}

/* --- writing the document --- */

/* ERR_CONFLICT and their like: somebody else wrote meanwhile. */
static bool was_overtaken(const struct error *e)
{
    return e->code == ERR_CONFLICT || e->code == ERR_FAILED_PRECONDITION ||
           e->code == ERR_NOT_FOUND || e->code == ERR_ABORTED;
}

static bool write_document(const struct request *req, const struct person *person,
                           const struct fs_document *known, struct login_account *account,
                           struct error *e)
{
    struct fs_write write;

    users_document_write(req->arena, person, known, users_path(req, account->uid), &write);
    if (!firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                          req->deadline_ms, NULL, e))
        return false;
    account->created = !known->exists;
    account->claims = users_document_claims(req->arena, person, known);
    return true;
}

/* --- the account of Firebase Authentication --- */

static bool ensure_usable(const struct request *req, struct str uid, bool *ret_exists,
                          struct login_failure *f)
{
    struct identity_account account;
    struct error e = {0};

    if (!identity_lookup(service_identity_toolkit(req->state), uid, req->arena, req->deadline_ms,
                         &account, &e))
        return store_failed(req, f, &e);
    *ret_exists = account.exists;
    if (account.exists && account.disabled)
        return login_fail(req, f, LOGIN_DISABLED, ERR_FORBIDDEN, "ACCOUNT_DISABLED", NULL,
                          "the account is disabled");
    return true;
}

static bool create(const struct request *req, struct str uid, struct str name,
                   struct login_failure *f)
{
    struct error e = {0};

    /* Taken means: a parallel login, or an earlier one that got no further, has made it. */
    if (identity_create(service_identity_toolkit(req->state), uid, name, req->arena,
                        req->deadline_ms, &e) ||
        e.code == ERR_CONFLICT)
        return true;
    return store_failed(req, f, &e);
}

static bool may_try_again(const struct error *e)
{
    return e->code == ERR_ABORTED || e->code == ERR_UNAVAILABLE || e->code == ERR_BAD_GATEWAY ||
           e->code == ERR_NOT_FOUND;
}

static bool write_claims(const struct request *req, const struct login_account *account,
                         struct login_failure *f)
{
    struct error e = {0};

    for (unsigned attempt = 0; attempt < CLAIM_ATTEMPTS_MAX; attempt++) {
        if (identity_update_claims(service_identity_toolkit(req->state), account->uid,
                                   account->claims, req->arena, req->deadline_ms, &e))
            return true;
        if (!may_try_again(&e))
            break;
        (void)usleep(1000 * (1 + random_below(PAUSE_MAX_MS)));
    }
    return login_fail(req, f, LOGIN_CLAIMS, ERR_INTERNAL, "INTERNAL", "sign_in_again", e.detail);
}

bool account_settle(const struct request *req, const struct person *person,
                    struct login_account *ret, struct login_failure *f)
{
    struct fs_document known;
    struct error e = {0};
    bool exists = false, written = false;

    for (unsigned attempt = 0; attempt < SETTLE_ATTEMPTS_MAX && !written; attempt++) {
        if (!find(req, person, &known, ret, &e))
            return store_failed(req, f, &e);
        if (!ensure_usable(req, ret->uid, &exists, f))
            return false;
        written = write_document(req, person, &known, ret, &e);
        if (!written && !was_overtaken(&e))
            return store_failed(req, f, &e);
        if (!written)
            (void)usleep(1000 * (1 + random_below(PAUSE_MAX_MS)));
    }
    if (!written)
        return store_failed(req, f, &e);
    return (exists || create(req, ret->uid, person->name, f)) && write_claims(req, ret, f);
}
