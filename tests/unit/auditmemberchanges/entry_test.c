/* entry_test.c - who did it, and that no entry holds a kennitala */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auditmemberchanges.h"

#define NUMBER "0101302989"
#define HYPHEN "010130-2989"

struct fixture {
    struct arena *arena;
    struct audit_log *log;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->arena = arena_new(8U << 20);
    f->log =
        audit_log_new(&(struct audit_log_config){NULL, "a key of thirty-two bytes or more", 4});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    audit_log_free(f->log);
    arena_free(f->arena);
    free(f);
    return 0;
}

static const cJSON *stamped(struct arena *a, const char *actor, const char *correlation)
{
    cJSON *fields = fs_fields(a), *metadata = fs_add_map(fields, "metadata");

    fs_add_text(metadata, "updated_by", actor);
    fs_add_text(metadata, "correlation_id", correlation);
    return fields;
}

static struct event_actor actor_of(struct fixture *f, const char *auth_type, const char *auth_id,
                                   const cJSON *before, const cJSON *after, const char *writers)
{
    const struct member_event event = {.auth_type = str_from(auth_type),
                                       .auth_id = str_from(auth_id),
                                       .is_decoded = true,
                                       .before = before,
                                       .after = after};
    struct event_actor actor;

    event_find_actor(f->arena, &event, writers, &actor);
    return actor;
}

static void test_event_find_actor_user_writes_cannot_name_another(void **state)
{
    struct fixture *f = *state;
    struct event_actor actor =
        actor_of(f, "app_user", "uid-1", NULL, stamped(f->arena, "somebody-else", "c"), "");

    assert_true(str_eq_text(actor.id, "uid-1"));
    assert_true(str_eq_text(actor.source, "auth"));
}

static void test_event_find_actor_service_stamp_counts_only_when_fresh(void **state)
{
    struct fixture *f = *state;
    const cJSON *old = stamped(f->arena, "uid-1", "c-1"), *new = stamped(f->arena, "uid-1", "c-2");
    struct event_actor fresh = actor_of(f, "service_account", "s@x", old, new, "");
    struct event_actor stale = actor_of(f, "service_account", "s@x", old, old, "");
    struct event_actor foreign = actor_of(f, "service_account", "t@x", old, new, "s@x, u@x");

    assert_true(str_eq_text(fresh.id, "uid-1"));
    assert_true(str_eq_text(fresh.correlation_id, "c-2"));
    assert_true(str_eq_text(stale.id, "system"));
    assert_true(str_eq_text(foreign.id, "system"));
}

static void test_event_find_actor_nothing_told_is_system(void **state)
{
    struct fixture *f = *state;

    assert_true(str_eq_text(actor_of(f, "", "", NULL, fs_fields(f->arena), "").id, "system"));
    assert_true(
        str_eq_text(actor_of(f, "system", "", NULL, stamped(f->arena, "u", "c"), "").id, "system"));
}

static void test_entry_make_kennitala_everywhere_none_comes_out(void **state)
{
    struct fixture *f = *state;
    cJSON *after = fs_fields(f->arena), *profile = fs_add_map(after, "profile"),
          *membership = fs_add_map(after, "membership");
    struct member_event event = {.id = STR("e"),
                                 .source = STR("s"),
                                 .document = STR("members/" NUMBER),
                                 .auth_type = STR("app_user"),
                                 .auth_id = STR("u-" NUMBER),
                                 .is_decoded = true,
                                 .after = after};
    struct event_actor actor;
    struct buf text;
    cJSON *entry;

    fs_add_text(profile, "kennitala", NUMBER);
    fs_add_text(profile, NUMBER, "name of a field");
    fs_add_text(profile, HYPHEN, "another");
    fs_add_text(membership, "status", NUMBER);
    fs_push_str(fs_add_array(profile, "addresses"), STR(HYPHEN));
    event_find_actor(f->arena, &event, "", &actor);
    entry = entry_make(f->log, f->arena, &event, &actor, STR(HYPHEN "@x.is"));
    buf_init(&text, 1U << 20);
    json_write(&text, entry);
    assert_false(str_contains(buf_str(&text), STR(NUMBER)));
    assert_false(str_contains(buf_str(&text), STR(HYPHEN)));
    assert_true(str_contains(buf_str(&text), STR("010130-****")));
    buf_done(&text);
}

static void test_entry_make_status_change_is_named_and_readable(void **state)
{
    struct fixture *f = *state;
    cJSON *before = fs_fields(f->arena), *after = fs_fields(f->arena);
    const struct event_actor actor = {.id = STR("system"), .source = STR("none")};
    struct member_event event = {
        .document = STR("members/" NUMBER), .is_decoded = true, .before = before, .after = after};
    const cJSON *map;
    struct str text, plain;
    cJSON *entry;

    fs_add_text(fs_add_map(before, "membership"), "status", "active");
    fs_add_text(fs_add_map(after, "membership"), "status", "inactive");
    fs_add_text(after, "note", "private");
    entry = entry_make(f->log, f->arena, &event, &actor, STR("system"));
    assert_true(fs_get_str(entry, "transition", &text) && str_eq_text(text, "deactivated"));
    assert_true(fs_get_str(entry, "action", &text) && str_eq_text(text, "update"));
    map = fs_get_map(entry, "changes.after");
    assert_true(json_str(json_get(map, "membership.status"), "stringValue", &text));
    assert_true(str_eq_text(text, "inactive"));
    assert_true(json_str(json_get(map, "note"), "stringValue", &text));
    assert_true(audit_log_open(f->log, f->arena, text, &plain));
    assert_true(str_eq_text(plain, "{\"stringValue\":\"private\"}"));
}

static void test_entry_make_huge_values_still_fit_a_document(void **state)
{
    struct fixture *f = *state;
    cJSON *after = fs_fields(f->arena);
    const struct event_actor actor = {.id = STR("system"), .source = STR("none")};
    struct member_event event = {
        .document = STR("members/" NUMBER), .is_decoded = true, .after = after};
    static char big[300000];
    struct buf text;

    memset(big, 'x', sizeof big - 1);
    fs_add_text(after, "one", big);
    fs_add_text(after, "two", big);
    buf_init(&text, 8U << 20);
    json_write(&text, entry_make(f->log, f->arena, &event, &actor, STR("system")));
    assert_true(text.len < 1000000);
    assert_true(str_contains(buf_str(&text), STR("hash:")));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_event_find_actor_user_writes_cannot_name_another,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_event_find_actor_service_stamp_counts_only_when_fresh,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_event_find_actor_nothing_told_is_system, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_entry_make_kennitala_everywhere_none_comes_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_entry_make_status_change_is_named_and_readable, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_entry_make_huge_values_still_fit_a_document, set_up,
                                        tear_down),
    };

    encode_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
