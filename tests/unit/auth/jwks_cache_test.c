#include "auth/provider.h"
#include "auth/testing.h"

#include "auth/jwks_cache_internal.h"
#include "base/clock.h"
#include "base/limits.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#define CALLERS     20
#define PATIENCE_MS 20000 /* never reached: a bound for a machine that is busy */
#define MINUTE_MS   60000LL
#define HOUR_MS     3600000LL

/* What every test needs: a provider with one key, a client, a cache, a good token. */
struct world {
    struct arena *a;
    struct provider *provider;
    struct http_client *client;
    struct jwks_cache *cache;
    struct str jwks, jwks_rotated;
    struct jwt token, token_rotated, token_unknown;
};

static struct jwt_signer *signer_old;
static struct jwt_signer *signer_new;

static int make_signers(void **state)
{
    (void)state;
    encode_init();
    signer_old = jwt_signer_generate(STR("old"));
    signer_new = jwt_signer_generate(STR("new"));
    return 0;
}

static int free_signers(void **state)
{
    (void)state;
    jwt_signer_free(signer_old);
    jwt_signer_free(signer_new);
    return 0;
}

static struct jwt token_of(struct arena *a, const struct jwt_signer *s, const char *kid)
{
    struct jwt t;
    struct str header = arena_printf(a, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    assert_true(jwt_decode(a, make_token(a, s, header, STR("{}")), false, &t, NULL));
    return t;
}

static void open_cache(struct world *w)
{
    const struct http_client_config config = {
        .name = "jwks",
        .allow_http = true,
        .parallel_max = 4,
        .connect_timeout_ms = 2000,
    };
    w->client = http_client_new(&config);
    w->cache = jwks_cache_new(arena_printf(w->a, "http://127.0.0.1:%u/jwks", w->provider->port).ptr,
                              w->client);
}

static int setup_world(void **state)
{
    struct arena *a = arena_new(TEST_ARENA_MAX_BYTES);
    struct world *w = ARENA_NEW(a, struct world);
    w->a = a;
    w->jwks = jwt_signer_jwks(signer_old, a);
    w->jwks_rotated = jwt_signer_jwks(signer_new, a);
    w->token = token_of(a, signer_old, "old");
    w->token_rotated = token_of(a, signer_new, "new");
    w->token_unknown = token_of(a, signer_new, "nobody");
    w->provider = provider_start(w->jwks, "public, max-age=21600, must-revalidate");
    open_cache(w);
    *state = w;
    return 0;
}

static int teardown_world(void **state)
{
    struct world *w = *state;
    provider_stop(w->provider);
    jwks_cache_free(w->cache);
    http_client_free(w->client);
    arena_free(w->a);
    return 0;
}

static enum error_code verify(struct world *w, const struct jwt *token, int64_t patience_ms)
{
    struct error e = {0};
    bool ok = jwks_cache_verify(w->cache, token, w->a, clock_mono_ms() + patience_ms, &e);
    assert_int_equal(ok, e.code == ERR_NONE);
    return e.code;
}

#define assert_passes(w, token) assert_int_equal(verify(w, token, PATIENCE_MS), ERR_NONE)
#define assert_unauthenticated(w, token)                                                           \
    assert_int_equal(verify(w, token, PATIENCE_MS), ERR_UNAUTHENTICATED)
#define assert_unavailable(w, token, patience_ms)                                                  \
    assert_int_equal(verify(w, token, patience_ms), ERR_UNAVAILABLE)

static struct jwks_cache_stats stats_of(struct world *w)
{
    struct jwks_cache_stats s;
    jwks_cache_get_stats(w->cache, &s);
    return s;
}

/* Waits until the fetch under way has ended well or badly. */
static void wait_for_results(struct world *w, uint64_t fetches, uint64_t failures,
                             int64_t age_below_ms)
{
    for (;;) {
        struct jwks_cache_stats s = stats_of(w);
        if (s.fetches >= fetches && s.failures >= failures &&
            (failures > 0 || (s.age_ms >= 0 && s.age_ms < age_below_ms)))
            return;
        (void)poll(NULL, 0, 1);
    }
}

static void test_jwks_cache_verify_fetches_once_then_remembers(void **state)
{
    struct world *w = *state;
    assert_int_equal(stats_of(w).age_ms, -1);
    assert_int_equal(stats_of(w).size, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_passes(w, &w->token);
    struct jwks_cache_stats s = stats_of(w);
    assert_int_equal(atomic_load(&w->provider->requests), 1);
    assert_int_equal(s.fetches, 1);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.hits, 4);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.size, 1);
    assert_true(s.age_ms >= 0);
    assert_false(s.stale);
}

