/*
 * instant_peers - Kenni, Firestore and Identity Toolkit that answer at once, for measuring a login
 *
 * What a login asks is answered from memory, without checking anything: ID tokens are signed before
 * the first question, documents are never there, accounts keep their claims. So the time and CPU
 * that are left are the service's own. One thread; prints its port. GET /counts tells how often
 * what was asked.
 */
#include "auth/jwt.h"
#include "base/clock.h"
#include "base/encode.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>

#define TOKENS         4096
#define ACCOUNTS       65536
#define ACCOUNT_PROBES 64
#define BODY_MAX_BYTES 65536
#define TIME_TEXT      "2026-01-01T00:00:00.000000Z"

struct account {
    char uid[64];
    char claims[1024];
};

struct peers {
    struct arena *arena;
    char issuer[64];
    struct str jwks;
    struct str tokens[TOKENS];
    size_t token_next;
    struct account *accounts;
    unsigned discovery, keys, exchanges, firestore, toolkit;
};

static void sign_tokens(struct peers *p)
{
    struct jwt_signer *signer = jwt_signer_generate(STR("bench"));

    p->jwks = jwt_signer_jwks(signer, p->arena);
    for (size_t i = 0; i < TOKENS; i++) {
        cJSON *claims = json_object(p->arena);
        int64_t now_s = clock_unix_ms() / 1000;

        json_add_text(claims, "iss", p->issuer);
        json_add_text(claims, "aud", "bench");
        json_add_text(claims, "sub", "team-specific");
        json_add_i64(claims, "iat", now_s);
        json_add_i64(claims, "exp", now_s + 86400);
        json_add_str(claims, "national_id",
                     arena_printf(p->arena, "%02zu%02zu%02zu%04zu", i % 28 + 1, i / 28 % 12 + 1,
                                  i / 336 % 100, i % 10000));
        json_add_text(claims, "name", "Anna Jónsdóttir");
        json_add_text(claims, "email", "anna@example.is");
        json_add_bool(claims, "email_verified", true);
        json_add_text(claims, "phone_number", "+3545551234");
        p->tokens[i] = jwt_sign(signer, p->arena, claims);
    }
    jwt_signer_free(signer);
}

static void reply(struct evhttp_request *req, const char *format, ...) PRINTF_LIKE(2, 3);
static void reply(struct evhttp_request *req, const char *format, ...)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    va_list args;

    va_start(args, format);
    must(evbuffer_add_vprintf(out, format, args) >= 0);
    va_end(args);
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
    evhttp_send_reply(req, 200, "OK", NULL);
}

/* The body as JSON; the caller deletes it. */
static cJSON *body_of(struct evhttp_request *req)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);

    return cJSON_ParseWithLength((const char *)evbuffer_pullup(in, -1), len);
}

/* --- Firestore: nothing is there, everything can be written --- */

static void answer_batch_get(struct evhttp_request *req)
{
    cJSON *body = body_of(req), *name;
    struct buf out;

    buf_init(&out, BODY_MAX_BYTES);
    cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(body, "documents"))
    {
        buf_printf(&out, "%s{\"missing\":\"%s\",\"readTime\":\"" TIME_TEXT "\"}",
                   out.len > 0 ? "," : "", name->valuestring);
    }
    reply(req, "[%s]", out.ptr ? out.ptr : "");
    buf_done(&out);
    cJSON_Delete(body);
}

static void answer_firestore(struct peers *p, struct evhttp_request *req, const char *verb)
{
    p->firestore++;
    if (strcmp(verb, ":batchGet") == 0)
        answer_batch_get(req);
    else if (strcmp(verb, ":commit") == 0)
        reply(req, "{\"writeResults\":[{\"updateTime\":\"" TIME_TEXT
                   "\"}],\"commitTime\":\"" TIME_TEXT "\"}");
    else
        reply(req, "[{\"readTime\":\"" TIME_TEXT "\"}]");
}

/* --- Identity Toolkit: accounts and their claims --- */

static struct account *account_of(struct peers *p, const char *uid, bool make)
{
    uint32_t hash = 2166136261U;

