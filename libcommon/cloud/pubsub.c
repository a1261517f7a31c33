/* pubsub.c - see pubsub.h */
#include "cloud/pubsub.h"

#include "base/buf.h"
#include "base/encode.h"
#include "cloud/google_api.h"

#define REQUEST_MAX_BYTES (1U << 20)

struct pubsub {
    struct google_api api;
    struct access_token_source *own_tokens; /* of an emulator */
    char *root_url;                         /* "https://pubsub.googleapis.com/v1/projects/P/" */
};

static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                 "-._~+";

bool pubsub_name_is_valid(const char *name)
{
    struct str s = str_from(name);

    return s.len >= 3 && s.len <= 255 && str_only(s, name_bytes) &&
           ((s.ptr[0] >= 'A' && s.ptr[0] <= 'Z') || (s.ptr[0] >= 'a' && s.ptr[0] <= 'z'));
}

struct pubsub *pubsub_new(const struct pubsub_config *config, struct error *e)
{
    const struct access_token_config owner = {.emulator = true,
                                              .key_file = "",
                                              .metadata_host = "",
                                              .scope = "",
                                              .client = config->client};
    bool emulator = config->emulator_host[0] != '\0';
    struct pubsub *ps;
    struct buf url;
    char *base;

    if (!pubsub_name_is_valid(config->project_id)) {
        (void)error_set(e, ERR_BAD_REQUEST, "the project of Pub/Sub has no valid name");
        return NULL;
    }
    ps = calloc(1, sizeof *ps);
    must(ps);
    ps->api = (struct google_api){.client = config->client, .tokens = config->tokens};
    if (emulator) {
        /* Real credentials never go to an emulator. */
        ps->own_tokens = ps->api.tokens = access_token_source_new(&owner, e);
        must(ps->own_tokens);
    }
    base = google_base_url("pubsub.googleapis.com", config->emulator_host, false);
    buf_init(&url, 2048);
    buf_printf(&url, "%sv1/projects/%s/", base, config->project_id);
    must(!url.overflow);
    ps->root_url = buf_take(&url, NULL);
    free(base);
    return ps;
}

void pubsub_free(struct pubsub *ps)
{
    if (!ps)
        return;
    if (ps->own_tokens)
        access_token_source_free(ps->own_tokens);
    free(ps->root_url);
    free(ps);
}

/* All of these may be repeated: a second publish is a second delivery, which receivers bear. */
static bool call(struct pubsub *ps, const char *kind, const char *name, const char *verb,
                 struct buf *body, struct arena *a, int64_t deadline_ms, struct google_answer *ret,
                 struct error *e)
{
    const struct google_call google = {
        .what = verb,
        .url = arena_printf(a, "%s%s/%s:%s", ps->root_url, kind, name, verb),
        .body = buf_str(body),
        .repeatable = true,
        .deadline_ms = deadline_ms,
    };
    bool ok;

    must(!body->overflow && pubsub_name_is_valid(name));
    ok = google_call(&ps->api, &google, a, ret, e);
    buf_done(body);
    return ok;
}

bool pubsub_publish(struct pubsub *ps, const char *topic, struct str data, struct arena *a,
                    int64_t deadline_ms, struct error *e)
{
    struct google_answer answer;
    struct buf body;

    buf_init(&body, REQUEST_MAX_BYTES);
    buf_add(&body, STR("{\"messages\":[{\"data\":\""));
    buf_add(&body, base64_encode(a, data));
    buf_add(&body, STR("\"}]}"));
    if (!call(ps, "topics", topic, "publish", &body, a, deadline_ms, &answer, e))
        return false;
    if (cJSON_GetArraySize(json_get(answer.json, "messageIds")) != 1)
        return error_set(e, ERR_BAD_GATEWAY, "publish: answer in an unknown shape");
    return true;
}

bool pubsub_pull(struct pubsub *ps, const char *subscription, struct arena *a, int64_t deadline_ms,
                 struct pubsub_message ret[PUBSUB_BATCH_MAX], size_t *ret_count, struct error *e)
{
    struct google_answer answer;
    struct buf body;
    const cJSON *item = NULL;

    *ret_count = 0;
    buf_init(&body, REQUEST_MAX_BYTES);
    /* At once, also with nothing: a hanging call could not be ended at shutdown without losing what
     * was just delivered to it until its time is over. */
    buf_printf(&body, "{\"returnImmediately\":true,\"maxMessages\":%d}", PUBSUB_BATCH_MAX);
    if (!call(ps, "subscriptions", subscription, "pull", &body, a, deadline_ms, &answer, e))
        return false;
    cJSON_ArrayForEach(item, json_get(answer.json, "receivedMessages"))
    {
        struct pubsub_message *m = &ret[*ret_count];
        struct str text = STR("");

        if (*ret_count == PUBSUB_BATCH_MAX)
            break; /* more than we asked for: they come again */
        *m = (struct pubsub_message){.data = STR("")};
        if (!json_str(item, "ackId", &m->ack_id))
            return error_set(e, ERR_BAD_GATEWAY, "pull: answer in an unknown shape");
        (void)json_str(json_get(item, "message"), "data", &text);
        if (!base64_decode(a, text, &m->data))
            m->data = STR("");
        (*ret_count)++;
    }
    return true;
}

/* What is said of deliveries: their ids, and a member more, if any. */
static bool tell(struct pubsub *ps, const char *subscription, const char *verb, const char *member,
                 const struct str *ack_ids, size_t count, struct arena *a, int64_t deadline_ms,
                 struct error *e)
{
    struct google_answer answer;
    struct buf body;
    cJSON *list = json_array(a);

    if (count == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        json_add_str(list, NULL, ack_ids[i]);
    buf_init(&body, REQUEST_MAX_BYTES);
    buf_add(&body, STR("{\"ackIds\":"));
    must(json_write(&body, list));
    buf_add_text(&body, member);
    buf_add_char(&body, '}');
    return call(ps, "subscriptions", subscription, verb, &body, a, deadline_ms, &answer, e);
}

bool pubsub_acknowledge(struct pubsub *ps, const char *subscription, const struct str *ack_ids,
                        size_t count, struct arena *a, int64_t deadline_ms, struct error *e)
{
    return tell(ps, subscription, "acknowledge", "", ack_ids, count, a, deadline_ms, e);
}

bool pubsub_release(struct pubsub *ps, const char *subscription, const struct str *ack_ids,
                    size_t count, struct arena *a, int64_t deadline_ms, struct error *e)
{
    return tell(ps, subscription, "modifyAckDeadline", ",\"ackDeadlineSeconds\":0", ack_ids, count,
                a, deadline_ms, e);
}
