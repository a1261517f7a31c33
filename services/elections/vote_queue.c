/*
 * vote_queue.c - a vote the database cannot take now waits in Cloud Pub/Sub
 *
 * Only when VOTE_QUEUE is on and the client says that it understands "not yet": Prefer:
 * respond-async (RFC 7240 §4.1). A page that takes every 2xx for "your vote has been recorded" must
 * never be told 202. Only when it is certain that the database did nothing with the vote; where
 * that is in doubt the client gets the 503 it always got, and its retry clears the doubt. 202 says
 * that Pub/Sub has stored the message, and nothing else.
 */
#include "vote_queue.h"

#include "ops/log.h"
#include "service/settings.h"

#define DIVERT_MS          1000
#define CONNECT_TIMEOUT_MS 1000
#define PARALLEL_MAX       32
#define BREAKER_FAILURES   5
#define BREAKER_OPEN_MS    1000
#define POLL_AFTER_S       5
#define ANSWER_RESERVE_MS  100 /* of the request's budget, for the reply after a slow publish */

static void add_metrics(struct vote_queue *q, struct metrics *m)
{
    static const char accepted[] = "vote_queue_accepted_total";
    static const char done[] = "vote_queue_done_total";
    static const char accepted_help[] = "Votes the queue was asked to take, by outcome.";
    static const char done_help[] = "Deliveries from the queue, by what became of them.";

    q->accepted = metrics_counter(m, accepted, accepted_help, "outcome=\"stored\"");
    q->not_accepted = metrics_counter(m, accepted, accepted_help, "outcome=\"failed\"");
    q->recorded = metrics_counter(m, done, done_help, "outcome=\"recorded\"");
    q->refused = metrics_counter(m, done, done_help, "outcome=\"refused\"");
    q->poison = metrics_counter(m, done, done_help, "outcome=\"poison\"");
    q->postponed = metrics_counter(m, done, done_help, "outcome=\"postponed\"");
}

/* NULL when all is well. */
static const char *fault_in(const struct elections_settings *set)
{
    if (set->vote_queue_key[0] == '\0')
        return "VOTE_QUEUE is on and VOTE_QUEUE_KEY is not set";
    if (!pubsub_name_is_valid(set->vote_queue_topic) ||
        !pubsub_name_is_valid(set->vote_queue_dead_topic) ||
        !pubsub_name_is_valid(set->vote_queue_subscription))
        return "a topic or subscription of VOTE_QUEUE has no valid name";
    return NULL;
}

bool vote_queue_open(struct service_state *state, const struct elections_settings *set,
                     struct vote_queue **ret, struct error *e)
{
    const struct http_client_config http = {
        .name = "pubsub",
        .allow_http = set->pubsub_emulator_host[0] != '\0',
        .parallel_max = PARALLEL_MAX,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .breaker_failures = BREAKER_FAILURES,
        .breaker_open_ms = BREAKER_OPEN_MS,
    };
    const char *fault;
    struct vote_queue *q;

    *ret = NULL;
    if (!set->vote_queue)
        return true;
    if ((fault = fault_in(set)) != NULL)
        return error_set(e, ERR_FAILED_PRECONDITION, "%s", fault);
    q = calloc(1, sizeof *q);
    must(q);
    q->settings = set;
    q->pool = service_pool(state);
    q->client = http_client_new(&http);

    const struct pubsub_config config = {
        .project_id = service_server_settings(state)->gcp_project,
        .emulator_host = set->pubsub_emulator_host,
        .tokens = service_access_tokens(state),
        .client = q->client,
    };

    q->pubsub = pubsub_new(&config, e);
    if (!q->pubsub) {
        http_client_free(q->client);
        free(q);
        return false;
    }
    service_watch_client(state, q->client);
    vote_queue_keys_derive(set->vote_queue_key, &q->keys);
    add_metrics(q, service_metrics(state));
    q->worker = vote_queue_worker_start(q);
    *ret = q;
    return true;
}

void vote_queue_close(struct vote_queue *q)
{
    if (!q)
        return;
    vote_queue_worker_stop(q->worker);
    pubsub_free(q->pubsub);
    http_client_free(q->client);
    free(q);
}

static struct vote_queue *queue_of(const struct request *req)
{
    const struct elections *elections = req->own;

    return elections->queue;
}

/* One preference among others: "respond-async, wait=10". */
static bool understands_202(const struct request *req)
{
    struct str rest = http_header_get(req->http, "Prefer"), part;

    while (str_split(&rest, ',', &part)) {
        if (str_eq_ci(str_trim(part), STR("respond-async")))
            return true;
    }
    return false;
}

