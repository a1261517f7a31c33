/* membership.c - see verifymembership.h */
#include "verifymembership.h"

#include "base/clock.h"

#define DATE_LENGTH 10 /* of "2026-11-21T…" */
#define NAMES_MAX   50

const char *membership_status_text(enum membership_status status)
{
    switch (status) {
    case MEMBERSHIP_ACTIVE:
        return "active";
    case MEMBERSHIP_UNPAID:
        return "unpaid";
    case MEMBERSHIP_INACTIVE:
        return "inactive";
    case MEMBERSHIP_NOT_FOUND:
        break;
    }
    return "not_found";
}

/* Any word we do not know means no. */
static enum membership_status status_of(struct str text)
{
    if (str_eq_text(text, "active"))
        return MEMBERSHIP_ACTIVE;
    return str_eq_text(text, "unpaid") ? MEMBERSHIP_UNPAID : MEMBERSHIP_INACTIVE;
}

enum membership_status membership_read(const struct fs_document *member,
                                       const struct fs_document *record, bool record_required)
{
    struct str status;
    bool active;

    if (record->exists)
        return fs_get_str(record->fields, "status", &status) ? status_of(status)
                                                             : MEMBERSHIP_INACTIVE;
    if (!member->exists)
        return MEMBERSHIP_NOT_FOUND;
    if (record_required)
        return MEMBERSHIP_INACTIVE;
    if (fs_get(member->fields, "membership.status"))
        return fs_get_str(member->fields, "membership.status", &status) ? status_of(status)
                                                                        : MEMBERSHIP_INACTIVE;
    /* Documents of the first schema (contract §5.1). */
    return fs_get_bool(member->fields, "membership.is_active", &active) && active
               ? MEMBERSHIP_ACTIVE
               : MEMBERSHIP_INACTIVE;
}

static void add_names(cJSON *result, const char *name, const cJSON *values)
{
    cJSON *names = json_add_array(result, name);
    const cJSON *value;
    int count = 0;

    cJSON_ArrayForEach(value, values)
    {
        if (fs_value_str(value).len > 0 && count++ < NAMES_MAX)
            json_add_str(names, NULL, fs_value_str(value));
    }
}

void membership_add_details(cJSON *result, const struct fs_document *member)
{
    const cJSON *fields = member->exists ? member->fields : NULL;
    char joined[CLOCK_ISO_SIZE];
    int64_t joined_ms;

    if (fields && fs_get_time_ms(fields, "membership.date_joined", &joined_ms)) {
        clock_iso_utc(joined_ms, joined);
        json_add_str(result, "memberSince", str_take(str_from(joined), DATE_LENGTH));
    } else {
        json_add_null(result, "memberSince");
    }
    add_names(result, "unions", fields ? fs_get_array(fields, "membership.unions") : NULL);
    add_names(result, "titles", fields ? fs_get_array(fields, "membership.titles") : NULL);
}
