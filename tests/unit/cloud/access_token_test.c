#include "fake_google.h"

#include "auth/testing.h"
#include "cloud/access_token_private.h"

#define CALLERS   32
#define MINUTE_MS 60000LL
#define FLAVOR    "Metadata-Flavor: Google\r\n"
#define TOKEN_1   "{\"access_token\":\"one\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define TOKEN_2   "{\"access_token\":\"two\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"

static struct access_token_source *source;

static struct access_token_source *open_source(const char *key_file)
{
    const struct access_token_config config = {
        .key_file = key_file,
        .metadata_host = fake.host,
        .scope = "https://www.googleapis.com/auth/cloud-platform",
        .client = fake.client,
    };
    return access_token_source_new(&config, &fake.error);
}

static int start(void **state)
{
    fake_start(state);
    source = open_source("");
    return 0;
}

static int stop(void **state)
{
    access_token_source_free(source);
    return fake_stop(state);
}

#define TOKEN_TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

static void metadata_says(const char *body)
{
    fake_says_step((struct fake_step){.status = 200, .headers = FLAVOR, .body = body});
}

static bool get_until(int64_t deadline_ms, struct str *ret)
{
    fake.error = (struct error){.code = ERR_NONE};
    return access_token_get(source, fake.arena, deadline_ms, ret, &fake.error);
}

static void assert_token(const char *expected)
{
    struct str token;
    assert_ok(get_until(soon(), &token));
    assert_string_equal(token.ptr, expected);
}

/* ---- Metadata server ---- */

static void test_access_token_get_asks_the_metadata_server_once(void **state)
{
    (void)state;
    metadata_says(TOKEN_1);
    assert_token("one");
    assert_token("one");
    assert_int_equal(fake_asked_count(), 1);
    assert_asked(0, "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n");
    assert_asked(0, "\r\n" FLAVOR);
}

static void test_access_token_get_other_than_metadata_server_is_refused(void **state)
{
    (void)state;
    static const char *const headers[] = {"", "Metadata-Flavor: other\r\n"};
    struct str token;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        fake_forget();
        fake_says_step((struct fake_step){.status = 200, .headers = headers[i], .body = TOKEN_1});
        assert_error(get_until(soon(), &token), ERR_UNAVAILABLE);
    }
}

static void test_access_token_get_bad_answers_are_unavailable(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "no json",
        "[]",
        "{\"access_token\":\"\",\"expires_in\":3600}",
        "{\"access_token\":7,\"expires_in\":3600}",
        "{\"access_token\":\"a\\r\\nX: y\",\"expires_in\":3600}",
        "{\"access_token\":\"secret\"}",
        "{\"access_token\":\"secret\",\"expires_in\":\"3600\"}",
        "{\"access_token\":\"secret\",\"expires_in\":0}",
        "{\"access_token\":\"secret\",\"expires_in\":-5}",
    };
    struct str token;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_forget();
        metadata_says(bodies[i]);
        if (get_until(soon(), &token) || fake.error.code != ERR_UNAVAILABLE)
            fail_msg("%s", bodies[i]);
        assert_null(strstr(fake.error.detail, "secret"));
    }
    fake_forget();
    fake_says_step((struct fake_step){.status = 404, .headers = FLAVOR, .body = TOKEN_1});
    assert_error(get_until(soon(), &token), ERR_UNAVAILABLE);
}

static void test_access_token_get_faults_end_within_the_deadline(void **state)
{
    (void)state;
    static const enum fake_fault faults[] = {FAKE_HANGS, FAKE_CLOSES, FAKE_CUTS,
                                             FAKE_DRIPS, FAKE_FLOODS, FAKE_BABBLES};
    struct str token;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        fake_forget();
        fake_fails(faults[i]);
        int64_t deadline_ms = clock_mono_ms() + 300;
        assert_error(get_until(deadline_ms, &token), ERR_UNAVAILABLE);
        assert_true(clock_mono_ms() < deadline_ms + PATIENCE_MS / 2);
    }
    fake_forget();
    fake_fails(FAKE_CLOSES);
    metadata_says(TOKEN_1);
    assert_token("one");
}