    for (const char *c = uid; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    for (uint32_t i = 0; i < ACCOUNT_PROBES; i++) {
        struct account *account = &p->accounts[(hash + i) % ACCOUNTS];

        if (strcmp(account->uid, uid) == 0)
            return account;
        if (account->uid[0] == '\0') {
            if (make)
                (void)str_copy(str_from(uid), account->uid, sizeof account->uid);
            return make ? account : NULL;
        }
    }
    return NULL;
}

static const char *text_of(const cJSON *item)
{
    return cJSON_IsArray(item) ? text_of(item->child)
                               : (cJSON_IsString(item) ? item->valuestring : "");
}

static void answer_toolkit(struct peers *p, struct evhttp_request *req, const char *verb)
{
    cJSON *body = body_of(req);
    const char *uid = text_of(cJSON_GetObjectItemCaseSensitive(body, "localId"));
    bool lookup = strcmp(verb, ":lookup") == 0;
    struct account *account = account_of(p, uid, !lookup);
    const cJSON *claims = cJSON_GetObjectItemCaseSensitive(body, "customAttributes");
    struct buf escaped;

    p->toolkit++;
    if (account && claims)
        (void)str_copy(str_from(text_of(claims)), account->claims, sizeof account->claims);
    buf_init(&escaped, BODY_MAX_BYTES);
    buf_add_json_string(&escaped, str_from(account ? account->claims : ""));
    if (lookup && !account)
        reply(req, "{}");
    else if (lookup)
        reply(req, "{\"users\":[{\"localId\":\"%s\",\"customAttributes\":%s}]}", uid, escaped.ptr);
    else
        reply(req, "{\"localId\":\"%s\"}", uid);
    buf_done(&escaped);
    cJSON_Delete(body);
}

/* --- Kenni --- */

static void answer_discovery(struct peers *p, struct evhttp_request *req)
{
    p->discovery++;
    reply(req, "{\"issuer\":\"%s\",\"token_endpoint\":\"%s/token\",\"jwks_uri\":\"%s/jwks\"}",
          p->issuer, p->issuer, p->issuer);
}

static void answer_token(struct peers *p, struct evhttp_request *req)
{
    struct str token = p->tokens[p->token_next++ % TOKENS];

    p->exchanges++;
    reply(req, "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"id_token\":\"%.*s\"}",
          STR_ARG(token));
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct peers *p = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    const char *verb = strrchr(path, ':');

    if (strstr(path, "/identitytoolkit.googleapis.com/"))
        answer_toolkit(p, req, verb ? verb : "");
    else if (strstr(path, "/databases/"))
        answer_firestore(p, req, verb ? verb : "");
    else if (strcmp(path, "/.well-known/openid-configuration") == 0)
        answer_discovery(p, req);
    else if (strcmp(path, "/token") == 0)
        answer_token(p, req);
    else if (strcmp(path, "/jwks") == 0 && ++p->keys)
        reply(req, "%.*s", STR_ARG(p->jwks));
    else
        reply(req,
              "{\"discovery\":%u,\"keys\":%u,\"exchanges\":%u,\"firestore\":%u,\"toolkit\":%u}",
              p->discovery, p->keys, p->exchanges, p->firestore, p->toolkit);
}

static unsigned port_of(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in at = {0};
    socklen_t size = sizeof at;

    must(bound);
    must(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&at, &size) == 0);
    return ntohs(at.sin_port);
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    struct peers peers = {.arena = arena_new(64U << 20)};
    unsigned port = port_of(evhttp_bind_socket_with_handle(http, "127.0.0.1", 0));

    encode_init();
    signal(SIGPIPE, SIG_IGN);
    (void)snprintf(peers.issuer, sizeof peers.issuer, "http://127.0.0.1:%u", port);
    peers.accounts = calloc(ACCOUNTS, sizeof *peers.accounts);
    must(peers.accounts);
    sign_tokens(&peers);
    evhttp_set_gencb(http, on_request, &peers);
    printf("%u\n", port);
    (void)fflush(stdout);
    event_base_dispatch(base);
    return 0;
}
