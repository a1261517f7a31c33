/* The two promises over the real registry: every prefix finds its street, mistyped names are found.
 * Both print their figure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fold.h"
#include "registry/fixture.h"
#include "registry/names.h"
#include "registry/search.h"

#define MISTYPED_NAMES   2000
#define MISTYPED_PERCENT 98
#define LETTERS_MAX      256
#define STREETS_MAX      1500 /* more than begin with any three letters */

static struct registry *registry;
static struct registry_reader *reader;
static struct arena *arena;

static int set_up(void **state)
{
    if (make_scratch(state) != 0)
        return -1;
    registry = open_real();
    if (registry)
        reader = registry_acquire(registry);
    arena = arena_new(64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(arena);
    if (registry) {
        registry_release(reader);
        registry_close(registry);
    }
    return drop_scratch(state);
}

/* The letters of a text: where each begins, and the end. */
static size_t letters_of(struct str text, size_t starts[LETTERS_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < text.len && n < LETTERS_MAX - 1; i++) {
        if (((unsigned char)text.ptr[i] & 0xC0) != 0x80)
            starts[n++] = i;
    }
    starts[n] = text.len;
    return n;
}

static bool finds(struct str text, uint32_t name, size_t limit, size_t among)
{
    const struct pack *p = reader->pack;
    struct search_result found;

    search_doors(reader, arena, text, limit, &found);
    for (size_t i = 0; i < found.count && i < among; i++) {
        if (p->streets[pack_street_of(p, found.doors[i])].name == name)
            return true;
    }
    return false;
}

/* "3. " has three characters, but one that counts. */
static bool has_three_letters(struct str text)
{
    struct buf key;
    bool enough;

    buf_init(&key, 1000);
    enough = name_key(text, &key) && key.len >= 3;
    buf_done(&key);
    return enough;
}

struct prefix {
    struct str text;
    uint32_t name;
};

static int by_prefix(const void *a, const void *b)
{
    return str_cmp(((const struct prefix *)a)->text, ((const struct prefix *)b)->text);
}

/* All prefixes of all street names, sorted, so that each is searched once for all its names. */
static struct prefix *collect_prefixes(size_t *ret_count)
{
    const struct pack *p = reader->pack;
    size_t count = 0, capacity = 1 << 20;
    struct prefix *all = calloc(capacity, sizeof *all);

    must(all);
    for (uint32_t name = 0; name < p->name_count; name++) {
        struct str text = pack_text(p, p->names[name].text);
        size_t starts[LETTERS_MAX], n = letters_of(text, starts);

        if (p->names[name].first_street == p->names[name + 1].first_street)
            continue; /* a building's name */
        for (size_t i = 3; i <= n; i++) {
            if (!has_three_letters(str_take(text, starts[i])))
                continue;
            must(count < capacity);
            all[count++] = (struct prefix){str_take(text, starts[i]), name};
        }
    }
    qsort(all, count, sizeof *all, by_prefix);
    *ret_count = count;
    return all;
}

static void test_search_doors_every_prefix_of_three_letters_finds_its_street(void **state)
{
    const struct pack *p;
    size_t count, searches = 0, missed = 0, on_page = 0;
    struct prefix *all;
    uint8_t *place;

    (void)state;
    if (!registry)
        skip();
    p = reader->pack;
    all = collect_prefixes(&count);
    place = malloc(p->name_count);
    must(place);
    for (size_t from = 0, end; from < count; from = end) {
        struct search_result found;

        search_doors(reader, arena, all[from].text, STREETS_MAX, &found);
        searches++;
        memset(place, 0, p->name_count);
        for (size_t i = found.count; i-- > 0;)
            place[p->streets[pack_street_of(p, found.doors[i])].name] = i < 20 ? 2 : 1;
        for (end = from; end < count && str_eq(all[end].text, all[from].text); end++) {
            missed += place[all[end].name] == 0;
            on_page += place[all[end].name] == 2;
            if (place[all[end].name] == 0 && missed < 10)
                printf("  %.*s does not find %.*s\n", STR_ARG(all[end].text),
                       STR_ARG(pack_text(p, p->names[all[end].name].text)));
        }
        arena_reset(arena);
    }
    printf(
        "%zu prefixes of %u street names, %zu searches: %zu missed; %.1f %% among the first 20\n",
        count, p->name_count, searches, missed, 100.0 * (double)on_page / (double)count);
    free(place);
    free(all);
    assert_int_equal(missed, 0);
    assert_true(count > 100000);
}

static uint64_t seed = 20221120;

static uint32_t below(uint32_t bound)
{
    must(bound > 0);
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % bound;
}

/* One letter other, less, more, or swapped with the next. */
static struct str misspell(struct str text)
{
    static const char *const alphabet[] = {"a", "á", "b", "d", "ð", "e", "é", "f", "g", "h", "i",
                                           "í", "j", "k", "l", "m", "n", "o", "ó", "p", "r", "s",
                                           "t", "u", "ú", "v", "x", "y", "ý", "þ", "æ", "ö"};
    size_t starts[LETTERS_MAX] = {0}, n = letters_of(text, starts);
    uint32_t kind = below(4), at = below((uint32_t)(kind == 3 ? n - 1 : n));
    struct str before = str_take(text, starts[at]), rest = str_skip(text, starts[at + 1]);
    struct str letter = str_n(text.ptr + starts[at], starts[at + 1] - starts[at]);
    const char *other = alphabet[below(ARRAY_LEN(alphabet))];

    switch (kind) {
    case 0:
        return arena_printf(arena, "%.*s%s%.*s", STR_ARG(before), other, STR_ARG(rest));
    case 1:
        return arena_printf(arena, "%.*s%.*s", STR_ARG(before), STR_ARG(rest));
    case 2:
        return arena_printf(arena, "%.*s%s%.*s%.*s", STR_ARG(before), other, STR_ARG(letter),
                            STR_ARG(rest));
    default: {
        struct str next = str_take(rest, starts[at + 2] - starts[at + 1]);

        return arena_printf(arena, "%.*s%.*s%.*s%.*s", STR_ARG(before), STR_ARG(next),
                            STR_ARG(letter), STR_ARG(str_skip(rest, next.len)));
    }
    }
}

static struct str random_street(uint32_t *ret_name)
{
    const struct pack *p = reader->pack;

    for (;;) {
        uint32_t name = p->streets[below(p->street_count)].name;
        struct str text = pack_text(p, p->names[name].text);
        struct buf key;
        bool long_enough;

        buf_init(&key, 1000);
        long_enough = name_key(text, &key) && key.len >= 5;
        buf_done(&key);
        if (!long_enough)
            continue;
        *ret_name = name;
        buf_init(&key, 1000);
        (void)fold_case_only(text, &key);
        text = arena_dup(arena, buf_str(&key));
        buf_done(&key);
        return text;
    }
}

static void test_search_doors_one_typing_error_is_among_the_first_three(void **state)
{
    size_t found = 0;

    (void)state;
    if (!registry)
        skip();
    for (size_t i = 0; i < MISTYPED_NAMES; i++) {
        uint32_t name;
        struct str text = misspell(random_street(&name));

        found += finds(text, name, 10, 3);
        arena_reset(arena);
    }
    printf("%zu of %d mistyped street names are among the first three (%.1f %%)\n", found,
           MISTYPED_NAMES, 100.0 * (double)found / MISTYPED_NAMES);
    assert_true(found * 100 >= MISTYPED_NAMES * MISTYPED_PERCENT);
}

/* Every door finds itself when it is typed in full. */
static void test_search_doors_full_address_finds_the_door(void **state)
{
    size_t wrong = 0, doors = 0;

    (void)state;
    if (!registry)
        skip();
    for (uint32_t door = 0; door < reader->pack->door_count; door += 53) {
        struct str text = display_of(reader, arena, door);
        struct search_result found;
        bool hit = false;

        search_doors(reader, arena, text, 20, &found);
        for (size_t i = 0; i < found.count && !hit; i++)
            hit = str_eq(display_of(reader, arena, found.doors[i]), text);
        doors++;
        wrong += !hit;
        if (!hit && wrong < 10)
            printf("  %.*s is not found\n", STR_ARG(text));
        arena_reset(arena);
    }
    printf("%zu full addresses, %zu not found\n", doors, wrong);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_doors_every_prefix_of_three_letters_finds_its_street),
        cmocka_unit_test(test_search_doors_one_typing_error_is_among_the_first_three),
        cmocka_unit_test(test_search_doors_full_address_finds_the_door),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
