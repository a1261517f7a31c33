/*
 * kenni_auth.c - the provider's login page
 *
 * GET shows the people; POST signs one of them in and sends the browser back with a code. A test
 * posts the same form without having seen the page. Plain HTML: no script, no picture, no style
 * sheet from elsewhere.
 */
#include "kenni.h"

#define PAGE_MAX_BYTES (512U << 10)

/* What goes from the request through the form back to us. */
static const char *const kept[] = {
    "client_id", "redirect_uri",   "response_type",         "scope", "state",
    "nonce",     "code_challenge", "code_challenge_method", NULL};

struct question {
    const struct request *req;
    struct http_param fields[HTTP_QUERY_PARAMS_MAX];
    size_t count;
};

static struct str field(const struct question *q, const char *name)
{
    return kenni_field(q->fields, q->count, name);
}

/* --- judging the request --- */

static bool is_listed(const char *list, struct str uri)
{
    struct str rest = str_from(list), one;

    while (str_split(&rest, ',', &one)) {
        if (str_eq(str_trim(one), uri))
            return true;
    }
    return false;
}

/* The two that decide whether the browser may be sent anywhere at all. */
static const char *target_fault(const struct question *q)
{
    const struct cloud_settings *settings = service_settings(q->req->state);

    if (!str_eq_text(field(q, "client_id"), settings->kenni_client_id))
        return "client is invalid";
    if (!is_listed(settings->kenni_redirect_uris, field(q, "redirect_uri")))
        return "redirect_uri did not match any of the client's registered redirect_uris";
    return NULL;
}

static bool has_word(struct str text, struct str word)
{
    struct str one;

    while (str_split(&text, ' ', &one)) {
        if (str_eq(one, word))
            return true;
    }
    return false;
}

static const char *request_fault(const struct question *q, const char **ret_error)
{
    struct str challenge = field(q, "code_challenge");

    *ret_error = "invalid_request";
    if (!str_eq(field(q, "response_type"), STR("code"))) {
        *ret_error = "unsupported_response_type";
        return "unsupported response_type requested";
    }
    if (!has_word(field(q, "scope"), STR("openid")))
        return "openid scope must be requested for this request";
    if (challenge.len == 0)
        return "Authorization Server policy requires PKCE to be used for this request";
    if (!str_eq(field(q, "code_challenge_method"), STR("S256")))
        return "not supported value of code_challenge_method";
    if (challenge.len != 43)
        return "code_challenge must be a string with a minimum length of 43 characters";
    return NULL;
}

/* --- answers --- */

static void send_back(const struct question *q, struct response *res, const char *const *names,
                      const struct str *values)
{
    struct str target = field(q, "redirect_uri");
    struct buf location;
    char separator = str_find_char(target, '?') < target.len ? '&' : '?';

    buf_init(&location, 16384);
    buf_add(&location, target);
    for (size_t i = 0; names[i]; i++) {
        if (values[i].len == 0)
            continue;
        buf_add_char(&location, separator);
        separator = '&';
        buf_add_text(&location, names[i]);
        buf_add_char(&location, '=');
        buf_add_url(&location, values[i]);
    }
    if (location.overflow) {
        respond_error(res, ERR_BAD_REQUEST, "the answer's address would be too long");
    } else {
        respond_empty(res, 303);
        respond_header(res, "Location", location.ptr);
    }
    buf_done(&location);
}

static void send_error(const struct question *q, struct response *res, const char *error,
                       const char *why)
{
    const char *const names[] = {"error", "error_description", "state", "iss", NULL};
    const struct str values[] = {str_from(error), str_from(why), field(q, "state"),
                                 kenni_issuer(q->req)};

    send_back(q, res, names, values);
}

static void send_page(struct response *res, int status, const struct buf *page)
{
    respond_text(res, status, "text/html; charset=utf-8", buf_str(page));
    respond_header(res, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    respond_header(res, "Referrer-Policy", "no-referrer");
}

static void add_html(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '&':
            buf_add_text(b, "&amp;");
            break;
        case '<':
            buf_add_text(b, "&lt;");
            break;
        case '>':
            buf_add_text(b, "&gt;");
            break;
        case '"':
            buf_add_text(b, "&quot;");
            break;
        default:
            buf_add_char(b, text.ptr[i]);
        }
    }
}

