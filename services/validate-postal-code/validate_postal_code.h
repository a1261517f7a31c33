/*
 * validate_postal_code.h - what the files of this service share
 */
#ifndef VALIDATE_POSTAL_CODE_H
#define VALIDATE_POSTAL_CODE_H

#include "service/registry_hooks.h"

struct postcode_settings {
    struct registry_settings registry;
};

void call_postcode(const struct request *req, struct response *res);

#endif
