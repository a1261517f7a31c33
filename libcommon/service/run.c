/*
 * run.c - a service's life: options, settings, set-up, serving, SIGTERM
 *
 * Exit codes: 0 served and drained, or asked something it answered; 1 settings or set-up failed; 2
 * unknown option; 3 running requests had to be cut off.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "service/state.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <libpq-fe.h>
#include <signal.h>

/* --- settings
 * --------------------------------------------------------------------------------------- */

struct settings_group {
    unsigned use; /* 0: always */
    const struct config_key *table;
    void *target;
};

#define SETTINGS_GROUPS 9

static void list_groups(struct service_state *state, struct settings_group groups[SETTINGS_GROUPS])
{
    const struct settings_group all[SETTINGS_GROUPS] = {
        {0, server_settings_table, &state->server},
        {USES_IDENTITY, identity_settings_table, &state->identity},
        {USES_IDENTITY | USES_CLOUD, upstream_settings_table, &state->identity},
        {USES_CLOUD, google_settings_table, &state->google},
        {USES_ACCOUNT, account_settings_table, &state->account},
        {USES_DATABASE, database_settings_table, &state->database},
        {USES_IDEMPOTENCY, idempotency_settings_table, &state->idempotency},
        {USES_S2S, s2s_settings_table, &state->s2s},
        {0, state->service->config, state->settings},
    };

    memcpy(groups, all, sizeof all);
}

static bool wanted(const struct service *service, const struct settings_group *group)
{
    return group->table && (group->use == 0 || (service->uses & group->use));
}

#define WORKERS_USUAL           4
#define REQUEST_BUDGET_USUAL_MS 5000

static void take_own_defaults(struct service_state *state)
{
    const struct service *service = state->service;

    if (state->server.port == 0)
        state->server.port = service->default_port;
    if (state->server.workers == 0)
        state->server.workers = service->workers ? service->workers : WORKERS_USUAL;
    if (state->server.request_budget_ms == 0)
        state->server.request_budget_ms =
            service->request_budget_ms ? service->request_budget_ms : REQUEST_BUDGET_USUAL_MS;
}

static void check_traces(const struct service_state *state, struct buf *faults)
{
    struct str endpoint = str_from(state->server.otlp_endpoint);
    bool secure = str_starts_with(endpoint, STR("https://"));

    if (endpoint.len > 0 && !secure && !str_starts_with(endpoint, STR("http://")))
        buf_add_text(faults, "OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL\n");
    else if (endpoint.len > 0 && !secure && state->server.otlp_auth == OTLP_AUTH_GOOGLE &&
             !state->identity.allow_http_upstreams)
        buf_add_text(faults, "OTEL_EXPORTER_OTLP_AUTH=google wants an https endpoint\n");
}

/* What a single key's range cannot say. */
static void check_combinations(const struct service_state *state, struct buf *faults)
{
    const struct database_settings *db = &state->database;

    if (state->service->uses & USES_DATABASE) {
        if (db->pool_size * db->instances_max > db->connection_budget)
            buf_add_text(faults,
                         "DATABASE_POOL_MAX times INSTANCES_MAX is more than CONNECTION_BUDGET\n");
        if (db->statement_timeout_ms >= state->server.request_budget_ms)
            buf_add_text(faults, "STATEMENT_TIMEOUT_MS must be below REQUEST_BUDGET_MS\n");
    }
    if (!uuid_is_valid(str_from(state->server.org_id)))
        buf_add_text(faults, "ORG_ID must be a UUID\n");
    check_traces(state, faults);
}

static void split_origins(struct service_state *state)
{
    char *text = arena_alloc(state->arena, strlen(state->server.cors_origins) + 1);
    struct str rest, part;

    (void)str_copy(str_from(state->server.cors_origins), text,
                   strlen(state->server.cors_origins) + 1);
    for (char *p = text; *p; p++) {
        if (*p == ';' || *p == '^')
            *p = ',';
    }
    rest = str_from(text);
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len > 0 && state->cors_origin_count < CORS_ORIGINS_MAX)
            state->cors_origins[state->cors_origin_count++] = part;
    }
}

