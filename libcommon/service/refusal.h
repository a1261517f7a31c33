/*
 * refusal.h - what the database said no to, in the words of the wire
 *
 * A SQL function answers with a code; a table of the use case gives each code its status, its
 * message for people and its `code` member.
 */
#ifndef LIBCOMMON_SERVICE_REFUSAL_H
#define LIBCOMMON_SERVICE_REFUSAL_H

#include "service/request.h"

struct refusal {
    const char *code; /* of the SQL function; NULL ends a table */
    enum error_code error;
    const char *message;
    const char *wire_code; /* NULL: no `code` member */
};

/* Answers with the row of the table that names `code`; must(): there is one. */
void refuse_with(struct response *res, const struct refusal *table, struct str code);

/*
 * 400 for the field the database found fault with. reason is one of missing, type, blank, too_long,
 * too_few, too_many, ambiguous, value, range, order, unknown (sql/README.md).
 */
void refuse_field(struct response *res, struct str field, struct str reason);

#endif
