/* member_document_test.c - Django's member and the two documents; M-F17 - M-F24, M-T5 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/json.h"
#include "cloud/member_document.h"

#define KT     "0101302989"
#define NOW_MS 1780000000000LL

static struct arena *a;
static struct member_countries countries;

static int set_up(void **state)
{
    (void)state;
    encode_init();
    a = arena_new(64U << 20);
    assert_true(member_countries_parse(STR("109:IS, 53:DK"), &countries, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static const cJSON *json(const char *text)
{
    const cJSON *tree = json_parse(a, str_from(text), NULL);

    assert_non_null(tree);
    return tree;
}

static const struct fs_document nothing = {.exists = false};

static struct fs_document stored(const char *plain)
{
    cJSON *holder = fs_fields(a);

    assert_true(fs_add_json(holder, "all", json(plain)));
    return (struct fs_document){
        .exists = true,
        .fields = fs_get_map(holder, "all"),
        .update_time = STR("2026-01-01T00:00:00Z"),
    };
}

static struct member_event event(enum member_action action, const char *data)
{
    return (struct member_event){
        .action = action,
        .kennitala = KT,
        .data = data ? json(data) : NULL,
        .event_id = STR(""),
        .now_ms = NOW_MS,
        .countries = &countries,
    };
}

static struct member_change apply(struct member_event e, struct fs_document member,
                                  struct fs_document record)
{
    struct member_change change;

    member_document_apply(a, &e, &member, &record, &change);
    return change;
}

static const struct fs_write *write_of(const struct member_change *change, const char *path)
{
    for (size_t i = 0; i < change->write_count; i++) {
        if (str_eq_text(change->writes[i].path, path))
            return &change->writes[i];
    }
    return NULL;
}

static const struct fs_write *member_write(const struct member_change *change)
{
    return write_of(change, "members/" KT);
}

static const struct fs_write *record_write(const struct member_change *change)
{
    return write_of(change, "members/" KT "/server/membership");
}

static bool is_masked(const struct fs_write *w, const char *path)
{
    for (size_t i = 0; i < w->mask_count; i++) {
        if (str_eq_text(w->mask[i], path))
            return true;
    }
    return false;
}

/* What the store holds after the write: only masked leaves of two levels, as Firestore does it. */
static struct fs_document after(struct fs_document before, const struct fs_write *w)
{
    cJSON *fields = fs_fields(a);

    if (!w)
        return before;
    if (before.exists)
        json_add_copy(fields, "all", before.fields);
    else
        json_add_object(fields, "all");

    cJSON *all = cJSON_GetObjectItemCaseSensitive(fields, "all");

    for (size_t i = 0; i < w->mask_count; i++) {
        struct str rest = w->mask[i], part = STR("");
        const cJSON *value = fs_get(w->fields, arena_text(a, w->mask[i]));
        cJSON *at = all;

        assert_true(str_split(&rest, '.', &part));
        if (rest.ptr) {
            const char *name = arena_text(a, part);
            cJSON *inner = (cJSON *)(uintptr_t)fs_get_map(all, name);

            at = fs_get(all, name) ? inner : fs_add_map(all, name);
            part = rest;
        }
        cJSON_DeleteItemFromObjectCaseSensitive(at, arena_text(a, part));
        if (value)
            json_add_copy(at, arena_text(a, part), value);
    }
    return (struct fs_document){
        .exists = true, .fields = all, .update_time = STR("2026-01-02T00:00:00Z")};
}

static void assert_text(const cJSON *fields, const char *path, const char *want)
{
    struct str got = STR("");

    assert_true(fs_get_str(fields, path, &got));
    assert_string_equal(arena_text(a, got), want);
}

static void assert_status(const struct fs_write *w, const char *path, const char *want)
{
    assert_non_null(w);
    assert_text(w->fields, path, want);
}

static const char full[] =
    "{\"id\":7,\"ssn\":\"010130-2989\",\"name\":\"Anna\",\"birthday\":\"1930-01-01\","
    "\"date_joined\":\"2020-05-06T07:08:09.123Z\",\"gender\":2,\"housing_situation\":null,"
    "\"reachable\":false,\"contact_info\":{\"email\":null,\"phone\":\"+354 555-1234\","
    "\"foreign_phone\":null},\"local_address\":{\"street\":\"Njálsgata\",\"number\":3,"
    "\"letter\":\"a\",\"postal_code\":101,\"city\":\"Reykjavík\"},\"foreign_addresses\":["
    "{\"country\":53,\"current\":true,\"municipality\":\"Odense\",\"postal_code\":\"5000\","
    "\"address\":\"Gade 1\"},{\"country\":46,\"current\":false,\"address\":\"Gata 2\"}],"
    "\"unions\":[{\"name\":\"VR\"},{\"name\":\"\"},{\"name\":null}],\"titles\":null}";

