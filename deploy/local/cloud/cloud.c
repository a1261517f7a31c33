/* cloud.c - the local cloud as a service value; see cloud.h and README.md */
#include "cloud.h"
#include "change_events.h"
#include "documents.h"
#include "faults.h"
#include "kenni.h"
#include "service/settings.h"

#define CLOUD_BODY_MAX_BYTES (4U << 20) /* thousands of people in one call */

/* clang-format off: one line a key, one line a route */
#define SETTING(kind, ...) CONFIG_##kind(struct cloud_settings, __VA_ARGS__)
static const struct config_key config[] = {
    SETTING(STR, project_id, "FIREBASE_PROJECT_ID", "demo-ekklesia",
            "Audience of the tokens unless the call names another project."),
    SETTING(STR, project_number, "FIREBASE_PROJECT_NUMBER", "100000000001",
            "Project number in App Check tokens."),
    SETTING(
        STR, key_dir, "KEY_DIR", "",
        "Directory of the signing keys, made there when missing; empty: fresh keys at each start."),
    SETTING(STR, database_file, "DATABASE_FILE", "",
            "SQLite file of documents and accounts; empty: in memory, gone with the process."),
    SETTING(STR, kenni_issuer, "KENNI_ISSUER", "",
            "Issuer of the OpenID provider; empty: http://127.0.0.1:PORT/kenni."),
    SETTING(STR, kenni_client_id, "KENNI_CLIENT_ID", "@local/ekklesia", "Its one client."),
    SETTING(SECRET, kenni_client_secret, "KENNI_CLIENT_SECRET", "local-kenni-secret", 1,
            "The client's secret."),
    SETTING(STR, kenni_redirect_uris, "KENNI_REDIRECT_URIS",
            "http://localhost:3000,http://127.0.0.1:3000",
            "Where it may send browsers back to, separated by ','."),
    SETTING(STR, people_file, "PEOPLE_FILE", "",
            "JSON list of people who may sign in, each an object of claims; empty: invented ones."),
    SETTING(STR, events_url, "EVENTS_URL", "",
            "Where changed documents are told, as Eventarc does; empty: nowhere."),
    SETTING(STR, events_collection, "EVENTS_COLLECTION", "members", "Of which collection."),
    CONFIG_END};

/* Whatever Google or Kenni would answer can be told to fail. */
#define PLAYED(handler_)                                                                           \
    static void handler_##_or_fault(const struct request *req, struct response *res)               \
    {                                                                                              \
        faults_around(req, res, handler_);                                                         \
    }
PLAYED(get_id_token_keys)
PLAYED(get_app_check_keys)
PLAYED(firestore)
PLAYED(create_account)
PLAYED(lookup_accounts)
PLAYED(update_account)
PLAYED(delete_account)
PLAYED(list_accounts)
PLAYED(sign_in_with_custom_token)
PLAYED(lookup_own_account)
PLAYED(refresh_id_token)
PLAYED(sign_as_service_account)
PLAYED(metadata_token)
PLAYED(metadata_email)
PLAYED(metadata_project)
PLAYED(oauth_token)
PLAYED(kenni_discovery)
PLAYED(kenni_authorize)
PLAYED(kenni_token)
PLAYED(kenni_keys)
PLAYED(kenni_userinfo)

/* BODY_RAW: a body that is no good is refused in the shape of whom we play. */
#define ROUTE(method_, path_, body_, flags_, handler_, doc_)                                       \
    {                                                                                              \
        HTTP_##method_, path_, AUTH_PUBLIC, BODY_##body_, NULL, IDEMPOTENCY_NONE, flags_,          \
            handler_, doc_                                                                         \
    }
#define FIRESTORE "/v1/projects/{project}/databases/{database}/{rest...}"
#define TOOLKIT   "/identitytoolkit.googleapis.com/v1/"
#define METADATA  "/computeMetadata/v1/"
#define DEFAULT   METADATA "instance/service-accounts/default/"

