/* registry_hooks.c - one registry per process, and the thread that replaces its file */
#include "service/registry_hooks.h"

#include "ops/log.h"
#include "service/settings.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

struct registry_service {
    struct registry *registry;
    pthread_t reloader;
    atomic_bool stop;
    atomic_bool reload_failed; /* the last one */
    struct metric *reloads[2]; /* by success */
    struct metric *lookups[LOOKUP_OUTCOME_COUNT];
};

static const size_t limit_setting = offsetof(struct registry_settings, lookups_per_minute);
const struct limit registry_limit = {
    .name = "lookup", .setting_offset = &limit_setting, .window_s = 60};

static sem_t hangup; /* posted by the signal handler, which may do little else */

static void on_hangup(int signal_number)
{
    (void)signal_number;
    (void)sem_post(&hangup);
}

static void log_file(const char *message, struct registry *registry)
{
    struct registry_info info;

    registry_describe(registry, &info);
    log_info(message, LOG_I64("rows", info.rows), LOG_I64("refused", info.refused),
             LOG_I64("streets", info.streets), LOG_TEXT("source_date", str_from(info.source_date)),
             LOG_TEXT("built_at", str_from(info.built_at)));
}

static void reload(struct registry_service *service)
{
    struct error e = {0};
    bool ok = registry_reload(service->registry, &e);

    atomic_store(&service->reload_failed, !ok);
    metric_add(service->reloads[ok], 1);
    if (ok)
        log_file("registry replaced", service->registry);
    else
        log_error("registry kept: the new file was refused",
                  LOG_TEXT("reason", str_from(e.detail)));
}

static void *reloader_main(void *arg)
{
    struct registry_service *service = arg;

    for (;;) {
        while (sem_wait(&hangup) != 0)
            must(errno == EINTR);
        if (atomic_load(&service->stop))
            return NULL;
        /* Several signals while one reload ran ask for one more. */
        while (sem_trywait(&hangup) == 0)
            continue;
        if (atomic_load(&service->stop))
            return NULL;
        reload(service);
    }
}

static void register_metrics(struct registry_service *service, struct metrics *m)
{
    static const char *const outcomes[LOOKUP_OUTCOME_COUNT] = {
        "outcome=\"found\"", "outcome=\"nothing\"", "outcome=\"invalid\""};

    service->reloads[0] = metrics_counter(m, "registry_reloads_total",
                                          "Times SIGHUP asked for the file.", "result=\"refused\"");
    service->reloads[1] = metrics_counter(m, "registry_reloads_total", "", "result=\"replaced\"");
    for (size_t i = 0; i < LOOKUP_OUTCOME_COUNT; i++)
        service->lookups[i] = metrics_counter(m, "registry_lookups_total",
                                              "Look-ups by how they ended.", outcomes[i]);
}

bool registry_hook_start(struct service_state *state, void **own, struct error *e)
{
    static struct registry_service service;
    const struct registry_settings *settings = service_settings(state);
    struct sigaction action = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};

    service.registry =
        registry_open(settings->path, (unsigned)service_server_settings(state)->workers, e);
    if (!service.registry)
        return false;
    register_metrics(&service, service_metrics(state));
    log_file("registry opened", service.registry);
    must(sem_init(&hangup, 0, 0) == 0);
    if (pthread_create(&service.reloader, NULL, reloader_main, &service) != 0)
        return error_set(e, ERR_INTERNAL, "no thread for reloads");
    sigaction(SIGHUP, &action, NULL);
    *own = &service;
    return true;
}

void registry_hook_stop(struct service_state *state, void *own)
{
    struct registry_service *service = own;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)state;
    if (!service)
        return;
    sigaction(SIGHUP, &ignore, NULL);
    atomic_store(&service->stop, true);
    (void)sem_post(&hangup);
    pthread_join(service->reloader, NULL);
    registry_close(service->registry);
}

bool registry_hook_health(struct service_state *state, void *own, struct buf *members)
{
    struct registry_service *service = own;

    (void)state;
    registry_write_health(service->registry, members);
    if (atomic_load(&service->reload_failed))
        buf_add_text(members, ",\"registryReload\":\"refused\"");
    return true;
}

struct registry_reader *registry_borrow(const struct request *req)
{
    const struct registry_service *service = req->own;

    return registry_acquire(service->registry);
}

void registry_count(const struct request *req, enum lookup_outcome outcome)
{
    const struct registry_service *service = req->own;

    metric_add(service->lookups[outcome], 1);
}
