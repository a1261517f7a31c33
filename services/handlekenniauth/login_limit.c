/*
 * login_limit.c - ten attempts in ten minutes from one address, over all instances
 *
 * Why it is exact. A document per address holds the instants of the attempts that were let through
 * within the window, so there is no window edge to burst over. An attempt reads it and writes it
 * back with the update time it read as precondition: of two writers one fails and looks again. No
 * locks are taken in the store, so an instance that dies holds nobody up. Within a process one
 * attempt per address is under way at a time, and a refusal is remembered until it ends, so that a
 * flood costs two calls to the store and not two each.
 *
 * The document's id is a keyed hash of the canonical address, an IPv6 one's /64 (M-F06): header
 * text never reaches a path. Firestore's TTL on expiresAt removes what nobody needs any more.
 */
#include "handlekenniauth.h"

#include "auth/client_address.h"
#include "auth/rate_limit.h"
#include "base/clock.h"
#include "base/encode.h"
#include "cloud/firestore.h"
#include "ops/log.h"

#include <pthread.h>

#define ID_BYTES         16
#define GATES            64
#define DENIALS          1024 /* a table of the latest; a lost one costs two calls */
#define STORE_TIMEOUT_MS 3000
#define LOCAL_KEYS_MAX   20000
#define EXEMPT_MAX       32
#define PAUSE_MAX_MS     20

struct denial {
    unsigned char id[ID_BYTES];
    int64_t until_unix_ms;
};

struct login_limit {
    const struct login_settings *settings;
    int64_t window_ms;
    char exempt[EXEMPT_MAX][CLIENT_ADDRESS_SIZE];
    size_t exempt_count;
    struct rate_limiter *local; /* counts while the store is away, when the setting says so */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t left;
    bool busy[GATES];
    struct denial denials[DENIALS];
};

/* Keys as they are counted, so that "::ffff:192.0.2.1" exempts 192.0.2.1. */
static void read_exempt(struct login_limit *l)
{
    struct str rest = str_from(l->settings->exempt_addresses), one;

    while (str_split(&rest, ',', &one)) {
        char address[CLIENT_ADDRESS_SIZE];

        one = str_trim(one);
        if (one.len == 0 || l->exempt_count == EXEMPT_MAX ||
            !str_copy(one, address, sizeof address))
            continue;
        client_address_key(address, l->exempt[l->exempt_count++]);
    }
}

struct login_limit *login_limit_new(const struct login_settings *settings)
{
    struct login_limit *l = calloc(1, sizeof *l);

    must(l);
    l->settings = settings;
    l->window_ms = settings->limit_window_min * 60000;
    read_exempt(l);
    l->local = rate_limiter_new((unsigned)settings->limit_max,
                                (unsigned)settings->limit_window_min * 60, LOCAL_KEYS_MAX);
    must(pthread_mutex_init(&l->lock, NULL) == 0);
    clock_cond_init(&l->left);
    return l;
}

