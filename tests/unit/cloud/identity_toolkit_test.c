#include "fake_google.h"

#include "auth/testing.h"
#include "cloud/identity_private.h"

static struct identity_toolkit *it;

static struct identity_toolkit *open_toolkit(struct access_token_source *tokens, const char *host)
{
    const struct identity_toolkit_config config = {
        .project_id = "p",
        .emulator_host = host,
        .iam_url = arena_printf(fake.arena, "http://%s", fake.host).ptr,
        .tokens = tokens,
        .client = fake.client,
    };
    return identity_toolkit_new(&config);
}

static int start(void **state)
{
    fake_start(state);
    it = open_toolkit(fake.tokens, fake.host);
    return 0;
}

static int stop(void **state)
{
    identity_toolkit_free(it);
    return fake_stop(state);
}

#define IT_TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

static const cJSON *parsed(const char *text)
{
    const cJSON *tree = json_parse(fake.arena, str_from(text), &fake.error);
    if (!tree)
        fail_msg("%s: %s", text, fake.error.detail);
    return tree;
}

/* ---- Lookup ---- */

static bool lookup(const char *uid, struct identity_account *account)
{
    return identity_lookup(it, str_from(uid), fake.arena, soon(), account, &fake.error);
}

static void test_identity_lookup_account_has_all_parts(void **state)
{
    (void)state;
    struct identity_account account;
    bool member = false;
    fake_says(200, "{\"users\":[{\"localId\":\"u1\",\"email\":\"a@example.is\",\"disabled\":true,"
                   "\"validSince\":\"1700000000\",\"customAttributes\":\"{\\\"isMember\\\":true}"
                   "\"}]}");
    assert_ok(lookup("u1", &account));
    assert_true(account.exists && account.disabled);
    assert_true(str_eq(account.uid, STR("u1")) && str_eq(account.email, STR("a@example.is")));
    assert_int_equal(account.valid_since_s, 1700000000);
    assert_true(json_bool(account.claims, "isMember", &member) && member);
    assert_asked(0, "POST /identitytoolkit.googleapis.com/v1/projects/p/accounts:lookup HTTP/1.1");
    assert_string_equal(fake_asked_body(0), "{\"localId\":[\"u1\"]}");
}

static void test_identity_lookup_unknown_account_is_no_error(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"kind\":\"x\"}", "{\"users\":[]}"};
    struct identity_account account;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_forget();
        fake_says(200, bodies[i]);
        assert_ok(lookup("u1", &account));
        assert_false(account.exists);
    }
}

static void test_identity_lookup_claims_that_are_none_are_empty(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "7", "nothing", "{\\\"a\\\":1"};
    struct identity_account account;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        fake_forget();
        fake_says(200, arena_printf(fake.arena,
                                    "{\"users\":[{\"localId\":\"u\",\"customAttributes\":\"%s\"}]}",
                                    texts[i])
                           .ptr);
        assert_ok(lookup("u", &account));
        assert_true(cJSON_IsObject(account.claims) && !account.claims->child);
    }
}

static void test_identity_lookup_somebody_else_or_unreadable_is_bad_gateway(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"users\":[{\"localId\":\"other\"}]}",
        "{\"users\":[{}]}",
        "{\"users\":7}",
        "{\"users\":[{\"localId\":\"u\",\"validSince\":\"soon\"}]}",
        "{\"users\":[{\"localId\":\"u\",\"validSince\":-1}]}",
    };
    struct identity_account account;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_forget();
        fake_says(200, bodies[i]);
        assert_error(lookup("u", &account), ERR_BAD_GATEWAY);
    }
}

