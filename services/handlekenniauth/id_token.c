/*
 * id_token.c - OpenID Connect Core 1.0 §3.1.3.7, and stricter where the rule leaves a choice
 *
 * Beyond auth/jwt.h: `azp` fits, a nonce that was sent is the token's, `at_hash` and `s_hash` fit
 * when they are there, and the session is nobody else's: with `actor` the claims describe the
 * person the actor acts for, who is not the one at the browser (M-F38, contract §13.4).
 */
#include "base/clock.h"
#include "base/encode.h"
#include "handlekenniauth.h"
#include "service/settings.h"

static bool is_client(const cJSON *item, const char *client_id)
{
    return cJSON_IsString(item) && str_eq_text(json_str_value(item), client_id);
}

/* With several audiences the token must say which of them asked for it. */
static bool check_authorized_party(const cJSON *claims, const char *client_id, struct error *e)
{
    const cJSON *aud = json_get(claims, "aud"), *azp = json_get(claims, "azp");
    bool several = cJSON_IsArray(aud) && cJSON_GetArraySize(aud) > 1;

    if (azp ? !is_client(azp, client_id) : several)
        return error_set(e, ERR_UNAUTHENTICATED, "token: azp is not ours");
    return true;
}

static bool check_nonce(const cJSON *claims, struct str sent, struct error *e)
{
    struct str nonce = STR("");

    if (sent.len == 0)
        return true;
    if (!json_str(claims, "nonce", &nonce) || !equal_constant_time(nonce, sent))
        return error_set(e, ERR_UNAUTHENTICATED, "token: nonce is not the one sent");
    return true;
}

/* Left half of the SHA-256 of what the hash vouches for (§3.1.3.6; s_hash: FAPI 1.0 part 2 §5.1).
 */
static bool check_hash(struct arena *a, const cJSON *claims, const char *name, struct str of,
                       struct error *e)
{
    const cJSON *claim = json_get(claims, name);
    unsigned char whole[SHA256_BYTES];

    if (!claim || of.len == 0)
        return true;
    sha256(of, whole);
    if (!cJSON_IsString(claim) ||
        !str_eq(json_str_value(claim), base64url_encode(a, str_n(whole, SHA256_BYTES / 2))))
        return error_set(e, ERR_UNAUTHENTICATED, "token: %s does not fit", name);
    return true;
}

static bool is_there(const cJSON *claims, const char *name)
{
    const cJSON *item = json_get(claims, name);

    return item && !cJSON_IsNull(item);
}

static bool check_own_session(const cJSON *claims, struct error *e)
{
    if (is_there(claims, "actor") || is_there(claims, "act") || is_there(claims, "delegation_type"))
        return error_set(e, ERR_FORBIDDEN, "token: a delegated session");
    return true;
}

bool id_token_check_claims(struct arena *a, const struct jwt *token,
                           const struct id_token_rules *rules, enum login_outcome *ret_outcome,
                           struct error *e)
{
    const struct jwt_expect expect = {
        .issuer = rules->issuer,
        .audience = rules->client_id,
        .audience_array_allowed = true,
        .now_s = rules->now_s,
        .leeway_s = rules->leeway_s,
    };

    *ret_outcome = LOGIN_ID_TOKEN;
    if (!jwt_check_claims(token, &expect, e) ||
        !check_authorized_party(token->claims, rules->client_id, e) ||
        !check_nonce(token->claims, rules->nonce, e) ||
        !check_hash(a, token->claims, "at_hash", rules->access_token, e) ||
        !check_hash(a, token->claims, "s_hash", rules->state, e))
        return false;
    *ret_outcome = LOGIN_DELEGATED;
    return rules->delegated_allowed || check_own_session(token->claims, e);
}

static bool refuse(const struct request *req, struct login_failure *f, enum login_outcome outcome,
                   const struct error *e)
{
    if (outcome == LOGIN_DELEGATED)
        return login_fail(req, f, outcome, ERR_FORBIDDEN, "DELEGATED_SESSION", NULL, e->detail);
    if (e->code != ERR_UNAUTHENTICATED) /* no keys to be had */
        return login_fail(req, f, LOGIN_PROVIDER, ERR_BAD_GATEWAY, "PROVIDER_UNAVAILABLE", "keys",
                          e->detail);
    return login_fail(req, f, outcome, ERR_INTERNAL, "INTERNAL", "id_token", e->detail);
}

bool id_token_check(const struct request *req, const struct provider_endpoints *at,
                    const struct kenni_tokens *tokens, const struct login_input *input,
                    const cJSON **ret_claims, struct login_failure *f)
{
    const struct login_service *service = req->own;
    const struct id_token_rules rules = {
        .issuer = service->settings.issuer,
        .client_id = service->settings.client_id,
        .nonce = input->nonce,
        .state = input->state,
        .access_token = tokens->access_token,
        .delegated_allowed = service->settings.delegated_allowed,
        .now_s = clock_unix_ms() / 1000,
        .leeway_s = service_identity_settings(req->state)->leeway_s,
    };
    enum login_outcome outcome = LOGIN_ID_TOKEN;
    struct error e = {0};
    struct jwt token;

    /* Signature before claims: what a stranger wrote is not worth a precise answer. */
    if (!jwt_decode(req->arena, tokens->id_token, false, &token, &e) ||
        !jwks_cache_verify(at->keys, &token, req->arena, req->deadline_ms, &e) ||
        !id_token_check_claims(req->arena, &token, &rules, &outcome, &e))
        return refuse(req, f, outcome, &e);
    *ret_claims = token.claims;
    return true;
}
