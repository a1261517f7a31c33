#include "auth/testing.h"

#include "auth/s2s.h"

#define ORG_A     "11111111-1111-4111-8111-111111111111"
#define ORG_B     "22222222-2222-4222-8222-222222222222"
#define SECRET_1  "0123456789abcdef0123456789abcdef"
#define SECRET_2  "fedcba9876543210fedcba9876543210"
#define SECRET_3  "A-third-secret-of-enough-bytes.+/="
#define KEYS_TEXT "events-1:" SECRET_1 ",events-2:" SECRET_2 "\n other.org:" SECRET_3 ":" ORG_B

static struct s2s_keys parse_keys(const char *text)
{
    struct s2s_keys keys;
    struct error e = {0};
    if (!s2s_keys_parse(str_from(text), STR(ORG_A), &keys, &e))
        fail_msg("%s", e.detail);
    return keys;
}

static void test_s2s_keys_parse_good_settings(void **state)
{
    (void)state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    assert_int_equal(keys.count, 3);
    assert_true(str_eq_text(keys.keys[0].id, "events-1"));
    assert_true(str_eq_text(keys.keys[0].secret, SECRET_1));
    assert_true(str_eq_text(keys.keys[0].org_id, ORG_A));
    assert_true(str_eq_text(keys.keys[1].id, "events-2"));
    assert_true(str_eq_text(keys.keys[1].org_id, ORG_A));
    assert_true(str_eq_text(keys.keys[2].id, "other.org"));
    assert_true(str_eq_text(keys.keys[2].secret, SECRET_3));
    assert_true(str_eq_text(keys.keys[2].org_id, ORG_B));
    /* Only names are held against each other; a tenant has two keys while they are changed. */
    assert_int_equal(parse_keys("a:" SECRET_1 ":" ORG_A ":one,b:" SECRET_2 ":" ORG_A ":one").count,
                     2);
    assert_int_equal(parse_keys("a:" SECRET_1 ":" ORG_A ":one,b:" SECRET_2 ":" ORG_B ":two").count,
                     2);
    assert_int_equal(parse_keys("a:" SECRET_1 ":" ORG_A ":one,b:" SECRET_2 ":" ORG_A).count, 2);
    assert_int_equal(parse_keys("a:" SECRET_1 ":" ORG_A ",b:" SECRET_2 ":" ORG_A ":one").count, 2);
    assert_int_equal(parse_keys("").count, 0);
    assert_int_equal(parse_keys(" ,\r\n\t, ").count, 0);
    assert_int_equal(parse_keys(",, a:" SECRET_1 " ,").count, 1);
}

static void test_s2s_keys_parse_bad_settings_are_refused_without_content(void **state)
{
    struct arena *a = *state;
    struct buf many;
    buf_init(&many, 4096);
    for (unsigned i = 0; i <= S2S_KEYS_MAX; i++)
        buf_printf(&many, "k%u:secret-of-more-than-32-bytes-no-%u,", i, i);
    const char *const cases[] = {
        "a",
        "a:",
        ":" SECRET_1,
        SECRET_1,
        "a:short-secret-value",
        "a:" SECRET_1 ":",
        "a:" SECRET_1 ":not-a-uuid",
        "a:" SECRET_1 "\x7f",
        "a:" SECRET_1 "\xc3\xa1",
        "a b:" SECRET_1,
        "a|b:" SECRET_1,
        "\xc3\xa1:" SECRET_1,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:" SECRET_1,
        "a:" SECRET_1 ",a:" SECRET_2,
        "a:" SECRET_1 ",b:" SECRET_1 ":" ORG_B,
        "a:" SECRET_1 ":" ORG_B ":",
        "a:" SECRET_1 ":" ORG_B ":Hverfi",
        "a:" SECRET_1 ":" ORG_B ":-x",
        "a:" SECRET_1 ":" ORG_B ":x:y",
        "a:" SECRET_1 "::x",
        "a:" SECRET_1 ":" ORG_B ":one,b:" SECRET_2 ":" ORG_B ":two",
        "a:" SECRET_1 ":" ORG_A ":one,b:" SECRET_2 ":" ORG_B ":one",
        arena_text(a, buf_str(&many)),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct s2s_keys keys;
        struct error e = {0};
        if (s2s_keys_parse(str_from(cases[i]), STR(ORG_A), &keys, &e))
            fail_msg("case %zu", i);
        assert_int_equal(e.code, ERR_BAD_REQUEST);
        assert_null(strstr(e.detail, "0123"));
        assert_null(strstr(e.detail, "secret-"));
    }
    buf_done(&many);
    /* Without a default every entry must name its tenant. */
    struct s2s_keys keys;
    assert_false(s2s_keys_parse(STR("a:" SECRET_1), STR(""), &keys, NULL));
    assert_true(s2s_keys_parse(STR("a:" SECRET_1 ":" ORG_B), STR(""), &keys, NULL));
}