static void test_identity_calls_uid_that_is_none_is_refused(void **state)
{
    (void)state;
    struct identity_account account;
    struct str token;
    char longest[UID_MAX_BYTES + 2];
    memset(longest, 'u', sizeof(longest));
    longest[UID_MAX_BYTES + 1] = '\0';
    const char *const bad[] = {"", "\xff", longest};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str uid = str_from(bad[i]);
        assert_error(lookup(bad[i], &account), ERR_BAD_REQUEST);
        assert_error(identity_create(it, uid, STR(""), fake.arena, soon(), &fake.error),
                     ERR_BAD_REQUEST);
        assert_error(identity_revoke_tokens(it, uid, 1, fake.arena, soon(), &fake.error),
                     ERR_BAD_REQUEST);
        assert_error(
            identity_custom_token(it, uid, NULL, 1, fake.arena, soon(), &token, &fake.error),
            ERR_BAD_REQUEST);
    }
    assert_int_equal(fake_asked_count(), 0);
}

/* ---- Create, revoke, errors ---- */

static void test_identity_create_sends_uid_and_name(void **state)
{
    (void)state;
    fake_says(200, "{\"localId\":\"u\"}");
    assert_ok(identity_create(it, STR("u"), STR("Jón"), fake.arena, soon(), &fake.error));
    assert_asked(0, "/v1/projects/p/accounts HTTP/1.1");
    assert_string_equal(fake_asked_body(0), "{\"localId\":\"u\",\"displayName\":\"Jón\"}");
}

static void test_identity_errors_go_by_their_first_word(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *message;
        enum error_code code;
    } rows[] = {
        {400, "DUPLICATE_LOCAL_ID", ERR_CONFLICT},
        {400, "DUPLICATE_LOCAL_ID : 0101302989", ERR_CONFLICT},
        {400, "USER_NOT_FOUND", ERR_NOT_FOUND},
        {400, "CLAIMS_TOO_LARGE", ERR_BAD_REQUEST},
        {400, "QUOTA_EXCEEDED : slow down", ERR_UNAVAILABLE},
        {400, "SOMETHING_NEW", ERR_BAD_REQUEST},
        {400, "CONFIGURATION_NOT_FOUND", ERR_INTERNAL},
        {403, "INSUFFICIENT_PERMISSION", ERR_INTERNAL},
        {403, "The caller lacks 0101302989", ERR_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_forget();
        fake_says(rows[i].status,
                  arena_printf(fake.arena, "{\"error\":{\"code\":%d,\"message\":\"%s\"}}",
                               rows[i].status, rows[i].message)
                      .ptr);
        assert_error(identity_create(it, STR("u"), STR(""), fake.arena, soon(), &fake.error),
                     rows[i].code);
        assert_null(strstr(fake.error.detail, "0101302989"));
    }
}

static void test_identity_revoke_tokens_sets_valid_since(void **state)
{
    (void)state;
    fake_says(503, "busy");
    fake_says(200, "{\"localId\":\"u\"}");
    assert_ok(identity_revoke_tokens(it, STR("u"), 1700000000, fake.arena, soon(), &fake.error));
    assert_asked(1, "/accounts:update HTTP/1.1");
    assert_string_equal(fake_asked_body(1), "{\"localId\":\"u\",\"validSince\":\"1700000000\"}");
}

/* ---- Claims ---- */

static void test_identity_merge_claims_keeps_sets_and_removes(void **state)
{
    (void)state;
    struct str text;
    assert_ok(identity_merge_claims(
        parsed("{\"isMember\":true,\"roles\":[\"a\"],\"old\":1,\"Old\":2}"),
        parsed("{\"roles\":[\"b\"],\"old\":null,\"kennitala\":\"x\",\"never\":null}"), fake.arena,
        &text, &fake.error));
    assert_string_equal(text.ptr,
                        "{\"isMember\":true,\"Old\":2,\"roles\":[\"b\"],\"kennitala\":\"x\"}");
}

static void test_identity_merge_claims_reserved_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"acr", "amr",    "at_hash", "aud",      "auth_time", "azp",
                                        "cnf", "c_hash", "exp",     "firebase", "iat",       "iss",
                                        "jti", "nbf",    "nonce",   "sub"};
    struct str text;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(identity_claim_is_reserved(str_from(names[i])));
        const cJSON *changes =
            parsed(arena_printf(fake.arena, "{\"ok\":1,\"%s\":2}", names[i]).ptr);
        assert_error(identity_merge_claims(parsed("{}"), changes, fake.arena, &text, &fake.error),
                     ERR_BAD_REQUEST);
    }
    assert_false(identity_claim_is_reserved(STR("SUB")));
    assert_false(identity_claim_is_reserved(STR("kennitala")));
}

