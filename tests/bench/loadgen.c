/*
 * loadgen - fires prepared HTTP requests at a service on this machine and says what came back
 *
 * Written for a machine that also runs the server and its database: about 5 microseconds of CPU a
 * request. It talks to loopback addresses only, and ends by itself.
 */
#include "load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <sys/resource.h>

#define EXIT_TRANSPORT  1 /* some request got no reply */
#define EXIT_USAGE      2
#define EXIT_UNEXPECTED 3 /* some reply had another status than -e names */

struct arguments {
    struct load_options load;
    char host[32]; /* as sent in Host */
    const char *requests_path;
    const char *replies_path;
    const char *json_path;
    unsigned expected_status;
    bool quiet;
};

static void usage(FILE *out)
{
    fprintf(out,
            "usage: loadgen [options] http://127.0.0.1:PORT FILE\n"
            "FILE has one request a line: METHOD<tab>PATH<tab>HEADERS<tab>BODY, headers joined by "
            "0x1f.\n"
            "  -c N       closed loop over N connections (default, N = 1)\n"
            "  -r RATE    open loop, RATE requests a second, at most -c connections (default 512)\n"
            "  -b         burst: all at once, a connection each\n"
            "  -R         send again after 503: twice at most, within 3 s, after Retry-After\n"
            "  -t MS      time allowed for one request (10000)\n"
            "  -T MS      time allowed for the whole run (120000)\n"
            "  -e STATUS  leave with 3 unless every reply has this status\n"
            "  -o FILE    write index, status, microseconds, retries and body of each reply\n"
            "  -j FILE    write the summary as JSON (- for standard output)\n"
            "  -p         progress on standard error    -q  no table\n"
            "Leaves with 0, 1 (a request without a reply), 2 (usage) or 3 (see -e).\n");
}

static bool parse_number(const char *text, double least, double most, double *ret)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= least) || !(value <= most))
        return false;
    *ret = value;
    return true;
}

/* Loopback only: this is a tool to measure one's own machine, not to load another's. */
static bool parse_url(const char *url, struct arguments *ret)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = url + sizeof(scheme) - 1;
    const char *colon = strchr(host, ':');
    double port = 0;
    char name[16];
    if (!colon || (size_t)(colon - host) >= sizeof(name) ||
        !parse_number(colon + 1, 1, 65535, &port))
        return false;
    memcpy(name, host, (size_t)(colon - host));
    name[colon - host] = '\0';
    struct sockaddr_in *address = &ret->load.address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (strcmp(name, "localhost") == 0)
        memcpy(name, "127.0.0.1", sizeof("127.0.0.1"));
    if (inet_pton(AF_INET, name, &address->sin_addr) != 1 ||
        ntohl(address->sin_addr.s_addr) >> 24 != 127)
        return false;
    snprintf(ret->host, sizeof(ret->host), "%s:%u", name, (unsigned)port);
    return true;
}

static bool apply_option(int option, const char *value, struct arguments *a, double *connections)
{
    double number = 0;
    switch (option) {
    case 'c':
        return parse_number(value, 1, LOAD_CONNECTIONS_MAX, connections);
    case 'r':
        a->load.mode = LOAD_OPEN_LOOP;
        return parse_number(value, 0.1, 1e6, &a->load.rate);
    case 'b':
        a->load.mode = LOAD_BURST;
        return true;
    case 'R':
        return a->load.retry = true;
    case 't':
        if (!parse_number(value, 1, 600000, &number))
            return false;
        a->load.request_timeout_us = (int64_t)(number * 1000);
        return true;
    case 'T':
        if (!parse_number(value, 1, 3600000, &number))
            return false;
        a->load.total_timeout_us = (int64_t)(number * 1000);
        return true;
    case 'e':
        if (!parse_number(value, 100, 599, &number))
            return false;
        a->expected_status = (unsigned)number;
        return true;
    case 'o':
        a->replies_path = value;
        return true;
    case 'j':
        a->json_path = value;
        return true;
    case 'p':
        a->load.progress = stderr;
        return true;
    case 'q':
        return a->quiet = true;
    default:
        return false;
    }
}

static bool parse_arguments(int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){
        .load = {.request_timeout_us = INT64_C(10000000), .total_timeout_us = INT64_C(120000000)}};
    double connections = 0;
    for (int option; (option = getopt(argc, argv, "c:r:bRt:T:e:o:j:pqh")) != -1;) {
        if (option == 'h') {
            usage(stdout);
            exit(0);
        }
        if (!apply_option(option, optarg, a, &connections))
            return false;
    }
    if (connections < 1)
        connections = a->load.mode == LOAD_OPEN_LOOP ? 512 : 1;
    a->load.connections = (size_t)connections;
    if (argc - optind != 2 || !parse_url(argv[optind], a))
        return false;
    a->requests_path = argv[optind + 1];
    return true;
}

static bool allow_descriptors(size_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur >= wanted + 16)
        return true;
    limit.rlim_cur = wanted + 16 < limit.rlim_max ? wanted + 16 : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted + 16;
}

static FILE *open_output(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!file)
        perror(path);
    return file;
}

static bool close_output(FILE *file)
{
    bool good = fflush(file) == 0 && !ferror(file);
    if (file != stdout && fclose(file) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "loadgen: could not write the output\n");
    return good;
}

static int report(const struct arguments *a, const struct load_run *run)
{
    struct load_summary summary;
    if (!load_summarise(run, &summary)) {
        perror("loadgen");
        return EXIT_USAGE;
    }
    if (!a->quiet)
        load_print_table(stdout, run, &summary);
    if (a->json_path) {
        FILE *json = open_output(a->json_path);
        if (!json)
            return EXIT_USAGE;
        load_print_json(json, run, &summary);
        if (!close_output(json))
            return EXIT_USAGE;
    }
    if (summary.errors > 0)
        return EXIT_TRANSPORT;
    if (a->expected_status > 0 && summary.by_status[a->expected_status] != run->count)
        return EXIT_UNEXPECTED;
    return 0;
}

static int load(struct arguments *a, const struct load_requests *requests)
{
    if (a->load.mode == LOAD_BURST && requests->count > LOAD_CONNECTIONS_MAX) {
        fprintf(stderr, "loadgen: a burst is at most %u requests\n", LOAD_CONNECTIONS_MAX);
        return EXIT_USAGE;
    }
    if (!allow_descriptors(a->load.mode == LOAD_BURST ? requests->count : a->load.connections)) {
        fprintf(stderr, "loadgen: the limit of open files is too low (ulimit -n)\n");
        return EXIT_USAGE;
    }
    if (a->replies_path && !(a->load.replies = open_output(a->replies_path)))
        return EXIT_USAGE;
    struct load_outcome *outcomes = calloc(requests->count, sizeof(*outcomes));
    struct load_run run;
    int code = EXIT_USAGE;
    if (outcomes && load_client_run(&a->load, requests, outcomes, &run))
        code = report(a, &run);
    free(outcomes);
    if (a->load.replies && !close_output(a->load.replies))
        code = EXIT_USAGE;
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a;
    if (!parse_arguments(argc, argv, &a)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    struct load_requests requests;
    if (!load_requests_read(a.requests_path, a.host, &requests))
        return EXIT_USAGE;
    int code = load(&a, &requests);
    load_requests_free(&requests);
    return code;
}
