/*
 * syncmembers.h - what this service's files share
 */
#ifndef SERVICES_SYNCMEMBERS_H
#define SERVICES_SYNCMEMBERS_H

#include "cloud/audit_log.h"
#include "cloud/lease.h"
#include "cloud/member_document.h"
#include "service/service.h"

struct sync_settings {
    const char *base_url;
    const char *token;
    int64_t timeout_ms;
    int64_t page_size;
    const char *countries;
    const char *test_accounts;
    int64_t vanish_percent;
    bool lower_roles;
    const char *audit_key;
    int64_t audit_chains;
    int64_t lease_s;
    int64_t calls_per_minute;
};

/* What start makes and every handler sees as req->own. */
struct sync_service {
    const struct sync_settings *settings;
    struct member_countries countries;
    struct member_test_accounts test_accounts;
    struct audit_log *audit;
    struct http_client *django;
};

/* --- django.c: the register --- */

struct django_page {
    const cJSON *results; /* an array */
    int64_t count;
    bool has_next;
};
/* With repeats and back-off. ERR_BAD_GATEWAY, ERR_GATEWAY_TIMEOUT or ERR_UNAVAILABLE when it stays
 * bad. */
bool django_read_page(const struct sync_service *service, int64_t page, struct str correlation_id,
                      struct arena *a, int64_t deadline_ms, struct django_page *ret,
                      struct error *e) MUST_CHECK;
/* One member by Django's id; *ret is NULL when there is none. */
bool django_read_member(const struct sync_service *service, int64_t id, struct str correlation_id,
                        struct arena *a, int64_t deadline_ms, const cJSON **ret,
                        struct error *e) MUST_CHECK;

/* --- a run --- */

struct sync_counts {
    int64_t total, synced, failed, skipped, pages, deactivated, roles_changed, unchanged;
};

struct people; /* people.c */

struct sync_run {
    const struct sync_service *service;
    struct firestore *firestore;
    struct identity_toolkit *toolkit;
    struct str actor, correlation_id;
    char id[21]; /* a document of sync_runs */
    int64_t deadline_ms;
    int64_t started_ms, completed_ms;
    struct sync_counts counts;
    int64_t done_id; /* rows up to this Django id are written; a resumed run begins behind it */
    int64_t seen_id; /* of the row read last: rows come in the order of their ids */
    bool resumed;
    const char *state; /* "running", "done", "failed" */
    const char *cause; /* fixed text, for "failed" */
    struct people *people;
    struct lease lease;
    char owner[UUID_TEXT_SIZE];
    int64_t lease_taken_ms;
};

/* progress.c: sync_runs/{id} */
bool progress_save(const struct sync_run *run, struct error *e) MUST_CHECK;
/* Continues the last run if it was cut off lately; else the run is a new one. */
bool progress_resume(struct sync_run *run, struct error *e) MUST_CHECK;
void progress_add_stats(const struct sync_run *run, cJSON *to);
void sync_status(const struct request *req, struct response *res); /* GET */

/* people.c: whom Firestore knows and whom Django told of, ten digits each, in memory */
struct person {
    char kennitala[KENNITALA_SIZE];
    bool is_active, is_seen;
    int64_t django_id;
};
bool people_load(struct sync_run *run, struct error *e) MUST_CHECK;
void people_free(struct people *people);
void people_see(struct people *people, const char *kennitala);
size_t people_active(const struct people *people);
/* Active members that Django did not tell of. *place starts at 0; NULL at the end. */
const struct person *people_next_vanished(const struct people *people, size_t *place);

/* write_rows.c: one page into Firestore; counts each row once. False stops the run. */
bool write_rows(struct sync_run *run, const cJSON *rows, struct arena *a,
                struct error *e) MUST_CHECK;

/* roles.c (M-F04) */
bool roles_apply(struct sync_run *run, const char *kennitala, const cJSON *row, struct arena *a,
                 struct error *e) MUST_CHECK;

/* vanished.c (M-F16) */
bool vanished_is_too_much(const struct sync_run *run, int64_t vanished);
bool vanished_deactivate(struct sync_run *run, struct error *e) MUST_CHECK;

/* run.c: everything between taking the lease and giving it back */
bool sync_run_all(struct sync_run *run, struct error *e) MUST_CHECK;
bool sync_may_go_on(struct sync_run *run, struct error *e) MUST_CHECK;

/* sync_members.c */
bool caller_is_operator(const struct request *req, struct response *res) MUST_CHECK;
void sync_members(const struct request *req, struct response *res);

#endif