static void test_apply_whole_member_writes_contract_fields(void **state)
{
    struct member_change change = apply(event(MEMBER_CREATE, full), nothing, nothing);
    const struct fs_write *w = member_write(&change);
    const cJSON *list;
    int64_t number;
    bool flag;

    (void)state;
    assert_int_equal(change.outcome, MEMBER_WRITTEN);
    assert_false(change.inactive);
    assert_text(w->fields, "profile.kennitala", KT);
    assert_text(w->fields, "profile.name", "Anna");
    assert_text(w->fields, "profile.birthday", "1930-01-01");
    assert_text(w->fields, "profile.phone", "5551234");
    assert_text(w->fields, "profile.foreign_phone", "");
    assert_text(w->fields, "profile.facebook", "");
    assert_true(cJSON_IsNull(json_get(fs_get(w->fields, "profile.email"), "nullValue")));
    assert_true(fs_get_bool(w->fields, "profile.reachable", &flag) && !flag);
    assert_true(fs_get_bool(w->fields, "profile.groupable", &flag) && flag);
    assert_true(fs_get_i64(w->fields, "profile.gender", &number) && number == 2);
    assert_true(fs_get_time_ms(w->fields, "membership.date_joined", &number));
    assert_int_equal(number, 1588748889123LL);
    assert_text(w->fields, "membership.status", "active");
    assert_int_equal(cJSON_GetArraySize(fs_get_array(w->fields, "membership.unions")), 1);
    assert_int_equal(cJSON_GetArraySize(fs_get_array(w->fields, "membership.titles")), 0);
    assert_true(fs_get_i64(w->fields, "metadata.django_id", &number) && number == 7);
    assert_string_equal(w->server_times[0], "metadata.synced_at");
    list = fs_get_array(w->fields, "profile.addresses");
    assert_int_equal(cJSON_GetArraySize(list), 3);
    assert_status(record_write(&change), "status", "active");
}

static const cJSON *address(const cJSON *fields, int index)
{
    const cJSON *entry = cJSON_GetArrayItem(fs_get_array(fields, "profile.addresses"), index);

    return json_get(json_get(entry, "mapValue"), "fields");
}

static void test_apply_countries_known_unknown_and_local(void **state)
{
    struct member_change change = apply(event(MEMBER_CREATE, full), nothing, nothing);
    const cJSON *fields = member_write(&change)->fields;
    int64_t id;
    bool flag;

    (void)state;
    assert_text(address(fields, 0), "country", "IS");
    assert_text(address(fields, 0), "number", "3");
    assert_text(address(fields, 0), "postal_code", "101");
    assert_true(fs_get_bool(address(fields, 0), "is_default", &flag) && flag);
    assert_text(address(fields, 1), "country", "DK");
    assert_true(fs_get_bool(address(fields, 1), "is_default", &flag) && !flag);
    /* M-F22: 46 is Sweden's dialling code, no row of the table we were given. */
    assert_true(cJSON_IsNull(json_get(fs_get(address(fields, 2), "country"), "nullValue")));
    assert_true(fs_get_i64(address(fields, 2), "country_id", &id) && id == 46);
}

static void test_apply_same_again_leaves_document_alone(void **state)
{
    struct member_change first = apply(event(MEMBER_CREATE, full), nothing, nothing);
    struct fs_document member = after(nothing, member_write(&first));
    struct fs_document record = after(nothing, record_write(&first));
    struct member_change second = apply(event(MEMBER_UPDATE, full), member, record);

    (void)state;
    assert_int_equal(second.outcome, MEMBER_UNCHANGED);
    assert_null(member_write(&second));
}

