/*
 * bare_evhttp - the least an evhttp server can do: the yardstick for /health
 *
 * One thread, one callback, the same JSON of 150 bytes for every path. Prints its port and runs
 * until SIGTERM, or until the parent that started it is gone.
 */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const char body[] =
    "{\"status\":\"healthy\",\"service\":\"bare-evhttp\",\"version\":\"1.0.0\","
    "\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"environment\":\"bench\",\"padding\":\"xxxxxx\"}";

static void answer(struct evhttp_request *request, void *unused)
{
    (void)unused;
    struct evbuffer *reply = evbuffer_new();
    if (!reply)
        abort();
    evbuffer_add(reply, body, sizeof(body) - 1);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json; charset=utf-8");
    evhttp_send_reply(request, 200, "OK", reply);
    evbuffer_free(reply);
}

static void stop(evutil_socket_t signal, short what, void *base)
{
    (void)signal;
    (void)what;
    event_base_loopbreak(base);
}

static int port_of(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof(address);
    if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &length) != 0)
        return -1;
    return ntohs(address.sin_port);
}

int main(void)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct event_base *base = event_base_new();
    struct evhttp *http = base ? evhttp_new(base) : NULL;
    if (!http)
        return 1;
    evhttp_set_gencb(http, answer, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct event *terminated = evsignal_new(base, SIGTERM, stop, base);
    if (!bound || !terminated || event_add(terminated, NULL) != 0)
        return 1;
    printf("%d\n", port_of(bound));
    fflush(stdout);
    event_base_dispatch(base);
    event_free(terminated);
    evhttp_free(http);
    event_base_free(base);
    return 0;
}
