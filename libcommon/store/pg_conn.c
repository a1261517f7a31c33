#include "store/pg_conn.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>

struct pg_conn {
    PGconn *pg;
    bool usable; /* false while a statement runs and after every doubt */
    bool doomed; /* the server announced the end of this session */
};

static bool wait_for_socket(PGconn *pg, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left_ms = clock_left_ms(deadline_ms);
        if (left_ms <= 0)
            return false;
        struct pollfd fd = {.fd = PQsocket(pg), .events = events};
        int ready = poll(&fd, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return true; /* the next call of libpq finds out what is wrong with the socket */
    }
}

/* False at the deadline. A broken connection is true: PQgetResult() then gives the error. */
static bool await_result(PGconn *pg, int64_t deadline_ms)
{
    for (;;) {
        int unsent = PQflush(pg);
        if (!PQisBusy(pg))
            return true;
        short events = (short)(POLLIN | (unsent == 1 ? POLLOUT : 0));
        if (!wait_for_socket(pg, events, deadline_ms))
            return false;
        if (PQconsumeInput(pg) != 1)
            return true;
    }
}

/* ---- Errors ---- */

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static enum error_code sqlstate_error_code(const char *sqlstate)
{
    static const struct {
        const char *prefix;
        enum error_code code;
    } table[] = {
        {"55P03", ERR_UNAVAILABLE}, {"57014", ERR_UNAVAILABLE}, {"57P0", ERR_UNAVAILABLE},
        {"08", ERR_UNAVAILABLE},    {"53", ERR_UNAVAILABLE},    {"40001", ERR_ABORTED},
        {"40P01", ERR_ABORTED},     {"23505", ERR_CONFLICT},    {"22", ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (starts_with(sqlstate, table[i].prefix))
            return table[i].code;
    }
    return ERR_INTERNAL;
}

static void copy_sqlstate(const PGresult *result, char out[6])
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL && strlen(sqlstate) == 5)
        (void)str_copy(str_from(sqlstate), out, 6);
}

/*
 * libpq 15 has no accessor for the SQLSTATE of a failed connect. With PQERRORS_SQLSTATE its message
 * ends in it ("… FATAL:  53300"), and that word is all that we take from the text.
 */
static void copy_connect_sqlstate(PGconn *pg, char out[6])
{
    struct str text = str_trim(str_from(PQerrorMessage(pg)));
    struct str last = str_skip(text, text.len > 5 ? text.len - 5 : 0);
    bool apart = text.len > 6 && text.ptr[text.len - 6] == ' ';
    if (apart && last.len == 5 && str_only(last, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        (void)str_copy(last, out, 6);
}

static void on_notice(void *arg, const PGresult *notice)
{
    struct pg_conn *c = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        c->doomed = true;
}

/* ---- Connecting ---- */

struct settings {
    const char *keywords[12];
    const char *values[12];
    size_t count;
};

static void settings_add(struct settings *s, const char *keyword, const char *value)
{
    must(s->count + 1 < ARRAY_LEN(s->keywords));
    s->keywords[s->count] = keyword;
    s->values[s->count] = value;
    s->count++;
}

static bool is_numeric_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static PGconn *start_connect(const struct pg_pool_config *config)
{
    char port[8];
    char options[256];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)config->port);
    int len = snprintf(options, sizeof(options),
                       "-c statement_timeout=%lld -c lock_timeout=%lld"
                       " -c idle_in_transaction_session_timeout=10000 -c TimeZone=UTC",
                       (long long)config->statement_timeout_ms, (long long)config->lock_timeout_ms);
    must(len > 0 && (size_t)len < sizeof(options));

    struct settings s = {.count = 0};
    settings_add(&s, "host", config->host);
    if (is_numeric_address(config->host))
        settings_add(&s, "hostaddr", config->host); /* no resolver, which would block */
    if (config->port != 0)
        settings_add(&s, "port", port);
    settings_add(&s, "dbname", config->database);
    settings_add(&s, "user", config->user);
    settings_add(&s, "password", config->password);
    settings_add(&s, "application_name", config->application_name);
    settings_add(&s, "client_encoding", "UTF8");
    settings_add(&s, "options", options);
    settings_add(&s, "gssencmode", "disable"); /* saves a negotiation nobody here uses */
    return PQconnectStartParams(s.keywords, s.values, 0);
}

