/*
 * aborts.h - whether a call ends the process, found out in a child
 *
 * For must(): the child runs call(arg), the parent sees how it ended and what it wrote to stderr.
 */
#ifndef TESTS_UNIT_BASE_ABORTS_H
#define TESTS_UNIT_BASE_ABORTS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What was written to stderr goes to text (size bytes, NUL behind). */
static inline bool aborts_with(void (*call)(void *arg), void *arg, char *text, size_t size)
{
    int ends[2];
    int status = 0;
    size_t len = 0;
    ssize_t got;
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0}; /* no core files from tests */
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        call(arg);
        _exit(0);
    }
    close(ends[1]);
    while (len + 1 < size && (got = read(ends[0], text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}

static inline bool aborts(void (*call)(void *arg), void *arg)
{
    char ignored[4096];
    return aborts_with(call, arg, ignored, sizeof(ignored));
}

#endif
