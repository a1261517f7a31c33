/*
 * verify_membership.c - the callable verifyMembership: is the caller a member? Contract §3.2
 *
 * The answer, users/{uid} and the account's claims say the same or the call fails: a page that
 * hears "member" and then gets a token without the claim would be refused at the ballot box, and
 * one whose claim outlives the membership would be let in. So a claim that cannot be written fails
 * the call, which may be repeated.
 */
#include "verifymembership.h"

#include "base/encode.h"
#include "cloud/identity_toolkit.h"

#define CLAIM_ATTEMPTS_MAX 3
#define PAUSE_MAX_MS       40

enum { MEMBER, RECORD, USER, DOCUMENTS };

static bool refuse_unauthenticated(struct response *res, const char *reason)
{
    respond_error(res, ERR_UNAUTHENTICATED, "Unauthenticated");
    res->log_reason = reason;
    return false;
}

/* A closed account or a session that was ended counts no more, whatever its token says (V-G6). */
static bool account_is_live(const struct request *req, struct response *res)
{
    struct identity_account account;
    struct error e = {0};

    if (!identity_lookup(service_identity_toolkit(req->state), req->identity.uid, req->arena,
                         req->deadline_ms, &account, &e)) {
        respond_failure(res, &e);
        return false;
    }
    if (!account.exists || account.disabled)
        return refuse_unauthenticated(res, "the account is gone or disabled");
    if (req->identity.auth_time_s < account.valid_since_s)
        return refuse_unauthenticated(res, "the session was revoked");
    return true;
}

static bool read_documents(const struct request *req, struct response *res,
                           struct fs_document documents[DOCUMENTS])
{
    const char *kennitala = req->identity.kennitala;
    const struct str paths[DOCUMENTS] = {
        [MEMBER] = arena_printf(req->arena, "members/%s", kennitala),
        [RECORD] = arena_printf(req->arena, "members/%s/server/membership", kennitala),
        [USER] = arena_printf(req->arena, "users/%.*s", STR_ARG(req->identity.uid)),
    };
    struct error e = {0};

    if (!firestore_id_is_valid(req->identity.uid))
        return refuse_unauthenticated(res, "the uid is no document id");
    if (firestore_get_all(service_firestore(req->state), paths, DOCUMENTS, NULL, req->arena,
                          req->deadline_ms, documents, &e))
        return true;
    respond_failure(res, &e);
    return false;
}

/* A missing document is made with what a login would have written (M-F49). */
static bool write_user(const struct request *req, struct response *res, bool exists, bool is_member)
{
    cJSON *fields = fs_fields(req->arena);
    struct error e = {0};

    fs_add_bool(fields, "isMember", is_member);
    if (!exists) {
        fs_add_str(fields, "kennitala", str_from(req->identity.kennitala));
        fs_add_null(fields, "photoURL");
    }

    const struct fs_write write = {
        .kind = FS_MERGE,
        .path = arena_printf(req->arena, "users/%.*s", STR_ARG(req->identity.uid)),
        .fields = fields,
        .server_times = {"membershipVerifiedAt", exists ? NULL : "createdAt"},
    };

    if (firestore_commit(service_firestore(req->state), &write, 1, NULL, req->arena,
                         req->deadline_ms, NULL, &e))
        return true;
    respond_failure(res, &e);
    return false;
}

static bool may_try_again(const struct error *e)
{
    return e->code == ERR_ABORTED || e->code == ERR_UNAVAILABLE || e->code == ERR_BAD_GATEWAY;
}

static bool write_claims(const struct request *req, struct response *res, bool is_member)
{
    cJSON *changes = json_object(req->arena);
    struct error e = {0};

    json_add_text(changes, "kennitala", req->identity.kennitala);
    json_add_bool(changes, "isMember", is_member);
    for (unsigned attempt = 0; attempt < CLAIM_ATTEMPTS_MAX; attempt++) {
        if (identity_update_claims(service_identity_toolkit(req->state), req->identity.uid, changes,
                                   req->arena, req->deadline_ms, &e))
            return true;
        if (!may_try_again(&e))
            break;
        (void)usleep(1000 * (1 + random_below(PAUSE_MAX_MS)));
    }
    respond_failure(res, &e);
    return false;
}

static void answer(const struct request *req, struct response *res, enum membership_status status,
                   const struct fs_document *member)
{
    cJSON *body = json_object(req->arena), *result = json_add_object(body, "result");
    char mask[KENNITALA_MASK_SIZE];

    kennitala_mask(req->identity.kennitala, mask);
    json_add_bool(result, "isMember", status == MEMBERSHIP_ACTIVE);
    json_add_bool(result, "verified", true);
    json_add_text(result, "kennitala", mask);
    json_add_text(result, "membershipStatus", membership_status_text(status));
    json_add_bool(result, "feesPaid", status == MEMBERSHIP_ACTIVE);
    membership_add_details(result, member);
    respond_json(res, 200, body);
}

void verify_membership(const struct request *req, struct response *res)
{
    const struct verify_settings *settings = service_settings(req->state);
    struct fs_document documents[DOCUMENTS];
    enum membership_status status;

    if (!req->identity.has_kennitala) {
        respond_error(res, ERR_FAILED_PRECONDITION,
                      "Your sign-in does not carry an identity number. Please sign in again.");
        return;
    }
    if (!account_is_live(req, res) || !read_documents(req, res, documents))
        return;
    status = membership_read(&documents[MEMBER], &documents[RECORD], settings->record_required);
    if (write_user(req, res, documents[USER].exists, status == MEMBERSHIP_ACTIVE) &&
        write_claims(req, res, status == MEMBERSHIP_ACTIVE))
        answer(req, res, status, &documents[MEMBER]);
}