struct caller {
    struct world *world;
    atomic_uint *ready, *passed;
};

static void *call_cold(void *arg)
{
    struct caller *c = arg;
    struct error e = {0};
    struct arena *a = arena_new(TEST_ARENA_MAX_BYTES);
    int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
    atomic_fetch_add(c->ready, 1U);
    if (jwks_cache_verify(c->world->cache, &c->world->token, a, deadline_ms, &e))
        atomic_fetch_add(c->passed, 1U);
    arena_free(a);
    return NULL;
}

static void test_jwks_cache_verify_20_cold_callers_cause_one_fetch(void **state)
{
    struct world *w = *state;
    pthread_t threads[CALLERS];
    atomic_uint ready = 0;
    atomic_uint passed = 0;
    struct caller c = {w, &ready, &passed};
    atomic_store(&w->provider->held, true);
    for (unsigned i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_cold, &c), 0);
    while (atomic_load(&ready) < CALLERS)
        (void)poll(NULL, 0, 1);
    atomic_store(&w->provider->held, false);
    for (unsigned i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&passed), CALLERS);
    assert_int_equal(atomic_load(&w->provider->requests), 1);
    assert_int_equal(stats_of(w).fetches, 1);
}

static void test_jwks_cache_verify_bad_signature_fetches_nothing_more(void **state)
{
    struct world *w = *state;
    struct jwt forged = token_of(w->a, signer_new, "old");
    assert_passes(w, &w->token);
    jwks_cache_advance_clock(w->cache, 10 * MINUTE_MS);
    for (unsigned i = 0; i < 5; i++)
        assert_unauthenticated(w, &forged);
    assert_int_equal(atomic_load(&w->provider->requests), 1);
}

static void test_jwks_cache_verify_unknown_kid_refetches_once_a_minute(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    /* The set is seconds old: no reason to ask again. */
    for (unsigned i = 0; i < 5; i++)
        assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(stats_of(w).fetches, 1);
    jwks_cache_advance_clock(w->cache, MINUTE_MS);
    for (unsigned i = 0; i < 5; i++)
        assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(stats_of(w).fetches, 2);
    jwks_cache_advance_clock(w->cache, MINUTE_MS);
    for (unsigned i = 0; i < 5; i++)
        assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(stats_of(w).fetches, 3);
    assert_int_equal(atomic_load(&w->provider->requests), 3);
    assert_passes(w, &w->token);
}

static void test_jwks_cache_verify_rotated_key_is_found(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    provider_set(w->provider, ANSWER_BODY, w->jwks_rotated);
    assert_unauthenticated(w, &w->token_rotated);
    jwks_cache_advance_clock(w->cache, MINUTE_MS);
    assert_passes(w, &w->token_rotated);
    assert_unauthenticated(w, &w->token); /* the old key went with the old set */
    assert_int_equal(atomic_load(&w->provider->requests), 2);
}

/* Unknown kids by the thousand, while the provider is down, must not hammer it either. */
static void test_jwks_cache_verify_unknown_kid_with_provider_down_is_bounded(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    provider_set(w->provider, ANSWER_503, STR(""));
    jwks_cache_advance_clock(w->cache, MINUTE_MS);
    for (unsigned i = 0; i < 10; i++)
        assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(stats_of(w).fetches, 2);
    assert_passes(w, &w->token);
}