bool vote_queue_diverts(const struct request *req)
{
    struct vote_queue *q = queue_of(req);
    struct pg_pool_stats stats;

    if (!q || !understands_202(req))
        return false;
    if (clock_mono_ms() < atomic_load_explicit(&q->divert_until_ms, memory_order_relaxed))
        return true;
    /* As many already wait for a connection as there are connections: another would wait longest.
     */
    pg_pool_get_stats(q->pool, &stats);
    return stats.waiting >= stats.size;
}

/* Nothing of the vote reached the database, or it said itself that it undid it. */
static bool surely_not_recorded(const struct pg_result *result, const struct error *e)
{
    if (e->code == ERR_NONE)
        return true; /* diverted */
    /* 57014: its own time limit; 53…: out of connections, memory, disk. 55P03 is no lack of
     * strength: somebody closes the election, or the same token votes twice at once. */
    return e->code == ERR_UNAVAILABLE && !result->outcome_unknown &&
           (result->sqlstate[0] == '\0' || strcmp(result->sqlstate, "57014") == 0 ||
            strncmp(result->sqlstate, "53", 2) == 0);
}

static struct str arrival(const struct request *req)
{
    char *iso = arena_alloc(req->arena, CLOCK_ISO_SIZE);

    clock_iso_utc(clock_unix_ms() - (clock_mono_us() - req->http->arrived_us) / 1000, iso);
    return str_from(iso);
}

static void read_params(const struct request *req, const struct pg_param *vote,
                        struct queued_vote *ret)
{
    *ret = (struct queued_vote){
        .org_id = vote[0].value,
        .token_hash = vote[1].value,
        .answer = vote[2].value,
        .ballot_id = vote[3].value,
        .arrived = arrival(req),
        .has_idempotency = vote[5].value.ptr != NULL,
    };
    if (ret->has_idempotency) {
        memcpy(ret->idem_key, vote[5].value.ptr, SHA256_BYTES);
        memcpy(ret->idem_fingerprint, vote[6].value.ptr, SHA256_BYTES);
        ret->idem_reply = vote[7].value;
    }
}

static void answer_202(const struct request *req, struct response *res, struct str ballot_id,
                       const char *receipt)
{
    cJSON *body = json_object(req->arena);

    json_add_text(body, "status", "queued");
    json_add_bool(body, "recorded", false);
    json_add_text(body, "receipt", receipt);
    json_add_str(body, "ballot_id", ballot_id);
    json_add_text(body, "message",
                  "Your vote waits to be recorded. It counts once /api/vote-status says recorded.");
    respond_json(res, 202, body);
    respond_header(res, "Retry-After", arena_printf(req->arena, "%d", POLL_AFTER_S).ptr);
}

bool vote_queue_take(const struct request *req, struct response *res, const struct pg_param *vote,
                     const struct pg_result *result, struct error *e)
{
    struct vote_queue *q = queue_of(req);
    char receipt[RECEIPT_HEX_SIZE];
    struct queued_vote queued;
    struct error failed = {0};
    int64_t deadline_ms, now_ms = clock_mono_ms();

    if (!q || !surely_not_recorded(result, e))
        return false;
    if (e->code != ERR_NONE)
        atomic_store_explicit(&q->divert_until_ms, now_ms + DIVERT_MS, memory_order_relaxed);
    if (!understands_202(req))
        return false;
    read_params(req, vote, &queued);
    receipt_new(&q->keys, clock_unix_ms() / 1000, receipt, queued.receipt_hash);
    deadline_ms = now_ms + q->settings->vote_queue_timeout_ms;
    if (deadline_ms > req->deadline_ms - ANSWER_RESERVE_MS)
        deadline_ms = req->deadline_ms - ANSWER_RESERVE_MS;
    if (pubsub_publish(q->pubsub, q->settings->vote_queue_topic,
                       queued_vote_seal(&queued, &q->keys, req->arena), req->arena, deadline_ms,
                       &failed)) {
        metric_add(q->accepted, 1);
        answer_202(req, res, queued.ballot_id, receipt);
        return true;
    }
    metric_add(q->not_accepted, 1);
    log_warning("the vote queue took no vote", LOG_TEXT("reason", str_from(failed.detail)));
    if (e->code == ERR_NONE)
        (void)error_set(e, ERR_UNAVAILABLE, "database busy and vote queue down");
    return false;
}
