/* account_cache_test.c - asked once, kept for a while, bounded; the time is the test's own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "service/account_cache.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define KEEP_MS  60000
#define RETRY_MS 2000

struct source {
    struct account answer;
    atomic_int asked;
    char uid[64], kennitala[16];
    pthread_mutex_t gate; /* held by a test that wants look-ups to wait */
};

static void look_up(void *context, struct str uid, const char *kennitala, struct arena *a,
                    int64_t deadline_ms, struct account *ret)
{
    struct source *source = context;

    (void)a;
    (void)deadline_ms;
    assert_true(str_copy(uid, source->uid, sizeof source->uid));
    assert_true(str_copy(str_from(kennitala), source->kennitala, sizeof source->kennitala));
    atomic_fetch_add(&source->asked, 1);
    pthread_mutex_lock(&source->gate);
    *ret = source->answer;
    pthread_mutex_unlock(&source->gate);
}

static const struct account whole = {.auth_known = true,
                                     .records_known = true,
                                     .is_active = true,
                                     .is_admin = true,
                                     .valid_since_s = 77};

static struct account_cache *open_cache(struct source *source, unsigned accounts_max, bool refresh,
                                        int64_t keep_ms)
{
    const struct account_cache_config config = {
        .look_up = look_up,
        .context = source,
        .keep_ms = keep_ms,
        .timeout_ms = 5000,
        .accounts_max = accounts_max,
        .refresh = refresh,
    };
    struct account_cache *c = account_cache_new(&config);

    pthread_mutex_init(&source->gate, NULL);
    assert_non_null(c);
    return c;
}

static struct account get(struct account_cache *c, const char *uid, int64_t now_ms)
{
    struct account ret;

    account_cache_get(c, str_from(uid), "0101302989", now_ms, now_ms + 5000, &ret);
    return ret;
}

static void test_get_again_within_the_time_asks_once(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);

    (void)unused;
    assert_true(get(c, "anna", 1000).is_active);
    assert_string_equal(source.uid, "anna");
    assert_string_equal(source.kennitala, "0101302989");
    source.answer.is_active = false;
    assert_true(get(c, "anna", 1000 + KEEP_MS - 1).is_active);
    assert_int_equal(source.asked, 1);
    assert_false(get(c, "anna", 1000 + KEEP_MS).is_active);
    assert_int_equal(source.asked, 2);
    account_cache_free(c);
}

static void test_get_other_uid_or_kennitala_is_another_account(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);
    struct account ret;

    (void)unused;
    get(c, "anna", 1000);
    get(c, "björn", 1000);
    account_cache_get(c, STR("anna"), "", 1000, 6000, &ret);
    assert_int_equal(source.asked, 3);
    account_cache_free(c);
}

static void test_get_failed_look_up_is_tried_again_soon_and_remembers(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);
    struct account found;

    (void)unused;
    source.answer.is_active = false;
    source.answer.disabled = true;
    get(c, "anna", 1000);
    source.answer = (struct account){0};
    found = get(c, "anna", 1000 + KEEP_MS);
    /* Not known any more, but what was seen stands beside. */
    assert_false(found.auth_known || found.records_known);
    assert_true(found.records_seen && found.disabled && found.is_admin && !found.is_active);
    assert_int_equal(found.valid_since_s, 77);
    get(c, "anna", 1000 + KEEP_MS + RETRY_MS - 1);
    assert_int_equal(source.asked, 2);
    source.answer = whole;
    found = get(c, "anna", 1000 + KEEP_MS + RETRY_MS);
    assert_int_equal(source.asked, 3);
    assert_true(found.auth_known && found.records_known && !found.disabled && found.is_active);
    account_cache_free(c);
}

static void test_get_half_an_answer_keeps_the_other_half(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);
    struct account found;

    (void)unused;
    get(c, "anna", 1000);
    source.answer = (struct account){.auth_known = true, .disabled = true};
    found = get(c, "anna", 1000 + KEEP_MS);
    assert_true(found.auth_known && found.disabled);
    assert_true(!found.records_known && found.records_seen && found.is_active);
    account_cache_free(c);
}

static void test_get_more_accounts_than_fit_drops_the_longest_unused(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 3, false, KEEP_MS);
    struct account_cache_stats stats;

    (void)unused;
    get(c, "a", 1000);
    get(c, "b", 1001);
    get(c, "c", 1002);
    get(c, "a", 1003);
    get(c, "d", 1004); /* b goes */
    account_cache_get_stats(c, &stats);
    assert_int_equal(stats.accounts, 3);
    assert_int_equal(stats.evictions, 1);
    get(c, "a", 1005);
    get(c, "c", 1005);
    get(c, "d", 1005);
    assert_int_equal(source.asked, 4);
    get(c, "b", 1006);
    assert_int_equal(source.asked, 5);
    account_cache_free(c);
}

static void *get_in_thread(void *context)
{
    struct account found = get(context, "anna", clock_mono_ms());

    return found.is_active ? context : NULL;
}

static void test_get_many_at_once_ask_once(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);
    pthread_t threads[8];
    void *good;

    (void)unused;
    pthread_mutex_lock(&source.gate);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_in_thread, c), 0);
    while (source.asked == 0)
        sched_yield();
    pthread_mutex_unlock(&source.gate);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
    assert_int_equal(source.asked, 1);
    account_cache_free(c);
}

static void test_get_look_up_of_another_too_slow_is_unknown(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, false, KEEP_MS);
    struct account found;
    pthread_t first;
    int64_t now_ms = clock_mono_ms();

    (void)unused;
    pthread_mutex_lock(&source.gate);
    assert_int_equal(pthread_create(&first, NULL, get_in_thread, c), 0);
    while (source.asked == 0)
        sched_yield();
    account_cache_get(c, STR("anna"), "0101302989", now_ms, now_ms + 1, &found);
    assert_false(found.auth_known || found.records_known || found.is_active);
    pthread_mutex_unlock(&source.gate);
    pthread_join(first, NULL);
    account_cache_free(c);
}

static void test_keeper_asks_again_before_the_answer_is_old(void **unused)
{
    struct source source = {.answer = whole};
    struct account_cache *c = open_cache(&source, 10, true, 50);

    (void)unused;
    get(c, "anna", clock_mono_ms());
    while (source.asked < 3)
        sched_yield();
    account_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_again_within_the_time_asks_once),
        cmocka_unit_test(test_get_other_uid_or_kennitala_is_another_account),
        cmocka_unit_test(test_get_failed_look_up_is_tried_again_soon_and_remembers),
        cmocka_unit_test(test_get_half_an_answer_keeps_the_other_half),
        cmocka_unit_test(test_get_more_accounts_than_fit_drops_the_longest_unused),
        cmocka_unit_test(test_get_many_at_once_ask_once),
        cmocka_unit_test(test_get_look_up_of_another_too_slow_is_unknown),
        cmocka_unit_test(test_keeper_asks_again_before_the_answer_is_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