/* The name of an organisation may stand in any of its entries. */
static void test_s2s_keys_parse_reads_names_of_tenants(void **state)
{
    struct s2s_keys keys =
        parse_keys("a:" SECRET_1 ",b:" SECRET_2 ":" ORG_B ":hverfi-1,c:" SECRET_3 ":" ORG_B);

    (void)state;
    assert_null(keys.keys[0].tenant.ptr);
    assert_true(str_eq_text(keys.keys[1].tenant, "hverfi-1"));
    assert_true(str_eq_text(keys.keys[1].org_id, ORG_B));
    assert_null(keys.keys[2].tenant.ptr);
}

struct call {
    enum http_method method;
    const char *target;
    const char *body;
};
static const struct call a_call = {HTTP_POST, "/api/s2s/register-token?x=1&y=%7C", "{\"a\":1}"};

static struct http_request *make_request(struct arena *a, const struct call *call,
                                         const struct http_header *headers, size_t count)
{
    struct http_request *req = ARENA_NEW(a, struct http_request);
    req->method = call->method;
    req->target = str_from(call->target);
    req->body = str_from(call->body);
    req->arena = a;
    req->headers[req->header_count++] = (struct http_header){STR("Host"), STR("h")};
    for (size_t i = 0; i < count; i++)
        req->headers[req->header_count++] = headers[i];
    return req;
}

static struct http_request *signed_request(struct arena *a, const struct s2s_key *key,
                                           const struct call *call)
{
    struct http_header headers[4];
    s2s_sign(key, str_from(http_method_name(call->method)), str_from(call->target),
             str_from(call->body), NOW_S, a, headers);
    return make_request(a, call, headers, 4);
}

static bool verifies_at(const struct s2s_keys *keys, const struct http_request *req, int64_t now_s)
{
    const struct s2s_key *key = NULL;
    struct str nonce = {0};
    struct error e = {0};
    bool ok = s2s_verify(keys, req, now_s, &key, &nonce, &e);
    if (!ok) {
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
        assert_null(key);
        assert_null(nonce.ptr);
    }
    return ok;
}

static bool verifies(const struct s2s_keys *keys, const struct http_request *req)
{
    return verifies_at(keys, req, NOW_S);
}

static void test_s2s_verify_own_signature_names_key_and_nonce(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    for (size_t i = 0; i < keys.count; i++) {
        const struct http_request *req = signed_request(a, &keys.keys[i], &a_call);
        const struct s2s_key *key = NULL;
        struct str nonce;
        struct error e = {0};
        assert_true(s2s_verify(&keys, req, NOW_S, &key, &nonce, &e));
        assert_ptr_equal(key, &keys.keys[i]);
        assert_true(str_eq(nonce, http_header_get(req, "X-Nonce")));
        assert_int_equal(nonce.len, 22);
    }
}

/* The text that is signed, spelled out by hand (DESIGN §4): the other side may be written by
 * others. */
