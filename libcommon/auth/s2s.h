/*
 * s2s.h - signed calls between services
 *
 * X-Signature: base64(HMAC-SHA256(secret, method|path|timestamp|nonce|bodyHash)), X-Timestamp (Unix
 * seconds), X-Nonce (22..64 of [A-Za-z0-9_-]), X-Key-Id. path is the request target with its query;
 * bodyHash is lower-case hex SHA-256 of the body (of nothing when there is none). No field may hold
 * '|'. Two keys may be valid at once, per tenant, so that keys rotate without a stop. Comparison in
 * constant time. Any thread. Source: DESIGN §4; seeds, ADR-002.
 */
#ifndef LIBCOMMON_AUTH_S2S_H
#define LIBCOMMON_AUTH_S2S_H

#include "auth/identity.h"
#include "base/arena.h"
#include "base/error.h"
#include "net/http.h"

#define S2S_CLOCK_SKEW_S 300

struct s2s_key {
    struct str id;     /* [A-Za-z0-9._-]{1,64} */
    struct str secret; /* at least 32 bytes */
    struct str org_id; /* UUID of the tenant */
    struct str tenant; /* its short name; empty when the entry gives none */
};
struct s2s_keys {
    struct s2s_key keys[S2S_KEYS_MAX];
    size_t count;
};

/*
 * Parses the setting S2S_KEYS: "id:secret[:org[:tenant]]" entries separated by ',' or whitespace;
 * org defaults to default_org, tenant is the name of that org in log lines. Neither an id nor a
 * secret may come twice, nor two names for one org or one for two. Strings point into text.
 * ERR_BAD_REQUEST names the entry by position, never by content.
 */
bool s2s_keys_parse(struct str text, struct str default_org, struct s2s_keys *ret,
                    struct error *e) MUST_CHECK;

/* The four headers for one attempt, in the arena; fresh nonce each time. headers has room for 4.
 * must(): no '|' in method and path_and_query, so the caller percent-encodes. */
void s2s_sign(const struct s2s_key *key, struct str method, struct str path_and_query,
              struct str body, int64_t now_s, struct arena *a, struct http_header headers[4]);

/*
 * Checks all but the nonce's novelty. ERR_UNAUTHENTICATED with the same outcome for missing, stale,
 * unknown key and wrong signature; a header that comes twice is refused. ret_nonce must then be
 * remembered by the caller (good once, until timestamp + 2 * S2S_CLOCK_SKEW_S).
 */
bool s2s_verify(const struct s2s_keys *keys, const struct http_request *req, int64_t now_s,
                const struct s2s_key **ret_key, struct str *ret_nonce, struct error *e) MUST_CHECK;

/* The old way, X-API-Key holding a secret of any of the keys; only called when the setting allows
 * it. Every key is compared, always. */
bool s2s_verify_api_key(const struct s2s_keys *keys, const struct http_request *req,
                        const struct s2s_key **ret_key, struct error *e) MUST_CHECK;

#endif
