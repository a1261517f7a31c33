/* account.c - see account.h */
#include "service/account.h"

#include "base/trace.h"
#include "cloud/member_document.h"
#include "service/account_cache.h"
#include "service/state.h"

#include <pthread.h>

#define ACCOUNTS_MAX 5000

/* --- rules --- */

enum membership account_membership(const struct request *req)
{
    const struct account *live = &req->account;
    enum claim_state claim = req->identity.is_member;

    if (!req->identity.has_kennitala || claim == CLAIM_FALSE)
        return MEMBERSHIP_NOT_PROVEN;
    if (!live->checked)
        return claim == CLAIM_TRUE ? MEMBERSHIP_PROVEN : MEMBERSHIP_NOT_PROVEN;
    if (live->records_known)
        return live->is_active ? MEMBERSHIP_PROVEN : MEMBERSHIP_NOT_PROVEN;
    if (claim != CLAIM_TRUE || (live->records_seen && !live->is_active))
        return MEMBERSHIP_NOT_PROVEN;
    return live->strict ? MEMBERSHIP_UNKNOWN : MEMBERSHIP_PROVEN;
}

enum membership account_confirms_role(const struct request *req, const char *role)
{
    const struct account *live = &req->account;
    bool has_it =
        live->is_superuser || (live->is_admin && !str_eq_text(str_from(role), "superuser"));

    if (!live->checked)
        return MEMBERSHIP_PROVEN;
    if (live->records_known || (live->records_seen && !has_it))
        return has_it ? MEMBERSHIP_PROVEN : MEMBERSHIP_NOT_PROVEN;
    return live->strict ? MEMBERSHIP_UNKNOWN : MEMBERSHIP_PROVEN;
}

bool member_is_proven(const struct request *req, struct response *res)
{
    if (!req->identity.has_kennitala) {
        respond_error(res, ERR_UNAUTHENTICATED,
                      "Your sign-in does not carry an identity number. Please sign in again.");
        return false;
    }
    switch (account_membership(req)) {
    case MEMBERSHIP_PROVEN:
        return true;
    case MEMBERSHIP_UNKNOWN:
        respond_error(res, ERR_UNAVAILABLE,
                      "Your membership cannot be checked right now. Please try again in a moment.");
        return false;
    case MEMBERSHIP_NOT_PROVEN:
        break;
    }
    respond_error(res, ERR_FORBIDDEN, "Only confirmed members can do this.");
    return false;
}

void member_slot(const struct request *req, const char *voter_key, struct str election_id,
                 unsigned char ret_slot[SHA256_BYTES])
{
    const struct identity *id = &req->identity;
    const struct str fields[] = {id->has_kennitala ? STR("slot") : STR("uid"), req->org_id,
                                 election_id,
                                 id->has_kennitala ? str_from(id->kennitala) : id->uid};

    hmac_sha256_fields(str_from(voter_key), fields, ARRAY_LEN(fields), ret_slot);
}

/* --- the look-up --- */

static void ask_authentication(struct service_state *state, struct str uid, struct arena *a,
                               int64_t deadline_ms, struct account *ret)
{
    struct identity_account found;
    struct error e = {0};

    if (!identity_lookup(state->identity_toolkit, uid, a, deadline_ms, &found, &e)) {
        log_warning("account not looked up", LOG_TEXT("reason", str_from(e.detail)));
        return;
    }
    ret->auth_known = true;
    /* A deleted account signs nobody in any more. */
    ret->disabled = !found.exists || found.disabled;
    ret->valid_since_s = found.valid_since_s;
}

static void read_roles(const cJSON *fields, struct account *ret)
{
    const cJSON *roles = fs_get_array(fields, "roles"), *role;

    cJSON_ArrayForEach(role, roles)
    {
        struct str name = fs_value_str(role);

        if (str_eq_text(name, "admin") || str_eq_text(name, "election-manager"))
            ret->is_admin = true;
        if (str_eq_text(name, "superuser") || str_eq_text(name, "superadmin"))
            ret->is_superuser = true;
    }
}

/* The record no client can write wins over the document one could (M-F02). */
static bool is_active(const struct fs_document *member, const struct fs_document *record)
{
    const struct fs_document *from = record->exists ? record : member;
    const char *path = record->exists ? "status" : "membership.status";
    struct str status = STR("");
    bool active = false;

    if (!from->exists)
        return false;
    if (record->exists || fs_get(member->fields, path))
        return fs_get_str(from->fields, path, &status) && str_eq_text(status, "active");
    /* Documents of the first schema (contract §5.1). */
    return fs_get_bool(member->fields, "membership.is_active", &active) && active;
}

