/*
 * fuzz.h - what the fuzz targets share
 *
 * A target is one file, <name>_fuzz.c, with fuzz_input(): it feeds bytes to one part of the suite
 * and aborts, by must(), when a promise of that part's header does not hold. libFuzzer makes up the
 * bytes (fuzzer.c); replay.c reads them from files. Nothing allocated outlives one input but what
 * fuzz_start() makes.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/arena.h"
#include "base/encode.h"
#include "net/http.h"

/* Once, before the first input. */
void fuzz_start(void);
/* Arena is empty at each call and has the bounds of a request's. */
void fuzz_input(struct arena *a, struct str input);

/* For fuzzer.c and replay.c: one input, with an arena around it. */
void fuzz_one(const void *bytes, size_t len);

/* The input up to the next LF, which goes; the rest stays. Empty when nothing is left. */
struct str fuzz_line(struct str *input);

/*
 * A request written as people read it: METHOD SP target LF, name: value LF, an empty line, and the
 * body. Anything a strict head check lets through can be written so, and only that is given: false
 * for the rest.
 */
bool fuzz_request(struct arena *a, struct str text, struct http_request *ret);

#endif
