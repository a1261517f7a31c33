/* Whatever is typed into the address search, against a small registry of our own. */
#include "fuzz.h"

#include "registry/fixture.h"
#include "registry/names.h"
#include "registry/search.h"
#include "registry/validate.h"

#define LIMIT 20

static struct registry *registry;

void fuzz_start(void)
{
    void *unused = NULL;

    must(make_scratch(&unused) == 0);
    registry = open_fixture(1);
    must(drop_scratch(&unused) == 0); /* it is mapped */
}

static void validate(struct registry_reader *r, struct str input)
{
    struct claim claim = {.street = fuzz_line(&input), .number = -1, .number_to = -1};
    struct verdict verdict = {0};

    if (!str_is_utf8(claim.street) || claim.street.len == 0 ||
        (input.len > 0 &&
         !query_house_number(input, &claim.number, &claim.number_to, &claim.letter)))
        return;
    validate_claim(r, &claim, &verdict);
    must(verdict.alternative_count <= VALIDATE_ALTERNATIVES_MAX);
    must(validity_text(verdict.validity));
}

void fuzz_input(struct arena *a, struct str input)
{
    struct registry_reader *r = registry_acquire(registry);
    struct search_result found = {0};

    search_doors(r, a, input, LIMIT, &found);
    must(found.count <= LIMIT && found.suggestion_count <= SEARCH_SUGGESTION_MAX);
    for (size_t i = 0; i < found.count; i++) {
        struct address address;

        address_read(r->pack, found.doors[i], &address);
        for (size_t k = 0; k < i; k++)
            must(found.doors[i] != found.doors[k]);
    }
    search_suggest(r, a, input, &found);
    validate(r, input);
    registry_release(r);
}