/* ---- Getting old ---- */

static void test_access_token_get_is_renewed_five_minutes_before_its_end(void **state)
{
    (void)state;
    metadata_says(TOKEN_1);
    metadata_says(TOKEN_2);
    assert_token("one");
    access_token_advance_clock(source, 54 * MINUTE_MS);
    assert_token("one");
    access_token_advance_clock(source, 2 * MINUTE_MS);
    assert_token("two");
    access_token_advance_clock(source, 30 * MINUTE_MS);
    assert_token("two");
    assert_int_equal(fake_asked_count(), 2);
}

static void test_access_token_get_old_one_serves_while_renewing_fails(void **state)
{
    (void)state;
    struct str token;
    metadata_says(TOKEN_1);
    fake_says_step((struct fake_step){.status = 500, .headers = FLAVOR, .body = "broken"});
    assert_token("one");
    access_token_advance_clock(source, 56 * MINUTE_MS);
    assert_token("one");
    assert_token("one");
    assert_int_equal(fake_asked_count(), 2); /* not asked again at once */
    access_token_advance_clock(source, MINUTE_MS);
    assert_token("one");
    assert_int_equal(fake_asked_count(), 3);
    access_token_advance_clock(source, 3 * MINUTE_MS);
    assert_error(get_until(soon(), &token), ERR_UNAVAILABLE);
}

static void test_access_token_get_server_giving_the_same_one_is_not_asked_all_the_time(void **state)
{
    (void)state;
    metadata_says("{\"access_token\":\"one\",\"expires_in\":200}");
    for (int i = 0; i < 5; i++)
        assert_token("one");
    assert_int_equal(fake_asked_count(), 1);
    access_token_advance_clock(source, 11000);
    assert_token("one");
    assert_int_equal(fake_asked_count(), 2);
}

/* ---- Many at once ---- */

struct caller {
    pthread_t thread;
    int64_t deadline_ms;
    bool ok;
    bool same;
    struct error error;
};

static void *call(void *arg)
{
    struct caller *c = arg;
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct str token;
    c->ok = access_token_get(source, a, c->deadline_ms, &token, &c->error);
    c->same = c->ok && str_eq(token, STR("one"));
    arena_free(a);
    return NULL;
}

static void run_callers(struct caller callers[CALLERS])
{
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.deadline_ms = soon()};
        must(pthread_create(&callers[i].thread, NULL, call, &callers[i]) == 0);
    }
    for (int i = 0; i < CALLERS; i++)
        must(pthread_join(callers[i].thread, NULL) == 0);
}

static void test_access_token_get_many_callers_cause_one_fetch(void **state)
{
    (void)state;
    struct caller callers[CALLERS];
    fake_says_step(
        (struct fake_step){.status = 200, .headers = FLAVOR, .body = TOKEN_1, .delay_ms = 300});
    run_callers(callers);
    for (int i = 0; i < CALLERS; i++)
        assert_true(callers[i].same);
    assert_int_equal(fake_asked_count(), 1);
}

static void test_access_token_get_many_callers_go_on_with_the_old_one(void **state)
{
    (void)state;
    struct caller callers[CALLERS];
    metadata_says(TOKEN_1);
    fake_fails(FAKE_HANGS);
    assert_token("one");
    access_token_advance_clock(source, 56 * MINUTE_MS);
    run_callers(callers);
    for (int i = 0; i < CALLERS; i++)
        assert_true(callers[i].same);
    assert_true(fake_asked_count() <= 2);
}

