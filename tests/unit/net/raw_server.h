/*
 * raw_server.h - an upstream that misbehaves on purpose, for tests of the HTTP client
 *
 * Listens on 127.0.0.1, reads each request to its end, counts it, and lets `behave` write whatever
 * bytes it likes. One thread per connection.
 */
#ifndef TESTS_UNIT_NET_RAW_SERVER_H
#define TESTS_UNIT_NET_RAW_SERVER_H

#include "base/must.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define RAW_CONNECTIONS_MAX 256
#define RAW_REQUEST_MAX     16384

struct raw_server;

/* n counts requests from 0 over all connections; nth on this connection is `of_connection`. False
 * closes the connection. */
typedef bool raw_behave(struct raw_server *s, int fd, unsigned n, unsigned of_connection);

struct raw_connection {
    struct raw_server *server;
    pthread_t thread;
    int fd;
};

struct raw_server {
    raw_behave *behave;
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    int stop_pipe[2];
    atomic_uint requests;
    atomic_uint connections;
    pthread_mutex_t lock;
    char last_request[RAW_REQUEST_MAX];
    struct raw_connection slots[RAW_CONNECTIONS_MAX];
};

/* True when the server is stopping; false after ms. */
static inline bool raw_wait_for_stop(struct raw_server *s, int ms)
{
    struct pollfd fd = {.fd = s->stop_pipe[0], .events = POLLIN};
    return poll(&fd, 1, ms) > 0;
}

static inline bool raw_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool raw_send_text(int fd, const char *text)
{
    return raw_send(fd, text, strlen(text));
}

static inline bool raw_read_request(struct raw_server *s, int fd, char *buffer)
{
    size_t len = 0;
    size_t need = 0;
    while (need == 0 || len < need) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = s->stop_pipe[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0 || len + 1 >= RAW_REQUEST_MAX)
            return false;
        ssize_t n = recv(fd, buffer + len, RAW_REQUEST_MAX - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        buffer[len] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n");
        if (end != NULL && need == 0) {
            const char *length = strcasestr(buffer, "\r\nContent-Length: ");
            need = (size_t)(end - buffer) + 4;
            if (length != NULL && length < end)
                need += strtoul(length + 18, NULL, 10);
        }
    }
    must(pthread_mutex_lock(&s->lock) == 0);
    memcpy(s->last_request, buffer, len + 1);
    must(pthread_mutex_unlock(&s->lock) == 0);
    return true;
}

static inline void *raw_serve_connection(void *arg)
{
    struct raw_connection *c = arg;
    char *buffer = malloc(RAW_REQUEST_MAX);
    must(buffer != NULL);
    for (unsigned of_connection = 0; raw_read_request(c->server, c->fd, buffer); of_connection++) {
        unsigned n = atomic_fetch_add(&c->server->requests, 1);
        if (!c->server->behave(c->server, c->fd, n, of_connection))
            break;
    }
    free(buffer);
    /* The descriptor stays ours until raw_server_stop(), so that its number is not reused. */
    (void)shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static inline void *raw_accept_loop(void *arg)
{
    struct raw_server *s = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = s->listen_fd, .events = POLLIN},
                                {.fd = s->stop_pipe[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            return NULL;
        int fd = accept(s->listen_fd, NULL, NULL);
        if (fd < 0)
            continue;
        unsigned n = atomic_load(&s->connections);
        must(n < RAW_CONNECTIONS_MAX);
        s->slots[n] = (struct raw_connection){.server = s, .fd = fd};
        /* Before anybody can get an answer and ask how many there were. */
        atomic_store(&s->connections, n + 1);
        must(pthread_create(&s->slots[n].thread, NULL, raw_serve_connection, &s->slots[n]) == 0);
    }
}

static inline int raw_bind(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address.in);
    must(bind(fd, &address.any, len) == 0);
    must(getsockname(fd, &address.any, &len) == 0);
    *ret_port = ntohs(address.in.sin_port);
    return fd;
}

static inline struct raw_server *raw_server_start(raw_behave *behave)
{
    struct raw_server *s = calloc(1, sizeof(*s));
    must(s != NULL);
    s->behave = behave;
    s->listen_fd = raw_bind(&s->port);
    must(listen(s->listen_fd, 128) == 0);
    must(pipe(s->stop_pipe) == 0);
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    must(pthread_create(&s->thread, NULL, raw_accept_loop, s) == 0);
    return s;
}

static inline unsigned raw_requests(struct raw_server *s)
{
    return atomic_load(&s->requests);
}

static inline bool raw_last_contains(struct raw_server *s, const char *text)
{
    must(pthread_mutex_lock(&s->lock) == 0);
    bool found = strstr(s->last_request, text) != NULL;
    must(pthread_mutex_unlock(&s->lock) == 0);
    return found;
}

static inline void raw_server_stop(struct raw_server *s)
{
    must(write(s->stop_pipe[1], "x", 1) == 1);
    must(pthread_join(s->thread, NULL) == 0);
    unsigned count = atomic_load(&s->connections);
    for (unsigned i = 0; i < count; i++)
        (void)shutdown(s->slots[i].fd, SHUT_RDWR);
    for (unsigned i = 0; i < count; i++) {
        must(pthread_join(s->slots[i].thread, NULL) == 0);
        (void)close(s->slots[i].fd);
    }
    (void)close(s->listen_fd);
    (void)close(s->stop_pipe[0]);
    (void)close(s->stop_pipe[1]);
    must(pthread_mutex_destroy(&s->lock) == 0);
    free(s);
}

#endif
