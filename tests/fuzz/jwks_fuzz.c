/* A provider's document of keys: what is taken can be asked for, and verifies nothing by chance. */
#include "fuzz.h"

#include "auth/jwks_cache_internal.h"

void fuzz_start(void) {}

void fuzz_input(struct arena *a, struct str input)
{
    struct str cache_control = fuzz_line(&input);
    int64_t lifetime_s = jwks_cache_lifetime_s(cache_control);
    struct error e = {0};
    struct jwk_set *set = jwk_set_parse(input, &e);
    const cJSON *key, *tree = json_parse(a, input, NULL);
    size_t held = 0;

    must(lifetime_s >= 300 && lifetime_s <= 86400);
    must(set || e.code == ERR_BAD_GATEWAY);
    if (!set)
        return;
    must(jwk_set_size(set) > 0 && jwk_set_size(set) <= JWKS_KEYS_MAX);
    cJSON_ArrayForEach(key, json_get(tree, "keys"))
    {
        struct str kid;

        if (json_str(key, "kid", &kid))
            held += jwk_set_has(set, kid);
    }
    must(held >= jwk_set_size(set));
    jwk_set_free(set);
}
