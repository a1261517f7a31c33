/* csv.c - one character at a time; stdio's buffer makes that cheap */
#include "csv.h"

void csv_init(struct csv *c, FILE *in)
{
    *c = (struct csv){.in = in};
    buf_init(&c->text, CSV_ROW_MAX_BYTES);
}

void csv_done(struct csv *c)
{
    buf_done(&c->text);
}

static void end_field(struct csv *c)
{
    if (c->field_count < CSV_FIELDS_MAX)
        c->ends[c->field_count++] = c->text.len;
    else
        c->wide = true;
}

/* Behind the opening quote. False when the file ends before the closing one. */
static bool read_quoted(struct csv *c)
{
    for (;;) {
        int ch = getc_unlocked(c->in);

        if (ch == EOF)
            return false;
        if (ch == '\n')
            c->lines_read++;
        if (ch == '"') {
            ch = getc_unlocked(c->in);
            if (ch != '"') {
                (void)ungetc(ch, c->in);
                return true;
            }
        }
        buf_add_char(&c->text, (char)ch);
    }
}

static enum csv_result finish(struct csv *c)
{
    end_field(c);
    c->lines_read++;
    return c->text.overflow ? CSV_TOO_LONG : CSV_ROW;
}

static enum csv_result read_row(struct csv *c)
{
    bool at_start = true;

    for (;;) {
        int ch = getc_unlocked(c->in);

        if (ch == EOF) {
            if (ferror(c->in))
                return CSV_READ_ERROR;
            return at_start && c->field_count == 0 ? CSV_END : CSV_CUT;
        }
        if (ch == '"' && at_start) {
            if (!read_quoted(c))
                return ferror(c->in) ? CSV_READ_ERROR : CSV_CUT;
            at_start = false;
        } else if (ch == ',') {
            end_field(c);
            at_start = true;
        } else if (ch == '\n') {
            return finish(c);
        } else if (ch == '\r') {
            ch = getc_unlocked(c->in);
            if (ch == '\n')
                return finish(c);
            (void)ungetc(ch, c->in);
        } else {
            buf_add_char(&c->text, (char)ch);
            at_start = false;
        }
    }
}

static void skip_byte_order_mark(struct csv *c)
{
    static const char mark[] = "\xEF\xBB\xBF";

    if (c->text.len >= 3 && memcmp(c->text.ptr, mark, 3) == 0) {
        memmove(c->text.ptr, c->text.ptr + 3, c->text.len - 3);
        c->text.len -= 3;
        for (size_t i = 0; i < c->field_count; i++)
            c->ends[i] -= 3;
    }
}

enum csv_result csv_next(struct csv *c)
{
    enum csv_result result;

    do {
        buf_clear(&c->text);
        c->field_count = 0;
        c->wide = false;
        c->line = c->lines_read + 1;
        result = read_row(c);
    } while (result == CSV_ROW && c->field_count == 1 && c->ends[0] == 0);
    if (result == CSV_ROW && c->line == 1)
        skip_byte_order_mark(c);
    return result;
}

struct str csv_field(const struct csv *c, size_t index)
{
    size_t from = index > 0 ? c->ends[index - 1] : 0;

    must(index < c->field_count);
    return str_n(c->text.ptr ? c->text.ptr + from : "", c->ends[index] - from);
}
