#include "auth/jwt.h"
#include "base/encode.h"
#include "base/limits.h"

#define LEEWAY_MAX_S 60

/* libsodium 1.0.18 decodes every byte above 0x7F as if it were 'A', so that one token would have
 * many spellings. */
static bool is_ascii(struct str token)
{
    unsigned char seen = 0;
    for (size_t i = 0; i < token.len; i++)
        seen |= (unsigned char)token.ptr[i];
    return seen < 0x80;
}

/* Exactly three parts; the first two must hold something. */
static bool split_parts(struct str token, struct str parts[3])
{
    struct str rest = token;
    for (size_t i = 0; i < 3; i++)
        if (!str_split(&rest, '.', &parts[i]))
            return false;
    return rest.ptr == NULL && parts[0].len > 0 && parts[1].len > 0;
}

static const cJSON *decode_object(struct arena *a, struct str part, const char *what,
                                  struct error *e)
{
    struct str text;
    if (!base64url_decode(a, part, &text)) {
        error_set(e, ERR_UNAUTHENTICATED, "token: %s is not base64url", what);
        return NULL;
    }
    const cJSON *object = json_parse(a, text, NULL);
    if (!object || !cJSON_IsObject(object)) {
        error_set(e, ERR_UNAUTHENTICATED, "token: %s is not a JSON object", what);
        return NULL;
    }
    return object;
}

/* The algorithm is compared, never chosen. Key hints in the header (jku, x5u, jwk, x5c) are not
 * even looked at; crit promises something we do not know, so it ends here. */
static bool check_header(struct jwt *t, bool allow_none, struct error *e)
{
    struct str alg;
    if (!json_str(t->header, "alg", &alg))
        return error_set(e, ERR_UNAUTHENTICATED, "token: alg is missing");
    if (json_get(t->header, "crit"))
        return error_set(e, ERR_UNAUTHENTICATED, "token: crit is not supported");
    if (allow_none && str_eq_text(alg, "none")) {
        if (t->signature.len > 0)
            return error_set(e, ERR_UNAUTHENTICATED, "token: alg none with a signature");
        t->unsigned_none = true;
        return true;
    }
    if (!str_eq_text(alg, "RS256"))
        return error_set(e, ERR_UNAUTHENTICATED, "token: alg is not RS256");
    if (!json_str(t->header, "kid", &t->kid) || t->kid.len == 0)
        return error_set(e, ERR_UNAUTHENTICATED, "token: kid is missing");
    if (t->signature.len == 0)
        return error_set(e, ERR_UNAUTHENTICATED, "token: signature is missing");
    return true;
}

bool jwt_decode(struct arena *a, struct str token, bool allow_none, struct jwt *ret,
                struct error *e)
{
    struct jwt t = {0};
    struct str parts[3];
    if (token.len == 0 || token.len > JWT_MAX_BYTES)
        return error_set(e, ERR_UNAUTHENTICATED, "token: empty or longer than %d bytes",
                         JWT_MAX_BYTES);
    if (!is_ascii(token) || !split_parts(token, parts))
        return error_set(e, ERR_UNAUTHENTICATED, "token: not three parts of base64url");
    t.signed_part = str_take(token, parts[0].len + 1 + parts[1].len);
    t.header = decode_object(a, parts[0], "header", e);
    if (!t.header)
        return false;
    if (parts[2].len > 0 && !base64url_decode(a, parts[2], &t.signature))
        return error_set(e, ERR_UNAUTHENTICATED, "token: signature is not base64url");
    if (!check_header(&t, allow_none, e))
        return false;
    t.claims = decode_object(a, parts[1], "payload", e);
    if (!t.claims)
        return false;
    *ret = t;
    return true;
}

/* False, with the reason set, when the claim is there but no whole number of seconds >= 0. */
static bool read_time(const cJSON *claims, const char *name, bool required, bool *ret_present,
                      int64_t *ret_s, struct error *e)
{
    *ret_present = json_get(claims, name) != NULL;
    if (!*ret_present)
        return !required || error_set(e, ERR_UNAUTHENTICATED, "token: %s is missing", name);
    if (!json_i64(claims, name, ret_s) || *ret_s < 0)
        return error_set(e, ERR_UNAUTHENTICATED, "token: %s is not a time", name);
    return true;
}

static bool check_past(const cJSON *claims, const char *name, bool required, int64_t latest_s,
                       struct error *e)
{
    bool present = false;
    int64_t time_s = 0;
    if (!read_time(claims, name, required, &present, &time_s, e))
        return false;
    if (present && time_s > latest_s)
        return error_set(e, ERR_UNAUTHENTICATED, "token: %s is in the future", name);
    return true;
}

static bool check_times(const cJSON *claims, const struct jwt_expect *expect, struct error *e)
{
    bool present = false;
    int64_t exp_s = 0;
    if (!read_time(claims, "exp", true, &present, &exp_s, e))
        return false;
    if (exp_s <= expect->now_s - expect->leeway_s)
        return error_set(e, ERR_UNAUTHENTICATED, "token: exp has passed");
    int64_t latest_s = expect->now_s + expect->leeway_s;
    return check_past(claims, "iat", true, latest_s, e) &&
           check_past(claims, "nbf", false, latest_s, e) &&
           check_past(claims, "auth_time", expect->require_auth_time, latest_s, e);
}

static bool is_expected_audience(const cJSON *item, const struct jwt_expect *expect)
{
    struct str value = json_str_value(item);
    return str_eq_text(value, expect->audience) ||
           (expect->audience_other && str_eq_text(value, expect->audience_other));
}

static bool check_audience(const cJSON *claims, const struct jwt_expect *expect, struct error *e)
{
    const cJSON *aud = json_get(claims, "aud");
    bool found = false;
    if (cJSON_IsString(aud)) {
        found = is_expected_audience(aud, expect);
    } else if (expect->audience_array_allowed && cJSON_IsArray(aud)) {
        const cJSON *item = NULL;
        cJSON_ArrayForEach(item, aud)
        {
            if (!cJSON_IsString(item))
                return error_set(e, ERR_UNAUTHENTICATED, "token: aud holds something not a string");
            found = found || is_expected_audience(item, expect);
        }
    } else {
        return error_set(e, ERR_UNAUTHENTICATED, "token: aud is missing or of a wrong type");
    }
    return found || error_set(e, ERR_UNAUTHENTICATED, "token: aud is not ours");
}

bool jwt_check_claims(const struct jwt *token, const struct jwt_expect *expect, struct error *e)
{
    must(expect->leeway_s >= 0 && expect->leeway_s <= LEEWAY_MAX_S);
    must(expect->audience && expect->audience[0] != '\0');
    struct str iss;
    struct str sub;
    if (!check_times(token->claims, expect, e))
        return false;
    if (!json_str(token->claims, "iss", &iss))
        return error_set(e, ERR_UNAUTHENTICATED, "token: iss is missing");
    if (expect->issuer && !str_eq_text(iss, expect->issuer))
        return error_set(e, ERR_UNAUTHENTICATED, "token: iss is not ours");
    if (!check_audience(token->claims, expect, e))
        return false;
    if (!json_str(token->claims, "sub", &sub) || sub.len == 0 || sub.len > UID_MAX_BYTES)
        return error_set(e, ERR_UNAUTHENTICATED, "token: sub is missing or of a wrong size");
    return true;
}