static void add_head(struct buf *b)
{
    buf_add_text(b, "<!doctype html><html lang=\"is\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width\">"
                    "<title>Innskráning (local cloud)</title>"
                    "<style>body{font:16px sans-serif;max-width:32em;margin:2em auto;padding:0 1em}"
                    "button{display:block;width:100%;margin:.5em 0;padding:.8em;text-align:left;"
                    "font:inherit}</style></head><body><h1>Innskráning</h1>");
}

static void show_error(struct response *res, const char *why)
{
    struct buf page;

    buf_init(&page, PAGE_MAX_BYTES);
    add_head(&page);
    buf_add_text(&page, "<p>");
    add_html(&page, str_from(why));
    buf_add_text(&page, "</p></body></html>");
    send_page(res, 400, &page);
    res->error = ERR_BAD_REQUEST;
    buf_done(&page);
}

static void show_people(const struct question *q, struct response *res)
{
    const cJSON *person;
    struct buf page;

    buf_init(&page, PAGE_MAX_BYTES);
    add_head(&page);
    buf_add_text(&page, "<p>Made-up people of the local cloud. Whoever you choose signs in.</p>"
                        "<form method=\"post\">");
    for (size_t i = 0; kept[i]; i++) {
        buf_printf(&page, "<input type=\"hidden\" name=\"%s\" value=\"", kept[i]);
        add_html(&page, field(q, kept[i]));
        buf_add_text(&page, "\">");
    }
    cJSON_ArrayForEach(person, kenni_people(q->req))
    {
        struct str id = json_str_value(json_get(person, "national_id"));

        buf_add_text(&page, "<button name=\"national_id\" value=\"");
        add_html(&page, id);
        buf_add_text(&page, "\">");
        add_html(&page, json_str_value(json_get(person, "name")));
        buf_add_text(&page, " · ");
        add_html(&page, id);
        buf_add_text(&page, "</button>");
    }
    buf_add_text(&page, "</form></body></html>");
    if (page.overflow)
        show_error(res, "PEOPLE_FILE names too many people");
    else
        send_page(res, 200, &page);
    buf_done(&page);
}

/* --- signing in --- */

/* One of the list by national_id, or whoever `claims` describes (JSON). */
static bool chosen_person(const struct question *q, struct str *ret)
{
    struct str id = field(q, "national_id"), claims = field(q, "claims");
    const cJSON *person = NULL, *one;
    struct error e;
    struct buf text;

    if (claims.len > 0)
        person = json_parse(q->req->arena, claims, &e);
    else
        cJSON_ArrayForEach(one, kenni_people(q->req))
        {
            if (id.len > 0 && str_eq(json_str_value(json_get(one, "national_id")), id))
                person = one;
        }
    if (!cJSON_IsObject(person))
        return false;
    buf_init(&text, HTTP_BODY_MAX_BYTES);
    if (json_write(&text, person))
        *ret = arena_dup(q->req->arena, buf_str(&text));
    buf_done(&text);
    return ret->len > 0;
}

static void sign_in(const struct question *q, struct response *res)
{
    const char *const names[] = {"code", "state", "iss", NULL};
    struct cloud *cloud = q->req->own;
    struct kenni_grant grant = {
        .redirect_uri = field(q, "redirect_uri"),
        .challenge = field(q, "code_challenge"),
        .nonce = field(q, "nonce"),
        .scope = field(q, "scope"),
        .person = STR(""),
    };
    struct str values[3];

    if (!chosen_person(q, &grant.person)) {
        show_error(res, "There is no such person here.");
        return;
    }
    values[0] = kenni_code_new(cloud->kenni, &grant, q->req->arena);
    values[1] = field(q, "state");
    values[2] = kenni_issuer(q->req);
    send_back(q, res, names, values);
}

void kenni_authorize(const struct request *req, struct response *res)
{
    bool is_post = req->http->method == HTTP_POST;
    struct question *q = ARENA_NEW(req->arena, struct question);
    const char *fault, *error;

    q->req = req;
    if (!http_query_parse(req->arena,
                          is_post && req->http->body.len > 0 ? req->http->body : req->http->query,
                          q->fields, &q->count)) {
        show_error(res, "the request is malformed");
        return;
    }
    fault = target_fault(q);
    if (fault) {
        show_error(res, fault);
        return;
    }
    fault = request_fault(q, &error);
    if (fault)
        send_error(q, res, error, fault);
    else if (is_post)
        sign_in(q, res);
    else
        show_people(q, res);
}