static void test_s2s_sign_text_is_method_path_timestamp_nonce_hash(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    struct http_header headers[4];
    unsigned char mac[SHA256_BYTES];
    s2s_sign(&keys.keys[0], STR("GET"), STR("/a?b=c"), STR(""), NOW_S, a, headers);
    assert_true(str_eq_text(headers[0].name, "X-Signature"));
    assert_true(str_eq_text(headers[1].name, "X-Timestamp"));
    assert_true(str_eq_text(headers[2].name, "X-Nonce"));
    assert_true(str_eq_text(headers[3].name, "X-Key-Id"));
    assert_true(str_eq_text(headers[1].value, "1800000000"));
    assert_true(str_eq_text(headers[3].value, "events-1"));
    struct str text =
        arena_printf(a,
                     "GET|/a?b=c|1800000000|%.*s|"
                     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                     STR_ARG(headers[2].value));
    hmac_sha256(STR(SECRET_1), text, mac);
    assert_true(str_eq(headers[0].value, base64_encode(a, str_n(mac, sizeof(mac)))));
}

static void test_s2s_sign_nonce_is_new_each_time(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    struct http_header first[4];
    struct http_header second[4];
    s2s_sign(&keys.keys[0], STR("GET"), STR("/"), STR(""), NOW_S, a, first);
    s2s_sign(&keys.keys[0], STR("GET"), STR("/"), STR(""), NOW_S, a, second);
    assert_false(str_eq(first[2].value, second[2].value));
    assert_false(str_eq(first[0].value, second[0].value));
}

static void test_s2s_verify_altered_request_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    static const struct call altered[] = {
        {HTTP_PUT, "/api/s2s/register-token?x=1&y=%7C", "{\"a\":1}"},
        {HTTP_OTHER, "/api/s2s/register-token?x=1&y=%7C", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-tokens?x=1&y=%7C", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-token", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-token?x=2&y=%7C", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-token?y=%7C&x=1", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-token?x=1&y=%7c", "{\"a\":1}"},
        {HTTP_POST, "/api/s2s/register-token?x=1&y=%7C", "{\"a\":2}"},
        {HTTP_POST, "/api/s2s/register-token?x=1&y=%7C", ""},
        {HTTP_POST, "/api/s2s/register-token?x=1&y=%7C", "{\"a\":1} "},
        {HTTP_POST, "/api/s2s/register-token?x=1&y=|", "{\"a\":1}"},
    };
    struct http_request *req = signed_request(a, &keys.keys[0], &a_call);
    assert_true(verifies(&keys, req));
    for (size_t i = 0; i < ARRAY_LEN(altered); i++) {
        req->method = altered[i].method;
        req->target = str_from(altered[i].target);
        req->body = str_from(altered[i].body);
        if (verifies(&keys, req))
            fail_msg("case %zu", i);
    }
}

static void set_header(struct http_request *req, const char *name, struct str value)
{
    for (size_t i = 0; i < req->header_count; i++)
        if (str_eq_ci(req->headers[i].name, str_from(name)))
            req->headers[i].value = value;
}

static void test_s2s_verify_altered_header_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    static const char *const names[] = {"X-Signature", "X-Timestamp", "X-Nonce", "X-Key-Id"};
    struct http_request *req = signed_request(a, &keys.keys[0], &a_call);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str good = http_header_get(req, names[i]);
        char *bytes = arena_alloc(a, good.len + 1);
        for (size_t at = 0; at < good.len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                memcpy(bytes, good.ptr, good.len);
                bytes[at] = (char)(bytes[at] ^ (1 << bit));
                set_header(req, names[i], str_n(bytes, good.len));
                if (verifies(&keys, req))
                    fail_msg("%s, bit %u of byte %zu", names[i], bit, at);
            }
        }
        memcpy(bytes, good.ptr, good.len);
        bytes[good.len] = ' ';
        set_header(req, names[i], str_n(bytes, good.len + 1));
        assert_false(verifies(&keys, req));
        set_header(req, names[i], str_take(good, good.len - 1));
        assert_false(verifies(&keys, req));
        set_header(req, names[i], STR(""));
        assert_false(verifies(&keys, req));
        set_header(req, names[i], good);
        assert_true(verifies(&keys, req));
    }
}

