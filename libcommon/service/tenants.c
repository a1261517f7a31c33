/* tenants.c - the organisations this process works for: its own, and those of the keys it accepts
 */
#include "service/state.h"

static size_t find_or_add(struct service_state *state, const struct s2s_key *key)
{
    struct tenant *all = state->tenants;
    bool named = key->tenant.ptr && !str_eq_text(key->tenant, state->server.org_slug);
    size_t at = 0;

    while (at < state->tenant_count && !str_eq_ci(all[at].org_id, key->org_id))
        at++;
    if (at == state->tenant_count)
        all[state->tenant_count++] = (struct tenant){.org_id = key->org_id};
    /* An organisation without a name of its own goes by its id. */
    if (at > 0 && (named || !all[at].name))
        all[at].name = arena_text(state->arena, named ? key->tenant : key->org_id);
    return at;
}

void tenants_start(struct service_state *state)
{
    state->tenants[0] =
        (struct tenant){.org_id = str_from(state->server.org_id), .name = state->server.org_slug};
    state->tenant_count = 1;
    for (size_t i = 0; i < state->s2s_keys.count; i++)
        state->tenant_of_key[i] = find_or_add(state, &state->s2s_keys.keys[i]);
    log_set_tenant(state->tenants[0].name);
}

void tenants_enter(struct request *req, size_t tenant)
{
    req->tenant = tenant;
    req->org_id = req->state->tenants[tenant].org_id;
    log_enter_tenant(req->state->tenants[tenant].name);
}
