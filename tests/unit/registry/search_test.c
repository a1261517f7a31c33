/* Properties of the search that hold for any text; wrong and hostile texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/fixture.h"
#include "registry/query.h"
#include "registry/search.h"

static struct registry *registry;
static struct registry_reader *reader;
static struct arena *arena;

static int set_up(void **state)
{
    if (make_scratch(state) != 0)
        return -1;
    registry = open_fixture(1);
    reader = registry_acquire(registry);
    arena = arena_new(16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(arena);
    registry_release(reader);
    registry_close(registry);
    return drop_scratch(state);
}

static struct search_result find(struct str text, size_t limit)
{
    struct search_result found;

    search_doors(reader, arena, text, limit, &found);
    assert_true(found.count <= limit);
    for (size_t i = 0; i < found.count; i++) {
        assert_true(found.doors[i] < reader->pack->door_count);
        for (size_t j = 0; j < i; j++)
            assert_true(found.doors[i] != found.doors[j]);
    }
    for (uint32_t i = 0; i < reader->pack->name_count; i++)
        assert_int_equal(reader->name_costs[i], 0);
    return found;
}

static void test_search_doors_same_text_gives_same_order(void **state)
{
    static const char *const texts[] = {"la", "túngata", "hafnar 6", "gata", "laugavegr", "400"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct search_result first = find(str_from(texts[i]), 20);

        assert_true(first.count > 0);
        for (int again = 0; again < 3; again++) {
            struct search_result found = find(str_from(texts[i]), 20);

            assert_int_equal(found.count, first.count);
            assert_memory_equal(found.doors, first.doors, first.count * sizeof *first.doors);
        }
    }
}

static void test_search_doors_smaller_limit_gives_the_beginning(void **state)
{
    struct search_result all = find(STR("túngata"), 30);

    (void)state;
    for (size_t limit = 1; limit < 30; limit++) {
        struct search_result some = find(STR("túngata"), limit);

        assert_int_equal(some.count, limit < all.count ? limit : all.count);
        assert_memory_equal(some.doors, all.doors, some.count * sizeof *all.doors);
    }
}

static void test_search_doors_without_number_shows_every_place_first(void **state)
{
    const struct pack *p = reader->pack;
    struct search_result found = find(STR("túngata"), 12);

    (void)state;
    assert_int_equal(found.count, 12);
    for (size_t i = 0; i < found.count; i++) {
        for (size_t j = 0; j < i; j++)
            assert_true(pack_street_of(p, found.doors[i]) != pack_street_of(p, found.doors[j]));
    }
}

static void test_search_doors_every_prefix_of_two_letters_finds_its_street(void **state)
{
    const struct pack *p = reader->pack;

    (void)state;
    for (uint32_t name = 0; name < p->name_count; name++) {
        struct str text = pack_text(p, p->names[name].text);

        for (size_t len = 2; len <= text.len; len++) {
            struct search_result found;
            bool hit = false;

            /* Whole letters only, and two of them at least. */
            if ((len < text.len && ((unsigned char)text.ptr[len] & 0xC0) == 0x80) ||
                (len == 2 && (unsigned char)text.ptr[0] >= 0x80))
                continue;
            found = find(str_take(text, len), 500);
            for (size_t i = 0; i < found.count; i++) {
                struct address address;

                address_read(p, found.doors[i], &address);
                hit = hit || str_eq(address.street, text) || str_eq(address.special, text);
            }
            if (!hit)
                fail_msg("%.*s does not find %.*s", STR_ARG(str_take(text, len)), STR_ARG(text));
            arena_reset(arena);
        }
    }
}

