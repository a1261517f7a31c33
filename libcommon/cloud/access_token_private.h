/*
 * access_token_private.h - the source's clock, moved by hand
 *
 * For tests of expiry, which takes an hour by the real clock. Thread-safe.
 */
#ifndef LIBCOMMON_CLOUD_ACCESS_TOKEN_PRIVATE_H
#define LIBCOMMON_CLOUD_ACCESS_TOKEN_PRIVATE_H

#include "cloud/access_token.h"

/* From now on the source believes that it is ms later than clock_mono_ms() says. Adds up. */
void access_token_advance_clock(struct access_token_source *s, int64_t ms);

#endif