static void test_apply_portal_address_fields_survive(void **state)
{
    struct member_change first = apply(event(MEMBER_CREATE, full), nothing, nothing);
    struct fs_document record = after(nothing, record_write(&first));
    /* The member added coordinates to Django's address, an extra one, and made that the default. */
    struct fs_document member = stored(
        "{\"profile\":{\"name\":\"Anna\",\"phone_numbers\":[{\"number\":\"1\"}],\"addresses\":["
        "{\"country\":\"IS\",\"street\":\"njálsgata\",\"number\":3,\"letter\":\"A\","
        "\"postal_code\":101,\"latitude\":64.1,\"hnitnum\":1,\"is_default\":false},"
        "{\"street\":\"Laugavegur\",\"number\":\"12\",\"is_default\":true},"
        "{\"country\":\"DK\",\"street\":\"Gade 1\",\"postal_code\":\"5000\"},"
        "{\"country\":null,\"street\":\"Gata 2\"}]},\"membership\":{\"status\":\"active\"}}");
    struct member_change same =
        apply(event(MEMBER_UPDATE, "{\"name\":\"Anna B\",\"local_address\":{\"street\":"
                                   "\"Njálsgata\",\"number\":3,\"letter\":\"a\","
                                   "\"postal_code\":\"101\"},\"foreign_addresses\":["
                                   "{\"country\":53,\"postal_code\":\"5000\",\"address\":\"Gade "
                                   "1\"},{\"country\":46,\"address\":\"Gata 2\"}]}"),
              member, record);
    const struct fs_write *w = member_write(&same);

    (void)state;
    assert_non_null(w);
    assert_true(is_masked(w, "profile.name"));
    assert_false(is_masked(w, "profile.addresses"));
    assert_false(is_masked(w, "profile.phone_numbers"));
    assert_false(is_masked(w, "profile"));
}

static void test_apply_moved_member_replaces_only_djangos_address(void **state)
{
    struct member_change first = apply(event(MEMBER_CREATE, full), nothing, nothing);
    struct fs_document record = after(nothing, record_write(&first));
    struct fs_document member =
        stored("{\"profile\":{\"addresses\":[{\"country\":\"IS\",\"street\":\"Njálsgata\","
               "\"number\":\"3\",\"letter\":\"a\",\"postal_code\":\"101\",\"is_default\":true},"
               "{\"street\":\"Sumarhús\",\"number\":\"1\",\"latitude\":65.5}]}}");
    struct member_change moved =
        apply(event(MEMBER_UPDATE, "{\"local_address\":{\"street\":\"Laugavegur\",\"number\":12,"
                                   "\"postal_code\":101},\"foreign_addresses\":null}"),
              member, record);
    const cJSON *fields = member_write(&moved)->fields;
    double latitude;
    bool flag;

    (void)state;
    assert_int_equal(cJSON_GetArraySize(fs_get_array(fields, "profile.addresses")), 2);
    assert_text(address(fields, 0), "street", "Sumarhús");
    assert_true(fs_get_double(address(fields, 0), "latitude", &latitude));
    assert_text(address(fields, 1), "street", "Laugavegur");
    assert_true(fs_get_bool(address(fields, 1), "is_default", &flag) && flag);
}

static void test_apply_several_defaults_one_stays(void **state)
{
    struct fs_document member =
        stored("{\"profile\":{\"addresses\":[{\"street\":\"A\",\"is_default\":true},"
               "{\"street\":\"B\",\"is_default\":true}]}}");
    struct member_change change =
        apply(event(MEMBER_UPDATE, "{\"local_address\":{\"street\":\"C\"}}"), member, nothing);
    const cJSON *fields = member_write(&change)->fields;
    int defaults = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        bool flag = false;

        assert_true(fs_get_bool(address(fields, i), "is_default", &flag));
        defaults += flag;
    }
    assert_int_equal(defaults, 1);
}

static void test_apply_update_after_delete_stays_inactive(void **state)
{
    struct member_change made = apply(event(MEMBER_CREATE, full), nothing, nothing);
    struct fs_document member = after(nothing, member_write(&made));
    struct fs_document record = after(nothing, record_write(&made));
    struct member_change gone = apply(event(MEMBER_DELETE, NULL), member, record), later;

    (void)state;
    assert_true(gone.inactive);
    assert_status(member_write(&gone), "membership.status", "inactive");
    member = after(member, member_write(&gone));
    record = after(record, record_write(&gone));
    for (enum member_action action = MEMBER_UPDATE; action <= MEMBER_CREATE; action++) {
        later = apply(event(action, full), member, record);
        assert_true(later.inactive);
        assert_status(record_write(&later), "status", "inactive");
        if (member_write(&later))
            assert_status(member_write(&later), "membership.status", "inactive");
    }
    later = apply(event(MEMBER_REACTIVATE, full), member, record);
    assert_false(later.inactive);
    assert_status(member_write(&later), "membership.status", "active");
    assert_true(is_masked(member_write(&later), "metadata.deleted_at"));
    assert_null(fs_get(member_write(&later)->fields, "metadata.deleted_at"));
    assert_true(is_masked(record_write(&later), "deleted_at"));
}

