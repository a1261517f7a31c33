/* authenticate.c - who is calling, as the route demands; contract voting.md §1, V-G5, V-G7 */
#include "base/clock.h"
#include "service/state.h"

#define BEARER STR("Bearer ")
/* A voting token is 64 hex digits; anything else of a sane length is simply unknown (404), as the
 * contract has it. */
#define VOTING_TOKEN_MAX_BYTES 256

static bool refuse(struct response *res, enum error_code code, const char *message,
                   const char *wire_code)
{
    cJSON *extra = NULL;

    if (wire_code) {
        extra = json_object(res->http->arena);
        json_add_text(extra, "code", wire_code);
    }
    respond_error_extra(res, code, message, extra);
    return false;
}

/* "Bearer" is case-sensitive and followed by exactly one blank (contract §0). */
static bool bearer(const struct request *req, struct str *ret)
{
    struct str value = http_header_get(req->http, "Authorization");

    if (http_header_count(req->http, "Authorization") != 1 || !str_starts_with(value, BEARER))
        return false;
    *ret = str_skip(value, BEARER.len);
    return ret->len > 0 && ret->ptr[0] != ' ';
}

static bool as_user(struct request *req, struct response *res, bool optional)
{
    const struct service_state *state = req->state;
    struct str token = {NULL, 0};
    struct error e = {0};

    if (!bearer(req, &token)) {
        if (optional && http_header_count(req->http, "Authorization") == 0)
            return true;
        return refuse(res, ERR_UNAUTHENTICATED, "Missing or invalid Authorization header",
                      "MISSING_AUTH_TOKEN");
    }
    if (firebase_verify_id_token(&state->verifier, token, req->http->arrived_unix_ms / 1000,
                                 req->arena, req->deadline_ms, &req->identity, &e))
        return account_admit(req, res);
    if (e.code == ERR_UNAUTHENTICATED)
        refuse(res, ERR_UNAUTHENTICATED, "Invalid or expired authentication token",
               "INVALID_AUTH_TOKEN");
    else
        respond_failure(res, &e);
    res->log_reason = arena_text(req->arena, str_from(e.detail));
    return false;
}

static bool as_voting_token(struct request *req, struct response *res)
{
    struct str token = {NULL, 0};

    if (!bearer(req, &token) || token.len > VOTING_TOKEN_MAX_BYTES)
        return refuse(res, ERR_UNAUTHENTICATED, "Missing or invalid Authorization header",
                      "MISSING_AUTH_TOKEN");
    req->identity.kind = IDENTITY_VOTING_TOKEN;
    req->identity.voting_token = token;
    return true;
}

/* A nonce is good once, across all instances and restarts: the database remembers it. */
static bool nonce_is_new(struct request *req, const struct s2s_key *key, struct str nonce,
                         struct error *e)
{
    char until[CLOCK_ISO_SIZE];
    struct pg_result result = {0};

    clock_iso_utc(req->http->arrived_unix_ms + (int64_t)2000 * S2S_CLOCK_SKEW_S, until);

    const struct pg_param params[] = {PG_TEXT(key->org_id), PG_TEXT(key->id), PG_TEXT(nonce),
                                      PG_TEXT(str_from(until))};

    if (!pg_call(req->state->pool, req->state->nonce_statement, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &result, e))
        return false;
    if (!pg_get_bool(&result, 0, 0))
        return error_set(e, ERR_UNAUTHENTICATED, "nonce used before");
    return true;
}

static bool as_service(struct request *req, struct response *res)
{
    const struct service_state *state = req->state;
    const struct s2s_key *key = NULL;
    struct str nonce = {NULL, 0};
    struct error e = {0};
    bool old_way = state->s2s.api_key_allowed && http_header_count(req->http, "X-Signature") == 0;
    bool known = old_way ? s2s_verify_api_key(&state->s2s_keys, req->http, &key, &e)
                         : s2s_verify(&state->s2s_keys, req->http,
                                      req->http->arrived_unix_ms / 1000, &key, &nonce, &e) &&
                               nonce_is_new(req, key, nonce, &e);

    if (!known) {
        if (e.code == ERR_UNAUTHENTICATED)
            refuse(res, ERR_UNAUTHENTICATED, "Invalid or missing credentials", NULL);
        else
            respond_failure(res, &e);
        res->log_reason = arena_text(req->arena, str_from(e.detail));
        return false;
    }
    req->identity.kind = IDENTITY_SERVICE;
    req->identity.key_id = key->id;
    req->identity.org_id = key->org_id;
    tenants_enter(req, req->state->tenant_of_key[key - req->state->s2s_keys.keys]);
    return true;
}

/* Off: not looked at. Monitor: failures are counted. Enforce: 403 with the contract's codes,
 * callables 401. */
static bool app_check(struct request *req, struct response *res)
{
    struct service_state *state = req->state;
    struct str token = http_header_get(req->http, "X-Firebase-AppCheck");
    struct str app_id;
    struct error e = {0};
    int64_t mode;

    if (!(req->route->flags & ROUTE_APP_CHECK) || !(state->service->uses & USES_IDENTITY))
        return true;
    mode = state->service->app_check_mode ? state->service->app_check_mode(state, req->route)
                                          : state->identity.app_check_mode;
    if (mode == APP_CHECK_OFF)
        return true;
    if (http_header_count(req->http, "X-Firebase-AppCheck") == 1 &&
        firebase_verify_app_check(&state->verifier, token, req->http->arrived_unix_ms / 1000,
                                  req->arena, req->deadline_ms, &app_id, &e))
        return true;
    atomic_fetch_add_explicit(&state->app_check_failures, 1, memory_order_relaxed);
    if (mode == APP_CHECK_MONITOR)
        return true;
    if (state->service->errors == &error_shape_callable)
        return refuse(res, ERR_UNAUTHENTICATED, "Unauthenticated", NULL);
    if (token.ptr == NULL)
        return refuse(res, ERR_APP_CHECK, "App Check token is missing", "MISSING_APP_CHECK_TOKEN");
    if (e.code == ERR_UNAVAILABLE || e.code == ERR_GATEWAY_TIMEOUT || e.code == ERR_BAD_GATEWAY) {
        respond_failure(res, &e);
        return false;
    }
    return refuse(res, ERR_APP_CHECK, "App Check token is not valid", "INVALID_APP_CHECK_TOKEN");
}

bool authenticate(struct request *req, struct response *res)
{
    if (!app_check(req, res))
        return false;
    switch (req->route->auth) {
    case AUTH_PUBLIC:
        return true;
    case AUTH_OPTIONAL:
        return as_user(req, res, true);
    case AUTH_USER:
        return as_user(req, res, false);
    case AUTH_VOTING_TOKEN:
        return as_voting_token(req, res);
    case AUTH_SERVICE:
        return as_service(req, res);
    }
    must_not_happen("an auth kind that is not in the table");
}
