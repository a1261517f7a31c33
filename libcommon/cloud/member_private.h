/*
 * member_private.h - what the parts of member_document share
 */
#ifndef LIBCOMMON_CLOUD_MEMBER_PRIVATE_H
#define LIBCOMMON_CLOUD_MEMBER_PRIVATE_H

#include "cloud/member_document.h"

#define MEMBER_TEXT_MAX_BYTES 500
#define MEMBER_LIST_MAX       50

/* A string, cut to MEMBER_TEXT_MAX_BYTES at a character, or a whole number in decimal; empty for
 * everything else. */
struct str member_text(struct arena *a, const cJSON *item);

/*
 * Adds `addresses` to profile when profile.addresses has to change, and to record always: the
 * hashes of what Django gives now. True when it was added to profile.
 */
bool member_addresses_merge(struct arena *a, const struct member_event *event,
                            const struct fs_document *member, const struct fs_document *known,
                            cJSON *profile, cJSON *record);

#endif