static void test_s2s_verify_missing_or_double_header_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    for (size_t i = 0; i < 4; i++) {
        struct http_request *req = signed_request(a, &keys.keys[0], &a_call);
        struct http_header *slot = &req->headers[1 + i];
        struct http_header good = *slot;
        slot->name = STR("X-Other");
        assert_false(verifies(&keys, req));
        *slot = good;
        assert_true(verifies(&keys, req));
        req->headers[req->header_count++] = good;
        assert_false(verifies(&keys, req));
        req->headers[req->header_count - 1].value = STR("other");
        assert_false(verifies(&keys, req));
    }
}

static void test_s2s_verify_window_is_300_seconds_both_ways(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    const struct http_request *req = signed_request(a, &keys.keys[0], &a_call);
    assert_true(verifies_at(&keys, req, NOW_S + 300));
    assert_true(verifies_at(&keys, req, NOW_S - 300));
    assert_false(verifies_at(&keys, req, NOW_S + 301));
    assert_false(verifies_at(&keys, req, NOW_S - 301));
    assert_false(verifies_at(&keys, req, 0));
    assert_false(verifies_at(&keys, req, INT64_MAX / 2));
}

/* Properly signed, so that only the form of the field can be the reason. */
static struct http_request *hand_signed(struct arena *a, const char *timestamp, const char *nonce)
{
    char body_hash[SHA256_HEX_SIZE];
    unsigned char mac[SHA256_BYTES];
    sha256_hex(str_from(a_call.body), body_hash);
    struct str text =
        arena_printf(a, "POST|%s|%s|%s|%s", a_call.target, timestamp, nonce, body_hash);
    hmac_sha256(STR(SECRET_1), text, mac);
    const struct http_header headers[] = {
        {STR("x-signature"), base64_encode(a, str_n(mac, sizeof(mac)))},
        {STR("x-timestamp"), str_from(timestamp)},
        {STR("x-nonce"), str_from(nonce)},
        {STR("x-key-id"), STR("events-1")},
    };
    return make_request(a, &a_call, headers, 4);
}

static void test_s2s_verify_field_forms(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    static const struct {
        const char *timestamp;
        const char *nonce;
        bool good;
    } cases[] = {
        {"1800000000", "abcdefghijklmnopqrstuv", true},
        {"1800000000", "ABCDEFGHIJKLMNOPQRSTUV0123456789_-", true},
        {"1800000000", "0123456789012345678901234567890123456789012345678901234567890123", true},
        {"1800000000", "01234567890123456789012345678901234567890123456789012345678901234", false},
        {"1800000000", "abcdefghijklmnopqrstu", false},
        {"1800000000", "", false},
        {"1800000000", "abcdefghijklmnopqrstu|", false},
        {"1800000000", "abcdefghijklmnopqrstu=", false},
        {"1800000000", "abcdefghijklmnopqrstu ", false},
        {"1800000000", "abcdefghijklmnopqrst\xc3\xa1", false},
        {"1800000000.5", "abcdefghijklmnopqrstuv", false},
        {"+1800000000", "abcdefghijklmnopqrstuv", false},
        {" 1800000000", "abcdefghijklmnopqrstuv", false},
        {"1800000000 ", "abcdefghijklmnopqrstuv", false},
        {"0x6b49d200", "abcdefghijklmnopqrstuv", false},
        {"1.8e9", "abcdefghijklmnopqrstuv", false},
        {"-1800000000", "abcdefghijklmnopqrstuv", false},
        {"99999999999999999999999", "abcdefghijklmnopqrstuv", false},
        {"1800000000000", "abcdefghijklmnopqrstuv", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct http_request *req = hand_signed(a, cases[i].timestamp, cases[i].nonce);
        if (verifies(&keys, req) != cases[i].good)
            fail_msg("timestamp %s nonce %s", cases[i].timestamp, cases[i].nonce);
    }
}

/* A raw '|' could move a field's border: it is refused even when the signature over it is right. */
static void test_s2s_verify_bar_in_target_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    static const struct call call = {HTTP_GET, "/a|1", ""};
    char body_hash[SHA256_HEX_SIZE];
    unsigned char mac[SHA256_BYTES];
    sha256_hex(STR(""), body_hash);
    struct str text = arena_printf(a, "GET|/a|1|1800000000|abcdefghijklmnopqrstuv|%s", body_hash);
    hmac_sha256(STR(SECRET_1), text, mac);
    const struct http_header headers[] = {
        {STR("X-Signature"), base64_encode(a, str_n(mac, sizeof(mac)))},
        {STR("X-Timestamp"), STR("1800000000")},
        {STR("X-Nonce"), STR("abcdefghijklmnopqrstuv")},
        {STR("X-Key-Id"), STR("events-1")},
    };
    assert_false(verifies(&keys, make_request(a, &call, headers, 4)));
}