/* Any three letters inside a name list it, unless what begins with them fills the list. */
static void test_search_doors_three_letters_inside_a_name_find_it(void **state)
{
    const struct pack *p = reader->pack;

    (void)state;
    for (uint32_t name = 0; name < p->name_count; name++) {
        struct str key = pack_name_key(p, name);

        for (size_t at = 0; at + 3 <= key.len; at++) {
            struct str text = str_take(str_skip(key, at), 3);
            struct search_result found = find(text, 200);
            bool hit = found.count >= 20;

            if (isdigit((unsigned char)text.ptr[0]) || isdigit((unsigned char)text.ptr[1]) ||
                isdigit((unsigned char)text.ptr[2]))
                continue; /* a number is the house's */

            for (size_t i = 0; i < found.count && !hit; i++) {
                struct address address;

                address_read(p, found.doors[i], &address);
                hit = str_eq(address.street, pack_text(p, p->names[name].text)) ||
                      str_eq(address.special, pack_text(p, p->names[name].text));
            }
            if (!hit)
                fail_msg("\"%.*s\" does not find %.*s", STR_ARG(text),
                         STR_ARG(pack_text(p, p->names[name].text)));
            arena_reset(arena);
        }
    }
}

/* The parts in one of their 24 orders, twice: with blanks, with commas. */
static struct str in_order(const struct str parts[4], int order, struct buf *text)
{
    bool used[4] = {false};

    buf_clear(text);
    for (int n = 4, rest = order / 2; n > 0; rest /= n, n--) {
        int skip = rest % n, at = 0;

        while (used[at] || skip-- > 0)
            at++;
        used[at] = true;
        buf_add(text, parts[at]);
        buf_add_text(text, n == 1 ? "" : order % 2 ? ", " : " ");
    }
    return buf_str(text);
}

static void finds_first(struct str text, uint32_t door)
{
    struct search_result found = find(text, 5);
    struct str first = found.count > 0 ? display_of(reader, arena, found.doors[0]) : STR("");

    if (!str_eq(first, display_of(reader, arena, door)))
        fail_msg("\"%.*s\" finds \"%.*s\" first", STR_ARG(text), STR_ARG(first));
}

/* Name, number with letter, postcode and town: always the door, and before all others. */
static void test_search_doors_parts_in_any_order_find_the_door(void **state)
{
    const struct pack *p = reader->pack;
    struct buf text;

    (void)state;
    buf_init(&text, 1000);
    for (uint32_t door = 0; door < p->door_count; door += 3) {
        struct address a;

        address_read(p, door, &a);
        if (a.number < 0 || a.range_to > 0 || a.suffix.len > 0)
            continue;
        const struct str parts[4] = {a.street,
                                     arena_printf(arena, "%d%.*s", a.number, STR_ARG(a.letter)),
                                     arena_printf(arena, "%d", a.postcode), a.city};

        for (int order = 0; order < 48; order++)
            finds_first(in_order(parts, order, &text), door);
        arena_reset(arena);
    }
    buf_done(&text);
}

static void test_search_doors_hostile_text_gives_nothing_or_a_door(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "%",
        "_",
        "%%%",
        "__",
        "'",
        "\"",
        "';DROP TABLE door;--",
        "' OR '1'='1",
        "laugavegur' UNION SELECT 1",
        "NEAR(\"a\" \"b\")",
        "a* OR b*",
        "^laug",
        "{x}:y",
        "-1",
        "99999999999999999999",
        "1-",
        "-",
        "- -",
        "6--8",
        "8-6",
        "0",
        "000",
        "101 101 101 101",
        "🙂🙂",
        "שלום עולם",
        "مرحبا",
        "laugavegur\t22\r\n",
        "a a a a a a a a a a a a a a a a a a a",
        "\xE2\x80\x8Blaugavegur",
        "İstanbul",
        "ß",
        "ﬁ",
        "\xEF\xBB\xBFlaugavegur",
        "1a1a1a1a",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        (void)find(str_from(texts[i]), 20);
        arena_reset(arena);
    }
    assert_int_equal(find(STR("laugavegur\0 22"), 20).count,
                     find(STR("laugavegur\0 22"), 20).count);
}

