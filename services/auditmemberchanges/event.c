/*
 * event.c - CloudEvents 1.0, HTTP protocol binding: attributes from headers or from the envelope
 *
 * Source: github.com/cloudevents/spec, http-protocol-binding §3.1 and §3.2, json-format §3.
 */
#include "auditmemberchanges.h"

#include "base/clock.h"

#define ATTRIBUTE_MAX_BYTES 2048
#define DOCUMENTS_PREFIX    "documents/"

/* Where an attribute comes from: a header ce-<name>, or a member of the envelope. */
struct attributes {
    const struct http_request *http;
    const cJSON *envelope; /* NULL: binary mode */
    struct arena *arena;
};

static bool from_header(const struct attributes *from, const char *name, struct str *ret)
{
    const char *header = arena_printf(from->arena, "ce-%s", name).ptr;
    struct str value = http_header_get(from->http, header);

    return !value.ptr || (http_header_count(from->http, header) == 1 &&
                          http_url_decode(from->arena, value, false, ret));
}

/* An attribute that is not there is empty. */
static bool attribute(const struct attributes *from, const char *name, struct str *ret,
                      struct error *e)
{
    const cJSON *member = json_get(from->envelope, name);

    *ret = STR("");
    if (from->envelope ? member && !json_str(from->envelope, name, ret)
                       : !from_header(from, name, ret))
        return error_set(e, ERR_BAD_REQUEST, "event: attribute %s is no text", name);
    if (ret->len > ATTRIBUTE_MAX_BYTES)
        return error_set(e, ERR_BAD_REQUEST, "event: attribute %s is too long", name);
    return true;
}

static bool read_attributes(const struct attributes *from, struct member_event *ret,
                            struct str *ret_subject, struct error *e)
{
    struct str version, time;

    if (!attribute(from, "specversion", &version, e) || !attribute(from, "id", &ret->id, e) ||
        !attribute(from, "source", &ret->source, e) || !attribute(from, "type", &ret->type, e) ||
        !attribute(from, "subject", ret_subject, e) ||
        !attribute(from, "document", &ret->document, e) ||
        !attribute(from, "authtype", &ret->auth_type, e) ||
        !attribute(from, "authid", &ret->auth_id, e) || !attribute(from, "time", &time, e))
        return false;
    if (!clock_parse_rfc3339(time, &ret->time_ms))
        ret->time_ms = 0;
    /* Some senders leave the version out of the binary mode's headers. */
    if (version.len > 0 && !str_eq(version, STR("1.0")))
        return error_set(e, ERR_BAD_REQUEST, "event: specversion is not 1.0");
    if (ret->id.len == 0 || ret->source.len == 0 || ret->type.len == 0)
        return error_set(e, ERR_BAD_REQUEST, "event: id, source or type is missing");
    return true;
}

static void find_document(struct member_event *event, struct str subject)
{
    if (event->document.len == 0 && str_starts_with(subject, STR(DOCUMENTS_PREFIX)))
        event->document = str_skip(subject, sizeof(DOCUMENTS_PREFIX) - 1);
}

static bool is_json(struct str content_type)
{
    return http_media_type_is(content_type, "application/json");
}

static bool is_protobuf(struct str content_type)
{
    return http_media_type_is(content_type, "application/protobuf") ||
           http_media_type_is(content_type, "application/x-protobuf");
}

static bool read_binary(const struct attributes *from, struct str content_type,
                        struct member_event *ret, struct error *e)
{
    struct str subject;

    if (!is_json(content_type) && !is_protobuf(content_type))
        return error_set(e, ERR_UNSUPPORTED_MEDIA, "event: neither JSON nor protobuf");
    if (!read_attributes(from, ret, &subject, e))
        return false;
    find_document(ret, subject);
    ret->is_decoded = is_json(content_type)
                          ? event_body_json(json_parse(from->arena, from->http->body, NULL), ret)
                          : event_body_protobuf(from->http->body, from->arena, ret);
    return true;
}

static bool read_structured(struct attributes *from, struct member_event *ret, struct error *e)
{
    struct str subject, media = STR("application/json"), base64, data;

    from->envelope = json_parse(from->arena, from->http->body, e);
    if (!cJSON_IsObject(from->envelope))
        return error_set(e, ERR_BAD_REQUEST, "event: the envelope is no JSON object");
    if (!read_attributes(from, ret, &subject, e))
        return false;
    find_document(ret, subject);
    (void)json_str(from->envelope, "datacontenttype", &media);
    if (!json_get(from->envelope, "data_base64"))
        ret->is_decoded = event_body_json(json_get(from->envelope, "data"), ret);
    else if (json_str(from->envelope, "data_base64", &base64) &&
             base64_decode(from->arena, base64, &data))
        ret->is_decoded = is_json(media) ? event_body_json(json_parse(from->arena, data, NULL), ret)
                                         : event_body_protobuf(data, from->arena, ret);
    return true;
}

bool event_read(const struct http_request *http, struct arena *a, struct member_event *ret,
                struct error *e)
{
    struct attributes from = {.http = http, .arena = a};
    struct str content_type = http_header_get(http, "Content-Type");
    bool ok;

    *ret = (struct member_event){0};
    ok = http_media_type_is(content_type, "application/cloudevents+json")
             ? read_structured(&from, ret, e)
             : read_binary(&from, content_type, ret, e);
    if (!ret->is_decoded)
        ret->before = ret->after = NULL;
    return ok;
}
