/* kenni.c - codes and access tokens of the provider, its people, discovery; see kenni.h */
#include "kenni.h"
#include "base/clock.h"
#include "base/encode.h"
#include "service/settings.h"

#include <pthread.h>

#define GRANTS_MAX      512
#define CODE_TTL_MS     60000
#define TOKEN_TTL_MS    3600000
#define SECRET_BYTES    32
#define PEOPLE_MAX      262144
#define GRANT_MAX_BYTES (256U << 10)

/* --- grants --- */

struct slot {
    struct str code, access_token;
    struct kenni_grant grant;
    struct arena *a;
    bool used;
    int64_t made_ms;
};

/* The newest ones. */
struct kenni {
    pthread_mutex_t lock;
    struct slot slots[GRANTS_MAX];
    size_t next;
};

struct kenni *kenni_new(void)
{
    struct kenni *k = calloc(1, sizeof *k);

    must(k);
    must(pthread_mutex_init(&k->lock, NULL) == 0);
    return k;
}

void kenni_free(struct kenni *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < GRANTS_MAX; i++)
        arena_free(k->slots[i].a);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static struct str secret(struct arena *a)
{
    unsigned char random[SECRET_BYTES];

    random_bytes(random, sizeof random);
    return base64url_encode(a, str_n(random, sizeof random));
}

static void copy_grant(struct arena *a, const struct kenni_grant *from, struct kenni_grant *to)
{
    to->redirect_uri = arena_dup(a, from->redirect_uri);
    to->challenge = arena_dup(a, from->challenge);
    to->nonce = arena_dup(a, from->nonce);
    to->scope = arena_dup(a, from->scope);
    to->person = arena_dup(a, from->person);
}

struct str kenni_code_new(struct kenni *k, const struct kenni_grant *grant, struct arena *a)
{
    struct slot *slot;
    struct str code;

    must(pthread_mutex_lock(&k->lock) == 0);
    slot = &k->slots[k->next++ % GRANTS_MAX];
    arena_free(slot->a);
    *slot = (struct slot){.a = arena_new(GRANT_MAX_BYTES), .made_ms = clock_mono_ms()};
    slot->code = secret(slot->a);
    copy_grant(slot->a, grant, &slot->grant);
    code = arena_dup(a, slot->code);
    must(pthread_mutex_unlock(&k->lock) == 0);
    return code;
}

static struct slot *find_code(struct kenni *k, struct str code)
{
    for (size_t i = 0; code.len > 0 && i < GRANTS_MAX; i++) {
        if (k->slots[i].a && str_eq(k->slots[i].code, code))
            return &k->slots[i];
    }
    return NULL;
}

bool kenni_code_find(struct kenni *k, struct str code, struct arena *a, struct kenni_grant *ret)
{
    struct slot *slot;
    bool good;

    must(pthread_mutex_lock(&k->lock) == 0);
    slot = find_code(k, code);
    good = slot && !slot->used && clock_mono_ms() - slot->made_ms < CODE_TTL_MS;
    if (good)
        copy_grant(a, &slot->grant, ret);
    else if (slot)
        slot->access_token = (struct str){NULL, 0};
    must(pthread_mutex_unlock(&k->lock) == 0);
    return good;
}

bool kenni_code_spend(struct kenni *k, struct str code, struct arena *a, struct str *ret_token)
{
    struct slot *slot;
    bool good;

    must(pthread_mutex_lock(&k->lock) == 0);
    slot = find_code(k, code);
    good = slot && !slot->used;
    if (good) {
        slot->used = true;
        *ret_token = secret(a);
        slot->access_token = arena_dup(slot->a, *ret_token);
    }
    must(pthread_mutex_unlock(&k->lock) == 0);
    return good;
}

bool kenni_access_token_person(struct kenni *k, struct str token, struct arena *a, struct str *ret)
{
    bool found = false;

    must(pthread_mutex_lock(&k->lock) == 0);
    for (size_t i = 0; token.len > 0 && !found && i < GRANTS_MAX; i++) {
        const struct slot *slot = &k->slots[i];

        if (slot->a && str_eq(slot->access_token, token) &&
            clock_mono_ms() - slot->made_ms < TOKEN_TTL_MS) {
            *ret = arena_dup(a, slot->grant.person);
            found = true;
        }
    }
    must(pthread_mutex_unlock(&k->lock) == 0);
    return found;
}

