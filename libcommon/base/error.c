#include "base/error.h"

#include <stdarg.h>

struct error_row {
    const char *name;
    int http;
    const char *text;
    const char *callable;
    bool retryable;
};

static const struct error_row error_rows[ERROR_CODE_COUNT] = {
#define X(code, http_, text_, callable_, retryable_)                                               \
    [code] = {#code, http_, text_, callable_, retryable_},
    ERROR_TABLE(X)
#undef X
};

static const struct error_row *error_row(enum error_code code)
{
    must((unsigned)code < ERROR_CODE_COUNT);
    return &error_rows[code];
}

bool error_set(struct error *e, enum error_code code, const char *format, ...)
{
    if (e) {
        va_list args;
        e->code = code;
        va_start(args, format);
        vsnprintf(e->detail, sizeof(e->detail), format, args);
        va_end(args);
    }
    return false;
}

int error_http_status(enum error_code code)
{
    return error_row(code)->http;
}

const char *error_text(enum error_code code)
{
    return error_row(code)->text;
}

const char *error_callable_status(enum error_code code)
{
    return error_row(code)->callable;
}

bool error_is_retryable(enum error_code code)
{
    return error_row(code)->retryable;
}

const char *error_name(enum error_code code)
{
    return error_row(code)->name;
}
