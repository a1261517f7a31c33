/*
 * Keys as configured, and signed calls: nothing but our own signature is taken, and that one
 * always.
 *
 * Input: the setting S2S_KEYS on one line, then a request.
 */
#include "fuzz.h"

#include "auth/s2s.h"

#define NOW_S 1800000000
#define ORG   STR("00000000-0000-4000-8000-000000000001")

void fuzz_start(void) {}

static void take_our_own(struct arena *a, const struct s2s_keys *keys, struct http_request *req)
{
    const struct s2s_key *key;
    struct str nonce;
    struct error e = {0};

    if (str_find_char(req->target, '|') < req->target.len)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        req->header_count = 4;
        s2s_sign(&keys->keys[i], str_from(http_method_name(req->method)), req->target, req->body,
                 NOW_S, a, req->headers);
        must(s2s_verify(keys, req, NOW_S, &key, &nonce, &e) && key == &keys->keys[i]);
        must(!s2s_verify(keys, req, NOW_S + S2S_CLOCK_SKEW_S + 1, &key, &nonce, &e));
        req->body = str_skip(req->body, 1);
    }
}

void fuzz_input(struct arena *a, struct str input)
{
    struct s2s_keys keys;
    const struct s2s_key *key;
    struct http_request req;
    struct str nonce;
    struct error e = {0};

    if (!s2s_keys_parse(fuzz_line(&input), ORG, &keys, &e)) {
        must(e.code == ERR_BAD_REQUEST);
        return;
    }
    must(keys.count <= S2S_KEYS_MAX);
    for (size_t i = 0; i < keys.count; i++)
        must(keys.keys[i].secret.len >= 32 && uuid_is_valid(keys.keys[i].org_id));
    if (!input.ptr || !fuzz_request(a, input, &req))
        return;
    if (!s2s_verify(&keys, &req, NOW_S, &key, &nonce, &e))
        must(e.code == ERR_UNAUTHENTICATED);
    else
        must(nonce.len >= 22 && nonce.len <= 64);
    if (!s2s_verify_api_key(&keys, &req, &key, &e))
        must(e.code == ERR_UNAUTHENTICATED);
    take_our_own(a, &keys, &req);
}
