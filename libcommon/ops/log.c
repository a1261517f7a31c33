#include "ops/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/kennitala.h"
#include "base/limits.h"
#include "base/trace.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* How long a line waits for a full pipe whose other end is set to non-blocking. */
#define LOG_STALL_MAX_MS 100

static const char line_end[] = "}\n";
static const char truncated_end[] = ",\"truncated\":true}\n";

static const char *const severity_names[] = {
    [LOG_DEBUG] = "DEBUG",     [LOG_INFO] = "INFO",   [LOG_NOTICE] = "NOTICE",
    [LOG_WARNING] = "WARNING", [LOG_ERROR] = "ERROR", [LOG_CRITICAL] = "CRITICAL",
};

static struct {
    char service[64];
    const char *tenant; /* NULL: lines name none */
    enum log_severity least;
    int fd;
    unsigned char key[SHA256_BYTES];
    pthread_once_t key_once;
    bool has_key;
    /* Held over one write: the kernel lets a line of more than PIPE_BUF, or the rest of a short
     * write, mix with lines of other threads. */
    pthread_mutex_t write_lock;
    bool cut_line; /* the last line was written in part: the next starts on a new one */
    atomic_uint_fast64_t lost;
} logger = {
    .least = LOG_INFO,
    .fd = STDOUT_FILENO,
    .key_once = PTHREAD_ONCE_INIT,
    .write_lock = PTHREAD_MUTEX_INITIALIZER,
};

static _Thread_local const char *entered_tenant;

/* The value this thread wrote last and its pseudonym: a hall is one address, and the HMAC was the
 * dearest part of a line. */
static _Thread_local struct {
    char value[64];
    size_t len; /* 0: none */
    char hex[LOG_PSEUDONYM_SIZE];
} last;

void log_set_tenant(const char *tenant)
{
    logger.tenant = tenant;
}

void log_enter_tenant(const char *tenant)
{
    entered_tenant = tenant;
}

void log_init(const char *service, enum log_severity least, struct str pseudonym_key, int fd)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    str_copy(str_from(service), logger.service, sizeof(logger.service));
    must_set_service(logger.service);
    logger.least = least;
    logger.fd = fd;
    logger.cut_line = false;
    /* Never an unkeyed hash: uids are few enough to try them all. */
    if (pseudonym_key.len > 0)
        sha256(pseudonym_key, logger.key);
    else
        random_bytes(logger.key, sizeof(logger.key));
    logger.has_key = true;
    last.len = 0;
    sigaction(SIGPIPE, &ignore, NULL);
}

/* For lines written without log_init(). */
static void make_key(void)
{
    if (!logger.has_key)
        random_bytes(logger.key, sizeof(logger.key));
}

void log_pseudonym(struct str value, char out[LOG_PSEUDONYM_SIZE])
{
    if (last.len == 0 || !str_eq(value, str_n(last.value, last.len))) {
        unsigned char hash[SHA256_BYTES];
        pthread_once(&logger.key_once, make_key);
        hmac_sha256(str_n(logger.key, sizeof(logger.key)), value, hash);
        hex_encode(hash, 8, last.hex);
        last.len = value.len <= sizeof(last.value) ? value.len : 0;
        if (last.len > 0)
            memcpy(last.value, value.ptr, last.len);
    }
    memcpy(out, last.hex, LOG_PSEUDONYM_SIZE);
}

static bool add_kennitala(struct buf *b, struct str text)
{
    char digits[KENNITALA_SIZE];
    char mask[KENNITALA_MASK_SIZE];
    if (!kennitala_normalise(text, digits))
        return buf_add(b, STR("\"invalid\""));
    kennitala_mask(digits, mask);
    return buf_printf(b, "\"%s\"", mask);
}

static bool add_pseudonym(struct buf *b, struct str value)
{
    char hex[LOG_PSEUDONYM_SIZE];
    if (value.len == 0)
        return buf_add(b, STR("null"));
    log_pseudonym(value, hex);
    return buf_add_char(b, '"') && buf_add_text(b, hex) && buf_add_char(b, '"');
}

/* us as WHOLE.FRACTION of a unit of 10^digits microseconds. */
static bool add_decimal(struct buf *b, int64_t us, size_t digits)
{
    char fraction[6];
    uint64_t left = us < 0 ? 0U - (uint64_t)us : (uint64_t)us;
    must(digits <= sizeof(fraction));
    for (size_t i = digits; i-- > 0; left /= 10)
        fraction[i] = (char)('0' + left % 10);
    return (us >= 0 || buf_add_char(b, '-')) && buf_add_i64(b, (int64_t)left) &&
           buf_add_char(b, '.') && buf_add(b, str_n(fraction, digits));
}

static bool add_field(struct buf *b, const struct log_field *field);

static bool add_group(struct buf *b, const struct log_field *fields)
{
    bool ok = buf_add_char(b, '{');
    for (const struct log_field *field = fields; ok && field->type != LOG_FIELD_END; field++) {
        must(field->type != LOG_FIELD_GROUP);
        ok = (field == fields || buf_add_char(b, ',')) && add_field(b, field);
    }
    return ok && buf_add_char(b, '}');
}

