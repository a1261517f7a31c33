/*
 * input.h - what the two halves of the input check share
 */
#ifndef SERVICES_UPDATEMEMBERPROFILE_INPUT_H
#define SERVICES_UPDATEMEMBERPROFILE_INPUT_H

#include "updatememberprofile.h"

/* Members that are null were `undefined` in the page: not sent, NULL. */
const cJSON *input_sent(const cJSON *object, const char *name);
size_t input_characters(struct str s);
/* Empty takes the number away. */
bool input_is_phone(struct str s);
/* As Django stores it: digits, without Iceland's code; in the arena. */
struct str input_django_phone(struct arena *a, struct str s);
/* contact_info of the patch, made when it is not there. */
cJSON *input_contact_of(cJSON *patch);

/* --- input_lists.c --- */
bool input_read_addresses(struct profile_update *update, const char **fault) MUST_CHECK;
/* The portal's list of phones: Django has a place for one Icelandic and one foreign number. What is
 * sent by name counts before the list. */
bool input_read_phones(struct arena *a, struct profile_update *update, cJSON *patch,
                       const char **fault) MUST_CHECK;

#endif
