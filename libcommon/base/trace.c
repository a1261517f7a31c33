#include "base/trace.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"

#include <pthread.h>

/* ---- The two headers ---- */

static bool all_zero(const unsigned char *bytes, size_t len)
{
    unsigned char any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

bool span_id_is_set(const unsigned char id[SPAN_ID_BYTES])
{
    return !all_zero(id, SPAN_ID_BYTES);
}

static bool read_id(struct str hex, unsigned char *id, size_t id_len)
{
    return str_is_lower_hex(hex) && hex_decode(hex, id, id_len) && !all_zero(id, id_len);
}

/* version "-" trace-id "-" parent-id "-" trace-flags; a later version may add more behind a "-". */
bool trace_parse_traceparent(struct str value, struct trace_parent *ret)
{
    struct str version, trace_id, span_id, flags, rest = value;
    unsigned char version_byte, flag_byte;
    struct trace_parent parent;

    if (!str_split(&rest, '-', &version) || !str_split(&rest, '-', &trace_id) ||
        !str_split(&rest, '-', &span_id) || !str_split(&rest, '-', &flags))
        return false;
    if (!str_is_lower_hex(version) || !hex_decode(version, &version_byte, 1) ||
        version_byte == 0xFF || (version_byte == 0 && rest.ptr != NULL))
        return false;
    if (!read_id(trace_id, parent.trace_id, TRACE_ID_BYTES) ||
        !read_id(span_id, parent.span_id, SPAN_ID_BYTES) || !str_is_lower_hex(flags) ||
        !hex_decode(flags, &flag_byte, 1))
        return false;
    parent.decision = flag_byte & 1 ? TRACE_SAMPLED : TRACE_NOT_SAMPLED;
    *ret = parent;
    return true;
}

static bool read_decimal_id(struct str text, unsigned char id[SPAN_ID_BYTES])
{
    uint64_t value = 0;
    if (!str_is_digits(text) || text.len > 20)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    for (size_t i = SPAN_ID_BYTES; i-- > 0; value >>= 8)
        id[i] = (unsigned char)(value & 0xFF);
    return true;
}

bool trace_parse_cloud(struct str value, struct trace_parent *ret)
{
    struct str ids, trace_id, options = value;
    struct trace_parent parent = {.decision = TRACE_UNDECIDED};

    if (!str_split(&options, ';', &ids) || !str_split(&ids, '/', &trace_id) ||
        !read_id(trace_id, parent.trace_id, TRACE_ID_BYTES))
        return false;
    if (ids.ptr != NULL && !read_decimal_id(ids, parent.span_id))
        return false;
    if (options.ptr != NULL) {
        if (str_eq(options, STR("o=1")))
            parent.decision = TRACE_SAMPLED;
        else if (str_eq(options, STR("o=0")))
            parent.decision = TRACE_NOT_SAMPLED;
        else
            return false;
    }
    *ret = parent;
    return true;
}

void trace_headers(const struct trace *trace, const unsigned char span_id[SPAN_ID_BYTES],
                   char traceparent[TRACEPARENT_SIZE], char cloud[CLOUD_TRACE_SIZE])
{
    char trace_hex[TRACE_ID_HEX_SIZE], span_hex[SPAN_ID_HEX_SIZE];
    uint64_t decimal = 0;
    struct buf out;

    hex_encode(trace->trace_id, TRACE_ID_BYTES, trace_hex);
    hex_encode(span_id, SPAN_ID_BYTES, span_hex);
    for (size_t i = 0; i < SPAN_ID_BYTES; i++)
        decimal = decimal << 8 | span_id[i];
    buf_init_fixed(&out, traceparent, TRACEPARENT_SIZE);
    must(buf_printf(&out, "00-%s-%s-0%d", trace_hex, span_hex, trace->sampled));
    buf_init_fixed(&out, cloud, CLOUD_TRACE_SIZE);
    must(buf_printf(&out, "%s/%llu;o=%d", trace_hex, (unsigned long long)decimal, trace->sampled));
}

/* ---- Sampling ---- */

bool trace_id_is_sampled(const unsigned char trace_id[TRACE_ID_BYTES], unsigned percent)
{
    /* The last seven bytes are the random ones (W3C trace-context level 2, §3.3.2); four will do.
     */
    uint64_t value = 0;
    for (size_t i = TRACE_ID_BYTES - 4; i < TRACE_ID_BYTES; i++)
        value = value << 8 | trace_id[i];
    return value * 100 < (uint64_t)percent << 32;
}

/* ---- The ring ---- */

struct span_ring {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    size_t first, count, max, wanted;
    bool closed;
    uint64_t dropped;
    struct span spans[];
};

struct span_ring *span_ring_new(size_t spans_max)
{
    struct span_ring *r = calloc(1, sizeof(*r) + spans_max * sizeof(r->spans[0]));
    must(r != NULL && spans_max > 0);
    r->max = spans_max;
    must(pthread_mutex_init(&r->lock, NULL) == 0);
    clock_cond_init(&r->filled);
    return r;
}

void span_ring_free(struct span_ring *r)
{
    if (r == NULL)
        return;
    must(pthread_cond_destroy(&r->filled) == 0);
    must(pthread_mutex_destroy(&r->lock) == 0);
    free(r);
}

static void lock(struct span_ring *r)
{
    must(pthread_mutex_lock(&r->lock) == 0);
}

static void unlock(struct span_ring *r)
{
    must(pthread_mutex_unlock(&r->lock) == 0);
}

void span_ring_add(struct span_ring *r, const struct span *span)
{
    lock(r);
    if (r->count < r->max)
        r->spans[(r->first + r->count++) % r->max] = *span;
    else
        r->dropped++;
    if (r->wanted > 0 && r->count >= r->wanted)
        must(pthread_cond_signal(&r->filled) == 0);
    unlock(r);
}

size_t span_ring_take(struct span_ring *r, struct span *out, size_t max, size_t want,
                      int64_t wait_ms)
{
    int64_t until_ms = clock_mono_ms() + wait_ms;
    size_t taken = 0;

    lock(r);
    r->wanted = want;
    while (!r->closed && r->count < want && clock_cond_wait_until(&r->filled, &r->lock, until_ms))
        continue;
    r->wanted = 0;
    for (; taken < max && r->count > 0; taken++, r->count--) {
        out[taken] = r->spans[r->first];
        r->first = (r->first + 1) % r->max;
    }
    unlock(r);
    return taken;
}

void span_ring_close(struct span_ring *r)
{
    lock(r);
    r->closed = true;
    must(pthread_cond_signal(&r->filled) == 0);
    unlock(r);
}

bool span_ring_is_closed(struct span_ring *r)
{
    lock(r);
    bool closed = r->closed;
    unlock(r);
    return closed;
}

uint64_t span_ring_dropped(struct span_ring *r)
{
    lock(r);
    uint64_t dropped = r->dropped;
    unlock(r);
    return dropped;
}

/* ---- Traces and spans ---- */

static _Thread_local const struct trace *current;

void trace_enter(const struct trace *trace)
{
    current = trace;
}

const struct trace *trace_current(void)
{
    return current;
}

static void new_id(unsigned char *id, size_t len)
{
    do {
        random_bytes(id, len);
    } while (all_zero(id, len));
}

void span_new_id(unsigned char id[SPAN_ID_BYTES])
{
    new_id(id, SPAN_ID_BYTES);
}

void trace_begin(struct trace *trace, const struct trace_parent *parent, struct span_ring *ring,
                 unsigned percent, const char *project)
{
    *trace = (struct trace){.ring = ring, .project = project};
    trace->mono_to_unix_us = clock_unix_us() - clock_mono_us();
    if (parent) {
        memcpy(trace->trace_id, parent->trace_id, TRACE_ID_BYTES);
        memcpy(trace->parent_id, parent->span_id, SPAN_ID_BYTES);
    } else {
        new_id(trace->trace_id, TRACE_ID_BYTES);
    }
    if (parent && parent->decision != TRACE_UNDECIDED)
        trace->sampled = parent->decision == TRACE_SAMPLED;
    else
        trace->sampled = ring != NULL && trace_id_is_sampled(trace->trace_id, percent);
    if (ring || !span_id_is_set(trace->parent_id))
        span_new_id(trace->span_id);
    else
        memcpy(trace->span_id, trace->parent_id, SPAN_ID_BYTES);
}

int64_t span_begin(void)
{
    return current && current->sampled && current->ring ? clock_mono_us() : 0;
}

void span_record(const struct trace *trace, struct span *span)
{
    memcpy(span->trace_id, trace->trace_id, TRACE_ID_BYTES);
    span->began_us += trace->mono_to_unix_us;
    span->ended_us += trace->mono_to_unix_us;
    span_ring_add(trace->ring, span);
}

void span_end(int64_t began_us, enum span_kind kind, const char *name, enum error_code error)
{
    struct span span = {.kind = kind, .name = name, .error = error, .began_us = began_us};

    if (began_us == 0)
        return;
    span.ended_us = clock_mono_us();
    span_new_id(span.span_id);
    memcpy(span.parent_id, current->span_id, SPAN_ID_BYTES);
    span_record(current, &span);
}