static void test_apply_create_of_newer_row_reactivates(void **state)
{
    struct fs_document record = stored("{\"status\":\"inactive\",\"django_id\":7}");
    struct member_change change =
        apply(event(MEMBER_CREATE, "{\"id\":8,\"name\":\"Anna\"}"), nothing, record);

    (void)state;
    assert_false(change.inactive);
    change = apply(event(MEMBER_CREATE, "{\"id\":7,\"name\":\"Anna\"}"), nothing, record);
    assert_true(change.inactive);
}

static void test_apply_versions_newest_wins_in_any_order(void **state)
{
    /* All orders of three versions and a repeat end with the newest name. */
    static const int orders[][4] = {{1, 2, 3, 1}, {1, 3, 2, 3}, {2, 1, 3, 2},
                                    {2, 3, 1, 3}, {3, 1, 2, 3}, {3, 2, 1, 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct fs_document member = nothing, record = nothing;

        for (size_t j = 0; j < 4; j++) {
            struct member_event e =
                event(MEMBER_UPDATE,
                      arena_text(a, arena_printf(a, "{\"id\":7,\"name\":\"v%d\"}", orders[i][j])));
            struct member_change change;

            e.has_version = true;
            e.version = orders[i][j];
            change = apply(e, member, record);
            member = after(member, member_write(&change));
            record = after(record, record_write(&change));
        }
        assert_text(member.fields, "profile.name", "v3");
    }
}

static void test_apply_late_update_after_newer_delete_changes_nothing(void **state)
{
    struct fs_document record =
        stored("{\"status\":\"inactive\",\"version\":9,\"deleted_at\":null}");
    struct member_event e = event(MEMBER_CREATE, full);
    struct member_change change;

    (void)state;
    e.has_version = true;
    e.version = 8;
    change = apply(e, nothing, record);
    assert_int_equal(change.outcome, MEMBER_OUTDATED);
    assert_int_equal(change.write_count, 0);
}

static void test_apply_known_event_id_writes_nothing(void **state)
{
    struct fs_document record = stored("{\"status\":\"active\",\"events\":[\"e1\",\"e2\"]}");
    struct member_event e = event(MEMBER_UPDATE, full);
    struct member_change change;

    (void)state;
    e.event_id = STR("e2");
    change = apply(e, nothing, record);
    assert_int_equal(change.outcome, MEMBER_REPEATED);
    assert_int_equal(change.write_count, 0);
    e.event_id = STR("e3");
    change = apply(e, nothing, record);
    assert_int_equal(cJSON_GetArraySize(fs_get_array(record_write(&change)->fields, "events")), 3);
}

static void test_apply_delete_of_nobody_writes_nothing_unless_versioned(void **state)
{
    struct member_event e = event(MEMBER_DELETE, NULL);
    struct member_change change = apply(e, nothing, nothing);

    (void)state;
    assert_int_equal(change.write_count, 0);
    e.has_version = true;
    e.version = 5;
    change = apply(e, nothing, nothing);
    assert_int_equal(change.write_count, 1);
    assert_status(record_write(&change), "status", "inactive");
}

/* --- totality: any JSON in any place --- */

static const char *const odd_values[] = {
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "9007199254740993",
    "1e300",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[1]",
    "[[]]",
    "[null,{},[],\"\",7,{\"name\":{}}]",
    "{\"name\":[],\"street\":7}",
};
static const char *const member_names[] = {
    "id",     "ssn",       "name",         "birthday",          "date_joined",
    "gender", "reachable", "contact_info", "local_address",     "foreign_addresses",
    "unions", "titles",    "version",      "housing_situation", "groupable"};
static const char *const inner_names[] = {"email",  "phone",   "street",       "number",
                                          "letter", "country", "municipality", "current",
                                          "name",   "address", "postal_code",  "city"};

static void assert_well_formed(const struct fs_write *w)
{
    struct buf text;

    if (!w)
        return;
    buf_init(&text, 1U << 20);
    assert_true(json_write(&text, w->fields));
    assert_true(json_check(buf_str(&text), NULL));
    buf_done(&text);
    assert_status(w, is_masked(w, "status") ? "status" : "membership.status", "active");
}

static void apply_text(struct str text)
{
    const cJSON *data = json_parse(a, text, NULL);
    struct member_event e = event(MEMBER_UPDATE, NULL);
    struct member_change change;
    const char *field;

    assert_non_null(data);
    e.data = data;
    change = apply(e, nothing, nothing);
    assert_int_equal(change.outcome, MEMBER_WRITTEN);
    assert_well_formed(member_write(&change));
    assert_well_formed(record_write(&change));
    /* Whatever the check lets pass is a person of this number. */
    if (member_document_check(data, KT, &field))
        assert_true(cJSON_IsObject(data));
    assert_non_null(field);
}

static void test_apply_every_odd_value_in_every_place_gives_a_document(void **state)
{
    (void)state;
    for (size_t v = 0; v < ARRAY_LEN(odd_values); v++) {
        apply_text(str_from(odd_values[v]));
        for (size_t n = 0; n < ARRAY_LEN(member_names); n++) {
            apply_text(arena_printf(a, "{\"%s\":%s}", member_names[n], odd_values[v]));
            for (size_t i = 0; i < ARRAY_LEN(inner_names); i++) {
                apply_text(arena_printf(a, "{\"%s\":{\"%s\":%s}}", member_names[n], inner_names[i],
                                        odd_values[v]));
                apply_text(arena_printf(a, "{\"%s\":[{\"%s\":%s}]}", member_names[n],
                                        inner_names[i], odd_values[v]));
            }
        }
        arena_reset(a);
    }
}

/* A fixed sequence, so that a failure comes again. */
static unsigned next_random(uint64_t *state, unsigned below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(*state >> 33) % below;
}

static void add_random_value(struct buf *out, uint64_t *state, unsigned depth);

static void add_random_object(struct buf *out, uint64_t *state, unsigned depth)
{
    unsigned first = next_random(state, ARRAY_LEN(member_names));
    unsigned count = next_random(state, ARRAY_LEN(inner_names));

    buf_add_char(out, '{');
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (first + i) % ARRAY_LEN(member_names);
        const char *name =
            next_random(state, 2) ? member_names[at] : inner_names[at % ARRAY_LEN(inner_names)];

        /* No name twice: the number of the member is part of it when it is one of the others. */
        buf_printf(out, "%s\"%s%s\":", i ? "," : "", name,
                   i && next_random(state, 2) ? arena_printf(a, "%u", i).ptr : "");
        add_random_value(out, state, depth + 1);
    }
    buf_add_char(out, '}');
}

