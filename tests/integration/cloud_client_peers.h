/*
 * cloud_client_peers.h - whom the cloud client is tested against
 *
 * Google's Firestore emulator: at FIRESTORE_EMULATOR_HOST, or started here from the jar that
 * FIRESTORE_EMULATOR_JAR names or Debian's google-cloud-cli-firestore-emulator brings. It dies with
 * this process. The local stand-in: at LOCAL_CLOUD_HOST.
 */
#ifndef TESTS_INTEGRATION_CLOUD_CLIENT_PEERS_H
#define TESTS_INTEGRATION_CLOUD_CLIENT_PEERS_H

#include "base/clock.h"
#include "net/http_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define EMULATOR_JAR                                                                               \
    "/usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
#define EMULATOR_CLASS    "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
#define EMULATOR_START_MS 60000

static inline const char *peer_setting(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] != '\0' ? value : NULL;
}

static inline uint16_t peer_free_port(void)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address.in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, &address.any, len) == 0 && getsockname(fd, &address.any, &len) == 0);
    (void)close(fd);
    return ntohs(address.in.sin_port);
}

static inline bool peer_answers(const char *host)
{
    const struct http_client_config config = {
        .name = "peer", .allow_http = true, .parallel_max = 1, .connect_timeout_ms = 1000};
    struct http_client *probe = http_client_new(&config);
    struct arena *a = arena_new(ARENA_MAX_BYTES);
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    const struct http_call call = {
        .method = HTTP_GET,
        .url = arena_printf(a, "http://%s/", host),
        .deadline_ms = clock_mono_ms() + 2000,
    };
    bool ok = http_client_call(probe, &call, a, answer, NULL, NULL);
    http_client_free(probe);
    arena_free(a);
    return ok;
}

static inline void emulator_exec(const char *jar, uint16_t port, uint16_t websocket_port)
{
    char ports[2][40];
    char heap[] = "-Xmx512m";
    char flag[] = "-cp";
    char name[] = EMULATOR_CLASS;
    char host[] = "--host=127.0.0.1";
    char java[] = "java";
    char *path = strdup(jar);
    snprintf(ports[0], sizeof(ports[0]), "--port=%u", (unsigned)port);
    snprintf(ports[1], sizeof(ports[1]), "--websocket_port=%u", (unsigned)websocket_port);
    char *const argv[] = {java, heap, flag, path, name, host, ports[0], ports[1], NULL};
    int null = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    execvp(java, argv);
    _exit(127);
}

/* The process, or 0 when there is no jar or it does not come up. */
static inline pid_t emulator_start(char *host, size_t size)
{
    const char *jar = peer_setting("FIRESTORE_EMULATOR_JAR");
    jar = jar ? jar : EMULATOR_JAR;
    if (access(jar, R_OK) != 0)
        return 0;
    uint16_t port = peer_free_port();
    pid_t pid = fork();
    if (pid == 0)
        emulator_exec(jar, port, peer_free_port());
    must(pid > 0);
    snprintf(host, size, "127.0.0.1:%u", (unsigned)port);
    int64_t until_ms = clock_mono_ms() + EMULATOR_START_MS;
    while (clock_left_ms(until_ms) > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (peer_answers(host))
            return pid;
        (void)usleep(200000);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return 0;
}

static inline void emulator_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
}

#endif
