#include "net/http_attempt.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#define ANSWER_HEAD_MAX_BYTES ((size_t)4 * HTTP_HEAD_MAX_BYTES)
#define URL_MAX_BYTES         (HTTP_TARGET_MAX_BYTES + 512)
#define CONNECTION_MAX_AGE_S  60L  /* unused for longer: the peer may have dropped it */
#define CONNECTION_MAX_LIFE_S 600L /* follows changes of address */

#define SET(easy, option, value) must(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

/* ---- Handles ---- */

static void set_up_libcurl(void)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    /* With NOSIGNAL libcurl leaves SIGPIPE alone, and OpenSSL's writes can raise it. */
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        must(sigaction(SIGPIPE, &now, NULL) == 0);
    }
}

void *http_attempt_handle_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    must(pthread_once(&once, set_up_libcurl) == 0);
    CURL *easy = curl_easy_init();
    must(easy != NULL);
    return easy;
}

void http_attempt_handle_free(void *handle)
{
    curl_easy_cleanup(handle);
}

/* ---- The answer ---- */

void http_reply_init(struct http_reply *r)
{
    *r = (struct http_reply){.status = 0};
    buf_init(&r->head, ANSWER_HEAD_MAX_BYTES);
    buf_init(&r->body, HTTP_ANSWER_MAX_BYTES);
}

void http_reply_done(struct http_reply *r)
{
    buf_done(&r->head);
    buf_done(&r->body);
}

static void reply_clear(struct http_reply *r, size_t answer_max_bytes)
{
    r->status = 0;
    r->head_bytes = 0;
    buf_clear(&r->head);
    buf_clear(&r->body);
    r->body.max_bytes = answer_max_bytes;
}

bool http_reply_next_header(struct str *rest, struct http_header *ret)
{
    struct str line;
    while (rest->len > 0 && str_split(rest, '\n', &line)) {
        size_t colon = str_find_char(line, ':');
        ret->name = str_take(line, colon);
        ret->value = str_trim(str_skip(line, colon + 1));
        if (colon < line.len && http_is_token(ret->name) && http_is_field_value(ret->value))
            return true;
    }
    return false;
}

/* libcurl hands over whole lines: status lines, headers, the empty line, and trailers. */
static size_t on_head_line(char *data, size_t size, size_t count, void *arg)
{
    struct http_reply *r = arg;
    size_t len = size * count;
    r->head_bytes += len;
    if (r->head_bytes > ANSWER_HEAD_MAX_BYTES)
        return 0;
    struct str line = str_n(data, len);
    if (str_starts_with(line, STR("HTTP/")))
        buf_clear(&r->head); /* what came before belongs to an interim answer */
    else if (r->body.len == 0)
        (void)(buf_add(&r->head, str_trim(line)) && buf_add_char(&r->head, '\n'));
    return r->head.overflow ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_reply *r = arg;
    size_t len = size * count;
    return buf_add(&r->body, str_n(data, len)) ? len : 0;
}

/* ---- The request ---- */

static struct curl_slist *list_add(struct curl_slist *list, char *line, struct arena *a)
{
    struct curl_slist *node = ARENA_NEW(a, struct curl_slist);
    node->data = line;
    node->next = list;
    return node;
}

/* libcurl's spelling: "Name:" removes a header, "Name;" sends an empty one. The text is ours to
 * change, so the arena's copy is made by hand. */
static char *header_line(const struct http_header *h, struct arena *a)
{
    char *line = arena_alloc(a, h->name.len + h->value.len + 3);
    memcpy(line, h->name.ptr, h->name.len);
    line[h->name.len] = ';';
    if (h->value.len > 0) {
        line[h->name.len] = ':';
        line[h->name.len + 1] = ' ';
        memcpy(line + h->name.len + 2, h->value.ptr, h->value.len);
    }
    return line;
}

static bool headers_add(struct curl_slist **list, const struct http_header *headers, size_t count,
                        bool *has_type, struct arena *a)
{
    for (size_t i = 0; i < count; i++) {
        const struct http_header *h = &headers[i];
        if (!http_is_token(h->name) || (h->value.len > 0 && !http_is_field_value(h->value)))
            return false;
        if (str_eq_ci(h->name, STR("Content-Type")))
            *has_type = true;
        *list = list_add(*list, header_line(h, a), a);
    }
    return true;
}

static bool url_is_plain(struct str url)
{
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        if (c <= ' ' || c >= 0x7F)
            return false;
    }
    return url.len > 0 && url.len <= URL_MAX_BYTES;
}

static void set_method(CURL *easy, const struct http_call *call)
{
    must(call->method != HTTP_OTHER);
    const char *name = http_method_name(call->method);
    switch (call->method) {
    case HTTP_GET:
        SET(easy, CURLOPT_HTTPGET, 1L);
        break;
    case HTTP_HEAD:
        SET(easy, CURLOPT_NOBODY, 1L);
        break;
    case HTTP_POST:
    case HTTP_PUT:
    case HTTP_PATCH:
        /* PUT and PATCH as well: libcurl's own upload would read from a callback. */
        SET(easy, CURLOPT_POST, 1L);
        SET(easy, CURLOPT_POSTFIELDS, call->body.len > 0 ? call->body.ptr : "");
        SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
        SET(easy, CURLOPT_CUSTOMREQUEST, name);
        break;
    case HTTP_DELETE:
    case HTTP_OPTIONS:
        SET(easy, CURLOPT_CUSTOMREQUEST, name);
        break;
    case HTTP_OTHER:
    default:
        break;
    }
}

