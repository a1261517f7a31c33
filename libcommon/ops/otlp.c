#include "ops/otlp.h"

#include "base/encode.h"

/* opentelemetry.proto.trace.v1.Span.SpanKind and Status.StatusCode */
enum { KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3 };
enum { STATUS_CODE_ERROR = 2 };

#define SCOPE_NAME     "ekklesia"
#define ATTRIBUTES_MAX 8
#define NAME_MAX_BYTES 256

const char *otlp_content_type(enum otlp_encoding encoding)
{
    return encoding == OTLP_JSON ? "application/json" : "application/x-protobuf";
}

/* ---- What a span says, whatever the encoding ---- */

struct attribute {
    const char *key;
    const char *text; /* NULL: the number */
    int64_t number;
};

struct attributes {
    struct attribute list[ATTRIBUTES_MAX];
    size_t count;
};

static void add_text(struct attributes *all, const char *key, const char *text)
{
    must(all->count < ATTRIBUTES_MAX);
    if (text && text[0])
        all->list[all->count++] = (struct attribute){.key = key, .text = text};
}

static void add_number(struct attributes *all, const char *key, int64_t number)
{
    must(all->count < ATTRIBUTES_MAX);
    all->list[all->count++] = (struct attribute){.key = key, .number = number};
}

static struct attributes describe_resource(const struct otlp_resource *resource)
{
    struct attributes all = {.count = 0};
    add_text(&all, "service.name", resource->service);
    add_text(&all, "service.version", resource->version);
    add_text(&all, "deployment.environment.name", resource->environment);
    add_text(&all, "gcp.project_id", resource->project);
    add_text(&all, "ekklesia.tenant", resource->tenant);
    return all;
}

static bool failed(const struct span *span)
{
    if (span->kind == SPAN_REQUEST) /* a server's 4xx is its client's fault */
        return span->status >= 500;
    return span->error != ERR_NONE || span->status >= 400;
}

static struct attributes describe_span(const struct span *span)
{
    struct attributes all = {.count = 0};

    if (span->method)
        add_text(&all, "http.request.method", span->method);
    switch (span->kind) {
    case SPAN_REQUEST:
        add_text(&all, "http.route", span->name);
        break;
    case SPAN_SQL:
        add_text(&all, "db.system.name", "postgresql");
        add_text(&all, "db.operation.name", span->name);
        break;
    case SPAN_UPSTREAM:
        add_text(&all, "peer.service", span->name);
        if (span->attempts > 1)
            add_number(&all, "http.request.resend_count", span->attempts - 1);
        break;
    case SPAN_QUEUE:
        break;
    }
    if (span->status)
        add_number(&all, "http.response.status_code", span->status);
    if (span->error != ERR_NONE && (failed(span) || span->kind != SPAN_REQUEST))
        add_text(&all, "error.type", error_name(span->error));
    return all;
}

static struct str span_name(const struct span *span, char memory[NAME_MAX_BYTES])
{
    struct buf name;
    if (!span->method)
        return str_from(span->name);
    buf_init_fixed(&name, memory, NAME_MAX_BYTES);
    (void)buf_printf(&name, "%s %s", span->method, span->name); /* cut short never: kept whole or */
    return name.overflow ? str_from(span->name) : buf_str(&name); /* without its method */
}

static int kind_number(const struct span *span)
{
    if (span->kind == SPAN_REQUEST)
        return KIND_SERVER;
    return span->kind == SPAN_QUEUE ? KIND_INTERNAL : KIND_CLIENT;
}

/* ---- Protobuf ---- */

/* Wire types: 0 varint, 1 eight bytes, 2 length and bytes
 * (protobuf.dev/programming-guides/encoding). */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2 };

static size_t varint(uint64_t value, char out[10])
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        out[len++] = (char)(value | 0x80);
    out[len++] = (char)value;
    return len;
}

static void pb_varint(struct buf *out, uint64_t value)
{
    char bytes[10];
    (void)buf_add(out, str_n(bytes, varint(value, bytes)));
}

static void pb_tag(struct buf *out, unsigned field, unsigned wire)
{
    pb_varint(out, field << 3 | wire);
}

static void pb_number(struct buf *out, unsigned field, uint64_t value)
{
    pb_tag(out, field, WIRE_VARINT);
    pb_varint(out, value);
}

static void pb_fixed64(struct buf *out, unsigned field, uint64_t value)
{
    char bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++, value >>= 8)
        bytes[i] = (char)(value & 0xFF);
    pb_tag(out, field, WIRE_64);
    (void)buf_add(out, str_n(bytes, sizeof(bytes)));
}

static void pb_bytes(struct buf *out, unsigned field, struct str bytes)
{
    pb_tag(out, field, WIRE_BYTES);
    pb_varint(out, bytes.len);
    (void)buf_add(out, bytes);
}

/* A message inside another: its length is put in front of it when it is known. */
static size_t pb_open(struct buf *out, unsigned field)
{
    pb_tag(out, field, WIRE_BYTES);
    return out->len;
}

