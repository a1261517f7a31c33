#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/must.h"
#include "net/worker_pool.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct task {
    struct pool_job job; /* first member */
    int number;
    unsigned worker;
    bool signals_blocked;
};

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
    atomic_int entered;
};

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->opened);
    pthread_mutex_unlock(&g->lock);
}

static void work(void *context, struct pool_job *job, unsigned worker)
{
    struct gate *g = context;
    struct task *t = (struct task *)(void *)job;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    t->signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT);
    t->worker = worker;
    atomic_fetch_add(&g->entered, 1);
    pthread_mutex_lock(&g->lock);
    while (!g->open)
        pthread_cond_wait(&g->opened, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static struct gate *gate_new(void)
{
    struct gate *g = calloc(1, sizeof(*g));
    assert_non_null(g);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->opened, NULL);
    return g;
}

static void gate_free(struct gate *g)
{
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static struct worker_pool *pool_new(unsigned workers, unsigned queue_max, struct gate *g)
{
    struct error e = {0};
    struct worker_pool *p = worker_pool_new(workers, queue_max, work, g, &e);
    assert_non_null(p);
    return p;
}

static void wait_entered(struct gate *g, int count)
{
    while (atomic_load(&g->entered) < count)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void test_worker_pool_one_worker_finishes_in_order_with_descriptor_ready(void **state)
{
    enum { COUNT = 500 };
    static struct task tasks[COUNT];
    struct gate *g = gate_new();
    struct worker_pool *p = pool_new(1, COUNT, g);
    struct pollfd ready = {.fd = worker_pool_fd(p), .events = POLLIN};
    int next = 0;
    (void)state;
    assert_int_equal(poll(&ready, 1, 0), 0);
    assert_null(worker_pool_collect(p));
    gate_open(g);
    for (int i = 0; i < COUNT; i++) {
        tasks[i].number = i;
        assert_true(worker_pool_submit(p, &tasks[i].job));
    }
    while (next < COUNT) {
        assert_int_equal(poll(&ready, 1, 20000), 1);
        for (struct pool_job *job = worker_pool_collect(p); job; job = job->next) {
            struct task *t = (struct task *)(void *)job;
            assert_int_equal(t->number, next++);
            assert_int_equal(t->worker, 0);
            assert_true(t->signals_blocked);
        }
    }
    assert_int_equal(worker_pool_get_stats(p).queued, 0);
    assert_null(worker_pool_stop(p));
    worker_pool_free(p);
    gate_free(g);
}

static void test_worker_pool_submit_full_gives_job_back(void **state)
{
    struct task tasks[6] = {0};
    struct gate *g = gate_new();
    struct worker_pool *p = pool_new(2, 2, g);
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(worker_pool_submit(p, &tasks[i].job));
        wait_entered(g, i < 2 ? i + 1 : 2);
    }
    struct worker_pool_stats stats = worker_pool_get_stats(p);
    assert_int_equal(stats.busy, 2);
    assert_int_equal(stats.queued, 2);
    assert_false(worker_pool_submit(p, &tasks[4].job));
    assert_false(worker_pool_submit(p, &tasks[5].job));
    gate_open(g);
    wait_entered(g, 4);
    assert_int_not_equal(tasks[0].worker, tasks[1].worker);
    assert_int_equal(worker_pool_get_stats(p).queued_max, 2);
    int left = 0;
    for (struct pool_job *job = worker_pool_stop(p); job; job = job->next)
        left++;
    assert_int_equal(left, 4);
    worker_pool_free(p);
    gate_free(g);
}

static void *open_later(void *arg)
{
    /* Most likely worker_pool_stop() waits by now; if not, more jobs run, which is right too. */
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    gate_open(arg);
    return NULL;
}

static void test_worker_pool_stop_gives_back_every_job_not_collected(void **state)
{
    struct task tasks[4] = {0};
    struct gate *g = gate_new();
    struct worker_pool *p = pool_new(1, 8, g);
    pthread_t opener;
    int left = 0;
    (void)state;
    for (int i = 0; i < 4; i++) {
        tasks[i].number = i;
        assert_true(worker_pool_submit(p, &tasks[i].job));
        wait_entered(g, 1);
    }
    assert_int_equal(pthread_create(&opener, NULL, open_later, g), 0);
    for (struct pool_job *job = worker_pool_stop(p); job; job = job->next)
        assert_int_equal(((struct task *)(void *)job)->number, left++);
    assert_int_equal(left, 4);
    pthread_join(opener, NULL);
    worker_pool_free(p);
    worker_pool_free(NULL);
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker_pool_one_worker_finishes_in_order_with_descriptor_ready),
        cmocka_unit_test(test_worker_pool_submit_full_gives_job_back),
        cmocka_unit_test(test_worker_pool_stop_gives_back_every_job_not_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