static bool load_settings(struct service_state *state, struct buf *faults)
{
    struct settings_group groups[SETTINGS_GROUPS];
    struct config_source source = {environ};
    struct error e = {0};
    bool good = true;

    list_groups(state, groups);
    for (size_t i = 0; i < SETTINGS_GROUPS; i++) {
        if (wanted(state->service, &groups[i]))
            good = config_load(groups[i].table, source, state->arena, groups[i].target, faults) &&
                   good;
    }
    if (!good)
        return false;
    take_own_defaults(state);
    check_combinations(state, faults);
    split_origins(state);
    if ((state->service->uses & USES_S2S) &&
        !s2s_keys_parse(str_from(state->s2s.keys), str_from(state->server.org_id), &state->s2s_keys,
                        &e))
        buf_printf(faults, "S2S_KEYS: %s\n", e.detail);
    return faults->len == 0;
}

/* --- options that answer and leave
 * ------------------------------------------------------------------ */

static void print_config(struct service_state *state)
{
    struct settings_group groups[SETTINGS_GROUPS];
    struct buf out;

    list_groups(state, groups);
    buf_init(&out, 1U << 20);
    for (size_t i = 0; i < SETTINGS_GROUPS; i++) {
        if (wanted(state->service, &groups[i]))
            config_print(groups[i].table, &out);
    }
    fputs(out.ptr ? out.ptr : "", stdout);
    buf_done(&out);
}

static void print_routes(const struct service *service)
{
    static const char *const auth[] = {"public", "optional", "user", "voting-token", "service"};

    puts("GET /health public");
    puts("GET /healthz public");
    puts("GET /health/ready public");
    for (size_t i = 0; i < service->route_count; i++)
        printf("%s %s %s\n", http_method_name(service->routes[i].method), service->routes[i].path,
               auth[service->routes[i].auth]);
}

static void print_version(const struct service *service)
{
    printf("%s %s: %s\n", service->name, SUITE_VERSION, service->summary);
    printf("libevent %s, libpq %d, %s, cJSON %s\n", event_get_version(), PQlibVersion(),
           curl_version(), cJSON_Version());
}

/* True when the process has done what it was asked; *ret_code is then its exit code. */
static bool answer_option(struct service_state *state, int argc, char **argv, int *ret_code)
{
    struct buf faults;

    *ret_code = 0;
    if (argc < 2)
        return false;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        print_version(state->service);
    } else if (argc == 2 && strcmp(argv[1], "--print-config") == 0) {
        print_config(state);
    } else if (argc == 2 && strcmp(argv[1], "--print-routes") == 0) {
        print_routes(state->service);
    } else if (argc == 2 && strcmp(argv[1], "--check-config") == 0) {
        buf_init(&faults, 65536);
        *ret_code = load_settings(state, &faults) ? 0 : 1;
        fputs(faults.ptr ? faults.ptr : "configuration is good\n", *ret_code ? stderr : stdout);
        buf_done(&faults);
    } else {
        fprintf(stderr,
                "usage: %s [--check-config | --print-config | --print-routes | --version]\n",
                state->service->name);
        *ret_code = 2;
    }
    return true;
}

/* --- set-up
 * ------------------------------------------------------------------------------------------ */

static const struct pg_statement *schema_statement(struct service_state *state, const char *name,
                                                   const char *call)
{
    struct pg_statement *statement = ARENA_NEW(state->arena, struct pg_statement);

    statement->name = name;
    statement->sql =
        arena_printf(state->arena, "select * from %s.%s", state->service->name, call).ptr;
    return statement;
}

