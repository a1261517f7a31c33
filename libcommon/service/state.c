/* state.c - what hooks and handlers may see of the state; see service.h */
#include "service/state.h"

const struct server_settings *service_server_settings(const struct service_state *state)
{
    return &state->server;
}

const struct identity_settings *service_identity_settings(const struct service_state *state)
{
    return &state->identity;
}

const struct idempotency_settings *service_idempotency_settings(const struct service_state *state)
{
    return &state->idempotency;
}

const void *service_settings(const struct service_state *state)
{
    return state->settings;
}

struct pg_pool *service_pool(const struct service_state *state)
{
    return state->pool;
}

struct metrics *service_metrics(const struct service_state *state)
{
    return state->metrics;
}

bool service_origin_is_listed(const struct service_state *state, struct str origin)
{
    for (size_t i = 0; i < state->cors_origin_count; i++) {
        if (str_eq(state->cors_origins[i], origin) && !str_eq(origin, STR("*")))
            return true;
    }
    return false;
}

void service_watch_client(struct service_state *state, struct http_client *client)
{
    must(state->client_count < SERVICE_CLIENTS_MAX);
    state->clients[state->client_count++] = client;
}