static void test_access_token_get_short_deadline_of_one_is_not_everybodys(void **state)
{
    (void)state;
    struct caller hurried = {.deadline_ms = clock_mono_ms() + 200};
    fake_fails(FAKE_HANGS);
    metadata_says(TOKEN_1);
    must(pthread_create(&hurried.thread, NULL, call, &hurried) == 0);
    while (fake_asked_count() == 0)
        (void)usleep(1000);
    assert_token("one");
    must(pthread_join(hurried.thread, NULL) == 0);
    assert_false(hurried.ok);
    assert_string_equal(error_name(hurried.error.code), "ERR_UNAVAILABLE");
}

/* ---- Key file ---- */

static char key_path[] = "/tmp/ekklesia-key-XXXXXX";

static void write_key_file(const char *text)
{
    FILE *file = fopen(key_path, "we");
    must(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static struct jwt_signer *make_key_file(const char *token_uri)
{
    struct jwt_signer *signer = jwt_signer_generate(STR("key-1"));
    cJSON *key = json_object(fake.arena);
    json_add_text(key, "type", "service_account");
    json_add_text(key, "client_email", "suite@p.iam.gserviceaccount.com");
    json_add_str(key, "private_key", jwt_signer_pem(signer, fake.arena));
    json_add_text(key, "private_key_id", "key-1");
    if (token_uri)
        json_add_text(key, "token_uri", token_uri);
    write_key_file(print_json(fake.arena, key).ptr);
    return signer;
}

static void assert_assertion(const struct jwt_signer *signer, const char *audience)
{
    struct jwt jwt;
    const char *form = fake_asked_body(0);
    static const char prefix[] =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    assert_int_equal(strncmp(form, prefix, sizeof(prefix) - 1), 0);
    struct jwk_set *keys = jwk_set_parse(jwt_signer_jwks(signer, fake.arena), &fake.error);
    assert_non_null(keys);
    assert_ok(
        jwt_decode(fake.arena, str_from(form + sizeof(prefix) - 1), false, &jwt, &fake.error));
    assert_ok(jwt_verify(&jwt, keys, &fake.error));
    jwk_set_free(keys);
    struct str text;
    int64_t iat = 0;
    int64_t exp = 0;
    assert_true(json_str(jwt.claims, "iss", &text));
    assert_string_equal(text.ptr, "suite@p.iam.gserviceaccount.com");
    assert_true(json_str(jwt.claims, "aud", &text));
    assert_string_equal(text.ptr, audience);
    assert_true(json_str(jwt.claims, "scope", &text));
    assert_string_equal(text.ptr, "https://www.googleapis.com/auth/cloud-platform");
    assert_true(json_i64(jwt.claims, "iat", &iat) && json_i64(jwt.claims, "exp", &exp));
    assert_int_equal(exp - iat, 3600);
}

static void test_access_token_get_key_file_is_exchanged(void **state)
{
    (void)state;
    struct str email;
    const char *uri = arena_printf(fake.arena, "http://%s/token", fake.host).ptr;
    struct jwt_signer *signer = make_key_file(uri);
    access_token_source_free(source);
    source = open_source(key_path);
    assert_non_null(source);
    fake_says(200, TOKEN_1);
    assert_token("one");
    assert_asked(0, "POST /token HTTP/1.1\r\n");
    assert_asked(0, "\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    assert_assertion(signer, uri);
    assert_ok(access_token_account_email(source, fake.arena, soon(), &email, &fake.error));
    assert_string_equal(email.ptr, "suite@p.iam.gserviceaccount.com");
    assert_int_equal(fake_asked_count(), 1);
    assert_non_null(access_token_signer(source));
    jwt_signer_free(signer);
}

static void test_access_token_get_key_refused_is_unavailable(void **state)
{
    (void)state;
    struct str token;
    jwt_signer_free(make_key_file(arena_printf(fake.arena, "http://%s/token", fake.host).ptr));
    access_token_source_free(source);
    source = open_source(key_path);
    fake_says(400, "{\"error\":\"invalid_grant\",\"error_description\":\"private\"}");
    assert_error(get_until(soon(), &token), ERR_UNAVAILABLE);
    assert_null(strstr(fake.error.detail, "private"));
}

static void test_access_token_source_new_bad_key_files_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "no json: hush",
        "[]",
        "{}",
        "{\"client_email\":\"a@b\"}",
        "{\"client_email\":\"a@b\",\"private_key\":\"hush\"}",
        "{\"client_email\":\"\",\"private_key\":\"hush\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        write_key_file(texts[i]);
        fake.error = (struct error){.code = ERR_NONE};
        assert_null(open_source(key_path));
        assert_int_equal(fake.error.code, ERR_INTERNAL);
        assert_null(strstr(fake.error.detail, "hush"));
    }
    assert_null(open_source("/nonexistent/key.json"));
}

/* ---- E-mail and emulator ---- */

static void test_access_token_account_email_is_asked_once(void **state)
{
    (void)state;
    struct str email;
    metadata_says("run@p.iam.gserviceaccount.com\n");
    for (int i = 0; i < 2; i++) {
        assert_ok(access_token_account_email(source, fake.arena, soon(), &email, &fake.error));
        assert_string_equal(arena_text(fake.arena, email), "run@p.iam.gserviceaccount.com");
    }
    assert_int_equal(fake_asked_count(), 1);
    assert_asked(0, "GET /computeMetadata/v1/instance/service-accounts/default/email ");
    assert_null(access_token_signer(source));
}

static void test_access_token_account_email_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "nobody", "a@b/../x", "<html>@</html>", "a@b\r\nc"};
    struct str email;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        fake_forget();
        metadata_says(bodies[i]);
        assert_error(access_token_account_email(source, fake.arena, soon(), &email, &fake.error),
                     ERR_UNAVAILABLE);
    }
}