void login_limit_free(struct login_limit *l)
{
    if (!l)
        return;
    rate_limiter_free(l->local);
    pthread_cond_destroy(&l->left);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* --- one at a time, and what is known already --- */

static size_t slot_of(const unsigned char id[ID_BYTES], size_t slots)
{
    return (((size_t)id[0] << 8) | id[1]) % slots;
}

static bool enter(struct login_limit *l, const unsigned char id[ID_BYTES], int64_t deadline_ms)
{
    size_t gate = slot_of(id, GATES);
    bool entered = true;

    must(pthread_mutex_lock(&l->lock) == 0);
    while (l->busy[gate] && entered)
        entered = clock_cond_wait_until(&l->left, &l->lock, deadline_ms);
    if (entered)
        l->busy[gate] = true;
    must(pthread_mutex_unlock(&l->lock) == 0);
    return entered;
}

static void leave(struct login_limit *l, const unsigned char id[ID_BYTES])
{
    must(pthread_mutex_lock(&l->lock) == 0);
    l->busy[slot_of(id, GATES)] = false;
    must(pthread_cond_broadcast(&l->left) == 0);
    must(pthread_mutex_unlock(&l->lock) == 0);
}

/* 0 when nothing is known. */
static int64_t denied_until(struct login_limit *l, const unsigned char id[ID_BYTES])
{
    const struct denial *denial = &l->denials[slot_of(id, DENIALS)];
    int64_t until = 0;

    must(pthread_mutex_lock(&l->lock) == 0);
    if (memcmp(denial->id, id, ID_BYTES) == 0)
        until = denial->until_unix_ms;
    must(pthread_mutex_unlock(&l->lock) == 0);
    return until;
}

static void remember_denial(struct login_limit *l, const unsigned char id[ID_BYTES], int64_t until)
{
    struct denial *denial = &l->denials[slot_of(id, DENIALS)];

    must(pthread_mutex_lock(&l->lock) == 0);
    memcpy(denial->id, id, ID_BYTES);
    denial->until_unix_ms = until;
    must(pthread_mutex_unlock(&l->lock) == 0);
}

/* --- the document --- */

struct attempt {
    const struct request *req;
    struct login_limit *limit;
    const char *address_key;
    unsigned char id[ID_BYTES];
    struct str path;
    int64_t now_ms, deadline_ms;
    int64_t retry_at_ms; /* when denied */
};

/* The instants within the window, oldest first; ret has room for limit_max. */
static size_t read_instants(const struct attempt *at, const struct fs_document *document,
                            int64_t *ret)
{
    const cJSON *array = document->exists ? fs_get_array(document->fields, "instants") : NULL;
    const cJSON *item;
    size_t count = 0, most = (size_t)at->limit->settings->limit_max;

    cJSON_ArrayForEach(item, array)
    {
        struct str text = STR("");
        int64_t instant;

        (void)json_str(item, "integerValue", &text);
        if (!str_parse_i64(text, 0, INT64_MAX / 2, &instant) ||
            instant <= at->now_ms - at->limit->window_ms)
            continue;
        if (count == most) { /* the limit was higher once: the youngest count */
            memmove(ret, ret + 1, (most - 1) * sizeof *ret);
            count--;
        }
        ret[count++] = instant;
    }
    return count;
}

static void push_instant(struct arena *a, cJSON *array, int64_t instant)
{
    cJSON *item = json_add_object(array, NULL);

    json_add_str(item, "integerValue", arena_printf(a, "%lld", (long long)instant));
}

static cJSON *document_fields(const struct attempt *at, const int64_t *instants, size_t count)
{
    struct arena *a = at->req->arena;
    cJSON *fields = fs_fields(a), *array;

    fs_add_text(fields, "action", "login");
    fs_add_i64(fields, "count", (int64_t)count);
    fs_add_i64(fields, "windowMinutes", at->limit->settings->limit_window_min);
    fs_add_time_ms(fields, "expiresAt", at->now_ms + at->limit->window_ms);
    array = fs_add_array(fields, "instants");
    for (size_t i = 0; i < count; i++)
        push_instant(a, array, instants[i]);
    return fields;
}

static bool write_document(const struct attempt *at, const struct fs_document *read,
                           const int64_t *instants, size_t count, struct error *e)
{
    const struct fs_write write = {
        .kind = FS_SET,
        .path = at->path,
        .fields = document_fields(at, instants, count),
        .precondition = read->exists ? FS_UPDATE_TIME : FS_MUST_NOT_EXIST,
        .update_time = read->update_time,
        .server_times = {"updatedAt"},
    };

    return firestore_commit(service_firestore(at->req->state), &write, 1, NULL, at->req->arena,
                            at->deadline_ms, NULL, e);
}

enum verdict { ADMITTED, DENIED, OVERTAKEN, NO_STORE };

static enum verdict try_once(struct attempt *at, struct error *e)
{
    size_t most = (size_t)at->limit->settings->limit_max, count;
    int64_t *instants = arena_alloc_array(at->req->arena, most, sizeof *instants);
    struct fs_document document;

    at->now_ms = clock_unix_ms();
    if (!firestore_get(service_firestore(at->req->state), at->path, NULL, at->req->arena,
                       at->deadline_ms, &document, e))
        return NO_STORE;
    count = read_instants(at, &document, instants);
    if (count == most) {
        at->retry_at_ms = instants[0] + at->limit->window_ms;
        return DENIED;
    }
    instants[count++] = at->now_ms;
    if (write_document(at, &document, instants, count, e))
        return ADMITTED;
    return e->code == ERR_CONFLICT || e->code == ERR_FAILED_PRECONDITION ||
                   e->code == ERR_NOT_FOUND || e->code == ERR_ABORTED
               ? OVERTAKEN
               : NO_STORE;
}

static enum verdict ask_store(struct attempt *at, struct error *e)
{
    enum verdict verdict = OVERTAKEN;

    while (verdict == OVERTAKEN && clock_left_ms(at->deadline_ms) > 0) {
        verdict = try_once(at, e);
        if (verdict == OVERTAKEN)
            (void)usleep(1000 * (1 + random_below(PAUSE_MAX_MS)));
    }
    return verdict == OVERTAKEN ? NO_STORE : verdict;
}

/* --- deciding --- */

static bool is_exempt(const struct login_limit *l, const char *address_key)
{
    for (size_t i = 0; i < l->exempt_count; i++) {
        if (strcmp(l->exempt[i], address_key) == 0)
            return true;
    }
    return false;
}

static bool deny(const struct request *req, int64_t wait_ms, unsigned *ret_retry_after_s,
                 struct login_failure *f)
{
    *ret_retry_after_s = wait_ms <= 1000 ? 1 : (unsigned)((wait_ms + 999) / 1000);
    return login_fail(req, f, LOGIN_LIMITED, ERR_RATE_LIMITED, "RATE_LIMITED", NULL,
                      "login attempts of one address");
}

/* The login itself needs the store a moment later, so by default the code is not even redeemed. */
static bool without_store(struct attempt *at, const struct error *e, unsigned *ret_retry_after_s,
                          struct login_failure *f)
{
    struct rate_verdict v;

    log_warning("login limit store failed", LOG_TEXT("reason", str_from(e->detail)),
                LOG_TEXT("correlation_id", at->req->correlation_id));
    switch ((enum limit_without_store)at->limit->settings->limit_without_store) {
    case WITHOUT_STORE_ALLOW:
        return true;
    case WITHOUT_STORE_LOCAL:
        v = rate_limiter_take(at->limit->local, str_from(at->address_key), clock_mono_ms());
        return v.allowed || deny(at->req, (int64_t)v.retry_after_s * 1000, ret_retry_after_s, f);
    case WITHOUT_STORE_REFUSE:
        break;
    }
    return login_fail(at->req, f, LOGIN_LIMIT_STORE, ERR_UNAVAILABLE, "UNAVAILABLE", NULL,
                      arena_text(at->req->arena, str_from(e->detail)));
}

static bool judge(struct attempt *at, unsigned *ret_retry_after_s, struct login_failure *f)
{
    int64_t until_ms = denied_until(at->limit, at->id), now_ms = clock_unix_ms();
    struct error e = {0};

    if (until_ms > now_ms)
        return deny(at->req, until_ms - now_ms, ret_retry_after_s, f);
    switch (ask_store(at, &e)) {
    case ADMITTED:
        return true;
    case DENIED:
        remember_denial(at->limit, at->id, at->retry_at_ms);
        return deny(at->req, at->retry_at_ms - at->now_ms, ret_retry_after_s, f);
    case OVERTAKEN:
    case NO_STORE:
        break;
    }
    return without_store(at, &e, ret_retry_after_s, f);
}

static void name_document(struct attempt *at)
{
    const struct str fields[] = {STR("login-limit"), str_from(at->address_key)};
    unsigned char hash[SHA256_BYTES];
    char hex[2 * ID_BYTES + 1];

    hmac_sha256_fields(str_from(at->limit->settings->uid_key), fields, ARRAY_LEN(fields), hash);
    memcpy(at->id, hash, ID_BYTES);
    hex_encode(at->id, ID_BYTES, hex);
    at->path = arena_printf(at->req->arena, "rate_limits/login_%s", hex);
}

bool login_limit_admit(const struct request *req, unsigned *ret_retry_after_s,
                       struct login_failure *f)
{
    const struct login_service *service = req->own;
    char key[CLIENT_ADDRESS_SIZE];
    struct attempt at = {.req = req, .limit = service->limit, .address_key = key};
    struct error late = {0};
    bool admitted;

    client_address_key(arena_text(req->arena, req->client_address), key);
    if (is_exempt(service->limit, key))
        return true;
    name_document(&at);
    at.deadline_ms = clock_mono_ms() + STORE_TIMEOUT_MS;
    if (at.deadline_ms > req->deadline_ms)
        at.deadline_ms = req->deadline_ms;
    if (!enter(service->limit, at.id, at.deadline_ms)) {
        error_set(&late, ERR_UNAVAILABLE, "others of this address are still being counted");
        return without_store(&at, &late, ret_retry_after_s, f);
    }
    admitted = judge(&at, ret_retry_after_s, f);
    leave(service->limit, at.id);
    return admitted;
}
