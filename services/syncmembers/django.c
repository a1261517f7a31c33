/*
 * django.c - the register's API, read only (contract §6.1)
 *
 * Only numbers are taken from `next`, never its address: the token goes nowhere but to
 * DJANGO_API_BASE_URL.
 */
#include "base/clock.h"
#include "net/backoff.h"
#include "net/http_client.h"
#include "ops/log.h"
#include "syncmembers.h"

#define ATTEMPTS_MAX     4
#define BACKOFF_BASE_MS  200
#define BACKOFF_CAP_MS   4000
#define ANSWER_MAX_BYTES (4U << 20)

struct asking {
    const struct sync_service *service;
    struct str url, correlation_id;
    int64_t deadline_ms;
    int status;
};

static bool ask_once(struct asking *asking, struct arena *a, const cJSON **ret, struct error *e)
{
    const struct sync_settings *settings = asking->service->settings;
    const struct http_header headers[] = {
        {STR("Authorization"), arena_printf(a, "Token %s", settings->token)},
        {STR("Accept"), STR("application/json")},
        {STR("X-Correlation-ID"), asking->correlation_id}};
    const struct http_call call = {.method = HTTP_GET,
                                   .url = asking->url,
                                   .headers = headers,
                                   .header_count = ARRAY_LEN(headers),
                                   .deadline_ms = asking->deadline_ms,
                                   .attempt_timeout_ms = settings->timeout_ms,
                                   .answer_max_bytes = ANSWER_MAX_BYTES,
                                   .attempts_max = 1};
    struct http_answer answer = {0};

    asking->status = 0;
    if (!http_client_call(asking->service->django, &call, a, &answer, NULL, e))
        return false;
    asking->status = answer.status;
    if (answer.status != 200)
        return error_set(e, ERR_BAD_GATEWAY, "django answered %d", answer.status);
    *ret = json_parse(a, answer.body, NULL);
    return cJSON_IsObject(*ret) || error_set(e, ERR_BAD_GATEWAY, "django: no JSON object");
}

/* What the same question again cannot change. */
static bool is_final(int status)
{
    return status >= 300 && status < 500 && status != 408 && status != 429;
}

static bool pause_before(unsigned attempt, int64_t deadline_ms)
{
    int64_t wait_ms =
        BACKOFF_BASE_MS + backoff_full_jitter_ms(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
    struct timespec left = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_nsec = (long)(wait_ms % 1000) * 1000000L};

    if (wait_ms >= clock_left_ms(deadline_ms))
        return false;
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
    return true;
}

static bool ask(struct asking *asking, struct arena *a, bool (*fits)(const cJSON *),
                const cJSON **ret, struct error *e)
{
    *ret = NULL;
    for (unsigned attempt = 0;; attempt++) {
        if (ask_once(asking, a, ret, e)) {
            if (fits(*ret))
                return true;
            (void)error_set(e, ERR_BAD_GATEWAY, "django: the answer lacks what it must have");
        }
        if (is_final(asking->status) || attempt + 1 == ATTEMPTS_MAX ||
            !pause_before(attempt, asking->deadline_ms))
            return false;
        log_warning("django is asked again", LOG_TEXT("correlation_id", asking->correlation_id),
                    LOG_I64("attempt", attempt + 1), LOG_TEXT("reason", str_from(e->detail)));
    }
}

static bool is_page(const cJSON *answer)
{
    int64_t count;

    return cJSON_IsArray(json_get(answer, "results")) && json_i64(answer, "count", &count) &&
           count >= 0;
}

static bool is_object(const cJSON *answer)
{
    return cJSON_IsObject(answer);
}

bool django_read_page(const struct sync_service *service, int64_t page, struct str correlation_id,
                      struct arena *a, int64_t deadline_ms, struct django_page *ret,
                      struct error *e)
{
    struct asking asking = {.service = service,
                            .url = arena_printf(a, "%s/api/full/?page=%lld&page_size=%lld",
                                                service->settings->base_url, (long long)page,
                                                (long long)service->settings->page_size),
                            .correlation_id = correlation_id,
                            .deadline_ms = deadline_ms};
    const cJSON *answer, *next;

    if (!ask(&asking, a, is_page, &answer, e))
        return false;
    next = json_get(answer, "next");
    *ret = (struct django_page){.results = json_get(answer, "results"),
                                .has_next = next && !cJSON_IsNull(next) && !cJSON_IsFalse(next) &&
                                            !(cJSON_IsString(next) && !next->valuestring[0])};
    return json_i64(answer, "count", &ret->count);
}

bool django_read_member(const struct sync_service *service, int64_t id, struct str correlation_id,
                        struct arena *a, int64_t deadline_ms, const cJSON **ret, struct error *e)
{
    struct asking asking = {
        .service = service,
        .url = arena_printf(a, "%s/api/full/%lld/", service->settings->base_url, (long long)id),
        .correlation_id = correlation_id,
        .deadline_ms = deadline_ms};

    if (ask(&asking, a, is_object, ret, e))
        return true;
    *ret = NULL;
    return asking.status == 404;
}
