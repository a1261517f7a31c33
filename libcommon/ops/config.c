#include "ops/config.h"

#include <errno.h>
#include <fcntl.h>

/* One fault of one key: "NAME: rule". */
static void fault(struct buf *faults, const char *name, const char *rule)
{
    buf_printf(faults, "%s: %s\n", name, rule);
}

/* The value of `name`, {NULL, 0} when unset or empty. */
static struct str look_up(struct config_source source, struct str name)
{
    for (char *const *entry = source.environment; entry && *entry; entry++) {
        struct str pair = str_from(*entry);
        if (pair.len > name.len + 1 && pair.ptr[name.len] == '=' && str_starts_with(pair, name))
            return str_skip(pair, name.len + 1);
    }
    return (struct str){NULL, 0};
}

/* DJANGO_API_TOKEN → django-api-token */
static struct str hyphen_form(struct arena *a, struct str name)
{
    char *text = arena_alloc(a, name.len + 1);
    for (size_t i = 0; i < name.len; i++)
        text[i] = name.ptr[i] == '_' ? '-' : (char)tolower((unsigned char)name.ptr[i]);
    return str_n(text, name.len);
}

static struct str look_up_spellings(const struct config_key *key, struct config_source source,
                                    struct arena *a, struct str name)
{
    struct str value = look_up(source, name);
    if (!value.ptr && key->type == CONFIG_SECRET_TEXT)
        value = look_up(source, hyphen_form(a, name));
    return value;
}

/* As much as fits size; false when it cannot be read. */
static bool read_file(const char *path, char *out, size_t size, size_t *ret_len)
{
    size_t len = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (got > 0 && len < size) {
        got = read(fd, out + len, size - len);
        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    close(fd);
    *ret_len = len;
    return got >= 0;
}

/* False when NAME_FILE is set and of no use; the fault is noted then. */
static bool look_up_file(const struct config_key *key, struct config_source source, struct arena *a,
                         struct str *ret_value, struct buf *faults)
{
    struct str file_name = arena_printf(a, "%s_FILE", key->name);
    struct str path = look_up(source, file_name);
    size_t size = (size_t)key->max + 64; /* some blanks around it do no harm */
    size_t len = 0;
    if (!path.ptr)
        return true;
    char *text = arena_alloc(a, size);
    if (!read_file(path.ptr, text, size, &len)) {
        fault(faults, file_name.ptr, "the file cannot be read");
        return false;
    }
    struct str value = str_trim(str_n(text, len));
    if (len == size || value.len == 0) {
        fault(faults, file_name.ptr, len == size ? "the file is too long" : "the file is empty");
        return false;
    }
    *ret_value = arena_dup(a, value);
    return true;
}

/* In the order the header names. *ret_value is {NULL, 0} when the key is set nowhere. */
static bool find_value(const struct config_key *key, struct config_source source, struct arena *a,
                       struct str *ret_value, struct buf *faults)
{
    struct str aliases = str_from(key->aliases);
    struct str alias;
    *ret_value = look_up_spellings(key, source, a, str_from(key->name));
    while (!ret_value->ptr && str_split(&aliases, ',', &alias))
        *ret_value = look_up_spellings(key, source, a, str_trim(alias));
    if (!ret_value->ptr && key->type == CONFIG_SECRET_TEXT)
        return look_up_file(key, source, a, ret_value, faults);
    return true;
}

/* A secret may have several lines (a PEM key, a service-account file), a text may not. */
static bool has_control(struct str s, bool lines_allowed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool line = c == '\n' || c == '\r' || c == '\t';
        if ((c < 0x20 || c == 0x7F) && !(line && lines_allowed))
            return true;
    }
    return false;
}

/* The rule that value breaks, or NULL and *ret_text. */
static const char *read_text(const struct config_key *key, struct str value, struct arena *a,
                             const char **ret_text)
{
    must(key->max > 0);
    bool left_empty = value.len == 0;
    if (!left_empty && ((int64_t)value.len < key->min || (int64_t)value.len > key->max))
        return arena_printf(a, "must have %lld to %lld bytes", (long long)key->min,
                            (long long)key->max)
            .ptr;
    if (!str_is_utf8(value))
        return "must be UTF-8";
    if (has_control(value, key->type == CONFIG_SECRET_TEXT))
        return "must not hold control characters";
    *ret_text = arena_text(a, value);
    return NULL;
}

static const char *read_integer(const struct config_key *key, struct str value, struct arena *a,
                                int64_t *ret)
{
    if (str_parse_i64(value, key->min, key->max, ret))
        return NULL;
    return arena_printf(a, "must be a whole number from %lld to %lld", (long long)key->min,
                        (long long)key->max)
        .ptr;
}