static void set_bounds(CURL *easy, const struct http_client_config *config,
                       const struct http_call *call, int64_t timeout_ms, size_t answer_max_bytes)
{
    int64_t connect_ms =
        config->connect_timeout_ms < timeout_ms ? config->connect_timeout_ms : timeout_ms;
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)answer_max_bytes);
    SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(easy, CURLOPT_PROTOCOLS_STR, config->allow_http ? "http,https" : "https");
    SET(easy, CURLOPT_NOPROXY, "*");
    SET(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(easy, CURLOPT_PATH_AS_IS, 1L); /* the signature covers the path as it was written */
    SET(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(easy, CURLOPT_PIPEWAIT, 1L);
    SET(easy, CURLOPT_ACCEPT_ENCODING, "");
    SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
    SET(easy, CURLOPT_MAXAGE_CONN, CONNECTION_MAX_AGE_S);
    SET(easy, CURLOPT_MAXLIFETIME_CONN, CONNECTION_MAX_LIFE_S);
    if (!call->repeatable) {
        /* On a reused connection that dies libcurl sends the request again by itself. */
        SET(easy, CURLOPT_FRESH_CONNECT, 1L);
        SET(easy, CURLOPT_FORBID_REUSE, 1L);
    }
}

static bool set_headers(CURL *easy, const struct http_call *call, const struct http_header *extra,
                        size_t extra_count, struct arena *a)
{
    static char no_expect[] = "Expect:"; /* never a round trip just to ask */
    static char no_type[] = "Content-Type:";
    struct curl_slist *list = list_add(NULL, no_expect, a);
    bool has_type = false;
    if (!headers_add(&list, call->headers, call->header_count, &has_type, a) ||
        !headers_add(&list, extra, extra_count, &has_type, a))
        return false;
    if (!has_type)
        list = list_add(list, no_type, a); /* libcurl would call the body a form */
    SET(easy, CURLOPT_HTTPHEADER, list);
    return true;
}

/* ---- What came of it ---- */

static bool status_is_worth_repeating(int status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static struct http_verdict judge_answer(CURL *easy, struct http_reply *reply)
{
    long status = 0;
    must(curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    if (status < 200 || status > 599)
        return (struct http_verdict){.code = ERR_BAD_GATEWAY,
                                     .what = "answer with an impossible status",
                                     .sent = true,
                                     .upstream_failed = true};
    reply->status = (int)status;
    return (struct http_verdict){.code = ERR_NONE,
                                 .what = "",
                                 .sent = true,
                                 .upstream_failed = status >= 500,
                                 .worth_repeating = status_is_worth_repeating(reply->status)};
}

static enum error_code failure_code(CURLcode rc, bool sent)
{
    /* A table would have to list the rest of libcurl's hundred codes for the compiler. */
    if (rc == CURLE_OPERATION_TIMEDOUT)
        return ERR_GATEWAY_TIMEOUT;
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_OUT_OF_MEMORY || rc == CURLE_FAILED_INIT)
        return ERR_INTERNAL;
    /* Before sending: https only; after sending: the answer was no HTTP. */
    if (rc == CURLE_UNSUPPORTED_PROTOCOL)
        return sent ? ERR_BAD_GATEWAY : ERR_INTERNAL;
    if (rc == CURLE_WRITE_ERROR || rc == CURLE_FILESIZE_EXCEEDED ||
        rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_BAD_CONTENT_ENCODING ||
        rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_PEER_FAILED_VERIFICATION ||
        rc == CURLE_SSL_CIPHER || rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_ISSUER_ERROR ||
        rc == CURLE_SSL_INVALIDCERTSTATUS)
        return ERR_BAD_GATEWAY;
    return ERR_UNAVAILABLE;
}

static struct http_verdict judge_failure(CURL *easy, CURLcode rc)
{
    long request_bytes = 0;
    must(curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_bytes) == CURLE_OK);
    bool sent = request_bytes > 0;
    enum error_code code = failure_code(rc, sent);
    return (struct http_verdict){
        .code = code,
        .what = curl_easy_strerror(rc),
        .sent = sent,
        .upstream_failed = code != ERR_INTERNAL,
        .worth_repeating = code == ERR_UNAVAILABLE || code == ERR_GATEWAY_TIMEOUT,
    };
}

struct http_verdict http_attempt_run(void *handle, const struct http_client_config *config,
                                     const struct http_call *call, const struct http_header *extra,
                                     size_t extra_count, int64_t timeout_ms, struct arena *a,
                                     struct http_reply *reply)
{
    CURL *easy = handle;
    size_t answer_max_bytes =
        call->answer_max_bytes > 0 ? call->answer_max_bytes : HTTP_ANSWER_MAX_BYTES;
    reply_clear(reply, answer_max_bytes);

    /* Keeps connections and names, forgets every option of the call before. */
    curl_easy_reset(easy);
    if (!url_is_plain(call->url) || !set_headers(easy, call, extra, extra_count, a))
        return (struct http_verdict){.code = ERR_INTERNAL,
                                     .what = "URL or header that cannot be sent"};
    SET(easy, CURLOPT_URL, arena_text(a, call->url));
    set_method(easy, call);
    set_bounds(easy, config, call, timeout_ms, answer_max_bytes);
    SET(easy, CURLOPT_HEADERFUNCTION, on_head_line);
    SET(easy, CURLOPT_HEADERDATA, reply);
    SET(easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(easy, CURLOPT_WRITEDATA, reply);

    CURLcode rc = curl_easy_perform(easy);
    return rc == CURLE_OK ? judge_answer(easy, reply) : judge_failure(easy, rc);
}
