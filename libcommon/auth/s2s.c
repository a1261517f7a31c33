#include "auth/s2s.h"
#include "base/encode.h"

#define SECRET_MIN_BYTES   32
#define KEY_ID_MAX_BYTES   64
#define TENANT_MAX_BYTES   63
#define NONCE_RANDOM_BYTES 16
#define NONCE_MIN_BYTES    22
#define NONCE_MAX_BYTES    64
#define UNIX_TIME_MAX_S    253402300799LL /* the end of the year 9999 */

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool is_key_id(struct str s)
{
    return s.len <= KEY_ID_MAX_BYTES && str_only(s, LETTERS_AND_DIGITS "._-");
}

static bool is_nonce(struct str s)
{
    return s.len >= NONCE_MIN_BYTES && s.len <= NONCE_MAX_BYTES &&
           str_only(s, LETTERS_AND_DIGITS "_-");
}

/* As elections.organisations has it for slugs. */
static bool is_tenant(struct str s)
{
    return s.len > 0 && s.len <= TENANT_MAX_BYTES &&
           str_only(s, "abcdefghijklmnopqrstuvwxyz0123456789-") && s.ptr[0] != '-';
}

/* A secret travels as a header value (X-API-Key), so it is visible ASCII. */
static bool is_secret(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] > 0x7e)
            return false;
    return s.len >= SECRET_MIN_BYTES;
}

static bool parse_entry(struct str entry, struct str default_org, size_t position,
                        struct s2s_key *ret, struct error *e)
{
    struct str rest = entry;
    struct str org = default_org;
    bool complete = str_split(&rest, ':', &ret->id) && str_split(&rest, ':', &ret->secret);
    ret->tenant = (struct str){NULL, 0};
    if (complete && rest.ptr) {
        (void)str_split(&rest, ':', &org);
        ret->tenant = rest;
    }
    if (!complete)
        return error_set(e, ERR_BAD_REQUEST, "S2S_KEYS: entry %zu is not id:secret[:org[:tenant]]",
                         position);
    if (!is_key_id(ret->id))
        return error_set(e, ERR_BAD_REQUEST, "S2S_KEYS: the id of entry %zu is not allowed",
                         position);
    if (!is_secret(ret->secret))
        return error_set(e, ERR_BAD_REQUEST,
                         "S2S_KEYS: the secret of entry %zu is short or not visible ASCII",
                         position);
    if (!uuid_is_valid(org))
        return error_set(e, ERR_BAD_REQUEST, "S2S_KEYS: the org of entry %zu is not a UUID",
                         position);
    if (ret->tenant.ptr && !is_tenant(ret->tenant))
        return error_set(e, ERR_BAD_REQUEST, "S2S_KEYS: the tenant of entry %zu is not allowed",
                         position);
    ret->org_id = org;
    return true;
}

/* An id names one key; a secret names one tenant, because X-API-Key shows nothing else. */
static bool add_key(struct s2s_keys *keys, const struct s2s_key *key, size_t position,
                    struct error *e)
{
    if (keys->count == S2S_KEYS_MAX)
        return error_set(e, ERR_BAD_REQUEST, "S2S_KEYS: more than %d entries", S2S_KEYS_MAX);
    for (size_t i = 0; i < keys->count; i++)
        if (str_eq(keys->keys[i].id, key->id) || str_eq(keys->keys[i].secret, key->secret))
            return error_set(e, ERR_BAD_REQUEST,
                             "S2S_KEYS: entry %zu repeats the id or the secret of entry %zu",
                             position, i + 1);
    for (size_t i = 0; i < keys->count; i++) {
        const struct s2s_key *other = &keys->keys[i];
        if (key->tenant.ptr && other->tenant.ptr &&
            str_eq(key->tenant, other->tenant) != str_eq_ci(key->org_id, other->org_id))
            return error_set(e, ERR_BAD_REQUEST,
                             "S2S_KEYS: entries %zu and %zu disagree on the name of a tenant",
                             i + 1, position);
    }
    keys->keys[keys->count++] = *key;
    return true;
}

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool s2s_keys_parse(struct str text, struct str default_org, struct s2s_keys *ret, struct error *e)
{
    struct s2s_keys keys = {0};
    size_t at = 0;
    while (at < text.len) {
        size_t start = at;
        while (at < text.len && !is_separator(text.ptr[at]))
            at++;
        struct str entry = str_n(text.ptr + start, at - start);
        at++;
        if (entry.len == 0)
            continue;
        struct s2s_key key = {0};
        if (!parse_entry(entry, default_org, keys.count + 1, &key, e) ||
            !add_key(&keys, &key, keys.count + 1, e))
            return false;
    }
    *ret = keys;
    return true;
}