static void test_search_doors_invalid_utf8_gives_nothing(void **state)
{
    static const char *const texts[] = {"\xFF\xFE", "laug\xC3", "\xC0\xAF", "\xED\xA0\x80", "\x80"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_int_equal(find(str_from(texts[i]), 20).count, 0);
}

static void test_search_doors_long_text_gives_nothing(void **state)
{
    static char text[10240];

    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(find(str_n(text, sizeof text), 20).count, 0);
    assert_int_equal(find(str_n(text, 201), 20).count, 0);
    (void)find(str_n(text, 200), 20);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 ? ' ' : 'l';
    assert_int_equal(find(str_n(text, 190), 20).count, 0);
}

static void test_search_doors_limits_zero_and_huge(void **state)
{
    (void)state;
    assert_int_equal(find(STR("laugavegur"), 0).count, 0);
    struct search_result found;

    search_doors(reader, arena, STR("laugavegur"), SIZE_MAX, &found);
    assert_true(found.count >= 20 && found.count <= reader->pack->door_count);
}

/* A random walk over the alphabet of the texts above; whatever comes, the rules of find() hold. */
static void test_search_doors_random_text_keeps_the_rules(void **state)
{
    static const char *const parts[] = {
        "la", "ug",  "a",         "vegur", " ", ",",    "22",   "1", "6-8", "B",   "á",   "Þ",
        "ö",  "101", "Reykjavík", "-",     "í", "gata", "túng", "8", "c",   "600", "akur"};
    uint64_t seed = 1;
    char text[512];

    (void)state;
    for (int round = 0; round < 1000; round++) {
        size_t len = 0;

        for (int part = 0; part < 8; part++) {
            const char *next;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            next = parts[(seed >> 33) % ARRAY_LEN(parts)];
            memcpy(text + len, next, strlen(next));
            len += strlen(next);
        }
        (void)find(str_n(text, len), 10);
        arena_reset(arena);
    }
}

/* One text has hundreds of readings, in each of which the same words are asked to be a town. What
 * is looked for leaves its key in the arena, so that tells how often it was. */
static void test_search_doors_words_are_looked_for_once_as_a_town(void **state)
{
    char text[QUERY_MAX_BYTES + 1] = "";

    (void)state;
    for (size_t i = 0; i < QUERY_TOKENS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "reykjavxk ");
    arena_reset(arena);
    (void)find(str_from(text), 10);
    assert_true(arena_used_bytes(arena) < 64 << 10);
    arena_reset(arena);
}

static void test_search_suggest_mistyped_claim_gives_its_door(void **state)
{
    struct search_result found;

    (void)state;
    search_suggest(reader, arena, STR("Laugavegr 22, 101"), &found);
    assert_true(found.suggestion_count >= 1);
    assert_true(str_eq(display_of(reader, arena, found.suggestions[0]),
                       STR("Laugavegur 22, 101 Reykjavík")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_doors_same_text_gives_same_order),
        cmocka_unit_test(test_search_doors_smaller_limit_gives_the_beginning),
        cmocka_unit_test(test_search_doors_without_number_shows_every_place_first),
        cmocka_unit_test(test_search_doors_every_prefix_of_two_letters_finds_its_street),
        cmocka_unit_test(test_search_doors_three_letters_inside_a_name_find_it),
        cmocka_unit_test(test_search_doors_parts_in_any_order_find_the_door),
        cmocka_unit_test(test_search_doors_hostile_text_gives_nothing_or_a_door),
        cmocka_unit_test(test_search_doors_invalid_utf8_gives_nothing),
        cmocka_unit_test(test_search_doors_long_text_gives_nothing),
        cmocka_unit_test(test_search_doors_limits_zero_and_huge),
        cmocka_unit_test(test_search_doors_random_text_keeps_the_rules),
        cmocka_unit_test(test_search_doors_words_are_looked_for_once_as_a_town),
        cmocka_unit_test(test_search_suggest_mistyped_claim_gives_its_door),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