static void add_random_value(struct buf *out, uint64_t *state, unsigned depth)
{
    unsigned count = next_random(state, 4);

    switch (depth < 5 ? next_random(state, 4) : 0) {
    case 0:
    case 1:
        buf_add_text(out, odd_values[next_random(state, ARRAY_LEN(odd_values))]);
        break;
    case 2:
        buf_add_char(out, '[');
        for (unsigned i = 0; i < count; i++) {
            if (i)
                buf_add_char(out, ',');
            add_random_value(out, state, depth + 1);
        }
        buf_add_char(out, ']');
        break;
    default:
        add_random_object(out, state, depth + 1);
    }
}

static void test_apply_random_json_gives_a_document(void **state)
{
    uint64_t random = 20261128;
    unsigned members = 0;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        struct buf text;

        buf_init(&text, 1U << 20);
        add_random_object(&text, &random, 0);
        if (json_check(buf_str(&text), NULL)) { /* a name that came twice is no JSON of ours */
            apply_text(buf_str(&text));
            members++;
        }
        buf_done(&text);
        arena_reset(a);
    }
    assert_true(members > 200);
}

/* The same odd values as what is stored. */
static void test_apply_odd_stored_documents_do_not_stop_it(void **state)
{
    static const char *const shapes[] = {
        "{\"profile\":%s,\"membership\":%s,\"metadata\":%s}",
        "{\"profile\":{\"addresses\":%s},\"status\":%s,\"events\":%s}",
        "{\"addresses\":%s,\"version\":%s,\"deleted_at\":%s}",
        "{\"profile\":{\"addresses\":[{\"street\":%s,\"number\":%s,\"is_default\":%s}]}}",
    };

    (void)state;
    for (size_t v = 0; v < ARRAY_LEN(odd_values); v++) {
        if (strstr(odd_values[v], "[[") || strstr(odd_values[v], ",[],"))
            continue; /* Firestore has no array in an array */
        for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
            struct buf text;

            buf_init(&text, 65536);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            buf_printf(&text, shapes[s], odd_values[v], odd_values[v], odd_values[v]);
#pragma GCC diagnostic pop
            buf_add_char(&text, '\0');

            struct fs_document document = stored(text.ptr);

            (void)apply(event(MEMBER_UPDATE, full), document, document);
            (void)apply(event(MEMBER_DELETE, NULL), document, nothing);
            buf_done(&text);
        }
        arena_reset(a);
    }
}

