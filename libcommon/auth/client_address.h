/*
 * client_address.h - where a call came from, as far as we can know
 *
 * The address `trusted_hops` from the right of X-Forwarded-For, else the socket's peer. 0 hops: the
 * header is not believed at all. An entry that is no address gives the peer. Never the left-most
 * entry, never another header. Source: PLATFORM notes §7; V-G2, M-F05, M-F46.
 */
#ifndef LIBCOMMON_AUTH_CLIENT_ADDRESS_H
#define LIBCOMMON_AUTH_CLIENT_ADDRESS_H

#include "net/http.h"

#define CLIENT_ADDRESS_SIZE 48

/* Canonical text (inet_ntop; IPv4-mapped IPv6 as IPv4). "unknown" when there is none. */
void client_address(const struct http_request *req, unsigned trusted_hops,
                    char out[CLIENT_ADDRESS_SIZE]);

/* The key to count under: IPv4 whole, IPv6 its /64 ("2001:db8:1:2::/64"). */
void client_address_key(const char *address, char out[CLIENT_ADDRESS_SIZE]);

#endif
