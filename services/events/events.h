/*
 * events.h - what the use cases of this service share
 *
 * Each route of events.c's table is one file, named as its handler.
 */
#ifndef SERVICES_EVENTS_EVENTS_H
#define SERVICES_EVENTS_EVENTS_H

#include "service/account.h"
#include "service/service.h"
#include "store/pg_pool.h"

struct events_settings {
    int64_t reads_per_minute;
    int64_t tokens_per_minute;
    int64_t admin_per_minute;
    const char *elections_url;
    const char *s2s_key_id;
    const char *s2s_key;
    const char *voter_key;
    int64_t elections_timeout_ms;
    int64_t app_check_admin_mode; /* enum app_check_mode, or one more: as APP_CHECK_MODE */
    int64_t close_timeout_ms;
    bool reset_enabled;
    const char *reset_uids;
    int64_t reset_interval_s;
    bool reset_in_production;
};

/* What start makes and every handler sees as req->own. */
struct events {
    const struct events_settings *settings;
    struct http_client *elections;
};

static inline const struct events_settings *events_settings(const struct request *req)
{
    const struct events *events = req->own;

    return events->settings;
}

extern const struct pg_statement sql_current_election;
extern const struct pg_statement sql_claim_issue;
extern const struct pg_statement sql_confirm_issue;
extern const struct pg_statement sql_release_issue;
extern const struct pg_statement sql_issue_status;

void get_election(const struct request *req, struct response *res);
void request_token(const struct request *req, struct response *res);
void my_status(const struct request *req, struct response *res);
void my_token(const struct request *req, struct response *res);
void get_results(const struct request *req, struct response *res);

/* current_election.c: the election a member's call is about: the one named by ?election_id=, else
 * the current one (V-A12). Strings live in the arena. */
struct current_election {
    struct str id, title, description, question, status, phase, starts_at, ends_at;
    bool takes_tokens; /* its answers offer yes and no */
};
/* False: res is answered (404 none published, 503, …). */
bool current_election_find(const struct request *req, struct response *res,
                           struct current_election *ret);

#endif
