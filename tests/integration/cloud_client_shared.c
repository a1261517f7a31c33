#include "cloud_client.h"

char peer_host[64];
struct http_client *client;
struct access_token_source *tokens;
struct firestore *fs;
struct arena *arena;
struct error error;
char unique[21];

int open_peer(void **state)
{
    (void)state;
    const struct http_client_config http = {
        .name = "firestore", .allow_http = true, .parallel_max = 16, .connect_timeout_ms = 2000};
    client = http_client_new(&http);
    const struct access_token_config access = {.emulator = true, .client = client};
    tokens = access_token_source_new(&access, &error);
    const struct firestore_config config = {.project_id = "demo-ekklesia",
                                            .database = "(default)",
                                            .emulator_host = peer_host,
                                            .tokens = tokens,
                                            .client = client};
    fs = firestore_new(&config);
    return 0;
}

int close_peer(void **state)
{
    (void)state;
    firestore_free(fs);
    access_token_source_free(tokens);
    http_client_free(client);
    return 0;
}

int setup(void **state)
{
    (void)state;
    arena = arena_new(64U << 20);
    error = (struct error){.code = ERR_NONE};
    firestore_auto_id(unique);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

int64_t soon(void)
{
    return clock_mono_ms() + PATIENCE_MS;
}

void assert_ok(bool ok)
{
    if (!ok)
        fail_msg("%s: %s", error_name(error.code), error.detail);
}

void assert_error(bool ok, enum error_code code)
{
    assert_false(ok);
    assert_string_equal(error_name(error.code), error_name(code));
}

struct str in(const char *collection, const char *id)
{
    return arena_printf(arena, "%s-%s/%s", collection, unique, id);
}

struct fs_document get(struct str path)
{
    struct fs_document d;
    assert_ok(firestore_get(fs, path, NULL, arena, soon(), &d, &error));
    return d;
}

bool commit(const struct fs_write *writes, size_t count)
{
    return firestore_commit(fs, writes, count, NULL, arena, soon(), NULL, &error);
}

void set(struct str path, cJSON *fields)
{
    const struct fs_write write = {.path = path, .fields = fields};
    assert_ok(commit(&write, 1));
}

void assert_plain(const cJSON *fields, const char *text)
{
    const cJSON *expected = json_parse(arena, str_from(text), &error);
    const cJSON *got = fs_to_plain(arena, fields);
    struct buf b;
    buf_init(&b, 1U << 20);
    must(expected && json_write(&b, got));
    if (!cJSON_Compare(expected, got, true))
        fail_msg("%s instead of %s", b.ptr, text);
    buf_done(&b);
}