static void test_check_wrong_types_are_named(void **state)
{
    static const struct {
        const char *data, *field;
    } cases[] = {
        {"{}", "data"},
        {"[]", "data"},
        {"{\"id\":\"7\"}", "id"},
        {"{\"id\":0}", "id"},
        {"{\"id\":1.5}", "id"},
        {"{\"ssn\":\"0101302988\"}", "ssn"},
        {"{\"ssn\":101302989}", "ssn"},
        {"{\"name\":[]}", "name"},
        {"{\"reachable\":\"yes\"}", "reachable"},
        {"{\"contact_info\":{\"email\":1}}", "email"},
        {"{\"local_address\":[]}", "local_address"},
        {"{\"local_address\":{\"number\":true}}", "number"},
        {"{\"foreign_addresses\":{}}", "foreign_addresses"},
        {"{\"foreign_addresses\":[null]}", "foreign_addresses"},
        {"{\"foreign_addresses\":[{\"country\":\"DK\"}]}", "country"},
        {"{\"unions\":[{\"name\":5}]}", "name"},
    };
    const char *field;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(member_document_check(json(cases[i].data), KT, &field));
        assert_string_equal(field, cases[i].field);
    }
    assert_true(member_document_check(json(full), KT, &field));
    assert_true(member_document_check(json("{\"name\":null,\"unions\":null,\"contact_info\":null}"),
                                      KT, &field));
}

