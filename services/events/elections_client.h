/*
 * elections_client.h - what events asks of elections
 *
 * Signed calls with a deadline, bounded retries and a breaker of their own; elections hanging
 * delays nobody else (V-C4). Worker threads; each blocks at most until the request's deadline.
 */
#ifndef SERVICES_EVENTS_ELECTIONS_CLIENT_H
#define SERVICES_EVENTS_ELECTIONS_CLIENT_H

#include "events.h"
#include "net/http_client.h"

struct http_client *elections_client_new(bool allow_http);

struct elections_answer {
    int status;
    const cJSON *body;    /* an object */
    struct str wire_code; /* its `code`, if any */
};

/*
 * Tells elections the hash of a token. Safe to repeat: issue_no and the idempotency key make
 * elections apply it once. False when no clear answer came: the token may or may not be registered.
 */
bool elections_register_token(const struct request *req, struct str election_id,
                              const unsigned char slot[SHA256_BYTES], struct str issue_no,
                              const char *token_hash, struct elections_answer *ret,
                              struct error *e) MUST_CHECK;

bool elections_slot_status(const struct request *req, struct str election_id,
                           const unsigned char slot[SHA256_BYTES], struct elections_answer *ret,
                           struct error *e) MUST_CHECK;

bool elections_results(const struct request *req, struct str election_id,
                       struct elections_answer *ret, struct error *e) MUST_CHECK;

#endif
