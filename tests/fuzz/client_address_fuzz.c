/*
 * X-Forwarded-For: the address is canonical or the peer's, and is only believed as far as we trust.
 *
 * Input: one digit of trusted hops, LF, then a request.
 */
#include "fuzz.h"

#include "auth/client_address.h"

#include <arpa/inet.h>
#include <string.h>

void fuzz_start(void) {}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    char again[INET6_ADDRSTRLEN];

    for (int family = AF_INET;; family = AF_INET6) {
        if (inet_pton(family, text, bytes) == 1)
            return inet_ntop(family, bytes, again, sizeof again) && strcmp(text, again) == 0;
        if (family == AF_INET6)
            return false;
    }
}

void fuzz_input(struct arena *a, struct str input)
{
    struct str hops = fuzz_line(&input);
    struct http_request req;
    char address[CLIENT_ADDRESS_SIZE], key[CLIENT_ADDRESS_SIZE];

    if (hops.len != 1 || !str_is_digits(hops) || !input.ptr || !fuzz_request(a, input, &req))
        return;
    client_address(&req, (unsigned)(hops.ptr[0] - '0'), address);
    must(is_address(address));
    if (hops.ptr[0] == '0')
        must(strcmp(address, req.peer) == 0);
    client_address_key(address, key);
    must(strchr(address, ':') ? str_ends_with(str_from(key), STR("::/64"))
                              : strcmp(address, key) == 0);
}
