/* cloud.c - the local cloud as a service value; see cloud.h and README.md */
#include "cloud.h"
#include "service/settings.h"

#define CLOUD_BODY_MAX_BYTES (4U << 20) /* thousands of people in one call */

static const struct config_key config[] = {
    CONFIG_STR(struct cloud_settings, project_id, "FIREBASE_PROJECT_ID", "demo-ekklesia",
               "Audience of the tokens unless the call names another project."),
    CONFIG_STR(struct cloud_settings, project_number, "FIREBASE_PROJECT_NUMBER", "100000000001",
               "Project number in App Check tokens."),
    CONFIG_STR(struct cloud_settings, key_dir, "KEY_DIR", "",
               "Directory of the signing keys, made there when missing; empty: fresh keys at each "
               "start."),
    CONFIG_END};

static const struct route routes[] = {
    {.method = HTTP_GET,
     .path = "/jwks",
     .body = BODY_NONE,
     .handler = get_id_token_keys,
     .doc = "keys of ID tokens"},
    {.method = HTTP_GET,
     .path = "/app-check/jwks",
     .body = BODY_NONE,
     .handler = get_app_check_keys,
     .doc = "keys of App Check tokens"},
    {.method = HTTP_POST,
     .path = "/token",
     .body = BODY_JSON,
     .handler = issue_id_token,
     .flags = ROUTE_NO_STORE,
     .doc = "one ID token"},
    {.method = HTTP_POST,
     .path = "/tokens",
     .body = BODY_JSON,
     .handler = issue_id_tokens,
     .flags = ROUTE_NO_STORE,
     .doc = "many ID tokens"},
    {.method = HTTP_POST,
     .path = "/app-check",
     .body = BODY_JSON,
     .handler = issue_app_check_token,
     .flags = ROUTE_NO_STORE,
     .doc = "one App Check token"},
};

static bool is_loopback(const char *address)
{
    return str_starts_with(str_from(address), STR("127.")) || str_eq_text(str_from(address), "::1");
}

static void cloud_stop(struct service_state *state, void *own)
{
    struct cloud *cloud = own;

    (void)state;
    jwt_signer_free(cloud->id_token_key);
    jwt_signer_free(cloud->app_check_key);
    free(cloud);
}

static bool cloud_start(struct service_state *state, void **own, struct error *e)
{
    const struct cloud_settings *settings = service_settings(state);
    struct arena *a;
    struct cloud *cloud;

    if (!is_loopback(service_server_settings(state)->listen_address))
        return error_set(
            e, ERR_INTERNAL,
            "LISTEN_ADDRESS must be a loopback address: this issues tokens to anybody");
    a = arena_new(ARENA_MAX_BYTES);
    cloud = calloc(1, sizeof *cloud);
    must(cloud);
    cloud->id_token_key = key_load(a, settings->key_dir, "id-token.pem", e);
    if (cloud->id_token_key)
        cloud->app_check_key = key_load(a, settings->key_dir, "app-check.pem", e);
    arena_free(a);
    if (!cloud->app_check_key) {
        cloud_stop(state, cloud);
        return false;
    }
    *own = cloud;
    return true;
}

const struct service the_service = {
    .name = "local-cloud",
    .wire_name = "local-cloud",
    .summary = "issues Firebase-like tokens on a developer's machine",
    .config = config,
    .settings_size = sizeof(struct cloud_settings),
    .routes = routes,
    .route_count = ARRAY_LEN(routes),
    .errors = &error_shape_voting,
    .cors = &cors_plain,
    .default_port = 8099,
    .body_max_bytes = CLOUD_BODY_MAX_BYTES,
    .start = cloud_start,
    .stop = cloud_stop,
};
