/*
 * kennitala.h - Icelandic national identity numbers: one stored form, one mask
 *
 * Stored form: ten ASCII digits. A possible date form is required, the check digit never decides
 * (Registers Iceland issues numbers that do not satisfy it), system numbers (first digit 8 or 9)
 * pass. Source: contract members.md §4.1, M-F41, M-F48, V-C1.
 */
#ifndef LIBCOMMON_BASE_KENNITALA_H
#define LIBCOMMON_BASE_KENNITALA_H

#include "base/str.h"

#define KENNITALA_SIZE      11 /* ten digits and a NUL */
#define KENNITALA_MASK_SIZE 12

/*
 * "DDMMYYNNNN" or "DDMMYY-NNNN" to ten digits. Day 01-31 or 41-71 (companies), month 01-12; or a
 * system number starting with 8 or 9. False on anything else, blanks included; out is then
 * untouched.
 */
bool kennitala_normalise(struct str text, char out[KENNITALA_SIZE]);

/* "DDMMYY-****" of a normalised number. The only form that may leave the process in a log. */
void kennitala_mask(const char normalised[KENNITALA_SIZE], char out[KENNITALA_MASK_SIZE]);

#endif