static bool finish_connect(struct pg_conn *c, int64_t deadline_ms, struct error *e)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    if (PQstatus(c->pg) == CONNECTION_BAD)
        next = PGRES_POLLING_FAILED;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for_socket(c->pg, events, deadline_ms))
            return error_set(e, ERR_UNAVAILABLE, "database connect timed out");
        next = PQconnectPoll(c->pg);
    }
    if (next == PGRES_POLLING_OK)
        return true;
    char sqlstate[6] = "";
    copy_connect_sqlstate(c->pg, sqlstate);
    return error_set(e, ERR_UNAVAILABLE, "database connect failed%s%s",
                     sqlstate[0] != '\0' ? ": SQLSTATE " : "", sqlstate);
}

/* ---- Setting up: one pipeline, one round trip ---- */

static const char durability_sql[] = "select name, setting from pg_settings where setting = 'off'"
                                     " and name in ('fsync', 'full_page_writes',"
                                     " 'synchronous_commit') order by name";

static bool send_setup(struct pg_conn *c, const struct pg_pool_config *config)
{
    if (PQenterPipelineMode(c->pg) != 1)
        return false;
    if (config->require_durable &&
        PQsendQueryParams(c->pg, durability_sql, 0, NULL, NULL, NULL, NULL, 0) != 1)
        return false;
    for (size_t i = 0; config->statements != NULL && config->statements[i] != NULL; i++) {
        const struct pg_statement *s = config->statements[i];
        if (PQsendPrepare(c->pg, s->name, s->sql, 0, NULL) != 1)
            return false;
    }
    return PQpipelineSync(c->pg) == 1;
}

/* The result of the next command in the pipeline and the NULL behind it. NULL: lost or too late. */
static PGresult *read_step(struct pg_conn *c, int64_t deadline_ms)
{
    if (!await_result(c->pg, deadline_ms))
        return NULL;
    PGresult *result = PQgetResult(c->pg);
    if (result == NULL || !await_result(c->pg, deadline_ms)) {
        PQclear(result);
        return NULL;
    }
    PGresult *end = PQgetResult(c->pg);
    if (end != NULL) { /* a second error: the connection broke */
        PQclear(end);
        PQclear(result);
        return NULL;
    }
    return result;
}

static bool read_durability(struct pg_conn *c, int64_t deadline_ms, struct error *e)
{
    PGresult *result = read_step(c, deadline_ms);
    bool ok = false;
    if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK)
        (void)error_set(e, ERR_UNAVAILABLE, "the database did not tell its durability settings");
    else if (PQntuples(result) > 0)
        (void)error_set(e, ERR_FAILED_PRECONDITION, "the database runs with %s off",
                        PQgetvalue(result, 0, 0));
    else
        ok = true;
    PQclear(result);
    return ok;
}

static bool read_prepared(struct pg_conn *c, const struct pg_statement *s, int64_t deadline_ms,
                          struct error *e)
{
    PGresult *result = read_step(c, deadline_ms);
    if (result == NULL)
        return error_set(e, ERR_UNAVAILABLE, "database connect timed out or broke at prepare");
    char sqlstate[6] = "";
    copy_sqlstate(result, sqlstate);
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (ok)
        return true;
    return error_set(e, sqlstate_error_code(sqlstate),
                     "statement %s cannot be prepared: SQLSTATE %s", s->name, sqlstate);
}

static bool read_setup(struct pg_conn *c, const struct pg_pool_config *config, int64_t deadline_ms,
                       struct error *e)
{
    if (config->require_durable && !read_durability(c, deadline_ms, e))
        return false;
    for (size_t i = 0; config->statements != NULL && config->statements[i] != NULL; i++) {
        if (!read_prepared(c, config->statements[i], deadline_ms, e))
            return false;
    }
    PGresult *sync = await_result(c->pg, deadline_ms) ? PQgetResult(c->pg) : NULL;
    bool ok = sync != NULL && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    if (!ok || PQexitPipelineMode(c->pg) != 1)
        return error_set(e, ERR_UNAVAILABLE, "database connect timed out or broke at set-up");
    return true;
}

