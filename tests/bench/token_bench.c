/*
 * token_bench - how many ID tokens one core checks in a second, and how fast JSON is checked
 *
 * A token is decoded, its claims and its RS256 signature are checked, as for every request with a
 * Firebase token; 2048 bits, a payload of the size the login function issues. Prints one JSON
 * object. The references are measured beside it: `openssl speed rsa2048` by tests/bench/run, and
 * cJSON's own lax parser here.
 */
#include "auth/jwt.h"

#define ROUND_US   INT64_C(1000000)
#define TOKENS     64 /* different ones, so that nothing can be remembered */
#define NOW_S      INT64_C(1767225600)
#define JSON_BATCH 200

/* CPU time of this thread, as `openssl speed` counts its own: other programs on the machine then
 * slow down neither. */
static int64_t cpu_us(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct token_set {
    struct str tokens[TOKENS];
    struct jwk_set *keys;
};

static struct token_set make_tokens(struct arena *a)
{
    struct error e;
    struct token_set set;
    struct jwt_signer *signer = jwt_signer_generate(STR("bench-key"));
    must(signer);
    for (size_t i = 0; i < TOKENS; i++) {
        struct str text = arena_printf(
            a,
            "{\"iss\":\"https://securetoken.google.com/demo\",\"aud\":\"demo\",\"auth_time\":%lld,"
            "\"user_id\":\"uid-%06zu\",\"sub\":\"uid-%06zu\",\"iat\":%lld,\"exp\":%lld,"
            "\"kennitala\":\"0101302989\",\"isMember\":true,\"roles\":[\"member\"],"
            "\"email\":\"member%zu@example.is\",\"firebase\":{\"identities\":{},"
            "\"sign_in_provider\":\"custom\"}}",
            (long long)NOW_S, i, i, (long long)NOW_S, (long long)NOW_S + 3600, i);
        const cJSON *claims = json_parse(a, text, &e);
        must(claims);
        set.tokens[i] = jwt_sign(signer, a, claims);
    }
    set.keys = jwk_set_parse(jwt_signer_jwks(signer, a), &e);
    must(set.keys);
    jwt_signer_free(signer);
    return set;
}

static double verify_per_second(const struct token_set *set)
{
    const struct jwt_expect expect = {.issuer = "https://securetoken.google.com/demo",
                                      .audience = "demo",
                                      .now_s = NOW_S,
                                      .require_auth_time = true};
    struct arena *a = arena_new(1U << 20);
    int64_t start_us = cpu_us();
    int64_t now_us = start_us;
    size_t done = 0;
    for (; now_us - start_us < ROUND_US; now_us = cpu_us()) {
        struct error e;
        struct jwt token;
        must(jwt_decode(a, set->tokens[done % TOKENS], false, &token, &e));
        must(jwt_check_claims(&token, &expect, &e));
        must(jwt_verify(&token, set->keys, &e));
        arena_reset(a);
        done++;
    }
    arena_free(a);
    return (double)done * 1e6 / (double)(now_us - start_us);
}

/* About 16 KiB of what a list of elections looks like, non-ASCII letters and escapes included. */
static struct str make_json(struct arena *a)
{
    struct str text = STR("");
    for (size_t i = 0; i < 40; i++)
        text = arena_printf(
            a,
            "%.*s%s{\"id\":\"7c9e6679-7425-40de-944b-e07fc1f90a%02zu\",\"title\":\"Kosning um "
            "l\xc3\xb6g f\xc3\xa9lagsins nr. %zu\",\"question\":\"Sam\xc3\xbeykkir "
            "\xc3\xbe\xc3\xba \\\"tillöguna\\\"?\\n\",\"answers\":[\"J\xc3\xa1\",\"Nei\","
            "\"Sit hj\xc3\xa1\"],\"hidden\":false,\"max_selections\":1,\"closed_at\":null,"
            "\"scheduled_end\":\"2026-11-21T22:32:34.657Z\",\"total_votes\":%zu}",
            STR_ARG(text), i > 0 ? "," : "[", i, i, i * 37);
    return arena_printf(a, "%.*s]", STR_ARG(text));
}

static double megabytes_per_second(struct str text, bool ours)
{
    int64_t start_us = cpu_us();
    int64_t now_us = start_us;
    size_t bytes = 0;
    for (; now_us - start_us < ROUND_US; now_us = cpu_us()) {
        for (size_t i = 0; i < JSON_BATCH; i++) {
            struct error e;
            if (ours) {
                must(json_check(text, &e));
            } else {
                cJSON *tree = cJSON_ParseWithLength(text.ptr, text.len);
                must(tree);
                cJSON_Delete(tree);
            }
            bytes += text.len;
        }
    }
    return (double)bytes / (double)(now_us - start_us);
}

int main(void)
{
    struct arena *a = arena_new(8U << 20);
    struct token_set set = make_tokens(a);
    struct str json = make_json(a);
    double verify = verify_per_second(&set);
    double check = megabytes_per_second(json, true);
    double cjson = megabytes_per_second(json, false);
    printf("{\"token_verify_per_s\":%.0f,\"token_bytes\":%zu,\"json_check_mb_s\":%.1f,"
           "\"cjson_parse_mb_s\":%.1f}\n",
           verify, set.tokens[0].len, check, cjson);
    jwk_set_free(set.keys);
    arena_free(a);
    return 0;
}