static void test_identity_merge_claims_size_is_bounded(void **state)
{
    (void)state;
    struct str text;
    /* {"a":"…"} has 8 bytes around the text. */
    for (int extra = 0; extra <= 1; extra++) {
        const char *claims =
            arena_printf(fake.arena, "{\"a\":\"%0*d\"}", IDENTITY_CLAIMS_MAX_BYTES - 8 + extra, 0)
                .ptr;
        bool ok =
            identity_merge_claims(parsed("{}"), parsed(claims), fake.arena, &text, &fake.error);
        assert_int_equal(ok, extra == 0);
    }
    assert_int_equal(fake.error.code, ERR_BAD_REQUEST);
}

#define USER(claims) "{\"users\":[{\"localId\":\"u\",\"customAttributes\":\"" claims "\"}]}"

static bool set_claims(const char *changes)
{
    return identity_update_claims(it, STR("u"), parsed(changes), fake.arena, soon(), &fake.error);
}

static void test_identity_update_claims_reads_merges_writes_and_reads_back(void **state)
{
    (void)state;
    fake_says(200, USER("{\\\"isMember\\\":true}"));
    fake_says(200, "{}");
    fake_says(200, USER("{\\\"roles\\\":[\\\"admin\\\"],\\\"isMember\\\":true}"));
    assert_ok(set_claims("{\"roles\":[\"admin\"]}"));
    assert_int_equal(fake_asked_count(), 3);
    assert_string_equal(fake_asked_body(1),
                        "{\"localId\":\"u\",\"customAttributes\":\"{\\\"isMember\\\":true,"
                        "\\\"roles\\\":[\\\"admin\\\"]}\"}");
}

static void test_identity_update_claims_that_are_so_already_writes_nothing(void **state)
{
    (void)state;
    fake_says(200, USER("{\\\"a\\\":[1,2],\\\"b\\\":true}"));
    assert_ok(set_claims("{\"a\":[1,2],\"gone\":null}"));
    assert_int_equal(fake_asked_count(), 1);
}

static void test_identity_update_claims_overwritten_is_done_again(void **state)
{
    (void)state;
    fake_says(200, USER("{}"));
    fake_says(200, "{}");
    fake_says(200, USER("{\\\"theirs\\\":1}"));
    fake_says(200, "{}");
    fake_says(200, USER("{\\\"theirs\\\":1,\\\"ours\\\":2}"));
    assert_ok(set_claims("{\"ours\":2}"));
    assert_asked(3, "{\\\"theirs\\\":1,\\\"ours\\\":2}");
}

static void test_identity_update_claims_overwritten_always_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fake_says(200, USER("{\\\"theirs\\\":1}"));
        fake_says(200, "{}");
    }
    fake_says(200, USER("{\\\"theirs\\\":1}"));
    assert_error(set_claims("{\"ours\":2}"), ERR_ABORTED);
    assert_int_equal(fake_asked_count(), 7);
}

static void test_identity_update_claims_refusals(void **state)
{
    (void)state;
    fake_says(200, "{}");
    assert_error(set_claims("{\"a\":1}"), ERR_NOT_FOUND);
    fake_forget();
    fake_says(200, USER("{}"));
    assert_error(set_claims("{\"sub\":\"x\"}"), ERR_BAD_REQUEST);
    assert_int_equal(fake_asked_count(), 1);
    fake_forget();
    fake_says(200, USER("{}"));
    fake_says(403, "{\"error\":{\"code\":403,\"message\":\"PERMISSION_DENIED\"}}");
    assert_error(set_claims("{\"a\":1}"), ERR_INTERNAL);
}

/* ---- Custom tokens ---- */

