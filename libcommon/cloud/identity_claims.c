#include "base/encode.h"
#include "cloud/identity_private.h"

#define CUSTOM_TOKEN_LIFE_S 3600
#define CUSTOM_TOKEN_AUDIENCE                                                                      \
    "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"
#define PAYLOAD_MAX_BYTES 8192

/* ---- Names and sizes ---- */

bool identity_claim_is_reserved(struct str name)
{
    /* RFC 7519, OpenID Connect, and Firebase's own; firebase.google.com/docs/auth/admin. */
    static const char *const reserved[] = {
        "acr", "amr",      "at_hash", "aud", "auth_time", "azp", "c_hash", "cnf",
        "exp", "firebase", "iat",     "iss", "jti",       "nbf", "nonce",  "sub",
    };
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (str_eq_text(name, reserved[i]))
            return true;
    }
    return false;
}

static bool names_are_free(const cJSON *claims, struct error *e)
{
    const cJSON *claim = NULL;
    cJSON_ArrayForEach(claim, claims)
    {
        if (identity_claim_is_reserved(str_from(claim->string)))
            return error_set(e, ERR_BAD_REQUEST, "claims: a reserved name");
    }
    return true;
}

static bool write_claims(const cJSON *claims, struct arena *a, struct str *ret, struct error *e)
{
    struct buf b;
    buf_init(&b, IDENTITY_CLAIMS_MAX_BYTES);
    bool fits = json_write(&b, claims);
    if (fits)
        *ret = arena_dup(a, buf_str(&b));
    buf_done(&b);
    return fits ||
           error_set(e, ERR_BAD_REQUEST, "claims: more than %d bytes", IDENTITY_CLAIMS_MAX_BYTES);
}

bool identity_merge_claims(const cJSON *claims, const cJSON *changes, struct arena *a,
                           struct str *ret_text, struct error *e)
{
    cJSON *merged = json_object(a);
    const cJSON *claim = NULL;
    cJSON_ArrayForEach(claim, claims)
    {
        if (!json_get(changes, claim->string))
            json_add_copy(merged, claim->string, claim);
    }
    cJSON_ArrayForEach(claim, changes)
    {
        if (!cJSON_IsNull(claim))
            json_add_copy(merged, claim->string, claim);
    }
    return names_are_free(changes, e) && names_are_free(merged, e) &&
           write_claims(merged, a, ret_text, e);
}

/* ---- Custom tokens ---- */

static cJSON *token_payload(struct str uid, struct str email, const cJSON *claims, int64_t now_s,
                            struct arena *a)
{
    cJSON *payload = json_object(a);
    json_add_str(payload, "iss", email);
    json_add_str(payload, "sub", email);
    json_add_text(payload, "aud", CUSTOM_TOKEN_AUDIENCE);
    json_add_i64(payload, "iat", now_s);
    json_add_i64(payload, "exp", now_s + CUSTOM_TOKEN_LIFE_S);
    json_add_str(payload, "uid", uid);
    if (claims && claims->child)
        json_add_copy(payload, "claims", claims);
    return payload;
}

static struct str signing_input(struct str header, const cJSON *payload, struct arena *a)
{
    struct buf b;
    buf_init(&b, PAYLOAD_MAX_BYTES);
    must(json_write(&b, payload));
    struct str part = base64url_encode(a, buf_str(&b));
    buf_done(&b);
    return arena_printf(a, "%.*s.%.*s", STR_ARG(base64url_encode(a, header)), STR_ARG(part));
}

/* IAM signs with a key of Google's that nobody else ever holds. */
static bool sign_by_iam(struct identity_toolkit *it, struct str email, struct str input,
                        struct arena *a, int64_t deadline_ms, struct str *ret_token,
                        struct error *e)
{
    struct google_answer answer;
    struct str encoded;
    struct str signature;
    const struct google_call call = {
        .what = "signBlob",
        .url = arena_printf(a, "%s/v1/projects/-/serviceAccounts/%.*s:signBlob", it->iam_url,
                            STR_ARG(email)),
        .body = arena_printf(a, "{\"payload\":\"%.*s\"}", STR_ARG(base64_encode(a, input))),
        .repeatable = true,
        .deadline_ms = deadline_ms,
    };
    if (!google_call(&it->api, &call, a, &answer, e))
        return false;
    if (!json_str(answer.json, "signedBlob", &encoded) || !base64_decode(a, encoded, &signature) ||
        signature.len < RSA_BITS_MIN / 8 || signature.len > RSA_BITS_MAX / 8)
        return error_set(e, ERR_BAD_GATEWAY, "signBlob: answer without a signature");
    *ret_token =
        arena_printf(a, "%.*s.%.*s", STR_ARG(input), STR_ARG(base64url_encode(a, signature)));
    return true;
}

bool identity_custom_token(struct identity_toolkit *it, struct str uid, const cJSON *claims,
                           int64_t now_s, struct arena *a, int64_t deadline_ms,
                           struct str *ret_token, struct error *e)
{
    struct str email;
    struct str ignored;
    if (!identity_uid_check(uid, e))
        return false;
    if (claims && (!names_are_free(claims, e) || !write_claims(claims, a, &ignored, e)))
        return false;
    if (!access_token_account_email(it->api.tokens, a, deadline_ms, &email, e))
        return false;

    const cJSON *payload = token_payload(uid, email, claims, now_s, a);
    const struct jwt_signer *signer = access_token_signer(it->api.tokens);
    if (signer) {
        *ret_token = jwt_sign(signer, a, payload);
        return true;
    }
    if (it->emulator) {
        *ret_token = arena_printf(
            a, "%.*s.",
            STR_ARG(signing_input(STR("{\"alg\":\"none\",\"typ\":\"JWT\"}"), payload, a)));
        return true;
    }
    return sign_by_iam(it, email,
                       signing_input(STR("{\"alg\":\"RS256\",\"typ\":\"JWT\"}"), payload, a), a,
                       deadline_ms, ret_token, e);
}
