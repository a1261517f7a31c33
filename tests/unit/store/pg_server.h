/*
 * pg_server.h - a real PostgreSQL of one's own, for tests
 *
 * A new cluster in a directory under /tmp, on a Unix socket there and on a free port of 127.0.0.1,
 * trusting everybody, durable as in production. initdb refuses root, so root becomes `postgres`.
 */
#ifndef TESTS_UNIT_STORE_PG_SERVER_H
#define TESTS_UNIT_STORE_PG_SERVER_H

#include "base/must.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PG_INITDB "/usr/lib/postgresql/15/bin/initdb"
#define PG_CTL    "/usr/lib/postgresql/15/bin/pg_ctl"

struct pg_server {
    char dir[64]; /* of everything, and of the socket */
    char data[80];
    uint16_t port;
};

/* Runs a program to its end, silently. */
static inline bool pg_server_run(const char *const *argv)
{
    const char *args[24];
    size_t count = 0;
    if (geteuid() == 0) {
        const char *const become[] = {"runuser", "-u", "postgres", "--"};
        for (size_t i = 0; i < ARRAY_LEN(become); i++)
            args[count++] = become[i];
    }
    for (size_t i = 0; argv[i] != NULL; i++) {
        must(count + 1 < ARRAY_LEN(args));
        args[count++] = argv[i];
    }
    args[count] = NULL;
    union {
        const char *const *borrowed;
        char *const *spawnable;
    } u = {.borrowed = args};
    posix_spawn_file_actions_t quiet;
    must(posix_spawn_file_actions_init(&quiet) == 0);
    for (int fd = 0; fd <= 2; fd++)
        must(posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY,
                                              0) == 0);
    pid_t pid = -1;
    int rc = posix_spawnp(&pid, args[0], &quiet, NULL, u.spawnable, environ);
    must(posix_spawn_file_actions_destroy(&quiet) == 0);
    int status = 1;
    return rc == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static inline uint16_t pg_server_free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address.in);
    must(fd >= 0 && bind(fd, &address.any, len) == 0);
    must(getsockname(fd, &address.any, &len) == 0);
    must(close(fd) == 0);
    return ntohs(address.in.sin_port);
}

static inline bool pg_server_ctl(struct pg_server *s, const char *action, const char *mode)
{
    char log[96];
    (void)snprintf(log, sizeof(log), "%s/log", s->dir);
    const char *const argv[] = {PG_CTL, "-D", s->data, "-w", "-t",   "60",
                                "-l",   log,  "-m",    mode, action, NULL};
    const char *const start[] = {PG_CTL, "-D", s->data, "-w", "-t", "60", "-l", log, action, NULL};
    return pg_server_run(strcmp(action, "start") == 0 ? start : argv);
}

/* False when PostgreSQL is not installed; nothing is left behind then. */
static inline bool pg_server_start(struct pg_server *s)
{
    if (access(PG_INITDB, X_OK) != 0)
        return false;
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/pg_test.XXXXXX");
    must(mkdtemp(s->dir) != NULL);
    (void)snprintf(s->data, sizeof(s->data), "%s/data", s->dir);
    must(chmod(s->dir, 0755) == 0);
    if (geteuid() == 0) {
        const struct passwd *who = getpwnam("postgres");
        must(who != NULL && chown(s->dir, who->pw_uid, who->pw_gid) == 0);
    }
    const char *const initdb[] = {PG_INITDB,
                                  "-D",
                                  s->data,
                                  "-A",
                                  "trust",
                                  "-U",
                                  "postgres",
                                  "--no-sync",
                                  "-E",
                                  "UTF8",
                                  "--locale=C.UTF-8",
                                  NULL};
    must(pg_server_run(initdb));

    s->port = pg_server_free_port();
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/postgresql.conf", s->data);
    FILE *conf = fopen(path, "a");
    must(conf != NULL);
    must(fprintf(conf,
                 "port = %u\nunix_socket_directories = '%s'\nlisten_addresses = '127.0.0.1'\n"
                 "max_connections = 40\nshared_buffers = 16MB\nautovacuum = off\n",
                 (unsigned)s->port, s->dir) > 0);
    must(fclose(conf) == 0);
    must(pg_server_ctl(s, "start", ""));
    return true;
}

static inline void pg_server_stop(struct pg_server *s)
{
    (void)pg_server_ctl(s, "stop", "immediate");
    const char *const clean[] = {"rm", "-rf", s->data, NULL};
    (void)pg_server_run(clean);
    char log[96];
    (void)snprintf(log, sizeof(log), "%s/log", s->dir);
    (void)unlink(log);
    must(rmdir(s->dir) == 0);
}

/* A superuser's connection, to prepare and to look. */
static inline PGconn *pg_server_admin(struct pg_server *s)
{
    char conninfo[128];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s port=%u user=postgres dbname=postgres",
                   s->dir, (unsigned)s->port);
    PGconn *admin = PQconnectdb(conninfo);
    must(PQstatus(admin) == CONNECTION_OK);
    return admin;
}

/* Runs sql; gives the first field as a number, or 0. */
static inline long pg_server_do(PGconn *admin, const char *sql)
{
    PGresult *result = PQexec(admin, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        (void)fprintf(stderr, "%s: %s", sql, PQerrorMessage(admin));
    must(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
    long value = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return value;
}

#endif
