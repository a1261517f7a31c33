#include "net/head_check.h"

#include "base/must.h"
#include "net/http.h"
#include "net/http_bytes.h"

enum state {
    BEFORE_MESSAGE,
    BLANK_LINE_LF,
    METHOD,
    TARGET_SLASH,
    TARGET_SECOND,
    TARGET,
    PERCENT_HIGH,
    PERCENT_LOW,
    VERSION,
    REQUEST_LINE_LF,
    HEADER_START,
    HEADER_NAME,
    VALUE_START,
    VALUE,
    VALUE_LF,
    HEAD_LF,
    BODY, /* from here on no longer part of the head */
    CHUNK_SIZE,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    LAST_CHUNK_CR,
    LAST_CHUNK_LF,
    STATE_COUNT
};

enum field { FIELD_OTHER, FIELD_HOST, FIELD_LENGTH, FIELD_CODING, FIELD_EXPECT };

/* Each takes at least one byte of p..end and gives the first it did not take. */
typedef const char *step_fn(struct head_check *h, const char *p, const char *end);

static const char *refuse(struct head_check *h, const char *p, enum error_code verdict,
                          const char *reason)
{
    h->verdict = verdict;
    h->reason = reason;
    return p + 1;
}

static const char *bad(struct head_check *h, const char *p, const char *reason)
{
    return refuse(h, p, ERR_BAD_REQUEST, reason);
}

static const char *go(struct head_check *h, const char *p, enum state next)
{
    h->state = (int)next;
    return p + 1;
}

static void word_add(struct head_check *h, char c)
{
    if (h->word_len < sizeof(h->word))
        h->word[h->word_len] = c;
    if (h->word_len <= sizeof(h->word))
        h->word_len++;
}

/* Empty when it did not fit: nothing we look for is that long. */
static struct str word(const struct head_check *h)
{
    return str_n(h->word, h->word_len <= sizeof(h->word) ? h->word_len : 0);
}

static void message_done(struct head_check *h)
{
    h->state = BEFORE_MESSAGE;
    h->in_message = false;
}

static const char *before_message(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p == '\r' && h->blank_line_ok)
        return go(h, p, BLANK_LINE_LF);
    h->requests_begun++;
    h->in_message = true;
    h->blank_line_ok = false;
    h->head_bytes = 0;
    h->target_len = 1;
    h->body_left = 0;
    h->body_bytes = 0;
    h->header_count = h->host_count = h->length_count = h->coding_count = 0;
    h->http_1_0 = h->is_head = h->host_ended = false;
    h->word_len = 0;
    h->state = METHOD;
    return p;
}

static const char *blank_line_lf(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    h->blank_line_ok = false;
    if (*p != '\n') {
        h->requests_begun++;
        h->in_message = true;
        h->is_head = false;
        return bad(h, p, "bare CR");
    }
    h->blank_line_seen = true;
    return go(h, p, BEFORE_MESSAGE);
}

static const char *method(struct head_check *h, const char *p, const char *end)
{
    for (; p < end && http_byte_is(*p, IN_TOKEN); p++)
        word_add(h, *p);
    if (p == end)
        return p;
    if (*p != ' ' || h->word_len == 0)
        return bad(h, p, "method is no token");
    enum http_method found = http_method_parse(word(h));
    if (found == HTTP_OTHER)
        return refuse(h, p, ERR_NOT_IMPLEMENTED, "unknown method");
    h->is_head = found == HTTP_HEAD;
    return go(h, p, TARGET_SLASH);
}

/* evhttp would take the part behind "//" for a host. */
static const char *target_second(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p == '/')
        return bad(h, p, "target starts with two slashes");
    h->state = TARGET;
    return p;
}