/* --- people --- */

/* The persons that Registers Iceland invented for tests; nobody has these numbers. */
static const char invented[] =
    "[{\"national_id\":\"0101302989\",\"name\":\"Gervimaður Ameríka\",\"email\":\"amerika@example."
    "is\",\"email_verified\":true,\"phone_number\":\"+3540102989\",\"phone_number_verified\":true},"
    "{\"national_id\":\"0101303019\",\"name\":\"Gervimaður Afríka\",\"email\":\"afrika@example.is\""
    ",\"email_verified\":true,\"phone_number\":\"+3540103019\",\"phone_number_verified\":true},"
    "{\"national_id\":\"0101302719\",\"name\":\"Gervimaður Evrópa\",\"email\":\"evropa@example.is\""
    ",\"email_verified\":false,\"phone_number\":\"+3540102719\",\"phone_number_verified\":true},"
    "{\"national_id\":\"0101302399\",\"name\":\"Gervimaður Færeyjar\",\"phone_number\":"
    "\"+3540102399\",\"phone_number_verified\":true},"
    "{\"national_id\":\"0101307789\",\"name\":\"Gervimaður Útlönd\",\"email\":\"utlond@example.is\""
    ",\"email_verified\":true}]";

const cJSON *kenni_people(const struct request *req)
{
    const struct cloud_settings *settings = service_settings(req->state);
    const cJSON *people = NULL;
    struct error e;
    FILE *file;

    if (!*settings->people_file)
        return json_parse(req->arena, STR(invented), &e);
    file = fopen(settings->people_file, "re");
    if (file) {
        char *text = arena_alloc(req->arena, PEOPLE_MAX);

        people = json_parse(req->arena, str_n(text, fread(text, 1, PEOPLE_MAX, file)), &e);
        (void)fclose(file);
    }
    return cJSON_IsArray(people) ? people : json_array(req->arena);
}

/* --- discovery --- */

struct str kenni_issuer(const struct request *req)
{
    const struct cloud_settings *settings = service_settings(req->state);

    if (*settings->kenni_issuer)
        return str_from(settings->kenni_issuer);
    return arena_printf(req->arena, "http://127.0.0.1:%lld/kenni",
                        (long long)service_server_settings(req->state)->port);
}

struct str kenni_field(const struct http_param *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq_text(fields[i].name, name))
            return fields[i].value;
    }
    return STR("");
}

static void add_list(cJSON *to, const char *name, const char *const *texts)
{
    cJSON *list = json_add_array(to, name);

    for (size_t i = 0; texts[i]; i++)
        json_add_text(list, NULL, texts[i]);
}

void kenni_discovery(const struct request *req, struct response *res)
{
    static const char *const endpoints[][2] = {{"authorization_endpoint", "auth"},
                                               {"token_endpoint", "token"},
                                               {"userinfo_endpoint", "me"},
                                               {"jwks_uri", "jwks"}};
    struct str issuer = kenni_issuer(req);
    cJSON *reply = json_object(req->arena);

    json_add_str(reply, "issuer", issuer);
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++)
        json_add_str(reply, endpoints[i][0],
                     arena_printf(req->arena, "%.*s/oidc/%s", STR_ARG(issuer), endpoints[i][1]));
    add_list(reply, "response_types_supported", (const char *const[]){"code", NULL});
    add_list(reply, "response_modes_supported", (const char *const[]){"query", NULL});
    add_list(reply, "grant_types_supported", (const char *const[]){"authorization_code", NULL});
    add_list(reply, "subject_types_supported", (const char *const[]){"public", NULL});
    add_list(reply, "code_challenge_methods_supported", (const char *const[]){"S256", NULL});
    add_list(reply, "id_token_signing_alg_values_supported", (const char *const[]){"RS256", NULL});
    add_list(reply, "token_endpoint_auth_methods_supported",
             (const char *const[]){"client_secret_basic", "client_secret_post", NULL});
    add_list(
        reply, "scopes_supported",
        (const char *const[]){"openid", "profile", "email", "phone_number", "national_id", NULL});
    add_list(reply, "claims_supported",
             (const char *const[]){"sub", "name", "national_id", "email", "email_verified",
                                   "phone_number", "phone_number_verified", NULL});
    json_add_bool(reply, "authorization_response_iss_parameter_supported", true);
    respond_json(res, 200, reply);
}