/* The service's own statements and those the pipeline needs, each in the service's own schema. */
static void open_pool(struct service_state *state)
{
    const struct pg_statement *const *own = state->service->statements;
    size_t count = 0, at;

    while (own && own[count])
        count++;

    const struct pg_statement **all = arena_alloc_array(state->arena, count + 5, sizeof *all);

    for (at = 0; at < count; at++)
        all[at] = own[at];
    if (state->service->uses & USES_S2S)
        all[at++] = state->nonce_statement = schema_statement(
            state, "use_nonce", "use_nonce($1::uuid, $2::text, $3::text, $4::timestamptz)");
    if (state->service->uses & USES_IDEMPOTENCY) {
        all[at++] = state->claim_statement = schema_statement(
            state, "idempotency_claim",
            "idempotency_claim($1::uuid, $2::bytea, $3::bytea, $4::int, $5::uuid)");
        all[at++] = state->store_statement = schema_statement(
            state, "idempotency_store",
            "idempotency_store($1::uuid, $2::bytea, $3::bytea, $4::bytea, $5::int)");
        all[at++] = state->release_statement = schema_statement(
            state, "idempotency_release", "idempotency_release($1::uuid, $2::bytea)");
    }

    const struct pg_pool_config config = {
        .host = state->database.host,
        .port = (uint16_t)state->database.port,
        .database = state->database.name,
        .user = state->database.user[0] ? state->database.user : state->service->name,
        .password = state->database.password,
        .application_name = state->service->name,
        .size = (unsigned)state->database.pool_size,
        .acquire_timeout_ms = state->database.acquire_timeout_ms,
        .idle_close_ms = state->database.idle_close_ms,
        .statement_timeout_ms = state->database.statement_timeout_ms,
        .lock_timeout_ms = state->database.lock_timeout_ms,
        .statements = all,
        .require_durable = true,
    };
    state->pool = pg_pool_new(&config);
}

static void open_verifier(struct service_state *state)
{
    const struct http_client_config config = {
        .name = "jwks",
        .allow_http = state->identity.allow_http_upstreams,
        .parallel_max = 2,
        .connect_timeout_ms = 2000,
    };

    state->jwks_client = http_client_new(&config);
    service_watch_client(state, state->jwks_client);
    state->verifier = (struct firebase_verifier){
        .project_id = state->identity.project_id,
        .project_number = state->identity.project_number,
        .id_token_keys = jwks_cache_new(state->identity.id_token_jwks_url, state->jwks_client),
        .app_check_keys =
            state->identity.app_check_mode == APP_CHECK_OFF && !state->service->app_check_mode
                ? NULL
                : jwks_cache_new(state->identity.app_check_jwks_url, state->jwks_client),
        .leeway_s = state->identity.leeway_s,
        .allow_unsigned = state->identity.auth_emulator_host[0] != '\0',
    };
}

static void open_log(const struct service_state *state)
{
    unsigned char random_key[SHA256_BYTES];
    struct str key = str_from(state->server.log_salt);

    if (key.len == 0) {
        random_bytes(random_key, sizeof random_key);
        key = str_n(random_key, sizeof random_key);
    }
    log_init(state->service->name, (enum log_severity)state->server.log_level, key, STDOUT_FILENO);
}

static bool set_up(struct service_state *state, struct error *e)
{
    open_log(state);
    tenants_start(state);
    if (!log_self_check())
        return error_set(e, ERR_INTERNAL, "stdout does not take log lines");
    state->metrics = metrics_new(state->service->name);
    if (state->service->uses & USES_DATABASE)
        open_pool(state);
    if (state->service->uses & USES_IDENTITY)
        open_verifier(state);
    if ((state->service->uses & USES_CLOUD) && !cloud_open(state, e))
        return false;
    if ((state->service->uses & USES_ACCOUNT) && !account_open(state, e))
        return false;
    if (!tracing_open(state, e))
        return false;
    /* A server that may forget what it acknowledged is refused; one that is away is waited for by
     * the requests themselves. */
    if (state->pool && !pg_pool_check(state->pool, clock_mono_ms() + 2000, e)) {
        if (e->code == ERR_FAILED_PRECONDITION)
            return false;
        log_warning("database not reachable yet", LOG_TEXT("reason", str_from(e->detail)));
    }
    if (state->service->start && !state->service->start(state, &state->own, e))
        return false;
    state->started = true;
    return limits_start(state) && report_start(state) && health_probe_start(state);
}

/* --- serving
 * ------------------------------------------------------------------------------------------ */

static struct http_server *signalled; /* for the handler; set before the handler is */

