/*
 * elections.h - what the use cases of this service share
 *
 * Each POST and GET of elections.c's route table is one file, named as its handler. They talk to
 * the database through the statements below, each of which is one SQL function: one statement, one
 * transaction, one round trip (sql/README.md says what the functions answer).
 */
#ifndef SERVICES_ELECTIONS_ELECTIONS_H
#define SERVICES_ELECTIONS_ELECTIONS_H

#include "service/idempotency.h"
#include "service/service.h"
#include "store/pg_pool.h"

/* A slot is an HMAC-SHA256 of organisation, election and member, made by events. */
#define SLOT_BYTES SHA256_BYTES

struct elections_settings {
    int64_t votes_per_minute;
    int64_t reads_per_minute;
    int64_t writes_per_minute;
};

extern const struct pg_statement sql_cast_token_vote;
extern const struct pg_statement sql_token_status;
extern const struct pg_statement sql_register_token;
extern const struct pg_statement sql_slot_status;
extern const struct pg_statement sql_results;

/* The use cases, by the file that holds them. */
void cast_token_vote(const struct request *req, struct response *res);
void token_status(const struct request *req, struct response *res);
void register_token(const struct request *req, struct response *res);
void slot_status(const struct request *req, struct response *res);
void s2s_results(const struct request *req, struct response *res);

/* A refusal of the database in the words of the wire: `code` of the function to status, message and
 * (if not NULL) `code` member. */
struct refusal {
    const char *code;
    enum error_code error;
    const char *message;
    const char *wire_code;
};
/* Answers with the row of the NULL-terminated table that names `code`; must(): there is one. */
void refuse_with(struct response *res, const struct refusal *table, struct str code);

#endif
