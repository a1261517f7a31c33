#include "auth/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define NO_ADDRESS "unknown"

/* The entry `hops` from the right over all X-Forwarded-For lines, which together are one list
 * (RFC 9110 §5.3). Proxies append, so only the right end is theirs. */
static bool find_entry(const struct http_request *req, unsigned hops, struct str *ret)
{
    unsigned left = hops;
    for (size_t i = req->header_count; i-- > 0;) {
        if (!str_eq_ci(req->headers[i].name, STR("X-Forwarded-For")))
            continue;
        struct str rest = req->headers[i].value;
        for (;;) {
            size_t start = rest.len;
            while (start > 0 && rest.ptr[start - 1] != ',')
                start--;
            if (--left == 0) {
                *ret = str_trim(str_skip(rest, start));
                return true;
            }
            if (start == 0)
                break;
            rest = str_take(rest, start - 1);
        }
    }
    return false;
}

/* "[v6]:port", "[v6]" and "v4:port" to the bare address; anything else as it is. */
static struct str strip_port(struct str s)
{
    struct str port = {0};
    if (s.len > 0 && s.ptr[0] == '[') {
        size_t close = str_find_char(s, ']');
        struct str inside = str_skip(str_take(s, close), 1);
        /* Brackets close, and belong to IPv6 only. */
        if (close == s.len || str_find_char(inside, ':') == inside.len)
            return (struct str){0};
        port = str_skip(s, close + 1);
        s = inside;
        if (port.len == 0)
            return s;
        if (port.ptr[0] != ':')
            return (struct str){0};
        port = str_skip(port, 1);
    } else {
        size_t colon = str_find_char(s, ':');
        if (colon == s.len || str_contains(str_skip(s, colon + 1), STR(":")))
            return s;
        port = str_skip(s, colon + 1);
        s = str_take(s, colon);
    }
    int64_t number = 0;
    return str_parse_i64(port, 0, 65535, &number) ? s : (struct str){0};
}

static bool write_canonical(struct str text, char out[CLIENT_ADDRESS_SIZE])
{
    char copy[CLIENT_ADDRESS_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    if (text.len == 0 || str_find_char(text, '\0') < text.len ||
        !str_copy(text, copy, sizeof(copy)))
        return false;
    /* inet_pton() takes IPv4 in no other form than the one inet_ntop() would write. */
    if (inet_pton(AF_INET, copy, &v4) == 1)
        return str_copy(text, out, CLIENT_ADDRESS_SIZE);
    if (inet_pton(AF_INET6, copy, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return inet_ntop(AF_INET, &v6.s6_addr[12], out, CLIENT_ADDRESS_SIZE) != NULL;
    return inet_ntop(AF_INET6, &v6, out, CLIENT_ADDRESS_SIZE) != NULL;
}

void client_address(const struct http_request *req, unsigned trusted_hops,
                    char out[CLIENT_ADDRESS_SIZE])
{
    struct str entry;
    if (trusted_hops > 0 && find_entry(req, trusted_hops, &entry) &&
        write_canonical(strip_port(entry), out))
        return;
    if (write_canonical(str_from(req->peer), out))
        return;
    (void)str_copy(STR(NO_ADDRESS), out, CLIENT_ADDRESS_SIZE);
}

void client_address_key(const char *address, char out[CLIENT_ADDRESS_SIZE])
{
    struct in6_addr v6;
    char text[INET6_ADDRSTRLEN];
    bool may_be_v6 = str_contains(str_from(address), STR(":"));
    if (!may_be_v6 || inet_pton(AF_INET6, address, &v6) != 1 || IN6_IS_ADDR_V4MAPPED(&v6)) {
        if (!write_canonical(str_from(address), out))
            (void)str_copy(STR(NO_ADDRESS), out, CLIENT_ADDRESS_SIZE);
        return;
    }
    memset(&v6.s6_addr[8], 0, 8);
    must(inet_ntop(AF_INET6, &v6, text, sizeof(text)));
    (void)snprintf(out, CLIENT_ADDRESS_SIZE, "%.40s/64", text);
}
