#include "net/worker_pool.h"

#include "base/must.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct job_list {
    struct pool_job *first;
    struct pool_job **end;
};

struct worker {
    struct worker_pool *pool;
    unsigned index;
    pthread_t thread;
};

struct worker_pool {
    pool_work_fn *work;
    void *context;
    unsigned queue_max;
    int fd;
    pthread_mutex_t lock; /* guards all below up to the threads */
    pthread_cond_t wanted;
    struct job_list queue;
    struct job_list done;
    struct worker_pool_stats stats;
    bool stopping;
    unsigned worker_count;
    struct worker workers[];
};

static void list_init(struct job_list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct job_list *l, struct pool_job *job)
{
    job->next = NULL;
    *l->end = job;
    l->end = &job->next;
}

static struct pool_job *list_take_all(struct job_list *l)
{
    struct pool_job *first = l->first;
    list_init(l);
    return first;
}

static struct pool_job *list_take_first(struct job_list *l)
{
    struct pool_job *job = l->first;
    l->first = job->next;
    if (!l->first)
        l->end = &l->first;
    return job;
}

static void lock(struct worker_pool *p)
{
    must(pthread_mutex_lock(&p->lock) == 0);
}

static void unlock(struct worker_pool *p)
{
    must(pthread_mutex_unlock(&p->lock) == 0);
}

/* NULL when the pool stops. */
static struct pool_job *next_job(struct worker_pool *p)
{
    lock(p);
    while (!p->queue.first && !p->stopping)
        must(pthread_cond_wait(&p->wanted, &p->lock) == 0);
    struct pool_job *job = NULL;
    if (!p->stopping) {
        job = list_take_first(&p->queue);
        p->stats.queued--;
        p->stats.busy++;
    }
    unlock(p);
    return job;
}

/* One wake-up serves all jobs that finish before the loop thread collects. */
static void finish_job(struct worker_pool *p, struct pool_job *job)
{
    lock(p);
    bool was_empty = !p->done.first;
    list_add(&p->done, job);
    p->stats.busy--;
    unlock(p);
    if (was_empty) {
        ssize_t written;
        do
            written = write(p->fd, &(uint64_t){1}, sizeof(uint64_t));
        while (written < 0 && errno == EINTR);
        must(written == sizeof(uint64_t) || errno == EAGAIN);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool_job *job;
    while ((job = next_job(w->pool))) {
        w->pool->work(w->pool->context, job, w->index);
        finish_job(w->pool, job);
    }
    return NULL;
}

static bool start_workers(struct worker_pool *p, unsigned workers)
{
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (; p->worker_count < workers; p->worker_count++) {
        struct worker *w = &p->workers[p->worker_count];
        w->pool = p;
        w->index = p->worker_count;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
    }
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return p->worker_count == workers;
}

struct worker_pool *worker_pool_new(unsigned workers, unsigned queue_max, pool_work_fn *work,
                                    void *context, struct error *e)
{
    must(workers >= 1);
    struct worker_pool *p = calloc(1, sizeof(*p) + workers * sizeof(p->workers[0]));
    must(p);
    p->work = work;
    p->context = context;
    p->queue_max = queue_max;
    list_init(&p->queue);
    list_init(&p->done);
    must(pthread_mutex_init(&p->lock, NULL) == 0);
    must(pthread_cond_init(&p->wanted, NULL) == 0);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->fd < 0 || !start_workers(p, workers)) {
        error_set(e, ERR_UNAVAILABLE, "worker threads cannot be started");
        must(!worker_pool_stop(p));
        worker_pool_free(p);
        return NULL;
    }
    return p;
}

bool worker_pool_submit(struct worker_pool *p, struct pool_job *job)
{
    lock(p);
    /* Jobs that a free worker is about to take do not wait. */
    unsigned free_workers = p->worker_count - p->stats.busy;
    bool room = p->stats.queued < p->queue_max + free_workers;
    if (room) {
        list_add(&p->queue, job);
        p->stats.queued++;
        if (p->stats.queued > p->stats.queued_max)
            p->stats.queued_max = p->stats.queued;
    }
    unlock(p);
    if (room)
        must(pthread_cond_signal(&p->wanted) == 0);
    return room;
}

int worker_pool_fd(const struct worker_pool *p)
{
    return p->fd;
}

struct pool_job *worker_pool_collect(struct worker_pool *p)
{
    uint64_t count;
    /* Read before the list is taken: a job that finishes in between wakes the loop again. */
    ssize_t got = read(p->fd, &count, sizeof(count));
    must(got == sizeof(count) || errno == EAGAIN || errno == EINTR);
    lock(p);
    struct pool_job *jobs = list_take_all(&p->done);
    unlock(p);
    return jobs;
}

struct pool_job *worker_pool_stop(struct worker_pool *p)
{
    lock(p);
    p->stopping = true;
    must(pthread_cond_broadcast(&p->wanted) == 0);
    unlock(p);
    for (; p->worker_count > 0; p->worker_count--)
        must(pthread_join(p->workers[p->worker_count - 1].thread, NULL) == 0);
    while (p->queue.first)
        list_add(&p->done, list_take_first(&p->queue));
    return list_take_all(&p->done);
}

void worker_pool_free(struct worker_pool *p)
{
    if (!p)
        return;
    must(p->worker_count == 0);
    if (p->fd >= 0)
        must(close(p->fd) == 0);
    must(pthread_cond_destroy(&p->wanted) == 0);
    must(pthread_mutex_destroy(&p->lock) == 0);
    free(p);
}

struct worker_pool_stats worker_pool_get_stats(struct worker_pool *p)
{
    lock(p);
    struct worker_pool_stats stats = p->stats;
    unlock(p);
    return stats;
}
