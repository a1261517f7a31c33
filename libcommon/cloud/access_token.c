#include "cloud/access_token.h"

#include "base/clock.h"
#include "cloud/access_token_fetch.h"
#include "cloud/access_token_private.h"

#include <pthread.h>

#define REFRESH_AHEAD_MS (5 * 60 * 1000LL)
/* The last seconds are not used: a request needs time to arrive, and clocks differ. */
#define EXPIRY_MARGIN_MS 10000
/* With a token still good, its refresher waits no longer than this, and the next try comes no
 * sooner. The metadata server goes on giving the same token until shortly before its end. */
#define REFRESH_WAIT_MS 2000
#define REFRESH_GAP_MS  10000

struct access_token_source {
    struct token_origin origin;
    bool emulator;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t fetched;
    int64_t clock_offset_ms;
    char *token;
    int64_t expires_at_ms;
    int64_t tried_at_ms; /* the last fetch's start */
    bool tried_ever, in_flight;
    uint64_t flights; /* fetches that have ended */
    struct error last_error;
    char *email;
};

static char *dup_text(const char *text)
{
    char *copy = strdup(text ? text : "");
    must(copy);
    return copy;
}

struct access_token_source *access_token_source_new(const struct access_token_config *config,
                                                    struct error *e)
{
    struct access_token_source *s = calloc(1, sizeof(*s));
    must(s);
    s->emulator = config->emulator;
    s->origin.client = config->client;
    s->origin.metadata_host = dup_text(config->metadata_host);
    s->origin.scope = dup_text(config->scope);
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    clock_cond_init(&s->fetched);
    if (config->key_file && config->key_file[0] != '\0' &&
        !token_origin_load_key(&s->origin, config->key_file, e)) {
        access_token_source_free(s);
        return NULL;
    }
    return s;
}

void access_token_source_free(struct access_token_source *s)
{
    if (!s)
        return;
    must(!s->in_flight);
    token_origin_done(&s->origin);
    pthread_cond_destroy(&s->fetched);
    pthread_mutex_destroy(&s->lock);
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    free(s->email);
    free(s);
}

const struct jwt_signer *access_token_signer(const struct access_token_source *s)
{
    return s->origin.signer;
}

/* ---- Callers hold the lock ---- */

static int64_t now_ms(const struct access_token_source *s)
{
    return clock_mono_ms() + s->clock_offset_ms;
}

static bool is_usable(const struct access_token_source *s)
{
    return s->token && now_ms(s) < s->expires_at_ms - EXPIRY_MARGIN_MS;
}

static bool should_fetch(const struct access_token_source *s)
{
    if (s->in_flight)
        return false;
    if (!is_usable(s))
        return true;
    return now_ms(s) >= s->expires_at_ms - REFRESH_AHEAD_MS &&
           (!s->tried_ever || now_ms(s) >= s->tried_at_ms + REFRESH_GAP_MS);
}

static void keep(struct access_token_source *s, const struct token_grant *grant)
{
    /* A shorter-lived one than ours is of no use; the metadata server's cache may give such. */
    int64_t expires_at_ms = now_ms(s) + grant->lifetime_s * 1000;
    if (is_usable(s) && expires_at_ms < s->expires_at_ms)
        return;
    char *copy = strndup(grant->token.ptr, grant->token.len);
    must(copy);
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    s->token = copy;
    s->expires_at_ms = expires_at_ms;
}

static void fetch(struct access_token_source *s, int64_t deadline_ms)
{
    int64_t fetch_deadline_ms = deadline_ms;
    if (is_usable(s) && clock_left_ms(deadline_ms) > REFRESH_WAIT_MS)
        fetch_deadline_ms = clock_mono_ms() + REFRESH_WAIT_MS;
    s->in_flight = true;
    s->tried_ever = true;
    s->tried_at_ms = now_ms(s);
    must(pthread_mutex_unlock(&s->lock) == 0);

    struct arena *scratch = arena_new(ARENA_MAX_BYTES);
    struct token_grant grant;
    struct error error = {.code = ERR_NONE};
    bool ok = token_origin_fetch(&s->origin, scratch, fetch_deadline_ms, &grant, &error);

    must(pthread_mutex_lock(&s->lock) == 0);
    if (ok)
        keep(s, &grant);
    s->last_error = error;
    s->in_flight = false;
    s->flights++;
    must(pthread_cond_broadcast(&s->fetched) == 0);
    arena_free(scratch);
}

/* Until the running fetch has ended; false at the deadline. */
static bool wait_for_fetch(struct access_token_source *s, int64_t deadline_ms)
{
    uint64_t flight = s->flights;
    while (s->in_flight && s->flights == flight) {
        if (!clock_cond_wait_until(&s->fetched, &s->lock, deadline_ms))
            return false;
    }
    return true;
}

/* One more round: true when it is decided. Who waited for a fetch shares its failure, unless the
 * fetch only ended because its caller had less time than we have. */
static bool settle(struct access_token_source *s, int64_t deadline_ms)
{
    if (should_fetch(s)) {
        fetch(s, deadline_ms);
        return true;
    }
    if (is_usable(s))
        return true;
    if (!wait_for_fetch(s, deadline_ms)) {
        error_set(&s->last_error, ERR_GATEWAY_TIMEOUT, "not here within the deadline");
        return true;
    }
    return is_usable(s) || s->last_error.code != ERR_GATEWAY_TIMEOUT ||
           clock_left_ms(deadline_ms) == 0;
}

bool access_token_get(struct access_token_source *s, struct arena *a, int64_t deadline_ms,
                      struct str *ret_token, struct error *e)
{
    if (s->emulator) {
        *ret_token = STR("owner");
        return true;
    }
    must(pthread_mutex_lock(&s->lock) == 0);
    while (!settle(s, deadline_ms))
        continue;
    bool ok = is_usable(s);
    if (ok)
        *ret_token = arena_dup(a, str_from(s->token));
    else
        error_set(e, ERR_UNAVAILABLE, "access token: %s", s->last_error.detail);
    must(pthread_mutex_unlock(&s->lock) == 0);
    return ok;
}

/* ---- E-mail ---- */

bool access_token_account_email(struct access_token_source *s, struct arena *a, int64_t deadline_ms,
                                struct str *ret_email, struct error *e)
{
    if (s->origin.key_email || s->emulator) {
        /* The name Google's own client gives itself towards the emulator. */
        *ret_email = s->origin.key_email ? str_from(s->origin.key_email)
                                         : STR("firebase-auth-emulator@example.com");
        return true;
    }
    must(pthread_mutex_lock(&s->lock) == 0);
    bool known = s->email != NULL;
    if (known)
        *ret_email = arena_dup(a, str_from(s->email));
    must(pthread_mutex_unlock(&s->lock) == 0);
    if (known)
        return true;

    /* Two who ask at once get the same answer. */
    if (!token_origin_fetch_email(&s->origin, a, deadline_ms, ret_email, e))
        return false;
    must(pthread_mutex_lock(&s->lock) == 0);
    if (!s->email)
        s->email = strndup(ret_email->ptr, ret_email->len);
    must(s->email);
    must(pthread_mutex_unlock(&s->lock) == 0);
    return true;
}

void access_token_advance_clock(struct access_token_source *s, int64_t ms)
{
    must(pthread_mutex_lock(&s->lock) == 0);
    s->clock_offset_ms += ms;
    must(pthread_mutex_unlock(&s->lock) == 0);
}