static const struct route routes[] = {
    ROUTE(GET, "/jwks", NONE, 0, get_id_token_keys_or_fault, "keys of ID tokens"),
    ROUTE(GET, "/app-check/jwks", NONE, 0, get_app_check_keys_or_fault, "keys of App Check tokens"),
    ROUTE(POST, "/token", JSON, ROUTE_NO_STORE, issue_id_token, "one ID token"),
    ROUTE(POST, "/tokens", JSON, ROUTE_NO_STORE, issue_id_tokens, "many ID tokens"),
    ROUTE(POST, "/app-check", JSON, ROUTE_NO_STORE, issue_app_check_token, "one App Check token"),

    ROUTE(GET, FIRESTORE, RAW, ROUTE_NO_STORE, firestore_or_fault,
          "reads a document, lists a collection"),
    ROUTE(POST, FIRESTORE, RAW, ROUTE_NO_STORE, firestore_or_fault,
          "creates a document, or runs a verb behind ':'"),
    ROUTE(PATCH, FIRESTORE, RAW, ROUTE_NO_STORE, firestore_or_fault, "writes a document"),
    ROUTE(DELETE, FIRESTORE, RAW, ROUTE_NO_STORE, firestore_or_fault, "deletes a document"),
    ROUTE(DELETE, "/emulator/v1/projects/{project}/databases/{database}/documents", NONE, 0,
          reset_documents, "deletes all documents"),

    ROUTE(POST, TOOLKIT "projects/{project}/accounts", RAW, ROUTE_NO_STORE, create_account_or_fault,
          "creates an account"),
    ROUTE(POST, TOOLKIT "projects/{project}/accounts:lookup", RAW, ROUTE_NO_STORE,
          lookup_accounts_or_fault, "accounts by id, e-mail or phone number"),
    ROUTE(POST, TOOLKIT "projects/{project}/accounts:update", RAW, ROUTE_NO_STORE,
          update_account_or_fault, "changes an account, sets custom claims, revokes"),
    ROUTE(POST, TOOLKIT "projects/{project}/accounts:delete", RAW, ROUTE_NO_STORE,
          delete_account_or_fault, "deletes an account"),
    ROUTE(GET, TOOLKIT "projects/{project}/accounts:batchGet", NONE, ROUTE_NO_STORE,
          list_accounts_or_fault, "lists accounts by pages"),
    ROUTE(POST, TOOLKIT "accounts:signInWithCustomToken", RAW, ROUTE_NO_STORE,
          sign_in_with_custom_token_or_fault, "an ID token for a custom token"),
    ROUTE(POST, TOOLKIT "accounts:lookup", RAW, ROUTE_NO_STORE, lookup_own_account_or_fault,
          "the account of an ID token"),
    ROUTE(POST, "/securetoken.googleapis.com/v1/token", RAW, ROUTE_NO_STORE,
          refresh_id_token_or_fault, "an ID token for a refresh token"),
    ROUTE(DELETE, "/emulator/v1/projects/{project}/accounts", NONE, 0, delete_all_accounts,
          "deletes all accounts"),

    ROUTE(GET, DEFAULT "token", NONE, ROUTE_NO_STORE, metadata_token_or_fault, "an access token"),
    ROUTE(GET, DEFAULT "email", NONE, ROUTE_NO_STORE, metadata_email_or_fault, "whose"),
    ROUTE(GET, METADATA "project/project-id", NONE, ROUTE_NO_STORE, metadata_project_or_fault,
          "the project"),
    ROUTE(POST, "/oauth2/token", RAW, ROUTE_NO_STORE, oauth_token_or_fault,
          "an access token for a signed assertion"),
    ROUTE(POST, "/v1/projects/{project}/serviceAccounts/{account}", RAW, ROUTE_NO_STORE,
          sign_as_service_account_or_fault, "signBlob and signJwt"),

    ROUTE(GET, "/kenni/.well-known/openid-configuration", NONE, 0, kenni_discovery_or_fault,
          "discovery"),
    ROUTE(GET, "/kenni/oidc/auth", NONE, ROUTE_NO_STORE, kenni_authorize_or_fault,
          "the login page"),
    ROUTE(POST, "/kenni/oidc/auth", RAW, ROUTE_NO_STORE, kenni_authorize_or_fault,
          "signs in, gives a code"),
    ROUTE(POST, "/kenni/oidc/token", RAW, ROUTE_NO_STORE, kenni_token_or_fault,
          "tokens for a code"),
    ROUTE(GET, "/kenni/oidc/jwks", NONE, 0, kenni_keys_or_fault, "keys of its ID tokens"),
    ROUTE(GET, "/kenni/oidc/me", NONE, ROUTE_NO_STORE, kenni_userinfo_or_fault,
          "claims of an access token's person"),

    ROUTE(POST, "/_faults", JSON, 0, add_fault, "makes matching requests fail"),
    ROUTE(GET, "/_faults", NONE, ROUTE_NO_STORE, list_faults, "the rules and how often they hit"),
    ROUTE(DELETE, "/_faults", NONE, 0, delete_faults, "all is well again"),
};
/* clang-format on */

static bool is_loopback(const char *address)
{
    return str_starts_with(str_from(address), STR("127.")) || str_eq_text(str_from(address), "::1");
}

static void cloud_stop(struct service_state *state, void *own)
{
    struct cloud *cloud = own;

    (void)state;
    change_events_free(cloud->events);
    jwt_signer_free(cloud->id_token_key);
    jwt_signer_free(cloud->app_check_key);
    jwt_signer_free(cloud->kenni_key);
    free(cloud->service_account);
    faults_free(cloud->faults);
    kenni_free(cloud->kenni);
    transactions_free(cloud->transactions);
    store_close(cloud->store);
    free(cloud);
}

static bool load_keys(const struct cloud_settings *settings, struct cloud *cloud, struct error *e)
{
    struct arena *a = arena_new(ARENA_MAX_BYTES);

    cloud->id_token_key = key_load(a, settings->key_dir, "id-token.pem", e);
    if (cloud->id_token_key)
        cloud->app_check_key = key_load(a, settings->key_dir, "app-check.pem", e);
    if (cloud->app_check_key)
        cloud->kenni_key = key_load(a, settings->key_dir, "kenni.pem", e);
    arena_free(a);
    return cloud->kenni_key != NULL;
}

static bool cloud_start(struct service_state *state, void **own, struct error *e)
{
    const struct cloud_settings *settings = service_settings(state);
    struct cloud *cloud;

    if (!is_loopback(service_server_settings(state)->listen_address))
        return error_set(
            e, ERR_INTERNAL,
            "LISTEN_ADDRESS must be a loopback address: this issues tokens to anybody");
    cloud = calloc(1, sizeof *cloud);
    must(cloud);
    cloud->transactions = transactions_new();
    cloud->kenni = kenni_new();
    cloud->faults = faults_new();
    if (!load_keys(settings, cloud, e) || !service_account_make(state, cloud, e) ||
        !(cloud->store = store_open(settings->database_file, e))) {
        cloud_stop(state, cloud);
        return false;
    }
    cloud->events =
        change_events_new(settings->events_url, settings->events_collection, settings->project_id);
    *own = cloud;
    return true;
}

const struct service the_service = {
    .name = "local-cloud",
    .wire_name = "local-cloud",
    .summary = "plays Firestore, Firebase Authentication and an OpenID issuer on one machine",
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
