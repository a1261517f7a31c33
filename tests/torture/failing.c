/*
 * failing.c - makes the nth database or HTTP operation of a process fail; loaded by LD_PRELOAD, for
 * tests only
 *
 * Stands between a service and libpq and libcurl. Every operation that goes out is counted while
 * the test has armed it, over all processes that share the file named by TORTURE_FILE:
 *   connecting, preparing (the pipeline's sync), a statement, a plain query; one HTTP attempt.
 * The one whose turn it is fails in one of two ways: BEFORE, nothing is sent; AFTER, the peer does
 * it, and its answer is lost with the connection. torture_plugin.py arms, reads and repeats.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum mode { BEFORE = 1, AFTER = 2 };

#define ANSWER_WAIT_MS 5000

/* torture_plugin.py has the same layout. */
struct control {
    uint32_t armed;   /* 0, or an enum mode */
    uint32_t fail_at; /* from 1 */
    uint32_t count;
    uint32_t fired;
    char what[192]; /* a statement, or the URL of an HTTP attempt */
};

static struct control *control;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("TORTURE_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *place = fd >= 0 ? mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                          : MAP_FAILED;

    if (place == MAP_FAILED)
        abort(); /* a run that breaks nothing would prove nothing */
    control = place;
    close(fd);
}

/* How this operation is to fail, or 0. */
static uint32_t turn(const char *what)
{
    uint32_t armed = __atomic_load_n(&control->armed, __ATOMIC_ACQUIRE);

    if (armed == 0 || __atomic_add_fetch(&control->count, 1, __ATOMIC_ACQ_REL) !=
                          __atomic_load_n(&control->fail_at, __ATOMIC_ACQUIRE))
        return 0;
    memcpy(control->what, what, strnlen(what, sizeof(control->what) - 1));
    __atomic_store_n(&control->fired, 1, __ATOMIC_RELEASE);
    return armed;
}

/* The library's own function of that name. */
static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (found == NULL)
        abort();
    return found;
}

/* Does what came end with ReadyForQuery? Its last byte says in which state the session is. */
static bool is_ready(const unsigned char *tail, size_t len)
{
    return len >= 6 && tail[len - 6] == 'Z' && tail[len - 5] == 0 && tail[len - 4] == 0 &&
           tail[len - 3] == 0 && tail[len - 2] == 5;
}

/* Waits until the server has done everything, throws its answer away and breaks the connection. */
static void lose_answer(PGconn *pg)
{
    unsigned char data[65536], tail[6] = {0};
    struct pollfd fd = {.fd = PQsocket(pg), .events = POLLIN};
    bool done = false;

    while (PQflush(pg) == 1) {
    }
    while (!done && poll(&fd, 1, ANSWER_WAIT_MS) > 0) {
        ssize_t n = recv(fd.fd, data, sizeof(data), 0);

        if (n <= 0)
            break;
        size_t len = (size_t)n;
        size_t kept = len >= sizeof(tail) ? 0 : sizeof(tail) - len;

        memmove(tail, tail + (sizeof(tail) - kept), kept);
        memcpy(tail + kept, data + (len - (sizeof(tail) - kept)), sizeof(tail) - kept);
        done = is_ready(tail, sizeof(tail));
    }
    (void)shutdown(fd.fd, SHUT_RDWR);
}

static int sent(int rc, PGconn *pg, uint32_t mode)
{
    if (rc == 1 && mode == AFTER)
        lose_answer(pg);
    return rc;
}

int PQsendQueryPrepared(PGconn *conn, const char *stmtName, int nParams,
                        const char *const *paramValues, const int *paramLengths,
                        const int *paramFormats, int resultFormat)
{
    int (*send_it)(PGconn *, const char *, int, const char *const *, const int *, const int *,
                   int) = real("PQsendQueryPrepared");
    uint32_t mode = turn(stmtName);

    if (mode == BEFORE)
        return 0;
    return sent(
        send_it(conn, stmtName, nParams, paramValues, paramLengths, paramFormats, resultFormat),
        conn, mode);
}

/* The ping, and the question for the durability settings, which is part of a pipeline and so not
 * an operation by itself. */
int PQsendQueryParams(PGconn *conn, const char *command, int nParams, const Oid *paramTypes,
                      const char *const *paramValues, const int *paramLengths,
                      const int *paramFormats, int resultFormat)
{
    int (*send_it)(PGconn *, const char *, int, const Oid *, const char *const *, const int *,
                   const int *, int) = real("PQsendQueryParams");
    uint32_t mode = PQpipelineStatus(conn) == PQ_PIPELINE_OFF ? turn("query") : 0;

    if (mode == BEFORE)
        return 0;
    return sent(send_it(conn, command, nParams, paramTypes, paramValues, paramLengths, paramFormats,
                        resultFormat),
                conn, mode);
}

int PQpipelineSync(PGconn *conn)
{
    int (*sync_it)(PGconn *) = real("PQpipelineSync");
    uint32_t mode = turn("prepare");

    if (mode == BEFORE)
        return 0;
    return sent(sync_it(conn), conn, mode);
}

PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values,
                             int expand_dbname)
{
    static const char *const nowhere_keys[] = {"host", "port", NULL};
    static const char *const nowhere[] = {"/nonexistent", "1", NULL};
    PGconn *(*connect_it)(const char *const *, const char *const *, int) =
        real("PQconnectStartParams");

    if (turn("connect") != 0)
        return connect_it(nowhere_keys, nowhere, 0);
    return connect_it(keywords, values, expand_dbname);
}

#undef curl_easy_perform
CURLcode curl_easy_perform(CURL *curl)
{
    CURLcode (*perform_it)(CURL *) = real("curl_easy_perform");
    char *url = NULL;

    (void)curl_easy_getinfo(curl, CURLINFO_EFFECTIVE_URL, &url); /* known once it is set */

    uint32_t mode = turn(url ? url : "http");

    if (mode == BEFORE)
        return CURLE_COULDNT_CONNECT;

    CURLcode rc = perform_it(curl);

    return mode == AFTER ? CURLE_RECV_ERROR : rc;
}
