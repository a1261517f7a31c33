#include "base/encode.h"
#include "store/pg_conn.h"

#include <libpq-fe.h>

struct pg_param pg_param_text(const char *text)
{
    return PG_TEXT(str_from(text));
}

struct pg_param pg_param_i64(struct arena *a, int64_t value)
{
    return PG_TEXT(arena_printf(a, "%lld", (long long)value));
}

struct pg_param pg_param_bool(bool value)
{
    return PG_TEXT(value ? STR("t") : STR("f"));
}

/* libpq takes text up to its NUL; a NUL inside would cut the value in silence. */
bool pg_values_fill(struct pg_values *v, const struct pg_param *params, size_t count,
                    struct arena *a, struct error *e)
{
    must(count <= PG_PARAMS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct str value = params[i].value;
        must(value.len <= INT32_MAX);
        v->formats[i] = params[i].binary ? 1 : 0;
        v->lengths[i] = (int)value.len;
        if (value.ptr == NULL || params[i].binary) {
            v->values[i] = value.ptr;
            continue;
        }
        if (str_find_char(value, '\0') != value.len)
            return error_set(e, ERR_BAD_REQUEST, "NUL in text parameter %zu", i + 1);
        v->values[i] = arena_text(a, value);
    }
    v->count = (int)count;
    return true;
}

struct str pg_get(const struct pg_result *r, int row, int column)
{
    must(r->handle != NULL);
    must(row >= 0 && row < PQntuples(r->handle));
    must(column >= 0 && column < PQnfields(r->handle));
    if (PQgetisnull(r->handle, row, column))
        return (struct str){NULL, 0};
    return str_n(PQgetvalue(r->handle, row, column), (size_t)PQgetlength(r->handle, row, column));
}

struct str pg_get_named(const struct pg_result *r, int row, const char *column)
{
    must(r->handle != NULL);
    return pg_get(r, row, PQfnumber(r->handle, column));
}

int64_t pg_get_i64(const struct pg_result *r, int row, int column)
{
    struct str text = pg_get(r, row, column);
    int64_t value = 0;
    if (text.ptr != NULL)
        must(str_parse_i64(text, INT64_MIN, INT64_MAX, &value));
    return value;
}

bool pg_get_bool(const struct pg_result *r, int row, int column)
{
    struct str text = pg_get(r, row, column);
    must(text.ptr == NULL || str_eq_text(text, "t") || str_eq_text(text, "f"));
    return str_eq_text(text, "t");
}

struct str pg_get_bytes(const struct pg_result *r, int row, int column, struct arena *a)
{
    struct str text = pg_get(r, row, column);
    if (text.ptr == NULL)
        return text;
    must(text.len >= 2 && text.len % 2 == 0 && text.ptr[0] == '\\' && text.ptr[1] == 'x');
    size_t len = (text.len - 2) / 2;
    char *bytes = arena_alloc(a, len + 1);
    must(hex_decode(str_skip(text, 2), bytes, len));
    return str_n(bytes, len);
}
