/*
 * cloud_client.h - what the parts of the cloud client's test share
 *
 * Each test runs against Google's emulator and against the local stand-in, whichever is there, and
 * has collections of its own, so that nothing needs to be reset. One test at a time.
 */
#ifndef TESTS_INTEGRATION_CLOUD_CLIENT_H
#define TESTS_INTEGRATION_CLOUD_CLIENT_H

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cloud/firestore.h"
#include "cloud/identity_toolkit.h"

#define PATIENCE_MS 60000

extern char peer_host[64]; /* of the group that runs */
extern struct http_client *client;
extern struct access_token_source *tokens;
extern struct firestore *fs;
/* Of the test that runs. */
extern struct arena *arena;
extern struct error error;
extern char unique[21]; /* in the names of its collections */

int open_peer(void **state);
int close_peer(void **state);
int setup(void **state);
int teardown(void **state);
int64_t soon(void);
void assert_ok(bool ok);
void assert_error(bool ok, enum error_code code);
/* "<collection>-<unique>/<id>" */
struct str in(const char *collection, const char *id);
struct fs_document get(struct str path);
bool commit(const struct fs_write *writes, size_t count);
void set(struct str path, cJSON *fields);
/* The fields as plain JSON, members in any order. */
void assert_plain(const cJSON *fields, const char *text);

#define PEER_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

/* The groups; each gives the number of failed tests. */
int run_documents(const char *name);
int run_queries(const char *name);
int run_transactions(const char *name);
int run_accounts(const char *name);

#endif
