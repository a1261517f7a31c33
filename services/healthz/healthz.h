/*
 * healthz.h - what this service's files share
 *
 * Dependencies are asked by libcommon's probe thread, at most every two seconds and only when
 * somebody asks for health; what they last said stands in struct findings.
 */
#ifndef SERVICES_HEALTHZ_H
#define SERVICES_HEALTHZ_H

#include "service/service.h"

#include <pthread.h>

struct healthz_settings {
    const char *issuer;
    const char *client_id;
    const char *client_secret;
    const char *redirect_uri;
    const char *django_token;
    const char *django_url;
    int64_t probe_timeout_ms;
};

/* Sums over the login service's instances of the last day (M-F47). */
struct jwks_totals {
    int64_t hits, misses, size, instances;
};

struct findings {
    bool checked; /* false until the first probe has ended */
    bool firestore, django, kenni;
    struct jwks_totals jwks;
    char last_sync[32]; /* of the members' register, ISO 8601; empty: none is known */
};

struct healthz {
    const struct healthz_settings *settings;
    bool secret_in_file;
    struct http_client *client; /* for Kenni and Django */
    pthread_mutex_t lock;       /* guards findings */
    struct findings findings;
};

bool healthz_is_configured(const struct healthz *own);

/* probe.c: the ready hook. False: e->detail names all that failed, with ',' between them. */
bool healthz_probe(struct service_state *state, void *own, struct arena *a, int64_t deadline_ms,
                   struct error *e);

#endif
