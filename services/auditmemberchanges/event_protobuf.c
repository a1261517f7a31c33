/*
 * event_protobuf.c - DocumentEventData as protobuf, into the typed values of the REST API
 *
 * Unpacking is protobuf-c's. Each level of nesting is a message of its own (see the .proto), so
 * depth and number of values are bounded here.
 */
#include "auditmemberchanges.h"

#include "base/clock.h"
#include "firestore_event.pb-c.h"

#include <inttypes.h>

#define MEMBER_NAME_MAX_BYTES 1500

struct reader {
    struct arena *arena;
    size_t values;
};

static struct str bytes_str(ProtobufCBinaryData data)
{
    return str_n(data.data, data.len);
}

static bool is_text(struct str s)
{
    return str_is_utf8(s) && str_find_char(s, '\0') == s.len;
}

/* With all nine digits: two times that differ in the last one differ. */
static void add_time(struct reader *r, cJSON *value, const FirestoreEvent__Timestamp *time)
{
    char text[CLOCK_ISO_SIZE];

    clock_iso_utc(time->seconds > INT32_MAX * (int64_t)100 ? INT64_MAX / 4 : time->seconds * 1000,
                  text);
    json_add_str(value, "timestampValue",
                 arena_printf(r->arena, "%.19s.%09" PRId32 "Z", text, time->nanos));
}

static void add_double(struct reader *r, cJSON *value, double number)
{
    if (number >= -1e300 && number <= 1e300)
        json_add_double(value, "doubleValue", number);
    else
        json_add_str(value, "doubleValue", arena_printf(r->arena, "%.17g", number));
}

/* Text that JSON cannot hold is still compared and kept, as bytes. */
static void add_text(struct reader *r, cJSON *value, const char *type, struct str text)
{
    if (is_text(text))
        json_add_str(value, type, text);
    else
        json_add_str(value, "bytesValue", base64_encode(r->arena, text));
}

static bool add_scalar(struct reader *r, cJSON *value, const FirestoreEvent__Value *from)
{
    switch ((int)from->value_type_case) {
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_BOOLEAN_VALUE:
        json_add_bool(value, "booleanValue", from->boolean_value);
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_INTEGER_VALUE:
        json_add_str(value, "integerValue",
                     arena_printf(r->arena, "%" PRId64, from->integer_value));
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_DOUBLE_VALUE:
        add_double(r, value, from->double_value);
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_TIMESTAMP_VALUE:
        add_time(r, value, from->timestamp_value);
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_STRING_VALUE:
        add_text(r, value, "stringValue", bytes_str(from->string_value));
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_REFERENCE_VALUE:
        add_text(r, value, "referenceValue", bytes_str(from->reference_value));
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_BYTES_VALUE:
        json_add_str(value, "bytesValue", base64_encode(r->arena, bytes_str(from->bytes_value)));
        return true;
    case FIRESTORE_EVENT__VALUE__VALUE_TYPE_GEO_POINT_VALUE: {
        cJSON *point = json_add_object(value, "geoPointValue");

        json_add_str(point, "latitude",
                     arena_printf(r->arena, "%.17g", from->geo_point_value->latitude));
        json_add_str(point, "longitude",
                     arena_printf(r->arena, "%.17g", from->geo_point_value->longitude));
        return true;
    }
    default: /* null, and types this schema does not know yet */
        json_add_null(value, "nullValue");
        return true;
    }
}

static bool add_value(struct reader *r, cJSON *value, struct str packed, unsigned depth);

static bool add_fields(struct reader *r, cJSON *to, FirestoreEvent__Field **fields, size_t count,
                       unsigned depth)
{
    if (count > JSON_MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct str name = bytes_str(fields[i]->key);

        if (name.len == 0 || name.len > MEMBER_NAME_MAX_BYTES || !is_text(name) ||
            json_get(to, arena_text(r->arena, name)) ||
            !add_value(r, json_add_object(to, arena_text(r->arena, name)),
                       bytes_str(fields[i]->value), depth))
            return false;
    }
    return true;
}

static bool add_map(struct reader *r, cJSON *value, struct str packed, unsigned depth)
{
    FirestoreEvent__MapValue *map =
        firestore_event__map_value__unpack(NULL, packed.len, (const uint8_t *)packed.ptr);
    bool ok;

    if (!map)
        return false;
    ok = add_fields(r, json_add_object(json_add_object(value, "mapValue"), "fields"), map->fields,
                    map->n_fields, depth + 1);
    firestore_event__map_value__free_unpacked(map, NULL);
    return ok;
}

static bool add_array(struct reader *r, cJSON *value, struct str packed, unsigned depth)
{
    FirestoreEvent__ArrayValue *array =
        firestore_event__array_value__unpack(NULL, packed.len, (const uint8_t *)packed.ptr);
    cJSON *values;
    bool ok = array != NULL;

    if (!array)
        return false;
    values = json_add_array(json_add_object(value, "arrayValue"), "values");
    for (size_t i = 0; ok && i < array->n_values; i++)
        ok = add_value(r, json_add_object(values, NULL), bytes_str(array->values[i]), depth + 1);
    firestore_event__array_value__free_unpacked(array, NULL);
    return ok;
}

static bool add_value(struct reader *r, cJSON *value, struct str packed, unsigned depth)
{
    FirestoreEvent__Value *from;
    bool ok;

    if (depth > EVENT_DEPTH_MAX || ++r->values > EVENT_VALUES_MAX)
        return false;
    from = firestore_event__value__unpack(NULL, packed.len, (const uint8_t *)packed.ptr);
    if (!from)
        return false;
    if (from->value_type_case == FIRESTORE_EVENT__VALUE__VALUE_TYPE_MAP_VALUE)
        ok = add_map(r, value, bytes_str(from->map_value), depth);
    else if (from->value_type_case == FIRESTORE_EVENT__VALUE__VALUE_TYPE_ARRAY_VALUE)
        ok = add_array(r, value, bytes_str(from->array_value), depth);
    else
        ok = add_scalar(r, value, from);
    firestore_event__value__free_unpacked(from, NULL);
    return ok;
}

static bool read_document(struct reader *r, const FirestoreEvent__Document *document,
                          const cJSON **ret_fields)
{
    cJSON *fields;

    *ret_fields = NULL;
    if (!document || (document->name.len == 0 && document->n_fields == 0))
        return true;
    fields = json_object(r->arena);
    *ret_fields = fields;
    return add_fields(r, fields, document->fields, document->n_fields, 0);
}

bool event_body_protobuf(struct str data, struct arena *a, struct member_event *ret)
{
    struct reader r = {.arena = a};
    FirestoreEvent__DocumentEventData *event =
        firestore_event__document_event_data__unpack(NULL, data.len, (const uint8_t *)data.ptr);
    bool ok;

    if (!event)
        return false;
    ok = read_document(&r, event->old_value, &ret->before) &&
         read_document(&r, event->value, &ret->after) && (ret->before || ret->after);
    firestore_event__document_event_data__free_unpacked(event, NULL);
    return ok;
}
