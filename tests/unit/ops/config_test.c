#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "ops/config.h"

struct settings {
    const char *host;
    const char *token;
    const char *optional;
    int64_t port;
    bool monitor;
    int64_t mode;
};

static const struct config_key keys[] = {
    CONFIG_STR(struct settings, host, "DATABASE_HOST", "localhost", "Where the database is."),
    CONFIG_SECRET(struct settings, token, "DJANGO_API_TOKEN", NULL, 8, "What Django accepts."),
    CONFIG_SECRET(struct settings, optional, "S2S_KEY", "", 32, "Key of signatures."),
    CONFIG_INT(struct settings, port, "PORT", "8080", 1, 65535, "port", "Where to listen."),
    CONFIG_BOOL(struct settings, monitor, "MONITOR", "false", "Report instead of refusing."),
    CONFIG_ENUM(struct settings, mode, "APP_CHECK", "enforce", "off|monitor|enforce",
                "How strict."),
    CONFIG_END,
};

static const struct config_key aliased[] = {
    {.name = "DATABASE_URL",
     .type = CONFIG_SECRET_TEXT,
     .offset = offsetof(struct settings, token),
     .min = 4,
     .max = 100,
     .unit = "",
     .doc = "The database.",
     .aliases = "DATABASE_URL_ELECTIONS, PG_URL"},
    {.name = "APP_HOST",
     .type = CONFIG_TEXT,
     .offset = offsetof(struct settings, host),
     .fallback = "here",
     .max = 100,
     .unit = "",
     .doc = "A text.",
     .aliases = "HOST_NAME"},
    CONFIG_END,
};

static struct arena *a;
static struct buf faults;
static struct settings settings;

static int setup(void **state)
{
    (void)state;
    a = arena_new(ARENA_MAX_BYTES);
    buf_init(&faults, 65536);
    memset(&settings, 0, sizeof(settings));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_done(&faults);
    arena_free(a);
    return 0;
}

/* The strings of the list, NULL-terminated, as an environment. */
#define LOAD(keys_, ...) load((keys_), (const char *const[]){__VA_ARGS__, NULL})

static bool load(const struct config_key *table, const char *const *entries)
{
    char *environment[16] = {0};
    for (size_t i = 0; entries[i]; i++) {
        assert_true(i + 1 < ARRAY_LEN(environment));
        char *copy = arena_alloc(a, strlen(entries[i]) + 1);
        str_copy(str_from(entries[i]), copy, strlen(entries[i]) + 1);
        environment[i] = copy;
    }
    buf_clear(&faults);
    return config_load(table, (struct config_source){environment}, a, &settings, &faults);
}

static void test_config_load_defaults_fill_what_is_unset(void **state)
{
    (void)state;
    assert_true(LOAD(keys, "DJANGO_API_TOKEN=secret-token"));
    assert_string_equal(settings.host, "localhost");
    assert_string_equal(settings.token, "secret-token");
    assert_string_equal(settings.optional, "");
    assert_int_equal(settings.port, 8080);
    assert_false(settings.monitor);
    assert_int_equal(settings.mode, 2);
    assert_int_equal(faults.len, 0);
}

static void test_config_load_environment_wins_and_empty_is_unset(void **state)
{
    (void)state;
    assert_true(LOAD(keys, "PATH=/bin", "DJANGO_API_TOKEN=a=b=c=d=e", "PORT=1", "MONITOR=YES",
                     "APP_CHECK=off", "DATABASE_HOST=", "PORTS=5", "POR=6", "PORT", "=x"));
    assert_string_equal(settings.host, "localhost");
    assert_string_equal(settings.token, "a=b=c=d=e");
    assert_int_equal(settings.port, 1);
    assert_true(settings.monitor);
    assert_int_equal(settings.mode, 0);
}