static bool custom_token(const char *claims, struct str *token)
{
    return identity_custom_token(it, STR("u"), claims ? parsed(claims) : NULL, NOW_S, fake.arena,
                                 soon(), token, &fake.error);
}

static void assert_custom_claims(const struct jwt *jwt, const char *email, const char *claims)
{
    const char *text =
        arena_printf(
            fake.arena,
            "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"https://identitytoolkit.googleapis.com/"
            "google.identity.identitytoolkit.v1.IdentityToolkit\",\"iat\":%lld,\"exp\":%lld,"
            "\"uid\":\"u\"%s%s}",
            email, email, (long long)NOW_S, (long long)NOW_S + 3600, claims ? ",\"claims\":" : "",
            claims ? claims : "")
            .ptr;
    assert_string_equal(print_json(fake.arena, jwt->claims).ptr, text);
}

static struct access_token_source *source_with_key(struct jwt_signer *signer)
{
    char path[] = "/tmp/ekklesia-key-XXXXXX";
    cJSON *key = json_object(fake.arena);
    json_add_text(key, "client_email", "suite@p.iam.gserviceaccount.com");
    json_add_str(key, "private_key", jwt_signer_pem(signer, fake.arena));
    json_add_text(key, "private_key_id", "key-1");
    struct str text = print_json(fake.arena, key);
    int fd = mkstemp(path);
    must(fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len && close(fd) == 0);
    const struct access_token_config config = {.key_file = path, .client = fake.client};
    struct access_token_source *source = access_token_source_new(&config, &fake.error);
    must(unlink(path) == 0 && source);
    return source;
}

static void test_identity_custom_token_key_file_signs(void **state)
{
    (void)state;
    struct str token;
    struct jwt jwt;
    struct jwt_signer *signer = jwt_signer_generate(STR("key-1"));
    struct access_token_source *source = source_with_key(signer);
    identity_toolkit_free(it);
    it = open_toolkit(source, "");
    assert_ok(custom_token("{\"isMember\":true,\"roles\":[\"a\"]}", &token));
    assert_ok(jwt_decode(fake.arena, token, false, &jwt, &fake.error));
    struct jwk_set *keys = jwk_set_parse(jwt_signer_jwks(signer, fake.arena), &fake.error);
    assert_ok(jwt_verify(&jwt, keys, &fake.error));
    assert_custom_claims(&jwt, "suite@p.iam.gserviceaccount.com",
                         "{\"isMember\":true,\"roles\":[\"a\"]}");
    assert_ok(custom_token(NULL, &token) && jwt_decode(fake.arena, token, false, &jwt, NULL));
    assert_custom_claims(&jwt, "suite@p.iam.gserviceaccount.com", NULL);
    assert_int_equal(fake_asked_count(), 0);
    jwk_set_free(keys);
    access_token_source_free(source);
    jwt_signer_free(signer);
}

static struct access_token_source *source_of_metadata(void)
{
    const struct access_token_config config = {.metadata_host = fake.host, .client = fake.client};
    return access_token_source_new(&config, NULL);
}

static void metadata_says(const char *body)
{
    fake_says_step(
        (struct fake_step){.status = 200, .headers = "Metadata-Flavor: Google\r\n", .body = body});
}

