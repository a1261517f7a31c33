/* cloud.c - Google as services use it: one source of tokens, Firestore, Identity Toolkit */
#include "service/state.h"

#define SCOPE                 "https://www.googleapis.com/auth/cloud-platform"
#define GOOGLE_PARALLEL_MAX   48
#define CONNECT_TIMEOUT_MS    2000
#define BREAKER_FAILURES      20
#define BREAKER_OPEN_MS       1000
#define NOTHING_THERE_TO_READ STR("health/probe")

struct firestore *service_firestore(const struct service_state *state)
{
    return state->firestore;
}

struct identity_toolkit *service_identity_toolkit(const struct service_state *state)
{
    return state->identity_toolkit;
}

struct access_token_source *service_access_tokens(const struct service_state *state)
{
    return state->tokens;
}

/* Two clients: bearer tokens never travel over plain http unless an emulator or a local stack wants
 * it, while the metadata server speaks nothing else. */
static void open_clients(struct service_state *state)
{
    const struct http_client_config google = {
        .name = "google",
        .allow_http = state->identity.allow_http_upstreams ||
                      state->identity.auth_emulator_host[0] ||
                      state->google.firestore_emulator_host[0],
        .parallel_max = GOOGLE_PARALLEL_MAX,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .breaker_failures = BREAKER_FAILURES,
        .breaker_open_ms = BREAKER_OPEN_MS,
    };
    const struct http_client_config auth = {
        .name = "google-auth",
        .allow_http = true,
        .parallel_max = 2,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };

    state->google_client = http_client_new(&google);
    state->google_auth_client = http_client_new(&auth);
    service_watch_client(state, state->google_client);
    service_watch_client(state, state->google_auth_client);
}

bool cloud_open(struct service_state *state, struct error *e)
{
    const char *firestore_host = state->google.firestore_emulator_host;
    const char *auth_host = state->identity.auth_emulator_host;

    open_clients(state);

    const struct access_token_config tokens = {
        /* One emulator beside the real other half would send "owner" to Google, which refuses it:
         * a loud failure is better than real credentials in a test. */
        .emulator = firestore_host[0] || auth_host[0], .key_file = state->google.key_file,
        .metadata_host = state->google.metadata_host,  .scope = SCOPE,
        .client = state->google_auth_client,
    };

    state->tokens = access_token_source_new(&tokens, e);
    if (!state->tokens)
        return false;

    const struct firestore_config firestore = {
        .project_id = state->server.gcp_project,
        .database = state->google.firestore_database,
        .emulator_host = firestore_host,
        .tokens = state->tokens,
        .client = state->google_client,
    };
    const struct identity_toolkit_config toolkit = {
        .project_id = state->server.gcp_project,
        .emulator_host = auth_host,
        .iam_url = state->google.iam_url,
        .tokens = state->tokens,
        .client = state->google_client,
    };

    state->firestore = firestore_new(&firestore);
    state->identity_toolkit = identity_toolkit_new(&toolkit);
    return true;
}

void cloud_close(struct service_state *state)
{
    if (state->identity_toolkit)
        identity_toolkit_free(state->identity_toolkit);
    if (state->firestore)
        firestore_free(state->firestore);
    if (state->tokens)
        access_token_source_free(state->tokens);
    if (state->google_auth_client)
        http_client_free(state->google_auth_client);
    if (state->google_client)
        http_client_free(state->google_client);
}

bool service_firestore_ready(struct service_state *state, void *own, struct arena *a,
                             int64_t deadline_ms, struct error *e)
{
    struct fs_document document;

    (void)own;
    if (firestore_get(state->firestore, NOTHING_THERE_TO_READ, NULL, a, deadline_ms, &document, e))
        return true;
    log_warning("firestore check failed", LOG_TEXT("reason", str_from(e->detail)));
    return error_set(e, e->code, "firestore");
}
