#include "auth/firebase_token.h"

#define ID_TOKEN_ISSUER  "https://securetoken.google.com/"
#define APP_CHECK_ISSUER "https://firebaseappcheck.googleapis.com/"

static bool check_signature(struct jwks_cache *keys, const struct jwt *token, struct arena *a,
                            int64_t deadline_ms, struct error *e)
{
    if (token->unsigned_none)
        return true; /* jwt_decode() lets it through only when we said so */
    if (!keys)
        return error_set(e, ERR_UNAVAILABLE, "token: no key source is configured");
    return jwks_cache_verify(keys, token, a, deadline_ms, e);
}

/* V-A11: an array of strings, whole or not at all; too many is as unlikely to be ours as a wrong
 * type. A string too long for a role equals none and is passed over. */
static void read_roles(const cJSON *claims, struct identity *id)
{
    const cJSON *roles = json_get(claims, "roles");
    if (!cJSON_IsArray(roles) || cJSON_GetArraySize(roles) > ROLES_MAX)
        return;
    const cJSON *role = NULL;
    cJSON_ArrayForEach(role, roles)
    {
        if (!cJSON_IsString(role))
            return;
    }
    cJSON_ArrayForEach(role, roles)
    {
        struct str name = json_str_value(role);
        if (name.len <= ROLE_MAX_BYTES)
            id->roles[id->role_count++] = name;
    }
}

static void read_identity(const cJSON *claims, struct identity *id)
{
    *id = (struct identity){.kind = IDENTITY_USER};
    (void)json_str(claims, "sub", &id->uid);
    if (json_str(claims, "kennitala", &id->kennitala_claim))
        id->has_kennitala = kennitala_normalise(id->kennitala_claim, id->kennitala);
    bool is_member = false;
    if (json_bool(claims, "isMember", &is_member))
        id->is_member = is_member ? CLAIM_TRUE : CLAIM_FALSE;
    read_roles(claims, id);
    (void)json_str(claims, "role", &id->legacy_role);
    (void)json_str(claims, "email", &id->email);
    (void)json_i64(claims, "iat", &id->issued_at_s);
    (void)json_i64(claims, "auth_time", &id->auth_time_s);
    (void)json_i64(claims, "exp", &id->expires_at_s);
}

bool firebase_verify_id_token(const struct firebase_verifier *v, struct str token, int64_t now_s,
                              struct arena *a, int64_t deadline_ms, struct identity *ret,
                              struct error *e)
{
    struct jwt decoded;
    struct jwt_expect expect = {
        .issuer = arena_printf(a, ID_TOKEN_ISSUER "%s", v->project_id).ptr,
        .audience = v->project_id,
        .now_s = now_s,
        .leeway_s = v->leeway_s,
        .require_auth_time = true,
    };
    /* Claims first: an expired or foreign token costs no RSA operation and no fetch of keys. */
    if (!jwt_decode(a, token, v->allow_unsigned, &decoded, e) ||
        !jwt_check_claims(&decoded, &expect, e) ||
        !check_signature(v->id_token_keys, &decoded, a, deadline_ms, e))
        return false;
    read_identity(decoded.claims, ret);
    return true;
}

/* With a project number the issuer is known to the byte, without one only where it begins. */
static bool check_app_check_issuer(const struct firebase_verifier *v, const cJSON *claims,
                                   struct error *e)
{
    struct str iss = {0};
    (void)json_str(claims, "iss", &iss);
    if (str_starts_with(iss, STR(APP_CHECK_ISSUER))) {
        struct str number = str_skip(iss, sizeof(APP_CHECK_ISSUER) - 1);
        bool pinned = v->project_number && v->project_number[0] != '\0';
        if (pinned ? str_eq_text(number, v->project_number) : number.len > 0)
            return true;
    }
    return error_set(e, ERR_UNAUTHENTICATED, "app check: iss is not ours");
}

bool firebase_verify_app_check(const struct firebase_verifier *v, struct str token, int64_t now_s,
                               struct arena *a, int64_t deadline_ms, struct str *ret_app_id,
                               struct error *e)
{
    struct jwt decoded;
    bool has_number = v->project_number && v->project_number[0] != '\0';
    struct jwt_expect expect = {
        .audience = arena_printf(a, "projects/%s", v->project_id).ptr,
        .audience_other = has_number ? arena_printf(a, "projects/%s", v->project_number).ptr : NULL,
        .audience_array_allowed = true,
        .now_s = now_s,
        .leeway_s = v->leeway_s,
    };
    if (!jwt_decode(a, token, false, &decoded, e) || !jwt_check_claims(&decoded, &expect, e) ||
        !check_app_check_issuer(v, decoded.claims, e))
        return false;
    if (!cJSON_IsArray(json_get(decoded.claims, "aud")))
        return error_set(e, ERR_UNAUTHENTICATED, "app check: aud is not an array");
    if (!check_signature(v->app_check_keys, &decoded, a, deadline_ms, e))
        return false;
    struct str sub = {0};
    must(json_str(decoded.claims, "sub", &sub));
    *ret_app_id = sub;
    return true;
}