static const char *target(struct head_check *h, const char *p, const char *end)
{
    const char *start = p;
    size_t room = HTTP_TARGET_MAX_BYTES - h->target_len;
    const char *limit = (size_t)(end - p) > room ? p + room : end;
    while (p < limit && http_byte_is(*p, IN_TARGET))
        p++;
    h->target_len += (size_t)(p - start);
    if (p == end)
        return p;
    if (*p == ' ') {
        h->word_len = 0;
        return go(h, p, VERSION);
    }
    if (h->target_len == HTTP_TARGET_MAX_BYTES)
        return refuse(h, p, ERR_HEAD_TOO_LARGE, "target too long");
    h->target_len++;
    return *p == '%' ? go(h, p, PERCENT_HIGH) : bad(h, p, "byte not allowed in target");
}

static const char *percent_high(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    h->target_len++;
    h->percent_zero = *p == '0';
    return http_hex_value(*p) >= 0 ? go(h, p, PERCENT_LOW) : bad(h, p, "bad percent escape");
}

static const char *percent_low(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    h->target_len++;
    if (http_hex_value(*p) < 0 || (h->percent_zero && *p == '0'))
        return bad(h, p, "bad percent escape");
    if (h->target_len > HTTP_TARGET_MAX_BYTES)
        return refuse(h, p, ERR_HEAD_TOO_LARGE, "target too long");
    return go(h, p, TARGET);
}

static const char *version(struct head_check *h, const char *p, const char *end)
{
    static const char expected[] = "HTTP/1.";
    for (; p < end && *p != '\r'; p++) {
        size_t at = h->word_len;
        if (at < sizeof(expected) - 1 ? *p != expected[at] : at > 7 || (*p != '0' && *p != '1'))
            return bad(h, p, "version is not HTTP/1.0 or HTTP/1.1");
        h->http_1_0 = *p == '0';
        h->word_len++;
    }
    if (p == end)
        return p;
    return h->word_len == 8 ? go(h, p, REQUEST_LINE_LF) : bad(h, p, "no version");
}

static const char *header_start(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p == '\r')
        return go(h, p, HEAD_LF);
    if (!http_byte_is(*p, IN_TOKEN))
        return bad(h, p, "header name is no token");
    if (++h->header_count > HTTP_HEADERS_MAX)
        return refuse(h, p, ERR_HEAD_TOO_LARGE, "too many headers");
    h->word_len = 0;
    h->state = HEADER_NAME;
    return p;
}

static int field_of(struct str name)
{
    if (str_eq_ci(name, STR("host")))
        return FIELD_HOST;
    if (str_eq_ci(name, STR("content-length")))
        return FIELD_LENGTH;
    if (str_eq_ci(name, STR("transfer-encoding")))
        return FIELD_CODING;
    return str_eq_ci(name, STR("expect")) ? FIELD_EXPECT : FIELD_OTHER;
}

static const char *header_name(struct head_check *h, const char *p, const char *end)
{
    for (; p < end && http_byte_is(*p, IN_TOKEN); p++)
        word_add(h, *p);
    if (p == end)
        return p;
    if (*p != ':')
        return bad(h, p, "header name is no token");
    h->field = field_of(word(h));
    h->word_len = 0;
    return go(h, p, VALUE_START);
}

static const char *value_start(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p == ' ' || *p == '\t')
        return p + 1;
    h->state = VALUE;
    return p;
}

/* Blanks may follow a host, nothing may follow the blanks. */
static bool host_byte(struct head_check *h, char c)
{
    if (c == ' ' || c == '\t') {
        h->host_ended = true;
        return true;
    }
    return http_byte_is(c, IN_HOST) && !h->host_ended;
}

static const char *value(struct head_check *h, const char *p, const char *end)
{
    if (h->field == FIELD_OTHER) {
        while (p < end && http_byte_is(*p, IN_VALUE))
            p++;
    } else {
        for (; p < end && http_byte_is(*p, IN_VALUE); p++) {
            if (h->field == FIELD_HOST && !host_byte(h, *p))
                return bad(h, p, "byte not allowed in Host");
            word_add(h, *p);
        }
    }
    if (p == end)
        return p;
    return *p == '\r' ? go(h, p, VALUE_LF) : bad(h, p, "control byte in a header");
}

