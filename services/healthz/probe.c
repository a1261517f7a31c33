/* probe.c - asks Firestore, Kenni and Django how they are; M-F47, V-D20 */
#include "healthz.h"

#include "base/clock.h"
#include "cloud/firestore.h"
#include "ops/log.h"
#include "service/settings.h"

#define INSTANCES_MAX      200
#define DOCUMENT_MAX_BYTES 65536

static void note(const char *what, const struct error *e)
{
    log_warning("dependency check failed", LOG_TEXT("dependency", str_from(what)),
                LOG_TEXT("reason", str_from(e->detail)));
}

static int64_t within(const struct healthz *own, int64_t deadline_ms)
{
    int64_t until_ms = clock_mono_ms() + own->settings->probe_timeout_ms;

    return until_ms < deadline_ms ? until_ms : deadline_ms;
}

static bool ask(const struct healthz *own, struct str url, struct arena *a, int64_t deadline_ms,
                struct http_answer *ret, struct error *e)
{
    const struct http_header headers[] = {{STR("Accept"), STR("application/json")},
                                          {STR("User-Agent"), STR("Mozilla/5.0")}};
    const struct http_call call = {
        .method = HTTP_GET,
        .url = url,
        .headers = headers,
        .header_count = ARRAY_LEN(headers),
        .deadline_ms = within(own, deadline_ms),
        .answer_max_bytes = DOCUMENT_MAX_BYTES,
    };

    return http_client_call(own->client, &call, a, ret, NULL, e);
}

/* --- Kenni: its discovery document, and that it is Kenni's --- */

static bool check_kenni(const struct healthz *own, struct arena *a, int64_t deadline_ms)
{
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    struct error e = {0};
    struct str issuer = STR("");

    if (!own->settings->issuer[0])
        return false;
    if (ask(own, arena_printf(a, "%s/.well-known/openid-configuration", own->settings->issuer), a,
            deadline_ms, answer, &e)) {
        (void)json_str(json_parse(a, answer->body, NULL), "issuer", &issuer);
        if (answer->status == 200 && str_eq_text(issuer, own->settings->issuer))
            return true;
        error_set(&e, ERR_BAD_GATEWAY, "status %d or another issuer", answer->status);
    }
    note("kenni", &e);
    return false;
}

/* --- Django: any answer that is not its own failure. No token is sent and nothing is read. --- */

static bool check_django(const struct healthz *own, struct arena *a, int64_t deadline_ms)
{
    struct http_answer *answer = ARENA_NEW(a, struct http_answer);
    struct error e = {0};

    if (ask(own, arena_printf(a, "%s/api/full/", own->settings->django_url), a, deadline_ms, answer,
            &e)) {
        if (answer->status < 500)
            return true;
        error_set(&e, ERR_BAD_GATEWAY, "status %d", answer->status);
    }
    note("django", &e);
    return false;
}

/* --- Firestore, and what others left in it --- */

static void add_instance(struct jwks_totals *totals, const cJSON *fields)
{
    int64_t hits = 0, misses = 0, size = 0;

    (void)fs_get_i64(fields, "hits", &hits);
    (void)fs_get_i64(fields, "misses", &misses);
    (void)fs_get_i64(fields, "size", &size);
    totals->hits += hits;
    totals->misses += misses;
    /* All instances hold the same issuers. */
    if (size > totals->size)
        totals->size = size;
    totals->instances++;
}

static bool read_jwks(struct service_state *state, struct arena *a, int64_t deadline_ms,
                      struct jwks_totals *ret, struct error *e)
{
    const struct fs_query query = {
        .collection = "jwks_stats",
        .filters = {{"expiresAt", FS_GREATER, fs_value_of_time_ms(a, clock_unix_ms())}},
        .filter_count = 1,
        .limit = INSTANCES_MAX,
    };
    struct fs_document *documents;
    size_t count;

    if (!firestore_query(service_firestore(state), &query, NULL, a, deadline_ms, &documents, &count,
                         e))
        return false;
    *ret = (struct jwks_totals){0};
    for (size_t i = 0; i < count; i++)
        add_instance(ret, documents[i].fields);
    return true;
}

static bool read_last_sync(struct service_state *state, struct arena *a, int64_t deadline_ms,
                           char ret[32], struct error *e)
{
    const struct fs_query query = {
        .collection = "sync_logs",
        .order = {{"created_at", true}},
        .order_count = 1,
        .limit = 1,
        .select = {"created_at"},
        .select_count = 1,
    };
    struct fs_document *documents;
    int64_t at_ms;
    size_t count;

    ret[0] = '\0';
    if (!firestore_query(service_firestore(state), &query, NULL, a, deadline_ms, &documents, &count,
                         e))
        return false;
    if (count > 0 && fs_get_time_ms(documents[0].fields, "created_at", &at_ms))
        clock_iso_utc(at_ms, ret);
    return true;
}

static bool check_firestore(struct service_state *state, const struct healthz *own, struct arena *a,
                            int64_t deadline_ms, struct findings *found)
{
    int64_t until_ms = within(own, deadline_ms);
    struct error e = {0};

    if (service_firestore_ready(state, NULL, a, until_ms, &e) &&
        read_jwks(state, a, until_ms, &found->jwks, &e) &&
        read_last_sync(state, a, until_ms, found->last_sync, &e))
        return true;
    note("firestore", &e);
    return false;
}

/* False when there is any. */
static bool name_failures(const struct healthz *own, const struct findings *found, struct error *e)
{
    const struct {
        const char *name;
        bool good;
    } checks[] = {
        {"configuration", healthz_is_configured(own)},
        {"firestore", found->firestore},
        {"kenni", found->kenni},
        {"django", found->django},
    };
    char names[64];
    struct buf b;

    buf_init_fixed(&b, names, sizeof names);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (!checks[i].good)
            buf_printf(&b, "%s%s", b.len > 0 ? "," : "", checks[i].name);
    }
    return b.len == 0 || error_set(e, ERR_UNAVAILABLE, "%s", names);
}

bool healthz_probe(struct service_state *state, void *own_, struct arena *a, int64_t deadline_ms,
                   struct error *e)
{
    struct healthz *own = own_;
    struct findings found = {.checked = true};

    /* What was known stays known while Firestore is away. */
    pthread_mutex_lock(&own->lock);
    found.jwks = own->findings.jwks;
    memcpy(found.last_sync, own->findings.last_sync, sizeof found.last_sync);
    pthread_mutex_unlock(&own->lock);

    found.firestore = check_firestore(state, own, a, deadline_ms, &found);
    found.kenni = check_kenni(own, a, deadline_ms);
    found.django = check_django(own, a, deadline_ms);
    pthread_mutex_lock(&own->lock);
    own->findings = found;
    pthread_mutex_unlock(&own->lock);
    return name_failures(own, &found, e);
}
