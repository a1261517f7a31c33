/*
 * http_bytes.h - what a byte may be part of in HTTP
 *
 * Pure. Sources: RFC 9110 §5.5 and §5.6.2, RFC 9112 §3.2, RFC 3986 §3.2.2.
 */
#ifndef LIBCOMMON_NET_HTTP_BYTES_H
#define LIBCOMMON_NET_HTTP_BYTES_H

#include <stdbool.h>

enum {
    IN_TOKEN = 1,
    /* Visible ASCII but '#', which ends a target for evhttp, and '%', which is looked at closely.
     * More than RFC 3986 allows: browsers send quotes, braces and bars as they are. */
    IN_TARGET = 2,
    IN_VALUE = 4, /* no control byte but the tab */
    /* reg-name, IP-literal and port. Host is never used for links, but a proxy in front may. */
    IN_HOST = 8,
};

extern const unsigned char http_byte_class[256];

static inline bool http_byte_is(char c, unsigned in)
{
    return (http_byte_class[(unsigned char)c] & in) != 0;
}

/* Value of a hex digit of either case, or -1. */
static inline int http_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

#endif