/* Nothing there means no role and no membership: that is an answer too. */
static void ask_records(struct service_state *state, struct str uid, const char *kennitala,
                        struct arena *a, int64_t deadline_ms, struct account *ret)
{
    struct fs_document found[3] = {{0}}; /* the member's two first */
    struct str paths[3];
    struct error e = {0};
    size_t count = kennitala[0] ? 2 : 0, user = count;

    if (kennitala[0])
        member_document_paths(a, kennitala, paths);
    if (firestore_id_is_valid(uid))
        paths[count++] = arena_printf(a, "users/%.*s", STR_ARG(uid));
    if (count > 0 &&
        !firestore_get_all(state->firestore, paths, count, NULL, a, deadline_ms, found, &e)) {
        log_warning("member record not looked up", LOG_TEXT("reason", str_from(e.detail)));
        return;
    }
    ret->records_known = true;
    if (count > user && found[user].exists)
        read_roles(found[user].fields, ret);
    ret->is_active = kennitala[0] && is_active(&found[0], &found[1]);
}

struct asking {
    struct service_state *state;
    struct str uid;
    int64_t deadline_ms;
    const struct trace *trace;
    struct account *ret;
};

static void *ask_beside(void *context)
{
    struct asking *asking = context;
    struct arena *a = arena_new(ARENA_MAX_BYTES);

    trace_enter(asking->trace);
    ask_authentication(asking->state, asking->uid, a, asking->deadline_ms, asking->ret);
    arena_free(a);
    return NULL;
}

/* Both at once: somebody's first request waits for the slower one only. */
static void look_up(void *context, struct str uid, const char *kennitala, struct arena *a,
                    int64_t deadline_ms, struct account *ret)
{
    struct account authentication = {0};
    struct asking asking = {context, uid, deadline_ms, trace_current(), &authentication};
    pthread_t thread;
    bool is_beside = pthread_create(&thread, NULL, ask_beside, &asking) == 0;

    ask_records(context, uid, kennitala, a, deadline_ms, ret);
    if (is_beside)
        must(pthread_join(thread, NULL) == 0);
    else
        (void)ask_beside(&asking);
    ret->auth_known = authentication.auth_known;
    ret->disabled = authentication.disabled;
    ret->valid_since_s = authentication.valid_since_s;
}

static void collect(void *arg, struct buf *out)
{
    struct service_state *state = arg;
    struct account_cache_stats s;

    account_cache_get_stats(state->accounts, &s);
    metrics_print_value(out, "account_cache_size", METRIC_GAUGE, "Accounts known.", "", s.accounts);
    metrics_print_value(out, "account_look_ups_total", METRIC_COUNTER, "Accounts asked for.", "",
                        (double)s.look_ups);
    metrics_print_value(out, "account_look_up_failures_total", METRIC_COUNTER,
                        "Of these without a whole answer.", "", (double)s.failures);
}

bool account_open(struct service_state *state, struct error *e)
{
    const struct account_cache_config config = {
        .look_up = look_up,
        .context = state,
        .keep_ms = state->account.cache_s * 1000,
        .timeout_ms = state->account.timeout_ms,
        .accounts_max = ACCOUNTS_MAX,
        .refresh = true,
    };

    if (state->account.check == ACCOUNT_CHECK_OFF)
        return true;
    state->accounts = account_cache_new(&config);
    if (!state->accounts)
        return error_set(e, ERR_UNAVAILABLE, "no thread for the account cache");
    metrics_collector(state->metrics, collect, state);
    return true;
}

void account_close(struct service_state *state)
{
    account_cache_free(state->accounts);
    state->accounts = NULL;
}

static bool refuse(struct response *res, const char *reason)
{
    cJSON *extra = json_object(res->request->arena);

    json_add_text(extra, "code", "INVALID_AUTH_TOKEN");
    respond_error_extra(res, ERR_UNAUTHENTICATED, "Invalid or expired authentication token", extra);
    res->log_reason = reason;
    return false;
}

bool account_admit(struct request *req, struct response *res)
{
    struct account *live = &req->account;
    const struct identity *id = &req->identity;

    if (!req->state->accounts)
        return true;
    account_cache_get(req->state->accounts, id->uid, id->has_kennitala ? id->kennitala : "",
                      clock_mono_ms(), req->deadline_ms, live);
    live->checked = true;
    live->strict = req->state->account.strict;
    /* Also when it is only remembered: who was shut out stays out while nobody can be asked. */
    if (live->disabled)
        return refuse(res, "account disabled");
    if (id->auth_time_s < live->valid_since_s)
        return refuse(res, "token revoked");
    if (!live->auth_known && live->strict) {
        respond_error(res, ERR_UNAVAILABLE,
                      "Your account cannot be checked right now. Please try again in a moment.");
        res->log_reason = "account unknown";
        return false;
    }
    return true;
}