static void test_jwks_cache_verify_near_expiry_refreshes_behind_the_caller(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    jwks_cache_advance_clock(w->cache, 5 * HOUR_MS); /* of six */
    atomic_store(&w->provider->held, true);
    for (unsigned i = 0; i < 5; i++) /* the provider answers nobody, and nobody waits */
        assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).hits, 5);
    assert_int_equal(stats_of(w).fetches, 2);
    atomic_store(&w->provider->held, false);
    wait_for_results(w, 2, 0, HOUR_MS);
    assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).fetches, 2);
}

static void test_jwks_cache_verify_expired_set_is_replaced(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    provider_set(w->provider, ANSWER_BODY, w->jwks_rotated);
    jwks_cache_advance_clock(w->cache, 6 * HOUR_MS);
    assert_true(stats_of(w).stale);
    assert_passes(w, &w->token_rotated);
    assert_false(stats_of(w).stale);
    assert_int_equal(stats_of(w).fetches, 2);
}

static void test_jwks_cache_verify_stale_set_serves_for_a_day_of_failures(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    provider_set(w->provider, ANSWER_503, STR(""));
    jwks_cache_advance_clock(w->cache, 6 * HOUR_MS);
    for (unsigned i = 0; i < 10; i++)
        assert_passes(w, &w->token);
    struct jwks_cache_stats s = stats_of(w);
    assert_true(s.stale);
    assert_int_equal(s.size, 1);
    wait_for_results(w, 2, 1, 0);
    assert_int_equal(stats_of(w).fetches, 2); /* then left alone for half a minute */
    jwks_cache_advance_clock(w->cache, MINUTE_MS / 2);
    assert_passes(w, &w->token);
    wait_for_results(w, 3, 2, 0);
    jwks_cache_advance_clock(w->cache, 24 * HOUR_MS - 2 * MINUTE_MS);
    assert_passes(w, &w->token);
    wait_for_results(w, 4, 3, 0);
    jwks_cache_advance_clock(w->cache, 2 * MINUTE_MS);
    assert_unavailable(w, &w->token, PATIENCE_MS);
    /* And when the provider is back, so are we. */
    provider_set(w->provider, ANSWER_BODY, w->jwks);
    jwks_cache_advance_clock(w->cache, 2000);
    assert_passes(w, &w->token);
    assert_false(stats_of(w).stale);
}

static void test_jwks_cache_verify_answers_that_are_no_keys_are_unavailable(void **state)
{
    struct world *w = *state;
    const struct {
        enum manner manner;
        struct str body;
    } cases[] = {
        {ANSWER_503, STR("")},
        {ANSWER_HUGE, STR("")},
        {ANSWER_SHORT, w->jwks},
        {ANSWER_NOTHING, STR("")},
        {ANSWER_BODY, STR("")},
        {ANSWER_BODY, STR("<html>sign in to the network</html>")},
        {ANSWER_BODY, STR("{\"keys\":[]}")},
        {ANSWER_BODY, STR("{\"error\":\"no\"}")},
        {ANSWER_BODY, STR("{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"old\",\"n\":\"AQAB\",\"e\":"
                          "\"AQAB\"}]}")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        provider_set(w->provider, cases[i].manner, cases[i].body);
        if (verify(w, &w->token, PATIENCE_MS) != ERR_UNAVAILABLE)
            fail_msg("case %zu", i);
        assert_int_equal(stats_of(w).failures, i + 1);
        assert_int_equal(stats_of(w).size, 0);
        /* At once again: refused without another fetch. */
        assert_unavailable(w, &w->token, PATIENCE_MS);
        assert_int_equal(stats_of(w).fetches, i + 1);
        jwks_cache_advance_clock(w->cache, 2000);
    }
    provider_set(w->provider, ANSWER_BODY, w->jwks);
    assert_passes(w, &w->token);
}

/* A bad answer never drives out a good set. */
static void test_jwks_cache_verify_bad_refresh_keeps_the_old_set(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    provider_set(w->provider, ANSWER_BODY, STR("{\"keys\":[]}"));
    jwks_cache_advance_clock(w->cache, MINUTE_MS);
    assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(stats_of(w).failures, 1);
    assert_int_equal(stats_of(w).size, 1);
    assert_passes(w, &w->token);
}

static void test_jwks_cache_verify_hanging_provider_ends_with_the_deadline(void **state)
{
    struct world *w = *state;
    atomic_store(&w->provider->held, true);
    assert_unavailable(w, &w->token, 50);
    assert_unavailable(w, &w->token, 0);
    assert_int_equal(stats_of(w).fetches, 1); /* both waited for the same one */
    /* The short deadlines ended the callers, not the fetch. */
    atomic_store(&w->provider->held, false);
    assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).fetches, 1);
}