static void test_member_phone_forms_and_idempotence(void **state)
{
    static const char *const cases[][2] = {
        {"555-1234", "5551234"},
        {"+354 555 1234", "5551234"},
        {"00354 5551234", "5551234"},
        {"+45 12 34 56", "+45 12 34 56"},
        {"354 5551234", "5551234"},
        {"455 555 1234", "455 555 1234"},
        {"00455 5551234", "00455 5551234"},
        {"0123456789 0123456789 0123456789 012345", "0123456789 0123456789 0123456789 012345"},
        {"", ""},
        {"abc", "abc"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str once = member_phone(a, str_from(cases[i][0]));

        assert_string_equal(arena_text(a, once), cases[i][1]);
        assert_true(str_eq(member_phone(a, once), once));
    }
}

/* Long texts end at a character: the last of this one would be cut in two. */
static void test_member_text_is_cut_between_characters(void **state)
{
    enum { MAX_BYTES = 500, LETTERS = MAX_BYTES };
    char text[2 * LETTERS + 2] = "x";

    (void)state;
    for (size_t i = 1; i <= LETTERS; i++)
        memcpy(text + 2 * i - 1, "á", 2);

    struct str cut = member_phone(a, str_from(text));

    assert_int_equal(cut.len, MAX_BYTES - 1);
    assert_true(str_starts_with(str_from(text), cut));
}

static void test_date_joined_is_a_day_or_a_time_with_or_without_offset(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: left out */
    } cases[] = {
        {"2020-05-06", 1588723200000LL},
        {"2020-05-06T07:08:09", 1588748889000LL},
        {"2020-05-06T08:08:09+01:00", 1588748889000LL},
        {"2020-13-06", -1},
        {"2020-05-32", -1},
        {"2020/05/06", -1},
        {"2020-05/06", -1},
        {"yyyy-05-06", -1},
        {"6 May 2020", -1},
        {"", -1},
        {"2020-05-06T07:08:09.0000000000000000000000000000000000000000000000000", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str data = arena_printf(a, "{\"id\":7,\"date_joined\":\"%s\"}", cases[i].text);
        struct member_change change =
            apply(event(MEMBER_CREATE, arena_text(a, data)), nothing, nothing);
        int64_t got = -1;

        (void)fs_get_time_ms(member_write(&change)->fields, "membership.date_joined", &got);
        if (got != cases[i].ms)
            fail_msg("'%s' gives %lld", cases[i].text, (long long)got);
    }
}

static void test_member_countries_parse_bad_entries_are_refused(void **state)
{
    static const char *const bad[] = {"109", "109:is", "x:IS", "109:ISL", "1:IS,1:DK", "-1:IS"};
    struct member_countries table;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(member_countries_parse(str_from(bad[i]), &table, NULL));
    assert_true(member_countries_parse(STR(""), &table, NULL));
    assert_int_equal(table.count, 0);
}

static void test_apply_stamps_actor_and_request_only_when_it_writes(void **state)
{
    struct member_event e = event(MEMBER_CREATE, full);
    struct member_change change;
    const struct fs_write *w;

    (void)state;
    e.actor = STR("uid-1");
    e.correlation_id = STR("corr-1");
    change = apply(e, nothing, nothing);
    w = member_write(&change);
    assert_text(w->fields, "metadata.updated_by", "uid-1");
    assert_text(w->fields, "metadata.correlation_id", "corr-1");
    assert_true(is_masked(w, "metadata.updated_by") && is_masked(w, "metadata.correlation_id"));
    e = event(MEMBER_DELETE, NULL);
    e.correlation_id = STR("corr-2");
    change = apply(e, after(nothing, w), after(nothing, record_write(&change)));
    assert_text(member_write(&change)->fields, "metadata.updated_by", MEMBER_ACTOR_SYSTEM);
    assert_text(member_write(&change)->fields, "metadata.correlation_id", "corr-2");
}

static void test_test_accounts_beginnings_whole_numbers_and_exceptions(void **state)
{
    static const char *const bad[] = {"999",   "0101",  "4101",        "99x9",
                                      "!9999", "12345", "99991234567", "9999,8"};
    struct member_test_accounts accounts;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(member_test_accounts_parse(str_from(bad[i]), &accounts, NULL));
    assert_true(member_test_accounts_parse(STR("none"), &accounts, NULL));
    assert_false(member_is_test_account(&accounts, STR("9999123456")));
    assert_true(member_test_accounts_parse(STR("9999, 0101302989 ,!9999123456"), &accounts, NULL));
    assert_true(member_is_test_account(&accounts, STR("9999123457")));
    assert_true(member_is_test_account(&accounts, STR("999912-3457")));
    assert_false(member_is_test_account(&accounts, STR("9999123456")));
    assert_true(member_is_test_account(&accounts, STR("010130-2989")));
    assert_false(member_is_test_account(&accounts, STR("8123123456")));
    assert_false(member_is_test_account(&accounts, STR("9999")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_whole_member_writes_contract_fields),
        cmocka_unit_test(test_apply_countries_known_unknown_and_local),
        cmocka_unit_test(test_apply_same_again_leaves_document_alone),
        cmocka_unit_test(test_apply_portal_address_fields_survive),
        cmocka_unit_test(test_apply_moved_member_replaces_only_djangos_address),
        cmocka_unit_test(test_apply_several_defaults_one_stays),
        cmocka_unit_test(test_apply_update_after_delete_stays_inactive),
        cmocka_unit_test(test_apply_create_of_newer_row_reactivates),
        cmocka_unit_test(test_apply_versions_newest_wins_in_any_order),
        cmocka_unit_test(test_apply_late_update_after_newer_delete_changes_nothing),
        cmocka_unit_test(test_apply_known_event_id_writes_nothing),
        cmocka_unit_test(test_apply_delete_of_nobody_writes_nothing_unless_versioned),
        cmocka_unit_test(test_apply_every_odd_value_in_every_place_gives_a_document),
        cmocka_unit_test(test_apply_random_json_gives_a_document),
        cmocka_unit_test(test_apply_odd_stored_documents_do_not_stop_it),
        cmocka_unit_test(test_check_wrong_types_are_named),
        cmocka_unit_test(test_member_phone_forms_and_idempotence),
        cmocka_unit_test(test_member_text_is_cut_between_characters),
        cmocka_unit_test(test_date_joined_is_a_day_or_a_time_with_or_without_offset),
        cmocka_unit_test(test_member_countries_parse_bad_entries_are_refused),
        cmocka_unit_test(test_apply_stamps_actor_and_request_only_when_it_writes),
        cmocka_unit_test(test_test_accounts_beginnings_whole_numbers_and_exceptions),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