/* The words that frame a message may be followed by blanks (OWS). A run so long that it does not
 * fit makes the word an unknown one. */
static struct str trimmed_word(const struct head_check *h)
{
    return str_trim(word(h));
}

static const char *check_length(struct head_check *h)
{
    struct str digits = trimmed_word(h);
    int64_t length = 0;
    if (++h->length_count > 1)
        return "two Content-Length";
    if (digits.len > 18 || !str_is_digits(digits) || !str_parse_i64(digits, 0, INT64_MAX, &length))
        return "Content-Length is not 1 to 18 digits";
    h->body_left = (uint64_t)length;
    return NULL;
}

static const char *check_coding(struct head_check *h)
{
    if (++h->coding_count > 1)
        return "two Transfer-Encoding";
    if (h->http_1_0)
        return "Transfer-Encoding in HTTP/1.0";
    return str_eq_ci(trimmed_word(h), STR("chunked")) ? NULL : "Transfer-Encoding is not chunked";
}

static const char *check_host(struct head_check *h)
{
    if (++h->host_count > 1)
        return "two Host";
    return h->word_len > 0 ? NULL : "empty Host";
}

static const char *check_field(struct head_check *h)
{
    switch ((enum field)h->field) {
    case FIELD_HOST:
        return check_host(h);
    case FIELD_LENGTH:
        return check_length(h);
    case FIELD_CODING:
        return check_coding(h);
    case FIELD_EXPECT:
        return str_eq_ci(trimmed_word(h), STR("100-continue")) ? NULL : "unknown Expect";
    case FIELD_OTHER:
        return NULL;
    }
    return NULL;
}

static const char *value_lf(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p != '\n')
        return bad(h, p, "bare CR");
    const char *reason = check_field(h);
    return reason ? bad(h, p, reason) : go(h, p, HEADER_START);
}

static const char *head_lf(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p != '\n')
        return bad(h, p, "bare CR");
    if (h->host_count == 0 && !h->http_1_0)
        return bad(h, p, "no Host");
    if (h->coding_count > 0 && h->length_count > 0)
        return bad(h, p, "Content-Length with Transfer-Encoding");
    if (h->is_head && (h->coding_count > 0 || h->body_left > 0))
        return bad(h, p, "HEAD with a body");
    if (h->body_left > h->body_max_bytes)
        return refuse(h, p, ERR_TOO_LARGE, "body too large");
    h->requests_passed++;
    h->word_len = 0;
    if (h->coding_count > 0)
        return go(h, p, CHUNK_SIZE);
    if (h->body_left > 0)
        return go(h, p, BODY);
    message_done(h);
    return p + 1;
}

static const char *skip_body(struct head_check *h, const char *p, const char *end)
{
    size_t here = (size_t)(end - p);
    size_t taken = here < h->body_left ? here : (size_t)h->body_left;
    h->body_left -= taken;
    return p + taken;
}

static const char *body(struct head_check *h, const char *p, const char *end)
{
    p = skip_body(h, p, end);
    if (h->body_left == 0)
        message_done(h);
    return p;
}

static const char *chunk_size(struct head_check *h, const char *p, const char *end)
{
    for (; p < end && http_hex_value(*p) >= 0; p++) {
        if (++h->word_len > 8)
            return bad(h, p, "chunk size too long");
        h->body_left = h->body_left * 16 + (unsigned)http_hex_value(*p);
    }
    if (p == end)
        return p;
    if (*p != '\r' || h->word_len == 0)
        return bad(h, p, "chunk size is not plain hex");
    return go(h, p, CHUNK_SIZE_LF);
}

static const char *chunk_size_lf(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p != '\n')
        return bad(h, p, "bare CR");
    if (h->body_left == 0)
        return go(h, p, LAST_CHUNK_CR);
    if (h->body_left > h->body_max_bytes - h->body_bytes)
        return refuse(h, p, ERR_TOO_LARGE, "body too large");
    h->body_bytes += (size_t)h->body_left;
    h->word_len = 0;
    return go(h, p, CHUNK_DATA);
}

