/*
 * platform.c - only Google's event delivery may call (contract §3.9)
 *
 * Eventarc sends an ID token of the trigger's service account. Where the platform checks it itself
 * (Cloud Run without public access) EVENT_AUTH=platform leaves it at that.
 */
#include "auditmemberchanges.h"

#include "auth/jwks_cache.h"
#include "base/clock.h"
#include "service/settings.h"

#define ISSUER       "https://accounts.google.com"
#define ISSUER_SHORT "accounts.google.com"

static bool refuse(struct response *res, const char *reason)
{
    respond_error(res, ERR_UNAUTHENTICATED, "This address is for the platform's events only.");
    res->log_reason = reason;
    return false;
}

static bool claims_fit(const struct request *req, const struct jwt *token, struct error *e)
{
    const struct audit_service *service = req->own;
    const struct jwt_expect expect = {
        .audience = service->settings->audience,
        .now_s = clock_unix_ms() / 1000,
        .leeway_s = 30,
    };
    struct str issuer = STR(""), email = STR("");
    bool verified = false;

    if (!jwt_check_claims(token, &expect, e))
        return false;
    (void)json_str(token->claims, "iss", &issuer);
    (void)json_str(token->claims, "email", &email);
    (void)json_bool(token->claims, "email_verified", &verified);
    if (!str_eq_text(issuer, ISSUER) && !str_eq_text(issuer, ISSUER_SHORT))
        return error_set(e, ERR_UNAUTHENTICATED, "token: not Google's");
    if (!verified || !str_eq_text(email, service->settings->account))
        return error_set(e, ERR_UNAUTHENTICATED, "token: another account");
    return true;
}

bool platform_is_proven(const struct request *req, struct response *res)
{
    const struct audit_service *service = req->own;
    struct str header = http_header_get(req->http, "Authorization");
    struct error e = {0};
    struct jwt token;

    if (service->settings->event_auth == EVENT_AUTH_PLATFORM)
        return true;
    if (http_header_count(req->http, "Authorization") != 1 ||
        !str_starts_with(header, STR("Bearer ")))
        return refuse(res, "no token of the platform");
    if (jwt_decode(req->arena, str_skip(header, 7), false, &token, &e) &&
        jwks_cache_verify(service->keys, &token, req->arena, req->deadline_ms, &e) &&
        claims_fit(req, &token, &e))
        return true;
    if (e.code == ERR_UNAUTHENTICATED)
        return refuse(res, arena_text(req->arena, str_from(e.detail)));
    respond_failure(res, &e);
    return false;
}
