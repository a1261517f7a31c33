/*
 * users_document.h - what a login writes into users/{uid}, and the claims that follow from it
 *
 * Pure: the document as read and the person as proven give the write. An e-mail or phone number
 * that Kenni does not call verified never replaces one that may be (M-F39): it fills an empty place
 * or replaces another unverified one. Contract members.md §5.2.
 */
#ifndef SERVICES_HANDLEKENNIAUTH_USERS_DOCUMENT_H
#define SERVICES_HANDLEKENNIAUTH_USERS_DOCUMENT_H

#include "cloud/firestore.h"
#include "handlekenniauth.h"

/* A new document (which must not exist), or a merge into `known`: with its update time as
 * precondition when a value changes, so that the rule above is judged on what is really there. */
void users_document_write(struct arena *a, const struct person *person,
                          const struct fs_document *known, struct str path, struct fs_write *ret);

/* {kennitala, roles[, email][, phoneNumber]}, as the document holds them after that write. */
const cJSON *users_document_claims(struct arena *a, const struct person *person,
                                   const struct fs_document *known);

#endif