static void test_access_token_get_emulator_asks_nobody(void **state)
{
    (void)state;
    struct str token;
    assert_ok(access_token_get(fake.tokens, fake.arena, soon(), &token, &fake.error));
    assert_string_equal(token.ptr, "owner");
    assert_ok(access_token_account_email(fake.tokens, fake.arena, soon(), &token, &fake.error));
    assert_int_equal(fake_asked_count(), 0);
}

static int make_key_path(void **state)
{
    (void)state;
    int fd = mkstemp(key_path);
    must(fd >= 0);
    (void)close(fd);
    return 0;
}

static int remove_key_path(void **state)
{
    (void)state;
    return unlink(key_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOKEN_TEST(test_access_token_get_asks_the_metadata_server_once),
        TOKEN_TEST(test_access_token_get_other_than_metadata_server_is_refused),
        TOKEN_TEST(test_access_token_get_bad_answers_are_unavailable),
        TOKEN_TEST(test_access_token_get_faults_end_within_the_deadline),
        TOKEN_TEST(test_access_token_get_is_renewed_five_minutes_before_its_end),
        TOKEN_TEST(test_access_token_get_old_one_serves_while_renewing_fails),
        TOKEN_TEST(test_access_token_get_server_giving_the_same_one_is_not_asked_all_the_time),
        TOKEN_TEST(test_access_token_get_many_callers_cause_one_fetch),
        TOKEN_TEST(test_access_token_get_many_callers_go_on_with_the_old_one),
        TOKEN_TEST(test_access_token_get_short_deadline_of_one_is_not_everybodys),
        TOKEN_TEST(test_access_token_get_key_file_is_exchanged),
        TOKEN_TEST(test_access_token_get_key_refused_is_unavailable),
        TOKEN_TEST(test_access_token_source_new_bad_key_files_are_refused),
        TOKEN_TEST(test_access_token_account_email_is_asked_once),
        TOKEN_TEST(test_access_token_account_email_that_is_none_is_refused),
        TOKEN_TEST(test_access_token_get_emulator_asks_nobody),
    };
    return cmocka_run_group_tests(tests, make_key_path, remove_key_path);
}