static void pb_close(struct buf *out, size_t start)
{
    char bytes[10];
    size_t body = out->len - start, len = varint(body, bytes);

    if (!buf_add(out, str_n(bytes, len)))
        return;
    memmove(out->ptr + start + len, out->ptr + start, body);
    memcpy(out->ptr + start, bytes, len);
}

static void pb_attributes(struct buf *out, unsigned field, struct attributes all)
{
    for (size_t i = 0; i < all.count; i++) {
        const struct attribute *a = &all.list[i];
        size_t pair = pb_open(out, field), value;

        pb_bytes(out, 1, str_from(a->key));
        value = pb_open(out, 2);
        if (a->text)
            pb_bytes(out, 1, str_from(a->text));
        else
            pb_number(out, 3, (uint64_t)a->number);
        pb_close(out, value);
        pb_close(out, pair);
    }
}

static void pb_span(struct buf *out, const struct span *span)
{
    char name[NAME_MAX_BYTES];
    size_t start = pb_open(out, 2), status;

    pb_bytes(out, 1, str_n(span->trace_id, TRACE_ID_BYTES));
    pb_bytes(out, 2, str_n(span->span_id, SPAN_ID_BYTES));
    if (span_id_is_set(span->parent_id))
        pb_bytes(out, 4, str_n(span->parent_id, SPAN_ID_BYTES));
    pb_bytes(out, 5, span_name(span, name));
    pb_number(out, 6, (uint64_t)kind_number(span));
    pb_fixed64(out, 7, (uint64_t)span->began_us * 1000);
    pb_fixed64(out, 8, (uint64_t)span->ended_us * 1000);
    pb_attributes(out, 9, describe_span(span));
    if (failed(span)) {
        status = pb_open(out, 15);
        pb_number(out, 3, STATUS_CODE_ERROR);
        pb_close(out, status);
    }
    pb_close(out, start);
}

static void write_protobuf(struct buf *out, const struct otlp_resource *resource,
                           const struct span *spans, size_t count)
{
    size_t resource_spans = pb_open(out, 1), part, scope_spans;

    part = pb_open(out, 1);
    pb_attributes(out, 1, describe_resource(resource));
    pb_close(out, part);
    scope_spans = pb_open(out, 2);
    part = pb_open(out, 1);
    pb_bytes(out, 1, STR(SCOPE_NAME));
    pb_close(out, part);
    for (size_t i = 0; i < count; i++)
        pb_span(out, &spans[i]);
    pb_close(out, scope_spans);
    pb_close(out, resource_spans);
}

/* ---- JSON: lowerCamelCase, ids in hex, 64-bit numbers as text, enums as numbers ---- */

static void json_attributes(struct buf *out, struct attributes all)
{
    buf_add_text(out, "\"attributes\":[");
    for (size_t i = 0; i < all.count; i++) {
        const struct attribute *a = &all.list[i];

        buf_printf(out, "%s{\"key\":\"%s\",\"value\":{", i ? "," : "", a->key);
        if (a->text) {
            buf_add_text(out, "\"stringValue\":");
            buf_add_json_string(out, str_from(a->text));
        } else {
            buf_printf(out, "\"intValue\":\"%lld\"", (long long)a->number);
        }
        buf_add_text(out, "}}");
    }
    buf_add_char(out, ']');
}

static void json_span(struct buf *out, const struct span *span)
{
    char trace_id[TRACE_ID_HEX_SIZE], span_id[SPAN_ID_HEX_SIZE], parent_id[SPAN_ID_HEX_SIZE];
    char name[NAME_MAX_BYTES];

    hex_encode(span->trace_id, TRACE_ID_BYTES, trace_id);
    hex_encode(span->span_id, SPAN_ID_BYTES, span_id);
    hex_encode(span->parent_id, SPAN_ID_BYTES, parent_id);
    buf_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\",", trace_id, span_id);
    if (span_id_is_set(span->parent_id))
        buf_printf(out, "\"parentSpanId\":\"%s\",", parent_id);
    buf_add_text(out, "\"name\":");
    buf_add_json_string(out, span_name(span, name));
    buf_printf(out,
               ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\",",
               kind_number(span), (long long)span->began_us, (long long)span->ended_us);
    json_attributes(out, describe_span(span));
    if (failed(span))
        buf_printf(out, ",\"status\":{\"code\":%d}", STATUS_CODE_ERROR);
    buf_add_char(out, '}');
}

static void write_json(struct buf *out, const struct otlp_resource *resource,
                       const struct span *spans, size_t count)
{
    buf_add_text(out, "{\"resourceSpans\":[{\"resource\":{");
    json_attributes(out, describe_resource(resource));
    buf_add_text(out, "},\"scopeSpans\":[{\"scope\":{\"name\":\"" SCOPE_NAME "\"},\"spans\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        json_span(out, &spans[i]);
    }
    buf_add_text(out, "]}]}]}");
}

bool otlp_write(struct buf *out, enum otlp_encoding encoding, const struct otlp_resource *resource,
                const struct span *spans, size_t count)
{
    if (encoding == OTLP_JSON)
        write_json(out, resource, spans, count);
    else
        write_protobuf(out, resource, spans, count);
    return !out->overflow;
}
