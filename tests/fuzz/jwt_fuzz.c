/*
 * A token as it comes, and the same claims signed with a good key. The signature is not to be
 * guessed, so no token of the input's own may verify.
 *
 * Input: the token; or '{', and the text is signed as claims by us.
 */
#include "fuzz.h"

#include "auth/firebase_token.h"

#define NOW_S 1800000000

static struct jwt_signer *signer;
static struct jwk_set *keys;

void fuzz_start(void)
{
    struct arena *a = arena_new(1U << 16);

    signer = jwt_signer_generate(STR("k1"));
    keys = jwk_set_parse(jwt_signer_jwks(signer, a), NULL);
    must(keys && jwk_set_has(keys, STR("k1")));
    arena_free(a);
}

static void check_claims(const struct jwt *token)
{
    struct jwt_expect expect = {.issuer = "https://securetoken.google.com/p",
                                .audience = "p",
                                .now_s = NOW_S,
                                .require_auth_time = true};
    bool strict = jwt_check_claims(token, &expect, NULL), lax;
    struct str subject;

    expect.audience_array_allowed = true;
    expect.leeway_s = 60;
    lax = jwt_check_claims(token, &expect, NULL);
    must(!strict || lax);
    must(!lax || (json_str(token->claims, "sub", &subject) && subject.len > 0 &&
                  subject.len <= UID_MAX_BYTES));
}

void fuzz_input(struct arena *a, struct str input)
{
    struct jwt token;
    struct error e = {0};

    if (str_starts_with(input, STR("{"))) {
        const cJSON *claims = input.len <= JWT_CLAIMS_MAX_BYTES ? json_parse(a, input, &e) : NULL;
        struct str text = claims ? jwt_sign(signer, a, claims) : STR("");

        if (claims && jwt_decode(a, text, false, &token, &e)) {
            must(jwt_verify(&token, keys, &e));
            check_claims(&token);
        }
        return;
    }
    if (jwt_decode(a, input, false, &token, &e)) {
        must(!token.unsigned_none && token.kid.len > 0 && cJSON_IsObject(token.claims));
        must(!jwt_verify(&token, keys, &e) && e.code == ERR_UNAUTHENTICATED);
        check_claims(&token);
    } else {
        must(e.code == ERR_UNAUTHENTICATED);
    }
    if (jwt_decode(a, input, true, &token, &e) && token.unsigned_none)
        must(token.signature.len == 0);
}
