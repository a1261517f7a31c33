#include "base/encode.h"

#include <sodium.h>

#define RANDOM_STORE_BYTES 512

void encode_init(void)
{
    must(sodium_init() >= 0);
}

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.ptr ? s.ptr : "");
}

void sha256(struct str data, unsigned char out[SHA256_BYTES])
{
    crypto_hash_sha256(out, bytes_of(data), data.len);
}

void sha256_hex(struct str data, char out[SHA256_HEX_SIZE])
{
    unsigned char hash[SHA256_BYTES];
    sha256(data, hash);
    hex_encode(hash, sizeof(hash), out);
}

void content_tag(struct str data, char out[CONTENT_TAG_SIZE])
{
    unsigned char hash[CONTENT_TAG_SIZE / 2];
    must(crypto_generichash(hash, sizeof(hash), bytes_of(data), data.len, NULL, 0) == 0);
    hex_encode(hash, sizeof(hash), out);
}

void hmac_sha256(struct str key, struct str data, unsigned char out[SHA256_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, bytes_of(key), key.len);
    crypto_auth_hmacsha256_update(&state, bytes_of(data), data.len);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof(state));
}

void hmac_sha256_fields(struct str key, const struct str *fields, size_t count,
                        unsigned char out[SHA256_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, bytes_of(key), key.len);
    for (size_t i = 0; i < count; i++) {
        unsigned char length[8];
        for (size_t byte = 0; byte < sizeof(length); byte++)
            length[byte] = (unsigned char)((uint64_t)fields[i].len >> (56 - 8 * byte));
        crypto_auth_hmacsha256_update(&state, length, sizeof(length));
        crypto_auth_hmacsha256_update(&state, bytes_of(fields[i]), fields[i].len);
    }
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof(state));
}

bool equal_constant_time(struct str a, struct str b)
{
    return a.len == b.len && sodium_memcmp(bytes_of(a), bytes_of(b), a.len) == 0;
}

/* Small wishes are served from a store of the thread, which saves a system call for each id. What
 * is given out is wiped from it. The suite does not fork, so no two processes share a store. */
void random_bytes(void *out, size_t len)
{
    static _Thread_local struct {
        unsigned char bytes[RANDOM_STORE_BYTES];
        size_t left;
    } store;
    if (len > sizeof(store.bytes) / 8) {
        randombytes_buf(out, len);
        return;
    }
    if (store.left < len) {
        randombytes_buf(store.bytes, sizeof(store.bytes));
        store.left = sizeof(store.bytes);
    }
    store.left -= len;
    if (len > 0)
        memcpy(out, store.bytes + store.left, len);
    sodium_memzero(store.bytes + store.left, len);
}

uint32_t random_below(uint32_t bound)
{
    must(bound >= 1);
    return randombytes_uniform(bound);
}

void hex_encode(const void *data, size_t len, char *out)
{
    must(len < SIZE_MAX / 2);
    sodium_bin2hex(out, 2 * len + 1, data, len);
}

bool hex_decode(struct str hex, void *out, size_t out_len)
{
    size_t got = 0;
    if (hex.len % 2 != 0 || hex.len / 2 != out_len)
        return false;
    return out_len == 0 || (sodium_hex2bin(out, out_len, hex.ptr, hex.len, NULL, &got, NULL) == 0 &&
                            got == out_len);
}

static struct str encode_with(struct arena *a, struct str data, int variant)
{
    must(data.len < SIZE_MAX / 2);
    size_t size = sodium_base64_encoded_len(data.len, variant);
    char *text = arena_alloc(a, size);
    sodium_bin2base64(text, size, bytes_of(data), data.len, variant);
    return str_n(text, size - 1);
}

/* libsodium refuses wrong padding, spare bits and (no ignore list) other characters, but 1.0.18
 * takes some bytes above 0x7F for letters where char is signed. */
static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] > 0x7F)
            return false;
    }
    return true;
}

static bool decode_with(struct arena *a, struct str text, struct str *ret_data, int variant)
{
    size_t room = text.len / 4 * 3 + 3;
    size_t len = 0;
    if (text.len == 0) {
        *ret_data = arena_dup(a, STR(""));
        return true;
    }
    if (!is_ascii(text))
        return false;
    unsigned char *data = arena_alloc(a, room + 1);
    if (sodium_base642bin(data, room, text.ptr, text.len, NULL, &len, NULL, variant) != 0)
        return false;
    *ret_data = str_n(data, len);
    return true;
}

