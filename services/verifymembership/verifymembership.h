/*
 * verifymembership.h - what this service's files share
 */
#ifndef SERVICES_VERIFYMEMBERSHIP_H
#define SERVICES_VERIFYMEMBERSHIP_H

#include "cloud/firestore.h"
#include "service/service.h"

struct verify_settings {
    bool record_required;
    int64_t calls_per_minute;
};

enum membership_status {
    MEMBERSHIP_ACTIVE,
    MEMBERSHIP_UNPAID,
    MEMBERSHIP_INACTIVE,
    MEMBERSHIP_NOT_FOUND,
};
const char *membership_status_text(enum membership_status status);

/*
 * What the two documents say (M-F02). `record` is members/{kt}/server/membership, which no client
 * can write; where it exists it decides alone. `member` is members/{kt}, whose status counts only
 * while no record is required: our rules keep members from writing it, but a document may be older
 * than the rules.
 */
enum membership_status membership_read(const struct fs_document *member,
                                       const struct fs_document *record, bool record_required);

/* Adds memberSince, unions and titles, as far as the register told us. */
void membership_add_details(cJSON *result, const struct fs_document *member);

void verify_membership(const struct request *req, struct response *res);

#endif