static void test_identity_custom_token_without_key_is_signed_by_iam(void **state)
{
    (void)state;
    struct str token;
    struct str input;
    struct jwt_signer *signer = jwt_signer_generate(STR("google"));
    struct access_token_source *source = source_of_metadata();
    identity_toolkit_free(it);
    it = open_toolkit(source, "");
    /* What will be signed is known beforehand: nothing in it is random. */
    metadata_says("run@p.iam.gserviceaccount.com");
    metadata_says("{\"access_token\":\"t\",\"expires_in\":3600}");
    fake_says(200, "{\"keyId\":\"google\",\"signedBlob\":\"AAAA\"}");
    assert_error(custom_token("{\"a\":1}", &token), ERR_BAD_GATEWAY);
    assert_asked(2, "POST /v1/projects/-/serviceAccounts/run@p.iam.gserviceaccount.com:signBlob ");
    assert_asked(2, "\r\nAuthorization: Bearer t\r\n");
    struct str encoded;
    assert_true(json_str(parsed(fake_asked_body(2)), "payload", &encoded));
    assert_true(base64_decode(fake.arena, encoded, &input));

    struct str signature = jwt_signer_sign_bytes(signer, fake.arena, input);
    fake_forget();
    fake_says(200, arena_printf(fake.arena, "{\"signedBlob\":\"%s\"}",
                                base64_encode(fake.arena, signature).ptr)
                       .ptr);
    assert_ok(custom_token("{\"a\":1}", &token));
    assert_true(str_starts_with(token, input));
    assert_string_equal(token.ptr, with_signature(fake.arena, input, signature).ptr);
    /* The header names no kid, as Google's own client leaves it out too. */
    struct str header;
    assert_true(base64url_decode(fake.arena, str_take(input, str_find_char(input, '.')), &header));
    assert_string_equal(arena_text(fake.arena, header), "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
    access_token_source_free(source);
    jwt_signer_free(signer);
}

static void test_identity_custom_token_iam_failing_is_passed_on(void **state)
{
    (void)state;
    struct str token;
    struct access_token_source *source = source_of_metadata();
    identity_toolkit_free(it);
    it = open_toolkit(source, "");
    metadata_says("run@p.iam.gserviceaccount.com");
    metadata_says("{\"access_token\":\"t\",\"expires_in\":3600}");
    fake_says(403, "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\"}}");
    assert_error(custom_token(NULL, &token), ERR_INTERNAL);
    access_token_source_free(source);
}

static void test_identity_custom_token_emulator_without_key_is_unsigned(void **state)
{
    (void)state;
    struct str token;
    struct jwt jwt;
    assert_ok(custom_token("{\"a\":1}", &token));
    assert_ok(jwt_decode(fake.arena, token, true, &jwt, &fake.error));
    assert_true(jwt.unsigned_none);
    assert_custom_claims(&jwt, "firebase-auth-emulator@example.com", "{\"a\":1}");
}

static void test_identity_custom_token_claims_are_bounded(void **state)
{
    (void)state;
    struct str token;
    assert_error(custom_token("{\"aud\":\"x\"}", &token), ERR_BAD_REQUEST);
    assert_error(custom_token(arena_printf(fake.arena, "{\"a\":\"%01000d\"}", 0).ptr, &token),
                 ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IT_TEST(test_identity_lookup_account_has_all_parts),
        IT_TEST(test_identity_lookup_unknown_account_is_no_error),
        IT_TEST(test_identity_lookup_claims_that_are_none_are_empty),
        IT_TEST(test_identity_lookup_somebody_else_or_unreadable_is_bad_gateway),
        IT_TEST(test_identity_calls_uid_that_is_none_is_refused),
        IT_TEST(test_identity_create_sends_uid_and_name),
        IT_TEST(test_identity_errors_go_by_their_first_word),
        IT_TEST(test_identity_revoke_tokens_sets_valid_since),
        IT_TEST(test_identity_merge_claims_keeps_sets_and_removes),
        IT_TEST(test_identity_merge_claims_reserved_names_are_refused),
        IT_TEST(test_identity_merge_claims_size_is_bounded),
        IT_TEST(test_identity_update_claims_reads_merges_writes_and_reads_back),
        IT_TEST(test_identity_update_claims_that_are_so_already_writes_nothing),
        IT_TEST(test_identity_update_claims_overwritten_is_done_again),
        IT_TEST(test_identity_update_claims_overwritten_always_says_so),
        IT_TEST(test_identity_update_claims_refusals),
        IT_TEST(test_identity_custom_token_key_file_signs),
        IT_TEST(test_identity_custom_token_without_key_is_signed_by_iam),
        IT_TEST(test_identity_custom_token_iam_failing_is_passed_on),
        IT_TEST(test_identity_custom_token_emulator_without_key_is_unsigned),
        IT_TEST(test_identity_custom_token_claims_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
