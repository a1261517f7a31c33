/* replay.c - runs a target over every file of the folders named, for ctest and without libFuzzer */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX_BYTES (1U << 20)
#define CHANGED_MAX     64

/* Each input whole; then cut in half, without its last byte, and with one byte of it changed: what
 * a parser trips over most. */
static void replay(const char *path)
{
    static char bytes[INPUT_MAX_BYTES];
    FILE *in = fopen(path, "rbe");
    size_t len;

    must(in);
    len = fread(bytes, 1, sizeof bytes, in);
    must(len < sizeof bytes && !ferror(in));
    (void)fclose(in);
    fuzz_one(bytes, len);
    fuzz_one(bytes, len / 2);
    if (len > 0)
        fuzz_one(bytes, len - 1);
    for (size_t i = 0; i < len && i < CHANGED_MAX; i++) {
        char was = bytes[i];

        bytes[i] = (char)(was ^ 0x21);
        fuzz_one(bytes, len);
        bytes[i] = was;
    }
}

int main(int argc, char **argv)
{
    size_t files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        const struct dirent *entry;

        must(dir);
        while ((entry = readdir(dir))) {
            char path[4096];

            if (entry->d_name[0] == '.')
                continue;
            must((size_t)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name) <
                 sizeof path);
            replay(path);
            files++;
        }
        (void)closedir(dir);
    }
    printf("%zu inputs\n", files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