static void on_terminate(int signal_number)
{
    (void)signal_number;
    http_server_stop(signalled);
}

static void on_tick(void *arg)
{
    struct service_state *state = arg;

    if (state->pool)
        pg_pool_reap_idle(state->pool);
    if (state->service->tick)
        state->service->tick(state, state->own);
}

static struct http_server *listen_main(struct service_state *state, struct error *e)
{
    const struct http_server_config config = {
        .listen_address = state->server.listen_address,
        .port = (uint16_t)state->server.port,
        .workers = (unsigned)state->server.workers,
        .queue_max = (unsigned)state->server.queue_max,
        .connections_max = (unsigned)state->server.connections_max,
        .body_max_bytes =
            state->service->body_max_bytes ? state->service->body_max_bytes : HTTP_BODY_MAX_BYTES,
        .read_timeout_ms = state->server.read_timeout_ms,
        .idle_timeout_ms = state->server.idle_timeout_ms,
        .request_budget_ms = state->server.request_budget_ms,
        .drain_ms = state->server.drain_ms,
    };
    const struct http_handler handler = {
        .context = state,
        .answer_inline = health_answer_inline,
        .handle = pipeline_handle,
        .refuse = pipeline_refuse,
    };

    return http_server_new(&config, &handler, e);
}

static bool serve(struct service_state *state, struct error *e, bool *ret_drained)
{
    struct sigaction terminate = {.sa_handler = on_terminate};

    state->http = listen_main(state, e);
    if (!state->http)
        return false;
    if (!metrics_port_open(state, e))
        return false;
    signalled = state->http;
    sigaction(SIGTERM, &terminate, NULL);
    sigaction(SIGINT, &terminate, NULL);
    http_server_every(state->http, 1000, on_tick, state);
    log_info("serving", LOG_I64("port", http_server_port(state->http)),
             LOG_TEXT("version", STR(SUITE_VERSION)));
    *ret_drained = http_server_run(state->http);
    tracing_flush(state);
    log_info("stopped", LOG_BOOL("drained", *ret_drained));
    metrics_port_close(state);
    return true;
}

/* Ends what set_up() and serve() have made, however far they came. */
static void tear_down(struct service_state *state)
{
    health_probe_stop(state);
    if (state->service->stop && state->started)
        state->service->stop(state, state->own);
    http_server_free(state->http);
    tracing_close(state);
    account_close(state);
    cloud_close(state);
    if (state->pool)
        pg_pool_free(state->pool);
    jwks_cache_free(state->verifier.id_token_keys);
    jwks_cache_free(state->verifier.app_check_keys);
    if (state->jwks_client)
        http_client_free(state->jwks_client);
    for (size_t i = 0; i < state->limiter_count; i++)
        rate_limiter_free(state->limiters[i]);
    rate_limiter_free(state->address_failures);
    metrics_free(state->metrics);
}

static int run(struct service_state *state)
{
    struct buf faults;
    struct error e = {0};
    bool good, drained = true;

    buf_init(&faults, 65536);
    good = load_settings(state, &faults);
    fprintf(stderr, "%s", faults.ptr ? faults.ptr : "");
    buf_done(&faults);
    if (!good)
        return 1;
    good = set_up(state, &e) && serve(state, &e, &drained);
    if (!good) {
        log_error("cannot start", LOG_TEXT("reason", str_from(e.detail)));
        fprintf(stderr, "%s: %s\n", state->service->name, e.detail);
    }
    /* A handler that outlived the grace period still uses all of this; the process ends anyway. */
    if (!drained)
        _exit(3);
    tear_down(state);
    return good ? 0 : 1;
}

int service_run(const struct service *service, int argc, char **argv)
{
    struct service_state state = {.service = service};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int code;

    encode_init();
    sigaction(SIGPIPE, &ignore, NULL);
    state.arena = arena_new(ARENA_MAX_BYTES);
    state.settings = arena_alloc(state.arena, service->settings_size ? service->settings_size : 1);
    if (!answer_option(&state, argc, argv, &code))
        code = run(&state);
    arena_free(state.arena);
    return code;
}