/* base64(HMAC-SHA256(secret, method|path|timestamp|nonce|bodyHash)) */
static struct str make_signature(struct str secret, struct str method, struct str path,
                                 struct str timestamp, struct str nonce, struct str body,
                                 struct arena *a)
{
    char body_hash[SHA256_HEX_SIZE];
    unsigned char mac[SHA256_BYTES];
    sha256_hex(body, body_hash);
    const struct str fields[] = {method, path, timestamp, nonce, str_from(body_hash)};
    size_t len = ARRAY_LEN(fields) - 1;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        len += fields[i].len;
    char *text = arena_alloc(a, len);
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (i > 0)
            text[at++] = '|';
        if (fields[i].len > 0)
            memcpy(text + at, fields[i].ptr, fields[i].len);
        at += fields[i].len;
    }
    hmac_sha256(secret, str_n(text, len), mac);
    return base64_encode(a, str_n(mac, sizeof(mac)));
}

static bool has_bar(struct str s)
{
    return str_find_char(s, '|') < s.len;
}

void s2s_sign(const struct s2s_key *key, struct str method, struct str path_and_query,
              struct str body, int64_t now_s, struct arena *a, struct http_header headers[4])
{
    unsigned char random[NONCE_RANDOM_BYTES];
    must(!has_bar(method) && !has_bar(path_and_query));
    random_bytes(random, sizeof(random));
    struct str nonce = base64url_encode(a, str_n(random, sizeof(random)));
    struct str timestamp = arena_printf(a, "%lld", (long long)now_s);
    struct str signature =
        make_signature(key->secret, method, path_and_query, timestamp, nonce, body, a);
    headers[0] = (struct http_header){STR("X-Signature"), signature};
    headers[1] = (struct http_header){STR("X-Timestamp"), timestamp};
    headers[2] = (struct http_header){STR("X-Nonce"), nonce};
    headers[3] = (struct http_header){STR("X-Key-Id"), key->id};
}

static bool get_once(const struct http_request *req, const char *name, struct str *ret,
                     struct error *e)
{
    if (http_header_count(req, name) != 1)
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: %s is missing or comes twice", name);
    *ret = http_header_get(req, name);
    return true;
}

static bool check_timestamp(struct str timestamp, int64_t now_s, struct error *e)
{
    int64_t sent_s = 0;
    if (!str_parse_i64(timestamp, 0, UNIX_TIME_MAX_S, &sent_s))
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: X-Timestamp is not a time");
    if (sent_s < now_s - S2S_CLOCK_SKEW_S || sent_s > now_s + S2S_CLOCK_SKEW_S)
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: X-Timestamp is too far from now");
    return true;
}

static const struct s2s_key *find_key(const struct s2s_keys *keys, struct str id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (str_eq(keys->keys[i].id, id))
            return &keys->keys[i];
    return NULL;
}

bool s2s_verify(const struct s2s_keys *keys, const struct http_request *req, int64_t now_s,
                const struct s2s_key **ret_key, struct str *ret_nonce, struct error *e)
{
    static const char no_secret[SECRET_MIN_BYTES];
    struct str signature = {0};
    struct str timestamp = {0};
    struct str nonce = {0};
    struct str id = {0};
    if (!get_once(req, "X-Signature", &signature, e) ||
        !get_once(req, "X-Timestamp", &timestamp, e) || !get_once(req, "X-Nonce", &nonce, e) ||
        !get_once(req, "X-Key-Id", &id, e) || !check_timestamp(timestamp, now_s, e))
        return false;
    if (!is_nonce(nonce))
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: X-Nonce is not allowed");
    if (has_bar(req->target))
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: the path holds a '|'");
    /* An unknown key costs the same work, so that time does not tell which ids exist. */
    const struct s2s_key *key = find_key(keys, id);
    struct str secret = key ? key->secret : str_n(no_secret, sizeof(no_secret));
    struct str expected = make_signature(secret, str_from(http_method_name(req->method)),
                                         req->target, timestamp, nonce, req->body, req->arena);
    bool equal = equal_constant_time(signature, expected);
    if (!key)
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: X-Key-Id is unknown");
    if (!equal)
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: the signature is wrong");
    *ret_key = key;
    *ret_nonce = nonce;
    return true;
}

/* Hashes are compared, not the texts, so that not even a length shows. */
bool s2s_verify_api_key(const struct s2s_keys *keys, const struct http_request *req,
                        const struct s2s_key **ret_key, struct error *e)
{
    struct str sent = {0};
    unsigned char sent_hash[SHA256_BYTES];
    const struct s2s_key *found = NULL;
    if (!get_once(req, "X-API-Key", &sent, e))
        return false;
    sha256(sent, sent_hash);
    for (size_t i = 0; i < keys->count; i++) {
        unsigned char hash[SHA256_BYTES];
        sha256(keys->keys[i].secret, hash);
        if (equal_constant_time(str_n(sent_hash, sizeof(sent_hash)), str_n(hash, sizeof(hash))))
            found = &keys->keys[i];
    }
    if (!found)
        return error_set(e, ERR_UNAUTHENTICATED, "s2s: the API key is wrong");
    *ret_key = found;
    return true;
}
