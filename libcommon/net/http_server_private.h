/*
 * http_server_private.h - what the files of the HTTP server know of each other
 *
 * http_server.c   the loop, the listener, the drain, the workers' results
 * http_conn.c     one connection: the strict check in front of evhttp, its phases and deadlines
 * http_refusal.c  taking a connection away from evhttp to answer it ourselves
 * http_exchange.c one request and its reply
 *
 * All of it belongs to the loop thread, except an exchange while a worker has it and the counters.
 */
#ifndef LIBCOMMON_NET_HTTP_SERVER_PRIVATE_H
#define LIBCOMMON_NET_HTTP_SERVER_PRIVATE_H

#include "base/clock.h"
#include "net/head_check.h"
#include "net/http_server.h"
#include "net/worker_pool.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdatomic.h>
#include <sys/queue.h>

#define SERVER_TIMERS_MAX      8
#define SERVER_SWEEP_MS        100 /* how exactly connection deadlines are kept */
#define SERVER_ACCEPT_RETRY_MS 200 /* pause after accept() failed for lack of descriptors */
#define SERVER_BACKLOG         1024
#define IDLE_KEPT_MS           2000 /* a full table does not cost a younger idle connection its place */
#define EXCHANGES_KEPT_MAX     16   /* idle exchanges kept for reuse */
#define EXCHANGE_BODY_KEPT_MAX 4096 /* a larger reply body is handed over, not copied */
/* After a refusal the rest of what the client sends is read for a moment: closing with unread bytes
 * makes the kernel reset the connection, and the client may lose the answer. RFC 9112 §9.6. */
#define LINGER_MS        200
#define LINGER_MAX_BYTES 65536

enum conn_phase {
    CONN_IDLE,     /* no byte of a request */
    CONN_READING,  /* part of a request; deadline: read_timeout_ms from its first byte */
    CONN_WORKING,  /* evhttp gave us the request, no reply yet; no deadline; nothing is read */
    CONN_WRITING,  /* reply on its way; deadline moves with progress; what is read waits */
    CONN_REFUSING, /* no longer evhttp's: our error reply, then closed */
};

struct http_exchange;

struct http_conn {
    LIST_ENTRY(http_conn) link;    /* in server's fresh or conns */
    LIST_ENTRY(http_conn) refused; /* in server's refused while refusal.waiting */
    struct http_server *server;
    struct bufferevent *bev;
    struct evhttp_connection *evcon;
    struct evbuffer_cb_entry *watch;
    struct http_exchange *exchange; /* while CONN_WORKING */
    int fd;
    enum conn_phase phase;
    unsigned dispatched, answered; /* requests evhttp gave us, replies fully written */
    int64_t deadline_ms;
    int64_t head_at_us; /* when the head of the next request was complete; 0: not known */
    size_t unsent_bytes;
    struct {
        enum http_refusal why;
        enum error_code code;
        const char *reason;
        bool waiting;   /* for http_refusal_send() */
        bool flushed;   /* reply handed to the kernel */
        bool peer_done; /* client sent FIN */
        size_t drained_bytes;
    } refusal;
    struct head_check head;
};

LIST_HEAD(http_conn_list, http_conn);

struct http_exchange {
    struct pool_job job; /* first member */
    struct http_server *server;
    struct http_conn *conn; /* NULL when the connection is gone */
    struct evhttp_request *evreq;
    struct arena *arena;
    bool too_old;
    struct http_request req;
    struct http_response res;
};

struct server_timer {
    struct event *event;
    int64_t interval_ms;
    void (*fn)(void *arg);
    void *arg;
};

struct http_server {
    struct http_server_config config;
    struct http_handler handler;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *bound; /* NULL once draining */
    struct event *collect, *stop, *attend, *sweep, *accept_retry, *drain_end;
    int stop_fd;
    uint16_t port;
    struct worker_pool *pool;
    bool running, draining;
    bool listening;      /* the listener is enabled */
    bool no_descriptors; /* until accept_retry */
    unsigned in_flight;  /* exchanges the pool has */

    struct http_conn_list fresh; /* accepted, evhttp's half not known yet */
    struct http_conn_list conns;
    struct http_conn_list refused;
    bufferevent_event_cb evhttp_event_cb; /* evhttp's own, the same for every connection */
    struct http_conn **by_fd; /* evhttp has no place to keep our record with its connection */
    size_t by_fd_len;

    struct pool_job *spare; /* exchanges for reuse */
    unsigned spare_count;
    int64_t date_s;
    char date[CLOCK_ISO_SIZE];

    struct server_timer timers[SERVER_TIMERS_MAX];
    size_t timer_count;

    atomic_uint connections;
    atomic_ullong connections_total, accept_pauses;
    atomic_ullong refused_heads, refused_queue_full, refused_too_old;
};

/* http_server.c */
struct http_server *http_server_here(void); /* the server whose loop runs on this thread */
void http_server_conn_opened(struct http_server *s);
void http_server_conn_closed(struct http_server *s);
/* Queues the exchange for a worker. */
bool http_server_submit(struct http_server *s, struct http_exchange *x);
/* Value of the Date header for now; borrowed until the next call. */
const char *http_server_date(struct http_server *s);

/* http_conn.c */
struct bufferevent *http_conn_accept(struct event_base *base, void *server);
/* Completes what http_conn_accept() began, before a byte of the connection is read. */
void http_conn_settle(struct http_server *s);
struct http_conn *http_conn_find(struct http_server *s, struct evhttp_connection *evcon);
void http_conn_working(struct http_conn *conn, struct http_exchange *x);
/* Before and after the reply is given to evhttp. */
void http_conn_writing(struct http_conn *conn, struct evhttp_request *evreq);
void http_conn_send_reply(struct http_conn *conn);
/* Closes connections past their deadline, and idle ones when draining. */
void http_conn_sweep(struct http_server *s);
/* When the table is full, closes the connection that has been idle longest: nobody is kept out by
 * those who only hold a place. */
void http_conn_make_room(struct http_server *s);
/* conn is gone afterwards. Not while CONN_WORKING. */
void http_conn_close(struct http_conn *conn);

/* http_refusal.c */
/* From now on evhttp sees nothing of conn; the reply goes out in the next turn of the loop. */
void http_refusal_begin(struct http_conn *conn, enum http_refusal why, enum error_code code,
                        const char *reason);
void http_refusal_send(struct http_server *s); /* to all that wait */
/* `more` bytes were read behind a refused request. */
void http_refusal_count(struct http_conn *conn, size_t more);

/* http_exchange.c */
void http_exchange_dispatch(struct evhttp_request *evreq, void *server); /* evhttp's callback */
struct http_exchange *http_exchange_take(struct http_server *s);
void http_exchange_recycle(struct http_exchange *x);
void http_exchange_send(struct http_exchange *x); /* x is gone afterwards */
void http_exchange_refuse(struct http_exchange *x, enum http_refusal why, const char *reason);
/* Asks the handler for the reply to a refusal; req may be NULL. Counts it. */
void http_exchange_fill_refusal(struct http_exchange *x, enum http_refusal why,
                                enum error_code code, const char *reason,
                                const struct http_request *req);
/* Bodies are not sent with 204 and 304. */
bool http_exchange_has_body(const struct http_response *res);
void http_exchange_free_spare(struct http_server *s);

#endif
