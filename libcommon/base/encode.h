/*
 * encode.h - hashes, encodings and randomness, as libsodium offers them, on struct str
 *
 * Thin on purpose: the work is libsodium's, the shape ours. Strict: no padding where none belongs,
 * no blanks, no spare bits. encode_init() must have run once (service_run() and every test do it).
 * Any thread.
 */
#ifndef LIBCOMMON_BASE_ENCODE_H
#define LIBCOMMON_BASE_ENCODE_H

#include "base/arena.h"

#define SHA256_BYTES     32
#define SHA256_HEX_SIZE  65 /* with the NUL */
#define CONTENT_TAG_SIZE 33 /* with the NUL */
#define UUID_TEXT_SIZE   37 /* with the NUL */

void encode_init(void); /* sodium_init(); aborts when there is no randomness */

void sha256(struct str data, unsigned char out[SHA256_BYTES]);
void sha256_hex(struct str data, char out[SHA256_HEX_SIZE]); /* lower case */
/* Hex of BLAKE2b-128: tells contents apart at a fifth of the cost of SHA-256 in libsodium. For
 * ETags, where the same bytes must get the same tag from every instance. */
void content_tag(struct str data, char out[CONTENT_TAG_SIZE]);
void hmac_sha256(struct str key, struct str data, unsigned char out[SHA256_BYTES]);

/*
 * HMAC-SHA256 over several fields, each preceded by its length as 8 bytes, so that ("ab","c") and
 * ("a","bc") differ. Used for slots, idempotency keys and other keyed hashes.
 */
void hmac_sha256_fields(struct str key, const struct str *fields, size_t count,
                        unsigned char out[SHA256_BYTES]);

/* Constant time in content; lengths may leak. */
bool equal_constant_time(struct str a, struct str b);

void random_bytes(void *out, size_t len);
/* 0 <= result < bound; bound >= 1. */
uint32_t random_below(uint32_t bound);

/* Lower-case hex, with a NUL; out has 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);
/* Exactly out_len bytes from 2 * out_len hex digits (both cases); false otherwise. */
bool hex_decode(struct str hex, void *out, size_t out_len);

/* RFC 4648 §4 with padding, and §5 without. Results belong to the arena. Decoders give false on any
 * deviation. */
struct str base64_encode(struct arena *a, struct str data);
bool base64_decode(struct arena *a, struct str text, struct str *ret_data);
struct str base64url_encode(struct arena *a, struct str data);
bool base64url_decode(struct arena *a, struct str text, struct str *ret_data);

/* Random UUID, version 4, lower case with hyphens. */
void uuid_v4(char out[UUID_TEXT_SIZE]);
/* 8-4-4-4-12 hex digits of either case, any version. */
bool uuid_is_valid(struct str s);

/*
 * XChaCha20-Poly1305 in libsodium's secretbox form: nonce || box. `key` is 32 bytes. seal gives
 * arena memory; open gives false when the box is not from this key, or altered.
 */
struct str seal(struct arena *a, const unsigned char key[SHA256_BYTES], struct str plain);
bool seal_open(struct arena *a, const unsigned char key[SHA256_BYTES], struct str box,
               struct str *ret_plain);

#endif
