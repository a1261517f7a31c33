/*
 * The environment as settings: what is taken keeps the rules of its table, and a fault never shows
 * the value.
 *
 * Input: one NAME=value a line.
 */
#include "fuzz.h"

#include "ops/config.h"

#include <string.h>

#define LINES_MAX   16
#define SECRET_MARK "s3cret-mark"

struct settings {
    const char *text, *secret;
    int64_t number, choice;
    bool truth;
};

static const struct config_key keys[] = {
    CONFIG_STR(struct settings, text, "HOST", "localhost", "A text."),
    CONFIG_SECRET(struct settings, secret, "API_TOKEN", NULL, 8, "A secret."),
    CONFIG_INT(struct settings, number, "PORT", "8080", -5, 65535, "", "A number."),
    CONFIG_BOOL(struct settings, truth, "MONITOR", "false", "A truth."),
    CONFIG_ENUM(struct settings, choice, "MODE", "enforce", "off|monitor|enforce", "A choice."),
    CONFIG_END,
};

void fuzz_start(void) {}

/* Files are not what is tried here, and the fuzzer must not read any of the machine's. */
static bool names_a_file(struct str line)
{
    return str_contains(str_take(line, str_find_char(line, '=')), STR("_FILE"));
}

void fuzz_input(struct arena *a, struct str input)
{
    char *environment[LINES_MAX + 1] = {NULL};
    struct settings settings = {0};
    struct buf faults;
    size_t count = 0;

    while (count < LINES_MAX && input.ptr) {
        struct str line = fuzz_line(&input);

        if (!names_a_file(line))
            environment[count++] = (char *)(uintptr_t)arena_text(a, line);
    }
    buf_init(&faults, 1U << 16);
    if (config_load(keys, (struct config_source){environment}, a, &settings, &faults)) {
        must(faults.len == 0 && settings.text && strlen(settings.text) <= 4096);
        must(settings.secret && strlen(settings.secret) >= 8);
        must(settings.number >= -5 && settings.number <= 65535);
        must(settings.choice >= 0 && settings.choice <= 2);
    } else {
        must(faults.len > 0);
        must(!str_contains(buf_str(&faults), STR(SECRET_MARK)));
    }
    buf_done(&faults);
}