static const char *read_boolean(struct str value, bool *ret)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq_ci(value, str_from(words[i]))) {
            *ret = i % 2 == 1;
            return NULL;
        }
    }
    return "must be true, false, 1, 0, yes, no, on or off";
}

static const char *read_choice(const struct config_key *key, struct str value, struct arena *a,
                               int64_t *ret)
{
    struct str rest = str_from(key->choices);
    struct str choice;
    for (int64_t i = 0; str_split(&rest, '|', &choice); i++) {
        if (str_eq(choice, value)) {
            *ret = i;
            return NULL;
        }
    }
    return arena_printf(a, "must be one of %s", key->choices).ptr;
}

/* Members are reached by memcpy: offsetof() says where, not of which type. */
static const char *read_value(const struct config_key *key, struct str value, struct arena *a,
                              unsigned char *member)
{
    const char *text = NULL;
    int64_t number = 0;
    bool boolean = false;
    const char *rule = NULL;
    switch (key->type) {
    case CONFIG_TEXT:
    case CONFIG_SECRET_TEXT:
        rule = read_text(key, value, a, &text);
        memcpy(member, &text, rule ? 0 : sizeof(text));
        break;
    case CONFIG_INTEGER:
        rule = read_integer(key, value, a, &number);
        memcpy(member, &number, rule ? 0 : sizeof(number));
        break;
    case CONFIG_CHOICE:
        rule = read_choice(key, value, a, &number);
        memcpy(member, &number, rule ? 0 : sizeof(number));
        break;
    case CONFIG_BOOLEAN:
        rule = read_boolean(value, &boolean);
        memcpy(member, &boolean, rule ? 0 : sizeof(boolean));
        break;
    default:
        must(false);
    }
    return rule;
}

bool config_load(const struct config_key *keys, struct config_source source, struct arena *a,
                 void *settings, struct buf *faults)
{
    bool ok = true;
    for (const struct config_key *key = keys; key->name; key++) {
        unsigned char *member = (unsigned char *)settings + key->offset;
        struct str value;
        /* A default is ours: one that breaks the rules is no bad input. */
        if (key->fallback)
            must(!read_value(key, str_from(key->fallback), a, member));
        if (!find_value(key, source, a, &value, faults)) {
            ok = false;
            continue;
        }
        const char *rule = value.ptr       ? read_value(key, value, a, member)
                           : key->fallback ? NULL
                                           : "required, but not set";
        if (rule) {
            fault(faults, key->name, rule);
            ok = false;
        }
    }
    return ok;
}

static struct str type_text(const struct config_key *key, struct arena *a)
{
    switch (key->type) {
    case CONFIG_INTEGER:
        return arena_printf(a, "integer %lld..%lld", (long long)key->min, (long long)key->max);
    case CONFIG_BOOLEAN:
        return STR("boolean");
    case CONFIG_CHOICE:
        return str_from(key->choices);
    case CONFIG_SECRET_TEXT:
        return STR("secret");
    case CONFIG_TEXT:
    default:
        return STR("text");
    }
}

static struct str default_text(const struct config_key *key)
{
    if (!key->fallback)
        return STR("required");
    if (key->type == CONFIG_SECRET_TEXT)
        return STR("optional");
    return key->fallback[0] ? str_from(key->fallback) : STR("-");
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void print_cell(struct buf *out, struct str text, size_t width)
{
    buf_printf(out, "%.*s%*s", STR_ARG(text), (int)(width - text.len + 2), "");
}

void config_print(const struct config_key *keys, struct buf *out)
{
    /* Rows and head as cells: name, type, default, unit; the meaning needs no width. */
    static const char *const heads[] = {"NAME", "TYPE", "DEFAULT", "UNIT"};
    size_t width[ARRAY_LEN(heads)];
    struct arena *a = arena_new(1U << 20);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        width[i] = strlen(heads[i]);
    for (const struct config_key *key = keys; key->name; key++) {
        width[0] = larger(width[0], strlen(key->name));
        width[1] = larger(width[1], type_text(key, a).len);
        width[2] = larger(width[2], default_text(key).len);
        width[3] = larger(width[3], str_from(key->unit).len);
    }
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        print_cell(out, str_from(heads[i]), width[i]);
    buf_add_text(out, "MEANING\n");
    for (const struct config_key *key = keys; key->name; key++) {
        print_cell(out, str_from(key->name), width[0]);
        print_cell(out, type_text(key, a), width[1]);
        print_cell(out, default_text(key), width[2]);
        print_cell(out, str_from(key->unit), width[3]);
        buf_printf(out, "%s\n", key->doc);
    }
    arena_free(a);
}
