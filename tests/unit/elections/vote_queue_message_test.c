/* A vote on its way through the queue, and its receipt: what seals, opens, and is refused. */
#include "vote_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char secret[] = "a secret of thirty-two bytes or more";

struct fixture {
    struct arena *arena;
    struct vote_queue_keys keys;
};

static int set_up(void **state)
{
    static struct fixture f;

    encode_init();
    f.arena = arena_new(1U << 20);
    vote_queue_keys_derive(secret, &f.keys);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_free(f->arena);
    return 0;
}

static struct queued_vote a_vote(const char *answer)
{
    struct queued_vote v = {
        .org_id = STR("00000000-0000-4000-8000-000000000001"),
        .token_hash = STR("0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
        .answer = str_from(answer),
        .ballot_id = STR("7b0c3f0e-58f0-4c1a-9a53-0d9e4d5a9c11"),
        .arrived = STR("2026-11-21T22:32:34.657Z"),
    };

    memset(v.receipt_hash, 7, sizeof v.receipt_hash);
    return v;
}

static void assert_same(const struct queued_vote *a, const struct queued_vote *b)
{
    assert_true(str_eq(a->org_id, b->org_id) && str_eq(a->token_hash, b->token_hash));
    assert_true(str_eq(a->answer, b->answer) && str_eq(a->ballot_id, b->ballot_id));
    assert_true(str_eq(a->arrived, b->arrived));
    assert_memory_equal(a->receipt_hash, b->receipt_hash, sizeof a->receipt_hash);
    assert_int_equal(a->has_idempotency, b->has_idempotency);
}

static void test_message_opens_as_it_was_sealed(void **state)
{
    struct fixture *f = *state;
    struct queued_vote vote = a_vote("yes"), back;

    assert_true(
        queued_vote_open(queued_vote_seal(&vote, &f->keys, f->arena), &f->keys, f->arena, &back));
    assert_same(&vote, &back);
    vote.has_idempotency = true;
    memset(vote.idem_key, 1, sizeof vote.idem_key);
    memset(vote.idem_fingerprint, 2, sizeof vote.idem_fingerprint);
    vote.idem_reply = str_n("\0\1\2 any bytes\xff", 14);
    assert_true(
        queued_vote_open(queued_vote_seal(&vote, &f->keys, f->arena), &f->keys, f->arena, &back));
    assert_same(&vote, &back);
    assert_memory_equal(vote.idem_key, back.idem_key, sizeof back.idem_key);
    assert_memory_equal(vote.idem_fingerprint, back.idem_fingerprint, sizeof back.idem_fingerprint);
    assert_true(str_eq(vote.idem_reply, back.idem_reply));
}

static void test_messages_have_one_length(void **state)
{
    static const char *const answers[] = {"yes", "no", "abstain"};
    struct fixture *f = *state;
    struct queued_vote first = a_vote("yes");
    size_t length = queued_vote_seal(&first, &f->keys, f->arena).len;

    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct queued_vote vote = a_vote(answers[i]);

        assert_int_equal(queued_vote_seal(&vote, &f->keys, f->arena).len, length);
        vote.has_idempotency = true;
        vote.idem_reply = str_n(secret, 30);
        assert_int_equal(queued_vote_seal(&vote, &f->keys, f->arena).len, length);
    }
}

static void test_altered_or_foreign_messages_are_poison(void **state)
{
    struct fixture *f = *state;
    struct vote_queue_keys other;
    struct queued_vote vote = a_vote("no"), back;
    struct str sealed = queued_vote_seal(&vote, &f->keys, f->arena);
    char *altered = arena_alloc(f->arena, sealed.len);

    vote_queue_keys_derive("another secret of thirty-two bytes", &other);
    assert_false(queued_vote_open(sealed, &other, f->arena, &back));
    for (size_t i = 0; i < sealed.len; i += 97) {
        memcpy(altered, sealed.ptr, sealed.len);
        altered[i] = (char)(altered[i] ^ 1);
        assert_false(queued_vote_open(str_n(altered, sealed.len), &f->keys, f->arena, &back));
        assert_false(queued_vote_open(str_take(sealed, i), &f->keys, f->arena, &back));
    }
}

static void test_sealed_nonsense_is_poison(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "7",
        "{\"v\":1}",
        "{\"v\":2,\"org\":\"x\"}",
        "{\"v\":1,\"org\":\"o\",\"token\":\"t\",\"answer\":\"yes\",\"ballot\":\"b\",\"arrived\":"
        "\"a\",\"receipt\":\"00\"}",
        "{\"v\":1,\"org\":7,\"token\":\"t\",\"answer\":\"yes\",\"ballot\":\"b\",\"arrived\":\"a\","
        "\"receipt\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"v\":1,\"org\":\"o\",\"token\":\"t\",\"answer\":\"yes\",\"ballot\":\"b\",\"arrived\":"
        "\"a\",\"receipt\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\",\"key\":\"zz\"}",
    };
    struct fixture *f = *state;
    struct queued_vote back;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(queued_vote_open(seal(f->arena, f->keys.seal, str_from(texts[i])), &f->keys,
                                      f->arena, &back));
}

static void test_receipt_proves_itself(void **state)
{
    struct fixture *f = *state;
    struct vote_queue_keys other;
    char hex[RECEIPT_HEX_SIZE], second[RECEIPT_HEX_SIZE];
    unsigned char hash[SHA256_BYTES], back[SHA256_BYTES];
    int64_t made_s = 0;

    receipt_new(&f->keys, 1764354896, hex, hash);
    assert_true(receipt_read(&f->keys, str_from(hex), &made_s, back));
    assert_int_equal(made_s, 1764354896);
    assert_memory_equal(hash, back, sizeof hash);
    receipt_new(&f->keys, 1764354896, second, hash);
    assert_string_not_equal(hex, second);
    vote_queue_keys_derive("another secret of thirty-two bytes", &other);
    assert_false(receipt_read(&other, str_from(hex), &made_s, back));
    for (size_t i = 0; i + 1 < sizeof hex; i++) {
        char kept = hex[i];

        hex[i] = kept == '0' ? '1' : '0';
        assert_false(receipt_read(&f->keys, str_from(hex), &made_s, back));
        hex[i] = kept;
        assert_false(receipt_read(&f->keys, str_take(str_from(hex), i), &made_s, back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_message_opens_as_it_was_sealed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages_have_one_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_altered_or_foreign_messages_are_poison, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_sealed_nonsense_is_poison, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_receipt_proves_itself, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
