/* admin_write.c - operators create elections and change their words: POST …/elections, PATCH
 * …/:id/draft, PATCH …/:id/metadata */
#include "admin.h"

const struct pg_statement sql_create_election = {
    .name = "create_election",
    .sql = "select code, election, field, reason from events.create_election($1::uuid, $2::text, "
           "$3::text, $4::jsonb)",
};
const struct pg_statement sql_update_draft = {
    .name = "update_draft",
    .sql = "select code, election, field, reason"
           " from events.update_draft($1::uuid, $2::text, $3::text, $4::uuid, $5::jsonb)",
};
const struct pg_statement sql_update_metadata = {
    .name = "update_metadata",
    .sql = "select code, election, field, reason"
           " from events.update_metadata($1::uuid, $2::text, $3::text, $4::uuid, $5::jsonb)",
};

static const char *const create_fields[] = {"title", "question", "answers", "description", NULL};
static const char *const draft_fields[] = {
    "title", "description", "question", "answers", "voting_starts_at", "voting_ends_at", NULL};
static const char *const metadata_fields[] = {"title", "description", NULL};

/* 400 for what is no draft any more names the status it has (contract §3.3). */
static void refuse_not_draft(const struct request *req, struct response *res,
                             const struct pg_result *row)
{
    struct error e = {0};
    const cJSON *election = json_parse(req->arena, pg_get(row, 0, 1), &e);
    cJSON *extra = json_object(req->arena);

    json_add_str(extra, "current_status", json_str_value(json_get(election, "status")));
    respond_error_extra(res, ERR_BAD_REQUEST, "Only a draft can be changed this way.", extra);
}

static void answer(const struct request *req, struct response *res, const struct pg_result *row)
{
    struct str code = pg_get(row, 0, 0);

    if (str_eq_text(code, "created") || str_eq_text(code, "repeated"))
        respond_column(res, 201, row, 1);
    else if (str_eq_text(code, "updated"))
        respond_column(res, 200, row, 1);
    else if (str_eq_text(code, "not_found"))
        respond_error(res, ERR_NOT_FOUND, "There is no such election.");
    else if (str_eq_text(code, "not_draft"))
        refuse_not_draft(req, res, row);
    else if (str_is_empty(pg_get(row, 0, 2)))
        respond_error(res, ERR_BAD_REQUEST, "There is nothing to change.");
    else
        refuse_field(res, pg_get(row, 0, 2), pg_get(row, 0, 3));
}

void admin_create_election(const struct request *req, struct response *res)
{
    struct pg_result row = {0};

    if (operator_is_allowed(req, res, OPERATOR_MANAGER, "create_election") &&
        admin_call(req, res, &sql_create_election, STR(""), admin_fields(req, create_fields), &row))
        answer(req, res, &row);
}

static void update(const struct request *req, struct response *res, const char *action,
                   const struct pg_statement *statement, const char *const *names)
{
    struct pg_result row = {0};
    struct str id;

    if (operator_is_allowed(req, res, OPERATOR_MANAGER, action) &&
        admin_election_id(req, res, &id) &&
        admin_call(req, res, statement, id, admin_fields(req, names), &row))
        answer(req, res, &row);
}

void admin_update_draft(const struct request *req, struct response *res)
{
    update(req, res, "update_draft", &sql_update_draft, draft_fields);
}

void admin_update_metadata(const struct request *req, struct response *res)
{
    update(req, res, "update_metadata", &sql_update_metadata, metadata_fields);
}
