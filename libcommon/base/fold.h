/*
 * fold.h - Icelandic text made comparable
 *
 * Both functions work on characters, not bytes: a Latin letter followed by one combining mark is
 * read as the composed letter (NFC, for the letters of Latin-1 and Latin Extended-A), letters up to
 * U+017F go to lower case, a run of blanks (Unicode ones too) becomes one space, blanks at the ends
 * go, invisible characters (soft hyphen, zero-width ones, byte order mark) and invalid bytes are
 * dropped, everything else, punctuation too, is kept. fold_icelandic() then spells every one of
 * those letters plainly: á→a é→e í→i ó→o ú→u ý→y, ð→d, þ→th, æ→ae, ö→o, ø→o, å→a, ä→a, ü→u, and the
 * neighbours likewise (š→s, ł→l, ß→ss, œ→oe), and drops combining marks that are left.
 * Idempotent: folding twice changes nothing. Source: M-A03. Any thread.
 */
#ifndef LIBCOMMON_BASE_FOLD_H
#define LIBCOMMON_BASE_FOLD_H

#include "base/buf.h"

/* Appends the plain spelling of s to b. False when b is full, which is then as before but for its
 * overflow mark. */
bool fold_icelandic(struct str s, struct buf *b);

/* As above but keeps accents and letters: for "exact spelling first". */
bool fold_case_only(struct str s, struct buf *b);

#endif
