/*
 * login.c - POST /handleKenniAuth: an authorization code of Kenni's against a token of ours
 *
 * What fails before the code is redeemed may be tried again with the same code (429, 502, 503,
 * 504); what fails afterwards needs a new sign-in, and says so. Keys are at hand before the code is
 * redeemed (M-F36), and the token is given only when the account and its claims are written
 * (M-F44).
 */
#include "handlekenniauth.h"

#include "base/clock.h"
#include "cloud/identity_toolkit.h"
#include "ops/log.h"

#define PROVIDER_BUDGET_MS 10000

/* Messages for people, by the code they come with. */
static const struct {
    const char *wire_code, *text;
} messages[] = {
    {"INVALID_INPUT", "The sign-in data is incomplete or not valid."},
    {"INVALID_JSON", "The request is not valid JSON."},
    {"INVALID_REDIRECT_URI", "The address to return to is not allowed."},
    {"RATE_LIMITED", "Too many sign-in attempts. Please wait a while and try again."},
    {"CONFIG_MISSING", "Signing in is not set up completely. Please contact the office."},
    {"PROVIDER_UNAVAILABLE", "Kenni does not answer at the moment. Please try again."},
    {"TOKEN_EXCHANGE_FAILED", "Kenni did not accept the sign-in. Please sign in again."},
    {"DELEGATED_SESSION", "Please sign in as yourself, not on behalf of somebody else."},
    {"ACCOUNT_DISABLED", "This account has been closed. Please contact the office."},
    {"UNAVAILABLE", "The service is busy. Please try again in a moment."},
    {"INTERNAL", "Signing in did not succeed. Please sign in again."},
};

bool login_fail(const struct request *req, struct login_failure *f, enum login_outcome outcome,
                enum error_code code, const char *wire_code, const char *reason, const char *detail)
{
    *f = (struct login_failure){outcome, code, wire_code,
                                reason,  "",   arena_text(req->arena, str_from(detail))};
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        if (strcmp(messages[i].wire_code, wire_code) == 0)
            f->message = messages[i].text;
    }
    return false;
}

static void refuse(const struct request *req, struct response *res, const struct login_failure *f)
{
    const struct login_service *service = req->own;
    cJSON *extra = json_object(req->arena);

    json_add_text(extra, "error", f->wire_code);
    if (f->reason)
        json_add_text(extra, "reason", f->reason);
    respond_error_extra(res, f->code, f->message, extra);
    res->log_reason = f->detail;
    metric_add(service->outcomes[f->outcome], 1);
}

/* Names of what is missing go to the log only (contract §3.1 step 4). */
static bool is_configured(const struct request *req, struct login_failure *f)
{
    const struct login_settings *s = &((const struct login_service *)req->own)->settings;
    const char *missing = !s->issuer[0]          ? "KENNI_IS_ISSUER_URL"
                          : !s->client_id[0]     ? "KENNI_IS_CLIENT_ID"
                          : !s->client_secret[0] ? "KENNI_IS_CLIENT_SECRET"
                          : !s->redirect_uri[0]  ? "KENNI_IS_REDIRECT_URI"
                                                 : NULL;

    return !missing || login_fail(req, f, LOGIN_CONFIG, ERR_INTERNAL, "CONFIG_MISSING", NULL,
                                  arena_printf(req->arena, "%s is not set", missing).ptr);
}

static bool find_provider(const struct request *req, struct provider_endpoints *ret,
                          struct login_failure *f)
{
    const struct login_service *service = req->own;
    int64_t until_ms = clock_mono_ms() + PROVIDER_BUDGET_MS;
    struct error e = {0};

    if (provider_get(service->provider, req->arena,
                     until_ms < req->deadline_ms ? until_ms : req->deadline_ms, ret, &e))
        return true;
    return login_fail(req, f, LOGIN_PROVIDER,
                      e.code == ERR_GATEWAY_TIMEOUT ? ERR_GATEWAY_TIMEOUT : ERR_BAD_GATEWAY,
                      "PROVIDER_UNAVAILABLE", "discovery", e.detail);
}

/* Some providers leave the claims to the userinfo endpoint; then they are asked for there. */
static bool identify(const struct request *req, const struct provider_endpoints *at,
                     const struct kenni_tokens *tokens, const cJSON *claims, struct person *ret,
                     struct login_failure *f)
{
    struct error e = {0};

    if (!json_get(claims, "national_id")) {
        struct str subject = json_str_value(json_get(claims, "sub"));

        if (!exchange_userinfo(req, at, tokens, subject, &claims, &e))
            return login_fail(req, f, LOGIN_PERSON, ERR_INTERNAL, "INTERNAL", "no_national_id",
                              e.detail);
    }
    return person_read(req->arena, claims, ret) ||
           login_fail(req, f, LOGIN_PERSON, ERR_INTERNAL, "INTERNAL", "no_national_id",
                      "national_id is missing or no kennitala");
}

static bool redeem(const struct request *req, const struct login_input *input,
                   const struct provider_endpoints *at, struct person *ret, struct login_failure *f)
{
    struct kenni_tokens tokens;
    const cJSON *claims;

    return exchange_code(req, input, at, &tokens, f) &&
           id_token_check(req, at, &tokens, input, &claims, f) &&
           identify(req, at, &tokens, claims, ret, f);
}

static bool sign_in(const struct request *req, const struct person *person,
                    struct login_account *ret_account, struct str *ret_token,
                    struct login_failure *f)
{
    struct error e = {0};

    if (!account_settle(req, person, ret_account, f))
        return false;
    return identity_custom_token(service_identity_toolkit(req->state), ret_account->uid,
                                 ret_account->claims, clock_unix_ms() / 1000, req->arena,
                                 req->deadline_ms, ret_token, &e) ||
           login_fail(req, f, LOGIN_SIGNING, ERR_INTERNAL, "INTERNAL", "sign_in_again", e.detail);
}

static void answer(const struct request *req, struct response *res,
                   const struct login_account *account, struct str token)
{
    const struct login_service *service = req->own;
    cJSON *body = json_object(req->arena);

    json_add_str(body, "customToken", token);
    json_add_str(body, "uid", account->uid);
    json_add_bool(body, "requiresReactivation", account->was_deleted);
    respond_json(res, 200, body);
    metric_add(service->outcomes[account->created ? LOGIN_CREATED : LOGIN_OK], 1);
    log_info("login", LOG_PSEUDONYM("caller", account->uid), LOG_BOOL("created", account->created),
             LOG_TEXT("correlation_id", req->correlation_id));
}

void login(const struct request *req, struct response *res)
{
    const struct login_service *service = req->own;
    struct provider_endpoints endpoints;
    struct login_input input;
    struct login_failure f = {.message = ""};
    struct person person;
    struct login_account account = {.uid = {NULL, 0}};
    struct str token;
    unsigned retry_after_s = 1;

    /* What is refused without work does not use up the quota (M-F46). */
    if (!login_input_read(req, &input, &f) || !is_configured(req, &f) ||
        !login_limit_admit(req, &retry_after_s, &f)) {
        respond_retry_after(res, retry_after_s);
        refuse(req, res, &f);
        return;
    }
    if (find_provider(req, &endpoints, &f) && redeem(req, &input, &endpoints, &person, &f) &&
        sign_in(req, &person, &account, &token, &f))
        answer(req, res, &account, token);
    else
        refuse(req, res, &f);
    jwks_report_touch(service->report);
}