static void test_config_load_every_fault_is_listed_and_no_value(void **state)
{
    (void)state;
    assert_false(LOAD(keys, "DJANGO_API_TOKEN=hemlig", "S2S_KEY=stutt", "PORT=70000x",
                      "MONITOR=kannski", "APP_CHECK=ENFORCE", "DATABASE_HOST=two\nlines"));
    assert_string_equal(faults.ptr, "DATABASE_HOST: must not hold control characters\n"
                                    "DJANGO_API_TOKEN: must have 8 to 16384 bytes\n"
                                    "S2S_KEY: must have 32 to 16384 bytes\n"
                                    "PORT: must be a whole number from 1 to 65535\n"
                                    "MONITOR: must be true, false, 1, 0, yes, no, on or off\n"
                                    "APP_CHECK: must be one of off|monitor|enforce\n");
    static const char *const values[] = {"hemlig", "stutt", "70000x", "kannski", "ENFORCE", "two"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        assert_null(strstr(faults.ptr, values[i]));
    assert_false(LOAD(keys, "PORT=80"));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN: required, but not set\n");
    /* What is right is set all the same, what is wrong has its default. */
    assert_false(LOAD(keys, "PORT=80", "APP_CHECK=none"));
    assert_int_equal(settings.port, 80);
    assert_int_equal(settings.mode, 2);
    assert_false(config_load(keys, (struct config_source){NULL}, a, &settings, &faults));
}

static void test_config_load_numbers_table(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        int64_t port; /* 0: refused */
    } cases[] = {
        {"PORT=1", 1},
        {"PORT=65535", 65535},
        {"PORT=0080", 80},
        {"PORT=0", 0},
        {"PORT=65536", 0},
        {"PORT=-1", 0},
        {"PORT=+80", 0},
        {"PORT= 80", 0},
        {"PORT=80 ", 0},
        {"PORT=8e1", 0},
        {"PORT=80.0", 0},
        {"PORT=0x50", 0},
        {"PORT=99999999999999999999", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool good = LOAD(keys, "DJANGO_API_TOKEN=secret-token", cases[i].entry);
        if (good != (cases[i].port != 0) || (good && settings.port != cases[i].port))
            fail_msg("%s", cases[i].entry);
    }
}

static void test_config_load_booleans_table(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        int value; /* -1: refused */
    } cases[] = {
        {"MONITOR=true", 1},     {"MONITOR=TRUE", 1},  {"MONITOR=1", 1},  {"MONITOR=yes", 1},
        {"MONITOR=On", 1},       {"MONITOR=false", 0}, {"MONITOR=0", 0},  {"MONITOR=No", 0},
        {"MONITOR=off", 0},      {"MONITOR=2", -1},    {"MONITOR=y", -1}, {"MONITOR=true ", -1},
        {"MONITOR=enabled", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool good = LOAD(keys, "DJANGO_API_TOKEN=secret-token", cases[i].entry);
        if (good != (cases[i].value >= 0) || (good && settings.monitor != (cases[i].value == 1)))
            fail_msg("%s", cases[i].entry);
    }
}

static void test_config_load_secret_both_spellings_in_order(void **state)
{
    (void)state;
    assert_true(LOAD(keys, "django-api-token=from-hyphens"));
    assert_string_equal(settings.token, "from-hyphens");
    assert_true(LOAD(keys, "django-api-token=from-hyphens", "DJANGO_API_TOKEN=from-upper"));
    assert_string_equal(settings.token, "from-upper");
    assert_true(LOAD(keys, "django-api-token=from-hyphens", "DJANGO_API_TOKEN="));
    assert_string_equal(settings.token, "from-hyphens");
    assert_false(LOAD(keys, "django_api_token=neither-form"));
    assert_false(LOAD(keys, "DJANGO-API-TOKEN=neither-form"));
    /* A setting that is no secret has one spelling. */
    assert_true(LOAD(keys, "DJANGO_API_TOKEN=secret-token", "database-host=elsewhere"));
    assert_string_equal(settings.host, "localhost");
}

static void test_config_load_aliases_are_tried_in_order(void **state)
{
    (void)state;
    assert_true(LOAD(aliased, "PG_URL=third", "HOST_NAME=other"));
    assert_string_equal(settings.token, "third");
    assert_string_equal(settings.host, "other");
    assert_true(LOAD(aliased, "PG_URL=third", "DATABASE_URL_ELECTIONS=second"));
    assert_string_equal(settings.token, "second");
    assert_true(LOAD(aliased, "PG_URL=third", "database-url-elections=second"));
    assert_string_equal(settings.token, "second");
    assert_true(LOAD(aliased, "DATABASE_URL_ELECTIONS=second", "database-url=first"));
    assert_string_equal(settings.token, "first");
    assert_false(LOAD(aliased, "HOST_NAME=other"));
}

/* A file with this content, gone with the test's arena. */
static const char *make_file(struct str content)
{
    char path[] = "/tmp/config_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.ptr, content.len), content.len);
    close(fd);
    return arena_text(a, str_from(path));
}

static bool load_from_file(struct str content)
{
    const char *path = make_file(content);
    bool good = LOAD(keys, arena_printf(a, "DJANGO_API_TOKEN_FILE=%s", path).ptr);
    assert_null(strstr(buf_str(&faults).ptr, path));
    unlink(path);
    return good;
}

static void test_config_load_secret_from_a_file_is_trimmed(void **state)
{
    (void)state;
    assert_true(load_from_file(STR("  from-a-file\r\n")));
    assert_string_equal(settings.token, "from-a-file");
    assert_true(load_from_file(STR("-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n")));
    assert_string_equal(settings.token, "-----BEGIN KEY-----\nAAAA\n-----END KEY-----");
}

static void test_config_load_secret_file_comes_last(void **state)
{
    (void)state;
    const char *path = make_file(STR("from-a-file"));
    const char *entry = arena_printf(a, "DJANGO_API_TOKEN_FILE=%s", path).ptr;
    assert_true(LOAD(keys, entry, "django-api-token=from-hyphens"));
    assert_string_equal(settings.token, "from-hyphens");
    assert_true(LOAD(keys, entry));
    assert_string_equal(settings.token, "from-a-file");
    /* Only secrets are read from files. */
    entry = arena_printf(a, "DATABASE_HOST_FILE=%s", path).ptr;
    assert_true(LOAD(keys, "DJANGO_API_TOKEN=secret-token", entry));
    assert_string_equal(settings.host, "localhost");
    unlink(path);
}

static void test_config_load_useless_file_is_a_fault(void **state)
{
    (void)state;
    static char large[20000];
    memset(large, 'x', sizeof(large));
    assert_false(LOAD(keys, "DJANGO_API_TOKEN_FILE=/nowhere/at/all"));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN_FILE: the file cannot be read\n");
    assert_false(LOAD(keys, "DJANGO_API_TOKEN_FILE=/"));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN_FILE: the file cannot be read\n");
    assert_false(load_from_file(STR("")));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN_FILE: the file is empty\n");
    assert_false(load_from_file(STR(" \n\n")));
    assert_false(load_from_file(str_n(large, sizeof(large))));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN_FILE: the file is too long\n");
    assert_false(load_from_file(str_n(large, 16385)));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN: must have 8 to 16384 bytes\n");
    assert_true(load_from_file(str_n(large, 16384)));
    assert_false(load_from_file(STR("short")));
    assert_false(load_from_file(STR("with a \0 in it")));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN: must not hold control characters\n");
    assert_false(load_from_file(STR("not UTF-8 \xFF")));
    assert_string_equal(faults.ptr, "DJANGO_API_TOKEN: must be UTF-8\n");
}

static void test_config_print_columns_are_aligned_and_secrets_hidden(void **state)
{
    (void)state;
    static const struct config_key table[] = {
        CONFIG_STR(struct settings, host, "DATABASE_HOST", "localhost", "Where the database is."),
        CONFIG_STR(struct settings, host, "PREFIX", "", "A prefix."),
        CONFIG_SECRET(struct settings, token, "DJANGO_API_TOKEN", NULL, 8, "What Django accepts."),
        CONFIG_SECRET(struct settings, optional, "LOG_SALT", "built-in-secret", 8, "A key."),
        CONFIG_INT(struct settings, port, "PORT", "8080", 1, 65535, "port", "Where to listen."),
        CONFIG_BOOL(struct settings, monitor, "MONITOR", "false", "Report only."),
        CONFIG_ENUM(struct settings, mode, "APP_CHECK", "off", "off|on", "How strict."),
        CONFIG_END,
    };
    struct buf out;
    buf_init(&out, 65536);
    config_print(table, &out);
    assert_string_equal(
        out.ptr, "NAME              TYPE              DEFAULT    UNIT  MEANING\n"
                 "DATABASE_HOST     text              localhost        Where the database is.\n"
                 "PREFIX            text              -                A prefix.\n"
                 "DJANGO_API_TOKEN  secret            required         What Django accepts.\n"
                 "LOG_SALT          secret            optional         A key.\n"
                 "PORT              integer 1..65535  8080       port  Where to listen.\n"
                 "MONITOR           boolean           false            Report only.\n"
                 "APP_CHECK         off|on            off              How strict.\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config_load_defaults_fill_what_is_unset, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_environment_wins_and_empty_is_unset, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_every_fault_is_listed_and_no_value, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_numbers_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_load_booleans_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_load_secret_both_spellings_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_aliases_are_tried_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_secret_from_a_file_is_trimmed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_config_load_secret_file_comes_last, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_load_useless_file_is_a_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config_print_columns_are_aligned_and_secrets_hidden,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