/* With keys at hand, if old ones, a provider that hangs costs a wait, not the answer. */
static void test_jwks_cache_verify_hanging_refresh_serves_the_stale_set(void **state)
{
    struct world *w = *state;
    assert_passes(w, &w->token);
    atomic_store(&w->provider->held, true);
    jwks_cache_advance_clock(w->cache, 7 * HOUR_MS);
    assert_int_equal(verify(w, &w->token, 20), ERR_NONE);
    assert_int_equal(verify(w, &w->token, 0), ERR_NONE);
    assert_int_equal(stats_of(w).fetches, 2);
    assert_true(stats_of(w).stale);
    atomic_store(&w->provider->held, false);
    wait_for_results(w, 2, 0, HOUR_MS);
    assert_false(stats_of(w).stale);
}

static void test_jwks_cache_free_while_fetching_is_clean(void **state)
{
    struct world *w = *state;
    atomic_store(&w->provider->held, true);
    assert_unavailable(w, &w->token, 1);
    atomic_store(&w->provider->stopping, true); /* teardown frees while the fetch is ending */
}

static void test_jwks_cache_warm_makes_first_call_a_hit(void **state)
{
    struct world *w = *state;
    struct error e = {0};
    assert_true(jwks_cache_warm(w->cache, clock_mono_ms() + PATIENCE_MS, &e));
    assert_true(jwks_cache_warm(w->cache, clock_mono_ms() + PATIENCE_MS, &e));
    assert_int_equal(stats_of(w).fetches, 1);
    uint64_t hits = stats_of(w).hits;
    assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).hits, hits + 1);
    assert_int_equal(stats_of(w).fetches, 1);
}

static void test_jwks_cache_warm_without_provider_is_unavailable(void **state)
{
    struct world *w = *state;
    struct error e = {0};
    provider_set(w->provider, ANSWER_503, STR(""));
    assert_false(jwks_cache_warm(w->cache, clock_mono_ms() + PATIENCE_MS, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

struct churn {
    struct world *world;
    atomic_bool stop;
    atomic_uint wrong;
};

static void *verify_on(void *arg)
{
    struct churn *c = arg;
    struct arena *a = arena_new(TEST_ARENA_MAX_BYTES);
    while (!atomic_load(&c->stop)) {
        struct error e = {0};
        int64_t deadline_ms = clock_mono_ms() + PATIENCE_MS;
        if (!jwks_cache_verify(c->world->cache, &c->world->token, a, deadline_ms, &e))
            atomic_fetch_add(&c->wrong, 1U);
    }
    arena_free(a);
    return NULL;
}

/* Sets are replaced under running verifications: nobody ever sees a freed or a missing one. */
static void test_jwks_cache_verify_while_sets_change_never_fails(void **state)
{
    struct world *w = *state;
    pthread_t threads[4];
    struct churn c = {.world = w};
    assert_passes(w, &w->token);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_on, &c), 0);
    for (unsigned i = 0; i < 20; i++) {
        jwks_cache_advance_clock(w->cache, (i % 2 ? 5 : 7) * HOUR_MS);
        wait_for_results(w, 2 + i, 0, HOUR_MS);
    }
    atomic_store(&c.stop, true);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&c.wrong), 0);
}

static void test_jwks_cache_verify_short_max_age_is_kept_five_minutes(void **state)
{
    struct world *w = *state;
    pthread_mutex_lock(&w->provider->lock);
    w->provider->cache_control = "max-age=0";
    pthread_mutex_unlock(&w->provider->lock);
    assert_passes(w, &w->token);
    jwks_cache_advance_clock(w->cache, 3 * MINUTE_MS);
    assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).fetches, 1);
    jwks_cache_advance_clock(w->cache, 3 * MINUTE_MS);
    assert_passes(w, &w->token);
    assert_int_equal(stats_of(w).fetches, 2);
}

