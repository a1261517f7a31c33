/* slot_status.c - GET /api/s2s/slot-status?election_id=&slot=: has this slot voted? Events asks, to
 * tell its member. */
#include "elections.h"

#include "base/encode.h"

const struct pg_statement sql_slot_status = {
    .name = "slot_status",
    .sql = "select registered, voted, voted_at, expires_at from elections.slot_status($1::uuid, "
           "$2::uuid, $3::bytea)",
};

void slot_status(const struct request *req, struct response *res)
{
    struct str election_id = {NULL, 0}, slot_hex = {NULL, 0};
    unsigned char slot[SLOT_BYTES];
    struct pg_result row = {0};
    struct error e = {0};

    if (!request_query(req, "election_id", &election_id) || !uuid_is_valid(election_id) ||
        !request_query(req, "slot", &slot_hex) || !hex_decode(slot_hex, slot, sizeof slot)) {
        respond_error(res, ERR_BAD_REQUEST,
                      "election_id must be a UUID and slot 64 hexadecimal digits.");
        return;
    }

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(election_id),
                                      PG_BYTES(str_n(slot, sizeof slot))};

    if (!pg_call(service_pool(req->state), &sql_slot_status, params, ARRAY_LEN(params), req->arena,
                 req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "registered", pg_get_bool(&row, 0, 0));
    json_add_bool(body, "voted", pg_get_bool(&row, 0, 1));
    json_add_str_or_null(body, "voted_at", pg_get(&row, 0, 2));
    json_add_str_or_null(body, "expires_at", pg_get(&row, 0, 3));
    respond_json(res, 200, body);
}