static const char *chunk_data(struct head_check *h, const char *p, const char *end)
{
    p = skip_body(h, p, end);
    if (h->body_left == 0)
        h->state = CHUNK_DATA_CR;
    return p;
}

static const char *last_chunk_lf(struct head_check *h, const char *p, const char *end)
{
    (void)end;
    if (*p != '\n')
        return bad(h, p, "bare CR");
    message_done(h);
    return p + 1;
}

static const struct {
    step_fn *fn;
    /* without fn: one byte, where it leads, and what else is wrong */
    char expect;
    enum state next;
    const char *reason;
} steps[STATE_COUNT] = {
    [BEFORE_MESSAGE] = {.fn = before_message},
    [BLANK_LINE_LF] = {.fn = blank_line_lf},
    [METHOD] = {.fn = method},
    [TARGET_SLASH] = {NULL, '/', TARGET_SECOND, "target does not start with a slash"},
    [TARGET_SECOND] = {.fn = target_second},
    [TARGET] = {.fn = target},
    [PERCENT_HIGH] = {.fn = percent_high},
    [PERCENT_LOW] = {.fn = percent_low},
    [VERSION] = {.fn = version},
    [REQUEST_LINE_LF] = {NULL, '\n', HEADER_START, "bare CR"},
    [HEADER_START] = {.fn = header_start},
    [HEADER_NAME] = {.fn = header_name},
    [VALUE_START] = {.fn = value_start},
    [VALUE] = {.fn = value},
    [VALUE_LF] = {.fn = value_lf},
    [HEAD_LF] = {.fn = head_lf},
    [BODY] = {.fn = body},
    [CHUNK_SIZE] = {.fn = chunk_size},
    [CHUNK_SIZE_LF] = {.fn = chunk_size_lf},
    [CHUNK_DATA] = {.fn = chunk_data},
    [CHUNK_DATA_CR] = {NULL, '\r', CHUNK_DATA_LF, "chunk longer than its size"},
    [CHUNK_DATA_LF] = {NULL, '\n', CHUNK_SIZE, "bare CR"},
    [LAST_CHUNK_CR] = {NULL, '\r', LAST_CHUNK_LF, "trailer fields"},
    [LAST_CHUNK_LF] = {.fn = last_chunk_lf},
};

void head_check_init(struct head_check *h, size_t body_max_bytes)
{
    *h = (struct head_check){.body_max_bytes = body_max_bytes, .blank_line_ok = true};
}

static const char *step_here(struct head_check *h, const char *p, const char *end)
{
    int at = h->state;
    if (steps[at].fn)
        return steps[at].fn(h, p, end);
    return *p == steps[at].expect ? go(h, p, steps[at].next) : bad(h, p, steps[at].reason);
}

/* One step. Inside a head it is shown no byte behind HTTP_HEAD_MAX_BYTES, so that where the bytes
 * are cut cannot change the verdict. */
static const char *step(struct head_check *h, const char *p, const char *end)
{
    if (h->state < METHOD || h->state >= BODY)
        return step_here(h, p, end);
    size_t room = HTTP_HEAD_MAX_BYTES - h->head_bytes;
    if (room == 0)
        return refuse(h, p, ERR_HEAD_TOO_LARGE, "head too large");
    const char *next = step_here(h, p, (size_t)(end - p) > room ? p + room : end);
    h->head_bytes += (size_t)(next - p);
    return next;
}

bool head_check_feed(struct head_check *h, struct str bytes)
{
    const char *p = bytes.ptr;
    const char *end = bytes.len > 0 ? p + bytes.len : p;
    while (p < end && h->verdict == ERR_NONE)
        p = step(h, p, end);
    return h->verdict == ERR_NONE;
}
