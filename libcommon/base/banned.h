/*
 * banned.h - calls the house refuses, refused by the compiler
 *
 * Given to every source file by -include. The standard headers come first, because poisoning a name
 * before its declaration would be an error in glibc's own text. What to use instead: buf_printf()
 * for formatting, str_parse_i64() for numbers, clock_*() for time, random_bytes() for randomness,
 * struct str for copies.
 */
#ifndef LIBCOMMON_BASE_BANNED_H
#define LIBCOMMON_BASE_BANNED_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef sscanf
#undef alloca

#pragma GCC poison strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets
#pragma GCC poison strtok strtok_r atoi atol atoll atof sscanf
#pragma GCC poison gmtime localtime asctime ctime mktime
#pragma GCC poison srand srandom drand48 tmpnam mktemp system alloca

/* rand and random are argument and member names in openssl/evp.h and sodium.h, so only calling them
 * is refused. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
int rand(void) __attribute__((deprecated("use random_bytes()")));
long int random(void) __attribute__((deprecated("use random_bytes()")));
#pragma GCC diagnostic pop

#endif