static bool set_up(struct pg_conn *c, const struct pg_pool_config *config, int64_t deadline_ms,
                   struct error *e)
{
    if (PQsetnonblocking(c->pg, 1) != 0)
        return error_set(e, ERR_UNAVAILABLE, "database connection cannot be made non-blocking");
    bool has_statements = config->statements != NULL && config->statements[0] != NULL;
    if (!has_statements && !config->require_durable)
        return true;
    if (!send_setup(c, config))
        return error_set(e, ERR_UNAVAILABLE, "database connection broke at set-up");
    return read_setup(c, config, deadline_ms, e);
}

struct pg_conn *pg_conn_open(const struct pg_pool_config *config, int64_t deadline_ms,
                             struct error *e)
{
    struct pg_conn *c = calloc(1, sizeof(*c));
    must(c != NULL);
    c->pg = start_connect(config);
    must(c->pg != NULL);
    (void)PQsetNoticeReceiver(c->pg, on_notice, c);
    (void)PQsetErrorVerbosity(c->pg, PQERRORS_SQLSTATE);

    if (!finish_connect(c, deadline_ms, e) || !set_up(c, config, deadline_ms, e)) {
        pg_conn_close(c);
        return NULL;
    }
    c->usable = true;
    return c;
}

void pg_conn_close(struct pg_conn *c)
{
    if (c == NULL)
        return;
    PQfinish(c->pg);
    free(c);
}

/* ---- Using ---- */