static void test_s2s_verify_unknown_or_other_key_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    struct s2s_keys none = {0};
    struct http_request *req = signed_request(a, &keys.keys[0], &a_call);
    assert_false(verifies(&none, req));
    static const char *const ids[] = {"events-2", "other.org", "events-3", "EVENTS-1", ""};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        set_header(req, "X-Key-Id", str_from(ids[i]));
        assert_false(verifies(&keys, req));
    }
    /* An unknown id must not fall back to a secret anyone can guess. */
    static const char zeros[32];
    struct s2s_key guess = {
        .id = STR("nobody"), .secret = str_n(zeros, sizeof(zeros)), .org_id = STR(ORG_A)};
    assert_false(verifies(&keys, signed_request(a, &guess, &a_call)));
}

/* Rotation: old and new key of one tenant side by side, then the old one goes. */
static void test_s2s_verify_rotation_has_no_gap(void **state)
{
    struct arena *a = *state;
    struct s2s_keys old_only = parse_keys("k-old:" SECRET_1);
    struct s2s_keys both = parse_keys("k-new:" SECRET_2 ",k-old:" SECRET_1);
    struct s2s_keys new_only = parse_keys("k-new:" SECRET_2);
    const struct http_request *by_old = signed_request(a, &old_only.keys[0], &a_call);
    const struct http_request *by_new = signed_request(a, &new_only.keys[0], &a_call);
    assert_true(verifies(&old_only, by_old));
    assert_false(verifies(&old_only, by_new));
    assert_true(verifies(&both, by_old));
    assert_true(verifies(&both, by_new));
    assert_false(verifies(&new_only, by_old));
    assert_true(verifies(&new_only, by_new));
}

static bool api_key_passes(struct arena *a, const struct s2s_keys *keys, struct str value,
                           unsigned copies, const struct s2s_key **key)
{
    struct http_header headers[2] = {{STR("x-api-key"), value}, {STR("X-API-Key"), value}};
    struct error e = {0};
    bool ok = s2s_verify_api_key(keys, make_request(a, &a_call, headers, copies), key, &e);
    if (!ok)
        assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    return ok;
}

static void test_s2s_verify_api_key_names_the_tenant(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    const struct s2s_key *key = NULL;
    assert_true(api_key_passes(a, &keys, STR(SECRET_1), 1, &key));
    assert_ptr_equal(key, &keys.keys[0]);
    assert_true(api_key_passes(a, &keys, STR(SECRET_2), 1, &key));
    assert_ptr_equal(key, &keys.keys[1]);
    assert_true(api_key_passes(a, &keys, STR(SECRET_3), 1, &key));
    assert_ptr_equal(key, &keys.keys[2]);
    assert_true(str_eq_text(key->org_id, ORG_B));
}

