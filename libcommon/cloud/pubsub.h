/*
 * pubsub.h - Cloud Pub/Sub over REST: publish, pull, acknowledge
 *
 * At least once: a message is delivered until it is acknowledged, perhaps twice, in any order.
 * Blocking; thread-safe. With an emulator (Google's own, or a stand-in) the token is "owner".
 * Source: cloud.google.com/pubsub/docs/reference/rest (projects.topics.publish,
 * projects.subscriptions.pull, .acknowledge, .modifyAckDeadline).
 */
#ifndef LIBCOMMON_CLOUD_PUBSUB_H
#define LIBCOMMON_CLOUD_PUBSUB_H

#include "cloud/access_token.h"

#define PUBSUB_BATCH_MAX 20

struct pubsub;

struct pubsub_config {
    const char *project_id;
    const char *emulator_host;          /* "host:port", or "" */
    struct access_token_source *tokens; /* borrowed; not used with an emulator */
    struct http_client *client;         /* borrowed; must allow http for an emulator */
};

/* NULL when a name could not stand in a URL. */
struct pubsub *pubsub_new(const struct pubsub_config *config, struct error *e);
void pubsub_free(struct pubsub *ps); /* NULL is fine */

/* [A-Za-z][A-Za-z0-9._~+%-]{2,254}, as Google has it, but without '%'. */
bool pubsub_name_is_valid(const char *name);

/*
 * True: the message is stored and will be delivered. False: it may be all the same (a time-out), so
 * what is published must bear being delivered although publishing "failed".
 */
bool pubsub_publish(struct pubsub *ps, const char *topic, struct str data, struct arena *a,
                    int64_t deadline_ms, struct error *e) MUST_CHECK;

struct pubsub_message {
    struct str ack_id;
    struct str data; /* decoded; empty when it is missing or no base64 */
};

/* What is there now, at most PUBSUB_BATCH_MAX; none is no error. In the arena. */
bool pubsub_pull(struct pubsub *ps, const char *subscription, struct arena *a, int64_t deadline_ms,
                 struct pubsub_message ret[PUBSUB_BATCH_MAX], size_t *ret_count,
                 struct error *e) MUST_CHECK;

/* Never deliver these again; all at once. count 0 is fine. */
bool pubsub_acknowledge(struct pubsub *ps, const char *subscription, const struct str *ack_ids,
                        size_t count, struct arena *a, int64_t deadline_ms,
                        struct error *e) MUST_CHECK;

/* Deliver these again at once, instead of when their time to acknowledge is over. */
bool pubsub_release(struct pubsub *ps, const char *subscription, const struct str *ack_ids,
                    size_t count, struct arena *a, int64_t deadline_ms, struct error *e) MUST_CHECK;

#endif