static bool add_value(struct buf *b, const struct log_field *field)
{
    switch (field->type) {
    case LOG_FIELD_TEXT:
        return buf_add_json_string(b, field->text);
    case LOG_FIELD_I64:
        return buf_add_i64(b, field->number);
    case LOG_FIELD_BOOL:
        return buf_add(b, field->number ? STR("true") : STR("false"));
    case LOG_FIELD_MILLIS:
        return add_decimal(b, field->number, 3);
    case LOG_FIELD_LATENCY:
        return buf_add_char(b, '"') && add_decimal(b, field->number, 6) && buf_add(b, STR("s\""));
    case LOG_FIELD_KENNITALA:
        return add_kennitala(b, field->text);
    case LOG_FIELD_PSEUDONYM:
        return add_pseudonym(b, field->text);
    case LOG_FIELD_GROUP:
        return add_group(b, field->group);
    case LOG_FIELD_END:
    default:
        return buf_add(b, STR("null"));
    }
}

static bool add_field(struct buf *b, const struct log_field *field)
{
    return buf_add_json_string(b, str_from(field->name)) && buf_add_char(b, ':') &&
           add_value(b, field);
}

/* The whole field or nothing. */
static bool add_whole_field(struct buf *b, const struct log_field *field)
{
    size_t before = b->len;
    if (buf_add_char(b, ',') && add_field(b, field))
        return true;
    b->len = before;
    b->overflow = false;
    return false;
}

/* By these names Cloud Logging groups the lines of a request and shows them beside its trace. */
static void add_trace(struct buf *b, const struct trace *trace)
{
    char trace_id[TRACE_ID_HEX_SIZE], span_id[SPAN_ID_HEX_SIZE], text[192];
    struct buf name;
    hex_encode(trace->trace_id, TRACE_ID_BYTES, trace_id);
    hex_encode(trace->span_id, SPAN_ID_BYTES, span_id);
    buf_init_fixed(&name, text, sizeof(text));
    (void)buf_printf(&name, "projects/%s/traces/%s", trace->project, trace_id);
    buf_add(b, STR(",\"logging.googleapis.com/trace\":"));
    buf_add_json_string(b, buf_str(&name));
    buf_printf(b,
               ",\"logging.googleapis.com/spanId\":\"%s\","
               "\"logging.googleapis.com/trace_sampled\":%s",
               span_id, trace->sampled ? "true" : "false");
}

static void build_line(struct buf *b, enum log_severity severity, const char *message,
                       const struct log_field *fields)
{
    char now[CLOCK_ISO_SIZE];
    bool whole = true;
    /* Room for either end is kept back; memory has it. */
    b->max_bytes -= sizeof(truncated_end);
    clock_iso_utc(clock_unix_ms(), now);
    buf_add(b, STR("{\"ts\":\""));
    buf_add_text(b, now);
    buf_add(b, STR("\",\"time\":\""));
    buf_add_text(b, now);
    buf_add(b, STR("\",\"severity\":\""));
    buf_add_text(b, severity_names[severity]);
    buf_add(b, STR("\",\"service\":"));
    buf_add_json_string(b, str_from(logger.service));
    if (entered_tenant || logger.tenant) {
        buf_add(b, STR(",\"tenant\":"));
        buf_add_json_string(b, str_from(entered_tenant ? entered_tenant : logger.tenant));
    }
    buf_add(b, STR(",\"message\":"));
    buf_add_json_string(b, str_take(str_from(message), LOG_LINE_MAX_BYTES / 8));
    if (trace_current())
        add_trace(b, trace_current());
    for (; whole && fields && fields->type != LOG_FIELD_END; fields++)
        whole = add_whole_field(b, fields);
    b->max_bytes += sizeof(truncated_end);
    buf_add_text(b, whole ? line_end : truncated_end);
}

/* Bytes the kernel took. */
static size_t write_bytes(const char *p, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t written = write(logger.fd, p + done, len - done);
        if (written > 0) {
            done += (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = logger.fd, .events = POLLOUT};
            if (poll(&ready, 1, LOG_STALL_MAX_MS) <= 0)
                break;
        } else if (written == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

static bool write_line(const struct buf *line)
{
    int saved_errno = errno;
    pthread_mutex_lock(&logger.write_lock);
    bool start_clean = !logger.cut_line || write_bytes("\n", 1) == 1;
    size_t done = start_clean ? write_bytes(line->ptr, line->len) : 0;
    if (start_clean)
        logger.cut_line = done > 0 && done < line->len;
    pthread_mutex_unlock(&logger.write_lock);
    if (done < line->len)
        atomic_fetch_add_explicit(&logger.lost, 1, memory_order_relaxed);
    errno = saved_errno;
    return done == line->len;
}

void log_write(enum log_severity severity, const char *message, const struct log_field *fields)
{
    char memory[LOG_LINE_MAX_BYTES];
    struct buf line;
    must((unsigned)severity < ARRAY_LEN(severity_names));
    if (severity < logger.least)
        return;
    buf_init_fixed(&line, memory, sizeof(memory));
    build_line(&line, severity, message, fields);
    write_line(&line);
}

bool log_self_check(void)
{
    char memory[LOG_LINE_MAX_BYTES];
    struct buf line;
    buf_init_fixed(&line, memory, sizeof(memory));
    build_line(&line, LOG_NOTICE, "log self-check", NULL);
    return write_line(&line);
}

bool log_severity_parse(struct str name, enum log_severity *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(severity_names); i++) {
        if (str_eq_ci(name, str_from(severity_names[i]))) {
            *ret = (enum log_severity)i;
            return true;
        }
    }
    return false;
}

uint64_t log_lines_lost(void)
{
    return atomic_load_explicit(&logger.lost, memory_order_relaxed);
}