struct str base64_encode(struct arena *a, struct str data)
{
    return encode_with(a, data, sodium_base64_VARIANT_ORIGINAL);
}

bool base64_decode(struct arena *a, struct str text, struct str *ret_data)
{
    return decode_with(a, text, ret_data, sodium_base64_VARIANT_ORIGINAL);
}

struct str base64url_encode(struct arena *a, struct str data)
{
    return encode_with(a, data, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* One more than the value of each letter of RFC 4648 §5; 0 for all other bytes. */
/* clang-format off */
static const unsigned char url_letters[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8,
    ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};
/* clang-format on */

/* 0 to 3 bytes of 2 to 4 letters. False on another byte and on spare bits that are not 0. */
static bool decode_letters(const unsigned char *letters, size_t count, unsigned char *out)
{
    uint32_t bits = 0;
    unsigned char seen = 1;
    for (size_t i = 0; i < 4; i++) {
        unsigned char value = i < count ? url_letters[letters[i]] : 1;
        seen = value == 0 ? 0 : seen;
        bits = (bits << 6) | (uint32_t)(unsigned char)(value - 1);
    }
    for (size_t i = 0; i + 1 < count; i++)
        out[i] = (unsigned char)(bits >> (16 - 8 * i));
    return seen != 0 && (bits & (0xFFFFFFU >> (8 * (count - 1)))) == 0;
}

/*
 * Not libsodium's: its constant time is for keys and costs a token a seventh of its whole check,
 * and what comes as base64url here (tokens, public keys) is no secret of ours.
 */
bool base64url_decode(struct arena *a, struct str text, struct str *ret_data)
{
    const unsigned char *letters = bytes_of(text);
    size_t rest = text.len % 4;
    size_t len = text.len / 4 * 3 + (rest > 0 ? rest - 1 : 0);
    if (rest == 1)
        return false;
    unsigned char *data = arena_alloc(a, len + 1);
    unsigned char *out = data;
    for (size_t at = 0; at < text.len; at += 4, out += 3) {
        size_t count = text.len - at < 4 ? rest : 4;
        if (!decode_letters(letters + at, count, out))
            return false;
    }
    *ret_data = str_n(data, len);
    return true;
}

void uuid_v4(char out[UUID_TEXT_SIZE])
{
    static const size_t parts[5] = {4, 2, 2, 2, 6};
    unsigned char bytes[16];
    size_t at = 0;
    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40); /* version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80); /* RFC 9562 variant */
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (i > 0)
            *out++ = '-';
        hex_encode(bytes + at, parts[i], out);
        at += parts[i];
        out += 2 * parts[i];
    }
}

bool uuid_is_valid(struct str s)
{
    if (s.len != UUID_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? s.ptr[i] != '-' : !isxdigit((unsigned char)s.ptr[i]))
            return false;
    }
    return true;
}

#define NONCE_BYTES crypto_secretbox_xchacha20poly1305_NONCEBYTES
#define MAC_BYTES   crypto_secretbox_xchacha20poly1305_MACBYTES

struct str seal(struct arena *a, const unsigned char key[SHA256_BYTES], struct str plain)
{
    size_t len = NONCE_BYTES + MAC_BYTES + plain.len;
    must(len > plain.len);
    unsigned char *box = arena_alloc(a, len);
    randombytes_buf(box, NONCE_BYTES);
    crypto_secretbox_xchacha20poly1305_easy(box + NONCE_BYTES, bytes_of(plain), plain.len, box,
                                            key);
    return str_n(box, len);
}

bool seal_open(struct arena *a, const unsigned char key[SHA256_BYTES], struct str box,
               struct str *ret_plain)
{
    if (box.len < NONCE_BYTES + MAC_BYTES)
        return false;
    size_t len = box.len - NONCE_BYTES - MAC_BYTES;
    const unsigned char *nonce = bytes_of(box);
    unsigned char *plain = arena_alloc(a, len + 1);
    if (crypto_secretbox_xchacha20poly1305_open_easy(plain, nonce + NONCE_BYTES,
                                                     box.len - NONCE_BYTES, nonce, key) != 0)
        return false;
    *ret_plain = str_n(plain, len);
    return true;
}
