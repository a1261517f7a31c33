/*
 * admin_anonymize_election.c - POST /api/admin/elections/{id}/anonymize: kept for the portal
 *
 * Closing separates voters from votes by itself and needs no secret (V-B8), so there is never
 * anything left to do; the call may be repeated and is in the audit trail.
 */
#include "elections.h"

const struct pg_statement sql_anonymize_election = {
    .name = "anonymize_election",
    .long_running = true,
    .sql = "select code, election->>'id', election->>'status', anonymized_count from "
           "elections.anonymize_election($1::uuid, $2::text, $3::text, $4::uuid)",
};

static const struct refusal refusals[] = {
    {"not_found", ERR_NOT_FOUND, "There is no such election.", NULL},
    {"wrong_status", ERR_BAD_REQUEST, "Only an election that is closed can be anonymized.",
     "WRONG_STATUS"},
    {NULL, ERR_NONE, NULL, NULL},
};

void admin_anonymize_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};
    struct error e = {0};
    struct str id;

    if (!operator_may(req, res, OPERATOR_SUPERADMIN, "anonymize_election") ||
        !election_id_of(req, res, &id))
        return;

    const struct pg_param params[] = {PG_TEXT(req->org_id), PG_TEXT(req->identity.uid),
                                      PG_TEXT(req->correlation_id), PG_TEXT(id)};

    if (!pg_call(service_pool(req->state), &sql_anonymize_election, params, ARRAY_LEN(params),
                 req->arena, req->deadline_ms, &row, &e)) {
        respond_failure(res, &e);
        return;
    }
    if (!str_eq_text(pg_get(&row, 0, 0), "anonymized")) {
        refuse_with(res, refusals, pg_get(&row, 0, 0));
        return;
    }

    cJSON *body = json_object(req->arena);

    json_add_bool(body, "success", true);
    json_add_str(body, "election_id", pg_get(&row, 0, 1));
    json_add_i64(body, "anonymized_count", pg_get_i64(&row, 0, 3));
    json_add_str(body, "election_status", pg_get(&row, 0, 2));
    json_add_text(body, "message", "Votes were separated from voters when the election closed.");
    json_add_text(body, "warning",
                  "Who took part is still recorded, as a keyed hash; what they voted is not joined "
                  "to it.");
    respond_json(res, 200, body);
}
