/*
 * get_django_token.h - what this service's files share
 */
#ifndef SERVICES_GET_DJANGO_TOKEN_H
#define SERVICES_GET_DJANGO_TOKEN_H

#include "cloud/firestore.h"
#include "net/http_client.h"
#include "ops/metrics.h"
#include "service/service.h"

struct token_settings {
    const char *django_token;
    const char *base_url;
    const char *ticket_path;
    const char *ticket_scope;
    int64_t ticket_ttl_s;
    int64_t issues_per_hour;
};

struct token_service {
    const struct token_settings *settings;
    struct http_client *django; /* NULL while tickets are off */
    struct metric *issued, *denied;
};

/* What is handed out: Django's token, or a ticket of Django's that ends by itself. */
struct issue {
    struct str token;
    struct str expires_at; /* empty: it does not */
};

/* Asks Django for a ticket. ERR_BAD_GATEWAY when the answer is none; details hold nothing of it. */
bool ticket_fetch(const struct token_service *service, struct arena *a, int64_t deadline_ms,
                  struct issue *ret, struct error *e) MUST_CHECK;

void issue_token(const struct request *req, struct response *res);

#endif
