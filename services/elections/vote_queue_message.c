/*
 * vote_queue_message.c - a vote on its way through the queue, and its receipt
 *
 * The message is one JSON text, filled up with blanks to a fixed length and sealed (secretbox)
 * under a key of this service alone. Whoever operates the queue sees that a vote waits, as the
 * network sees it too: neither token nor answer.
 */
#include "vote_queue.h"

#define RECEIPT_TIME_BYTES  4
#define RECEIPT_PLAIN_BYTES 16 /* time and random bytes; the tag is as long */
#define HEX_SIZE            (2 * SHA256_BYTES + 1)

void vote_queue_keys_derive(const char *secret, struct vote_queue_keys *ret)
{
    const struct str seal_use[] = {STR("vote queue"), STR("message")};
    const struct str receipt_use[] = {STR("vote queue"), STR("receipt")};

    hmac_sha256_fields(str_from(secret), seal_use, ARRAY_LEN(seal_use), ret->seal);
    hmac_sha256_fields(str_from(secret), receipt_use, ARRAY_LEN(receipt_use), ret->receipt);
}

/* --- the message --- */

static void add_hex(cJSON *to, const char *name, const unsigned char hash[SHA256_BYTES])
{
    char hex[HEX_SIZE];

    hex_encode(hash, SHA256_BYTES, hex);
    json_add_text(to, name, hex);
}

struct str queued_vote_seal(const struct queued_vote *vote, const struct vote_queue_keys *keys,
                            struct arena *a)
{
    cJSON *message = json_object(a);
    struct buf plain;
    struct str sealed;

    json_add_i64(message, "v", 1);
    json_add_str(message, "org", vote->org_id);
    json_add_str(message, "token", vote->token_hash);
    json_add_str(message, "answer", vote->answer);
    json_add_str(message, "ballot", vote->ballot_id);
    json_add_str(message, "arrived", vote->arrived);
    add_hex(message, "receipt", vote->receipt_hash);
    if (vote->has_idempotency) {
        add_hex(message, "key", vote->idem_key);
        add_hex(message, "fingerprint", vote->idem_fingerprint);
        json_add_str(message, "reply", base64_encode(a, vote->idem_reply));
    }
    buf_init(&plain, QUEUED_VOTE_BYTES);
    must(json_write(&plain, message));
    while (buf_str(&plain).len < QUEUED_VOTE_BYTES)
        buf_add_char(&plain, ' ');
    must(!plain.overflow);
    sealed = seal(a, keys->seal, buf_str(&plain));
    buf_done(&plain);
    return sealed;
}

static bool read_hash(const cJSON *message, const char *name, unsigned char ret[SHA256_BYTES])
{
    struct str hex;

    return json_str(message, name, &hex) && hex_decode(hex, ret, SHA256_BYTES);
}

static bool read_idempotency(const cJSON *message, struct arena *a, struct queued_vote *ret)
{
    struct str reply;

    ret->has_idempotency = json_get(message, "key") != NULL;
    return !ret->has_idempotency ||
           (read_hash(message, "key", ret->idem_key) &&
            read_hash(message, "fingerprint", ret->idem_fingerprint) &&
            json_str(message, "reply", &reply) && base64_decode(a, reply, &ret->idem_reply));
}

bool queued_vote_open(struct str sealed, const struct vote_queue_keys *keys, struct arena *a,
                      struct queued_vote *ret)
{
    const cJSON *message;
    struct str plain;
    struct error e;
    int64_t version;

    *ret = (struct queued_vote){.idem_reply = STR("")};
    if (!seal_open(a, keys->seal, sealed, &plain))
        return false;
    message = json_parse(a, plain, &e);
    return message && json_i64(message, "v", &version) && version == 1 &&
           json_str(message, "org", &ret->org_id) && json_str(message, "token", &ret->token_hash) &&
           json_str(message, "answer", &ret->answer) &&
           json_str(message, "ballot", &ret->ballot_id) &&
           json_str(message, "arrived", &ret->arrived) &&
           read_hash(message, "receipt", ret->receipt_hash) && read_idempotency(message, a, ret);
}

/* --- the receipt --- */

static void tag_of(const struct vote_queue_keys *keys, const unsigned char *receipt,
                   unsigned char ret[SHA256_BYTES])
{
    hmac_sha256(str_n((const char *)keys->receipt, sizeof keys->receipt),
                str_n((const char *)receipt, RECEIPT_PLAIN_BYTES), ret);
}

void receipt_new(const struct vote_queue_keys *keys, int64_t now_s, char ret_hex[RECEIPT_HEX_SIZE],
                 unsigned char ret_hash[SHA256_BYTES])
{
    unsigned char receipt[RECEIPT_BYTES], tag[SHA256_BYTES];

    for (unsigned i = 0; i < RECEIPT_TIME_BYTES; i++)
        receipt[i] = (unsigned char)((uint32_t)now_s >> (8 * (RECEIPT_TIME_BYTES - 1 - i)));
    random_bytes(receipt + RECEIPT_TIME_BYTES, RECEIPT_PLAIN_BYTES - RECEIPT_TIME_BYTES);
    tag_of(keys, receipt, tag);
    memcpy(receipt + RECEIPT_PLAIN_BYTES, tag, RECEIPT_BYTES - RECEIPT_PLAIN_BYTES);
    hex_encode(receipt, sizeof receipt, ret_hex);
    sha256(str_n((const char *)receipt, sizeof receipt), ret_hash);
}

bool receipt_read(const struct vote_queue_keys *keys, struct str hex, int64_t *ret_made_s,
                  unsigned char ret_hash[SHA256_BYTES])
{
    unsigned char receipt[RECEIPT_BYTES], tag[SHA256_BYTES];
    uint32_t made = 0;

    if (!hex_decode(hex, receipt, sizeof receipt))
        return false;
    tag_of(keys, receipt, tag);
    if (!equal_constant_time(
            str_n((const char *)receipt + RECEIPT_PLAIN_BYTES, RECEIPT_BYTES - RECEIPT_PLAIN_BYTES),
            str_n((const char *)tag, RECEIPT_BYTES - RECEIPT_PLAIN_BYTES)))
        return false;
    for (unsigned i = 0; i < RECEIPT_TIME_BYTES; i++)
        made = made << 8 | receipt[i];
    *ret_made_s = made;
    sha256(str_n((const char *)receipt, sizeof receipt), ret_hash);
    return true;
}
