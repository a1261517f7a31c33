/*
 * provider.h - a small HTTP server on a thread: real sockets, answers of our choice
 *
 * Serves GET /jwks, one connection at a time, closed after each answer.
 */
#ifndef TESTS_UNIT_AUTH_PROVIDER_H
#define TESTS_UNIT_AUTH_PROVIDER_H

#include "auth/testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum manner {
    ANSWER_BODY,
    ANSWER_503,
    ANSWER_HUGE,  /* 10 MB of JSON blanks */
    ANSWER_SHORT, /* promises more than it sends */
    ANSWER_NOTHING,
};

struct provider {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *cache_control; /* NULL: none */
    struct str body;
    enum manner manner;
    atomic_uint requests;
    atomic_bool held; /* requests wait unanswered while true */
    atomic_bool stopping;
};

static inline void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static inline bool read_request(int fd)
{
    char head[4096];
    size_t len = 0;
    while (len < sizeof(head) - 1) {
        ssize_t got = recv(fd, head + len, sizeof(head) - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n"))
            return strncmp(head, "GET /jwks ", 10) == 0;
    }
    return false;
}

static inline void send_huge(int fd)
{
    static char blanks[65536];
    size_t left = 10U << 20;
    char head[128];
    int len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", left);
    memset(blanks, ' ', sizeof(blanks));
    send_all(fd, head, (size_t)len);
    for (; left > 0; left -= sizeof(blanks))
        send_all(fd, blanks, sizeof(blanks));
}

static inline void send_body(int fd, struct str body, const char *cache_control, size_t promised)
{
    struct buf b;
    buf_init(&b, 1U << 20);
    buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
               promised);
    if (cache_control)
        buf_printf(&b, "cache-control: %s\r\n", cache_control);
    buf_add(&b, STR("Connection: close\r\n\r\n"));
    buf_add(&b, body);
    send_all(fd, b.ptr, b.len);
    buf_done(&b);
}

static inline void answer(struct provider *p, int fd)
{
    pthread_mutex_lock(&p->lock);
    enum manner manner = p->manner;
    struct str body = p->body;
    const char *cache_control = p->cache_control;
    pthread_mutex_unlock(&p->lock);
    static const char busy[] =
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    switch (manner) {
    case ANSWER_BODY:
        send_body(fd, body, cache_control, body.len);
        break;
    case ANSWER_SHORT:
        send_body(fd, body, cache_control, body.len + 100);
        break;
    case ANSWER_503:
        send_all(fd, busy, sizeof(busy) - 1);
        break;
    case ANSWER_HUGE:
        send_huge(fd);
        break;
    case ANSWER_NOTHING:
        break;
    }
}

static inline void *serve(void *arg)
{
    struct provider *p = arg;
    while (!atomic_load(&p->stopping)) {
        struct pollfd wait = {.fd = p->listener, .events = POLLIN};
        if (poll(&wait, 1, 20) != 1)
            continue;
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (read_request(fd)) {
            atomic_fetch_add(&p->requests, 1U);
            while (atomic_load(&p->held) && !atomic_load(&p->stopping))
                (void)poll(NULL, 0, 1);
            answer(p, fd);
        }
        (void)shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

static inline struct provider *provider_start(struct str body, const char *cache_control)
{
    struct provider *p = calloc(1, sizeof(*p));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    assert_non_null(p);
    p->body = body;
    p->cache_control = cache_control;
    pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, 64), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
    return p;
}

static inline void provider_set(struct provider *p, enum manner manner, struct str body)
{
    pthread_mutex_lock(&p->lock);
    p->manner = manner;
    p->body = body;
    pthread_mutex_unlock(&p->lock);
}

static inline void provider_stop(struct provider *p)
{
    atomic_store(&p->stopping, true);
    pthread_join(p->thread, NULL);
    close(p->listener);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

#endif