static bool has_input(PGconn *pg)
{
    struct pollfd fd = {.fd = PQsocket(pg), .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

bool pg_conn_is_alive(struct pg_conn *c)
{
    /* A healthy idle connection has nothing to say, or one parameter change or notice. The end of a
     * session comes as a FATAL message with the end of the stream behind it. */
    for (int reads = 0; has_input(c->pg); reads++) {
        if (reads == 4 || PQconsumeInput(c->pg) != 1 || PQisBusy(c->pg))
            return false;
    }
    return pg_conn_is_reusable(c);
}

bool pg_conn_is_reusable(const struct pg_conn *c)
{
    return c->usable && !c->doomed && PQstatus(c->pg) == CONNECTION_OK &&
           PQtransactionStatus(c->pg) == PQTRANS_IDLE;
}

enum ending { ENDING_GOOD, ENDING_ERROR, ENDING_TOO_LATE, ENDING_BROKEN };

/*
 * Reads to the very end: an implicit transaction commits after the server has written the result,
 * so rows without ReadyForQuery behind them prove nothing. Any error beats the rows.
 */
static enum ending gather(struct pg_conn *c, int64_t deadline_ms, PGresult **ret_rows,
                          char sqlstate[6])
{
    *ret_rows = NULL;
    bool failed = false;
    for (;;) {
        if (!await_result(c->pg, deadline_ms))
            return ENDING_TOO_LATE;
        PGresult *result = PQgetResult(c->pg);
        if (result == NULL)
            break;
        ExecStatusType status = PQresultStatus(result);
        bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
        if (good && *ret_rows == NULL) {
            *ret_rows = result;
            continue;
        }
        if (sqlstate[0] == '\0')
            copy_sqlstate(result, sqlstate);
        PQclear(result);
        failed = true;
        if (!good && status != PGRES_FATAL_ERROR)
            return ENDING_BROKEN; /* COPY and the like: no statement of ours does it */
    }
    if (PQstatus(c->pg) != CONNECTION_OK || PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        return ENDING_BROKEN;
    return failed || *ret_rows == NULL ? ENDING_ERROR : ENDING_GOOD;
}

/* The server forgot our statements, or their shape changed: only a new connection helps. */
static bool is_stale_prepared(const char *sqlstate)
{
    return strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "0A000") == 0;
}

static bool finish_call(struct pg_conn *c, const char *name, int64_t deadline_ms,
                        PGresult **ret_rows, struct pg_result *ret, struct error *e)
{
    enum ending ending = gather(c, deadline_ms, ret_rows, ret->sqlstate);
    if (ending == ENDING_GOOD) {
        c->usable = true;
        return true;
    }
    PQclear(*ret_rows);
    *ret_rows = NULL;
    if (ending == ENDING_ERROR) {
        c->usable = !is_stale_prepared(ret->sqlstate);
        return error_set(e, sqlstate_error_code(ret->sqlstate), "statement %s: SQLSTATE %s", name,
                         ret->sqlstate);
    }
    ret->outcome_unknown = true;
    if (ending == ENDING_TOO_LATE)
        return error_set(e, ERR_UNAVAILABLE, "statement %s: no answer within the deadline", name);
    return error_set(e, ERR_UNAVAILABLE, "statement %s: connection lost%s%s", name,
                     ret->sqlstate[0] != '\0' ? ", SQLSTATE " : "", ret->sqlstate);
}

static void result_free(void *result)
{
    PQclear(result);
}

/* A statement of ours that nobody prepared; its rows are of no interest. */
static bool run_plain(struct pg_conn *c, const char *name, const char *sql, int64_t deadline_ms,
                      struct error *e)
{
    c->usable = false;
    if (PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) != 1)
        return error_set(e, ERR_UNAVAILABLE, "statement %s: not sent", name);
    PGresult *rows = NULL;
    struct pg_result outcome = {.sqlstate = ""};
    bool ok = finish_call(c, name, deadline_ms, &rows, &outcome, e);
    PQclear(rows);
    return ok;
}

/* The timer of a statement that runs cannot be moved, so its limit is set before it. */
static bool set_own_limit(struct pg_conn *c, int64_t deadline_ms, struct error *e)
{
    char sql[64];
    int64_t left_ms = clock_left_ms(deadline_ms);
    if (left_ms == 0)
        return error_set(e, ERR_UNAVAILABLE, "statement set_own_limit: no time left");
    (void)snprintf(sql, sizeof(sql), "set statement_timeout = %lld",
                   (long long)(left_ms - left_ms / 10));
    return run_plain(c, "set_own_limit", sql, deadline_ms, e);
}

static bool call_prepared(struct pg_conn *c, const struct pg_statement *statement,
                          const struct pg_values *values, struct arena *a, int64_t deadline_ms,
                          struct pg_result *ret, struct error *e)
{
    c->usable = false;
    /* A send that fails here cannot have carried the Sync that commits. */
    if (PQsendQueryPrepared(c->pg, statement->name, values->count, values->values, values->lengths,
                            values->formats, 0) != 1)
        return error_set(e, ERR_UNAVAILABLE, "statement %s: not sent", statement->name);

    PGresult *rows = NULL;
    if (!finish_call(c, statement->name, deadline_ms, &rows, ret, e))
        return false;
    arena_own(a, rows, result_free);
    ret->handle = rows;
    ret->rows = PQntuples(rows);
    return true;
}

#define RESET_TIME_MS 1000

bool pg_conn_call(struct pg_conn *c, const struct pg_statement *statement,
                  const struct pg_values *values, struct arena *a, int64_t deadline_ms,
                  struct pg_result *ret, struct error *e)
{
    if (statement->long_running && !set_own_limit(c, deadline_ms, e))
        return false;
    struct error lost; /* the connection is not used again then; the call has ended as it has */
    bool ok = call_prepared(c, statement, values, a, deadline_ms, ret, e);
    if (statement->long_running && c->usable)
        (void)run_plain(c, "reset_limit", "reset statement_timeout",
                        clock_mono_ms() + RESET_TIME_MS, &lost);
    return ok;
}

bool pg_conn_ping(struct pg_conn *c, int64_t deadline_ms, struct error *e)
{
    return run_plain(c, "ping", "select 1", deadline_ms, e);
}