static void test_s2s_verify_api_key_anything_else_is_refused(void **state)
{
    struct arena *a = *state;
    struct s2s_keys keys = parse_keys(KEYS_TEXT);
    struct s2s_keys none = {0};
    const struct s2s_key *key = NULL;
    assert_false(api_key_passes(a, &keys, STR(SECRET_1), 0, &key));
    assert_false(api_key_passes(a, &keys, STR(SECRET_1), 2, &key));
    assert_false(api_key_passes(a, &keys, STR(""), 1, &key));
    assert_false(api_key_passes(a, &keys, STR(SECRET_1 " "), 1, &key));
    assert_false(api_key_passes(a, &keys, STR(SECRET_1 "\0"), 1, &key));
    assert_false(api_key_passes(a, &keys, STR("0123456789abcdef0123456789abcdeF"), 1, &key));
    assert_false(api_key_passes(a, &keys, str_take(STR(SECRET_1), 31), 1, &key));
    assert_false(api_key_passes(a, &keys, STR("events-1"), 1, &key));
    assert_false(api_key_passes(a, &none, STR(SECRET_1), 1, &key));
    assert_false(api_key_passes(a, &none, STR(""), 1, &key));
    assert_null(key);
}

/* The primitive under the signature, against the RFC's and Wycheproof's values. */
static void test_hmac_sha256_rfc4231(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "rfc/rfc-small-vectors.json");
    size_t run = 0;
    const cJSON *test = NULL;
    cJSON_ArrayForEach(test, json_get(vectors, "rfc4231_hmac_sha256"))
    {
        const char *name = json_get(test, "mac") ? "mac" : "mac_truncated_128";
        struct str want = vector_bytes(a, test, name);
        unsigned char mac[SHA256_BYTES];
        hmac_sha256(vector_bytes(a, test, "key"), vector_bytes(a, test, "data"), mac);
        assert_memory_equal(mac, want.ptr, want.len);
        run++;
    }
    assert_int_equal(run, 7);
}

static void test_hmac_sha256_wycheproof(void **state)
{
    struct arena *a = *state;
    const cJSON *vectors = load_vectors(a, "wycheproof/hmac_sha256_test.json");
    size_t run = 0;
    const cJSON *group = NULL;
    cJSON_ArrayForEach(group, json_get(vectors, "testGroups"))
    {
        size_t tag_bytes = (size_t)json_get(group, "tagSize")->valueint / 8;
        const cJSON *test = NULL;
        cJSON_ArrayForEach(test, json_get(group, "tests"))
        {
            unsigned char mac[SHA256_BYTES];
            hmac_sha256(vector_bytes(a, test, "key"), vector_bytes(a, test, "msg"), mac);
            bool equal = equal_constant_time(str_n(mac, tag_bytes), vector_bytes(a, test, "tag"));
            assert_int_equal(equal, str_eq_text(vector_text(test, "result"), "valid"));
            run++;
        }
    }
    assert_int_equal(run, 174);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_s2s_keys_parse_good_settings),
        ARENA_TEST(test_s2s_keys_parse_bad_settings_are_refused_without_content),
        ARENA_TEST(test_s2s_keys_parse_reads_names_of_tenants),
        ARENA_TEST(test_s2s_verify_own_signature_names_key_and_nonce),
        ARENA_TEST(test_s2s_sign_text_is_method_path_timestamp_nonce_hash),
        ARENA_TEST(test_s2s_sign_nonce_is_new_each_time),
        ARENA_TEST(test_s2s_verify_altered_request_is_refused),
        ARENA_TEST(test_s2s_verify_altered_header_is_refused),
        ARENA_TEST(test_s2s_verify_missing_or_double_header_is_refused),
        ARENA_TEST(test_s2s_verify_window_is_300_seconds_both_ways),
        ARENA_TEST(test_s2s_verify_field_forms),
        ARENA_TEST(test_s2s_verify_bar_in_target_is_refused),
        ARENA_TEST(test_s2s_verify_unknown_or_other_key_is_refused),
        ARENA_TEST(test_s2s_verify_rotation_has_no_gap),
        ARENA_TEST(test_s2s_verify_api_key_names_the_tenant),
        ARENA_TEST(test_s2s_verify_api_key_anything_else_is_refused),
        ARENA_TEST(test_hmac_sha256_rfc4231),
        ARENA_TEST(test_hmac_sha256_wycheproof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