static void test_jwks_cache_lifetime_table(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t want_s;
    } cases[] = {
        {"", 3600},
        {"public", 3600},
        {"no-store", 3600},
        {"public, max-age=21600, must-revalidate, no-transform", 21600},
        {"MAX-AGE=7200", 7200},
        {"max-age = 7200", 7200},
        {"max-age=\"7200\"", 7200},
        {"s-maxage=60, max-age=7200", 7200},
        {"x-max-age=60", 3600},
        {"max-age=299", 300},
        {"max-age=300", 300},
        {"max-age=0", 300},
        {"max-age=86400", 86400},
        {"max-age=86401", 86400},
        {"max-age=99999999999999999999999999", 86400},
        {"max-age=-1", 300},
        {"max-age=1e9", 300},
        {"max-age=", 300},
        {"max-age", 300},
        {"max-age=\"", 300},
        {"max-age=\"7200", 300},
        {",,,max-age=600", 600},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (jwks_cache_lifetime_s(str_from(cases[i].value)) != cases[i].want_s)
            fail_msg("'%s'", cases[i].value);
}

static void test_jwks_cache_from_set_never_fetches_nor_ages(void **state)
{
    struct world *w = *state;
    jwks_cache_free(w->cache);
    w->cache = jwks_cache_from_set(jwk_set_parse(w->jwks, NULL));
    assert_passes(w, &w->token);
    assert_unauthenticated(w, &w->token_unknown);
    jwks_cache_advance_clock(w->cache, 1000 * HOUR_MS);
    assert_passes(w, &w->token);
    assert_unauthenticated(w, &w->token_unknown);
    assert_int_equal(verify(w, &w->token, 0), ERR_NONE);
    struct jwks_cache_stats s = stats_of(w);
    assert_int_equal(s.fetches, 0);
    assert_int_equal(s.age_ms, -1);
    assert_false(s.stale);
    assert_int_equal(atomic_load(&w->provider->requests), 0);
}

#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, setup_world, teardown_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_jwks_cache_verify_fetches_once_then_remembers),
        WORLD_TEST(test_jwks_cache_verify_20_cold_callers_cause_one_fetch),
        WORLD_TEST(test_jwks_cache_verify_bad_signature_fetches_nothing_more),
        WORLD_TEST(test_jwks_cache_verify_unknown_kid_refetches_once_a_minute),
        WORLD_TEST(test_jwks_cache_verify_rotated_key_is_found),
        WORLD_TEST(test_jwks_cache_verify_unknown_kid_with_provider_down_is_bounded),
        WORLD_TEST(test_jwks_cache_verify_near_expiry_refreshes_behind_the_caller),
        WORLD_TEST(test_jwks_cache_verify_expired_set_is_replaced),
        WORLD_TEST(test_jwks_cache_verify_stale_set_serves_for_a_day_of_failures),
        WORLD_TEST(test_jwks_cache_verify_answers_that_are_no_keys_are_unavailable),
        WORLD_TEST(test_jwks_cache_verify_bad_refresh_keeps_the_old_set),
        WORLD_TEST(test_jwks_cache_verify_hanging_provider_ends_with_the_deadline),
        WORLD_TEST(test_jwks_cache_verify_hanging_refresh_serves_the_stale_set),
        WORLD_TEST(test_jwks_cache_free_while_fetching_is_clean),
        WORLD_TEST(test_jwks_cache_warm_makes_first_call_a_hit),
        WORLD_TEST(test_jwks_cache_warm_without_provider_is_unavailable),
        WORLD_TEST(test_jwks_cache_verify_while_sets_change_never_fails),
        WORLD_TEST(test_jwks_cache_verify_short_max_age_is_kept_five_minutes),
        cmocka_unit_test(test_jwks_cache_lifetime_table),
        WORLD_TEST(test_jwks_cache_from_set_never_fetches_nor_ages),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
