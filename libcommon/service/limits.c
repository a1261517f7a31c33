/* limits.c - declared limits, by identity first, by address only for the anonymous; V-G1..V-G4,
 * V-K8..V-K10 */
#include "auth/client_address.h"
#include "base/clock.h"
#include "service/state.h"

#define LIMIT_KEYS_MAX 20000

static struct rate_limiter *limiter_of(const struct service_state *state, const struct limit *limit)
{
    for (size_t i = 0; i < state->limiter_count; i++) {
        if (state->limits[i] == limit)
            return state->limiters[i];
    }
    must_not_happen("a route names a limit that was not made at start");
}

bool limits_start(struct service_state *state)
{
    for (size_t r = 0; r < state->service->route_count; r++) {
        const struct limit *limit = state->service->routes[r].limit;
        bool known = limit == NULL;

        for (size_t i = 0; i < state->limiter_count && !known; i++)
            known = state->limits[i] == limit;
        if (known)
            continue;
        must(state->limiter_count < SERVICE_LIMITS_MAX);
        unsigned per_window = limit->per_window;
        if (limit->setting_offset) {
            int64_t set = *(const int64_t *)(const void *)((const char *)state->settings +
                                                           *limit->setting_offset);
            per_window = (unsigned)set;
        }
        state->limits[state->limiter_count] = limit;
        state->limiters[state->limiter_count++] =
            rate_limiter_new(per_window, limit->window_s, LIMIT_KEYS_MAX);
    }
    state->address_failures =
        rate_limiter_new((unsigned)state->server.address_failures_max, 60, LIMIT_KEYS_MAX);
    return true;
}

static bool is_anonymous(const struct request *req)
{
    return req->identity.kind == IDENTITY_NONE || req->identity.kind == IDENTITY_VOTING_TOKEN;
}

static struct str address_key(const struct request *req)
{
    char *address = arena_alloc(req->arena, CLIENT_ADDRESS_SIZE);

    client_address_key(arena_text(req->arena, req->client_address), address);
    return str_from(address);
}

/* A voting token is its own caller, so a hall behind one address shares nothing. */
static struct str key_of(const struct request *req)
{
    return req->identity.kind == IDENTITY_NONE ? address_key(req) : identity_key(&req->identity);
}

/* By hand: vsnprintf() is dear where every reply has three of these. */
static void add_header(struct response *res, const char *name, unsigned value)
{
    char memory[16];
    struct buf text;

    buf_init_fixed(&text, memory, sizeof memory);
    buf_add_i64(&text, value);
    http_response_header(res->http, name, buf_str(&text));
}

static void add_headers(const struct request *req, struct response *res, const struct limit *limit,
                        const struct rate_verdict *v)
{
    http_response_header(res->http, "RateLimit-Policy",
                         arena_printf(req->arena, "%u;w=%u", v->limit, limit->window_s));
    add_header(res, "RateLimit-Limit", v->limit);
    add_header(res, "RateLimit-Remaining", v->remaining);
    add_header(res, "RateLimit-Reset", v->reset_s);
}

static bool refuse(struct response *res, const struct rate_verdict *v)
{
    respond_retry_after(res, v->retry_after_s > 0 ? v->retry_after_s : 1);
    respond_error(res, ERR_RATE_LIMITED, "Too many requests. Please wait a moment.");
    return false;
}

bool limits_admit(const struct request *req, struct response *res)
{
    int64_t now_ms = clock_mono_ms();
    const struct limit *limit = req->route->limit;
    struct rate_verdict v;

    if (is_anonymous(req)) {
        v = rate_limiter_peek(req->state->address_failures, address_key(req), now_ms);
        if (!v.allowed)
            return refuse(res, &v);
    }
    if (!limit)
        return true;

    struct rate_limiter *limiter = limiter_of(req->state, limit);

    v = limit->counts == LIMIT_ALL ? rate_limiter_take(limiter, key_of(req), now_ms)
                                   : rate_limiter_peek(limiter, key_of(req), now_ms);
    /* A limiter that judges failures only has nothing to tell who does well (contract §7.1). */
    if (limit->counts == LIMIT_ALL || !v.allowed)
        add_headers(req, res, limit, &v);
    return v.allowed || refuse(res, &v);
}

/* Failures are what the caller did wrong: not our 503, not the limiter's own 429. */
static bool is_failure(const struct response *res)
{
    return res->http->status >= 400 && res->http->status != 503 && res->http->status != 429;
}

void limits_account(const struct request *req, const struct response *res)
{
    int64_t now_ms = clock_mono_ms();

    if (!is_failure(res))
        return;
    if (is_anonymous(req))
        rate_limiter_count(req->state->address_failures, address_key(req), now_ms);
    if (req->route && req->route->limit && req->route->limit->counts == LIMIT_FAILURES)
        rate_limiter_count(limiter_of(req->state, req->route->limit), key_of(req), now_ms);
}
