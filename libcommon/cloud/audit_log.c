/* audit_log.c - see audit_log.h */
#include "cloud/audit_log.h"

#include "base/clock.h"
#include "cloud/firestore_value.h"

#include <pthread.h>
#include <time.h>

#define SEAL_PREFIX      "sealed:"
#define NO_HASH          "0000000000000000000000000000000000000000000000000000000000000000"
#define MASK_DIGITS      6
#define KENNITALA_DIGITS 10

struct audit_log {
    struct firestore *fs;
    int64_t chains;
    unsigned char id_key[SHA256_BYTES];
    unsigned char member_key[SHA256_BYTES];
    unsigned char seal_key[SHA256_BYTES];
    unsigned char chain_key[SHA256_BYTES];
    /* Writers of one process wait for each other here, not in conflicts of the database. */
    pthread_mutex_t turns[AUDIT_CHAINS_MAX];
};

static struct str key_str(const unsigned char key[SHA256_BYTES])
{
    return str_n(key, SHA256_BYTES);
}

struct audit_log *audit_log_new(const struct audit_log_config *config)
{
    struct audit_log *log = calloc(1, sizeof *log);
    struct str key = str_from(config->key);

    must(log && key.len >= SHA256_BYTES);
    must(config->chains >= 1 && config->chains <= AUDIT_CHAINS_MAX);
    log->fs = config->firestore;
    log->chains = config->chains;
    hmac_sha256(key, STR("audit id"), log->id_key);
    hmac_sha256(key, STR("audit member"), log->member_key);
    hmac_sha256(key, STR("audit seal"), log->seal_key);
    hmac_sha256(key, STR("audit chain"), log->chain_key);
    for (size_t i = 0; i < AUDIT_CHAINS_MAX; i++)
        must(pthread_mutex_init(&log->turns[i], NULL) == 0);
    return log;
}

void audit_log_free(struct audit_log *log)
{
    if (!log)
        return;
    for (size_t i = 0; i < AUDIT_CHAINS_MAX; i++)
        pthread_mutex_destroy(&log->turns[i]);
    free(log);
}

/* --- names and values --- */

void audit_log_entry_id(const struct audit_log *log, struct str source, struct str event,
                        char out[SHA256_HEX_SIZE])
{
    const struct str fields[] = {source, event};
    unsigned char hash[SHA256_BYTES];

    hmac_sha256_fields(key_str(log->id_key), fields, ARRAY_LEN(fields), hash);
    hex_encode(hash, sizeof hash, out);
}

void audit_log_member(const struct audit_log *log, struct str kennitala,
                      char out[AUDIT_MEMBER_SIZE])
{
    unsigned char hash[SHA256_BYTES];

    hmac_sha256(key_str(log->member_key), kennitala, hash);
    hex_encode(hash, (AUDIT_MEMBER_SIZE - 1) / 2, out);
}

struct str audit_log_seal(const struct audit_log *log, struct arena *a, struct str plain)
{
    struct str box = base64_encode(a, seal(a, log->seal_key, plain));

    return arena_printf(a, SEAL_PREFIX "%.*s", STR_ARG(box));
}

bool audit_log_open(const struct audit_log *log, struct arena *a, struct str sealed,
                    struct str *ret_plain)
{
    struct str box;

    return str_starts_with(sealed, STR(SEAL_PREFIX)) &&
           base64_decode(a, str_skip(sealed, sizeof(SEAL_PREFIX) - 1), &box) &&
           seal_open(a, log->seal_key, box, ret_plain);
}

static size_t digits_at(struct str s)
{
    size_t n = 0;

    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

/* Length of what looks like a kennitala at the start of s: ten digits, or six and four with a
 * hyphen. */
static size_t kennitala_length(struct str s)
{
    size_t first = digits_at(s);

    if (first >= KENNITALA_DIGITS)
        return KENNITALA_DIGITS;
    if (first >= MASK_DIGITS && first < s.len && s.ptr[first] == '-' &&
        digits_at(str_skip(s, first + 1)) >= KENNITALA_DIGITS - MASK_DIGITS)
        return first + 1 + KENNITALA_DIGITS - MASK_DIGITS;
    return 0;
}

struct str audit_mask(struct arena *a, struct str text, size_t max_bytes)
{
    struct buf masked;
    struct str result, rest = str_take(text, max_bytes);

    buf_init(&masked, 2 * max_bytes + KENNITALA_DIGITS);
    while (rest.len > 0) {
        size_t match = kennitala_length(rest), step;
        uint32_t letter;

        if (match > 0) {
            buf_add(&masked, str_take(rest, MASK_DIGITS));
            buf_add_text(&masked, "-****");
            rest = str_skip(rest, match);
            continue;
        }
        step = str_utf8_next(rest, &letter);
        if (step == 0 || letter == 0)
            buf_add_char(&masked, '?');
        else
            buf_add(&masked, str_take(rest, step));
        rest = str_skip(rest, step ? step : 1);
    }
    result = arena_dup(a, buf_str(&masked));
    buf_done(&masked);
    return result;
}

/* --- one text for equal values --- */

static void canonical_value(struct arena *a, const cJSON *value, struct buf *out);

static int by_name(const void *left, const void *right)
{
    return strcmp((*(const cJSON *const *)left)->string, (*(const cJSON *const *)right)->string);
}

static void canonical_text(struct str text, struct buf *out)
{
    buf_printf(out, "%zu:", text.len);
    buf_add(out, text);
}

static void canonical_members(struct arena *a, const cJSON *fields, struct buf *out)
{
    size_t count = (size_t)cJSON_GetArraySize(fields), n = 0;
    const cJSON **sorted = arena_alloc_array(a, count + 1, sizeof *sorted), *member;

    cJSON_ArrayForEach(member, fields)
    {
        sorted[n++] = member;
    }
    qsort(sorted, count, sizeof *sorted, by_name);
    buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        canonical_text(str_from(sorted[i]->string), out);
        canonical_value(a, sorted[i], out);
    }
    buf_add_char(out, '}');
}

static void canonical_items(struct arena *a, const cJSON *values, struct buf *out)
{
    const cJSON *value;

    buf_add_char(out, '[');
    cJSON_ArrayForEach(value, values)
    {
        canonical_value(a, value, out);
    }
    buf_add_char(out, ']');
}

/* "…:37.120000Z" and "…:37.12Z" are one time: Firestore writes as few digits as it needs. */
static struct str short_time(struct str text)
{
    struct str digits = str_ends_with(text, STR("Z")) ? str_take(text, text.len - 1) : text;

    if (str_find_char(digits, '.') == digits.len)
        return digits;
    while (digits.len > 0 && digits.ptr[digits.len - 1] == '0')
        digits.len--;
    if (digits.len > 0 && digits.ptr[digits.len - 1] == '.')
        digits.len--;
    return digits;
}

static void canonical_scalar(const cJSON *value, struct buf *out)
{
    const cJSON *only = cJSON_IsObject(value) ? value->child : NULL;
    struct str text;
    bool yes;

    if (json_str(value, "timestampValue", &text)) {
        buf_add_char(out, 't');
        canonical_text(short_time(text), out);
    } else if (json_bool(value, "booleanValue", &yes)) {
        buf_add_text(out, yes ? "b1" : "b0");
    } else if (only && cJSON_IsString(only)) {
        canonical_text(str_from(only->string), out);
        canonical_text(json_str_value(only), out);
    } else if (only && cJSON_IsNumber(only) && strcmp(only->string, "integerValue") == 0) {
        canonical_text(str_from(only->string), out);
        buf_printf(out, "%d:%.0f", snprintf(NULL, 0, "%.0f", only->valuedouble), only->valuedouble);
    } else {
        buf_add_char(out, 'x');
        json_write(out, value);
    }
}

/* What has the name of a map or an array and is none goes as it is. */
static void canonical_value(struct arena *a, const cJSON *value, struct buf *out)
{
    const cJSON *fields = fs_value_map(value), *values = fs_value_array(value);

    if (fields)
        canonical_members(a, fields, out);
    else if (values)
        canonical_items(a, values, out);
    else
        canonical_scalar(value, out);
}

struct str audit_canonical(struct arena *a, const cJSON *value)
{
    struct buf text;
    struct str copy;

    if (!value)
        return STR("");
    buf_init(&text, ARENA_MAX_BYTES / 4);
    canonical_value(a, value, &text);
    copy = arena_dup(a, buf_str(&text));
    buf_done(&text);
    return copy;
}

/* --- the chain --- */

static bool is_covered(const char *name)
{
    return strcmp(name, "hash") != 0 && strcmp(name, "timestamp") != 0;
}

static void hash_entry(const struct audit_log *log, struct arena *a, struct str id,
                       const cJSON *fields, char out[SHA256_HEX_SIZE])
{
    cJSON *wrapper = json_object(a), *map = json_add_object(wrapper, "mapValue"),
          *covered = json_add_object(map, "fields");
    unsigned char hash[SHA256_BYTES];
    const cJSON *field;

    cJSON_ArrayForEach(field, fields)
    {
        if (is_covered(field->string))
            json_add_copy(covered, field->string, field);
    }

    const struct str parts[] = {STR("entry"), id, audit_canonical(a, wrapper)};

    hmac_sha256_fields(key_str(log->chain_key), parts, ARRAY_LEN(parts), hash);
    hex_encode(hash, sizeof hash, out);
}

bool audit_link_read(const cJSON *fields, struct audit_link *ret)
{
    return fs_get_i64(fields, "chain", &ret->chain) && ret->chain >= 0 &&
           ret->chain < AUDIT_CHAINS_MAX && fs_get_i64(fields, "seq", &ret->seq) && ret->seq > 0 &&
           fs_get_str(fields, "prev", &ret->prev) && fs_get_str(fields, "hash", &ret->hash);
}

bool audit_entry_is_sound(const struct audit_log *log, struct arena *a,
                          const struct fs_document *entry)
{
    char hash[SHA256_HEX_SIZE];
    struct audit_link link;

    if (!audit_link_read(entry->fields, &link))
        return false;
    hash_entry(log, a, entry->id, entry->fields, hash);
    return equal_constant_time(link.hash, str_from(hash));
}

static void mac_base(const struct audit_log *log, struct arena *a, int64_t chain, int64_t base_seq,
                     struct str base_hash, char out[SHA256_HEX_SIZE])
{
    const struct str parts[] = {STR("base"), arena_printf(a, "%lld", (long long)chain),
                                arena_printf(a, "%lld", (long long)base_seq), base_hash};
    unsigned char mac[SHA256_BYTES];

    hmac_sha256_fields(key_str(log->chain_key), parts, ARRAY_LEN(parts), mac);
    hex_encode(mac, sizeof mac, out);
}

bool audit_head_read(const struct audit_log *log, struct arena *a, int64_t chain,
                     const struct fs_document *document, struct audit_head *ret, struct error *e)
{
    char mac[SHA256_HEX_SIZE];
    struct str stored = STR("");

    *ret = (struct audit_head){.hash = STR(NO_HASH), .base_hash = STR(NO_HASH)};
    if (!document->exists)
        return true;
    ret->exists = true;
    if (!fs_get_i64(document->fields, "seq", &ret->seq) ||
        !fs_get_str(document->fields, "hash", &ret->hash))
        return error_set(e, ERR_FAILED_PRECONDITION, "audit: a chain's head is unreadable");
    if (!fs_get(document->fields, "baseSeq"))
        return true;
    if (!fs_get_i64(document->fields, "baseSeq", &ret->base_seq) ||
        !fs_get_str(document->fields, "baseHash", &ret->base_hash) ||
        !fs_get_str(document->fields, "baseMac", &stored))
        return error_set(e, ERR_FAILED_PRECONDITION, "audit: a chain's base is unreadable");
    mac_base(log, a, chain, ret->base_seq, ret->base_hash, mac);
    if (!equal_constant_time(stored, str_from(mac)))
        return error_set(e, ERR_FAILED_PRECONDITION, "audit: a chain's base is not ours");
    return true;
}

static struct str head_path(struct arena *a, int64_t chain)
{
    return arena_printf(a, AUDIT_HEADS "/%lld", (long long)chain);
}

void audit_head_move_base(const struct audit_log *log, struct fs_transaction *tx, struct arena *a,
                          int64_t chain, int64_t base_seq, struct str base_hash)
{
    cJSON *fields = fs_fields(a);
    char mac[SHA256_HEX_SIZE];

    mac_base(log, a, chain, base_seq, base_hash, mac);
    fs_add_i64(fields, "baseSeq", base_seq);
    fs_add_str(fields, "baseHash", base_hash);
    fs_add_text(fields, "baseMac", mac);

    const struct fs_write write = {.kind = FS_MERGE, .path = head_path(a, chain), .fields = fields};

    firestore_transaction_write(tx, &write);
}

/* --- appending --- */

struct append {
    const struct audit_log *log;
    const char *id;
    const cJSON *fields;
    int64_t chain;
    int64_t deadline_ms;
    bool added;
};

static void add_entry(const struct append *append, const struct audit_head *head,
                      struct fs_transaction *tx, struct arena *a)
{
    cJSON *entry = fs_fields(a), *moved = fs_fields(a);
    char hash[SHA256_HEX_SIZE];
    const cJSON *field;

    cJSON_ArrayForEach(field, append->fields)
    {
        json_add_copy(entry, field->string, field);
    }
    fs_add_i64(entry, "chain", append->chain);
    fs_add_i64(entry, "seq", head->seq + 1);
    fs_add_str(entry, "prev", head->hash);
    fs_add_time_ms(entry, "recordedAt", clock_unix_ms());
    hash_entry(append->log, a, str_from(append->id), entry, hash);
    fs_add_text(entry, "hash", hash);
    fs_add_i64(moved, "seq", head->seq + 1);
    fs_add_text(moved, "hash", hash);

    const struct fs_write writes[] = {
        {.kind = FS_SET,
         .path = arena_printf(a, AUDIT_COLLECTION "/%s", append->id),
         .fields = entry,
         .precondition = FS_MUST_NOT_EXIST,
         .server_times = {"timestamp"}},
        {.kind = FS_MERGE, .path = head_path(a, append->chain), .fields = moved},
    };

    for (size_t i = 0; i < ARRAY_LEN(writes); i++)
        firestore_transaction_write(tx, &writes[i]);
}

/* A head somebody tampered with must not stop the trail: the break shows when it is verified. */
static struct audit_head read_end(const struct fs_document *document)
{
    struct audit_head head = {.hash = STR(NO_HASH)};

    if (document->exists && fs_get_i64(document->fields, "seq", &head.seq) && head.seq >= 0 &&
        head.seq < INT64_MAX && fs_get_str(document->fields, "hash", &head.hash))
        return head;
    return (struct audit_head){.hash = STR(NO_HASH)};
}

static bool append_body(struct fs_transaction *tx, void *context, struct arena *a, struct error *e)
{
    struct append *append = context;
    const struct str paths[] = {arena_printf(a, AUDIT_COLLECTION "/%s", append->id),
                                head_path(a, append->chain)};
    struct fs_document documents[ARRAY_LEN(paths)];
    struct audit_head head;

    if (!firestore_get_all(append->log->fs, paths, ARRAY_LEN(paths), tx, a, append->deadline_ms,
                           documents, e))
        return false;
    append->added = !documents[0].exists;
    if (!append->added)
        return true;
    head = read_end(&documents[1]);
    add_entry(append, &head, tx, a);
    return true;
}

/* The chain follows from the id, so the same event never tries two. */
static int64_t chain_of(const struct audit_log *log, const char *id)
{
    unsigned char start[4];

    must(hex_decode(str_n(id, 2 * sizeof start), start, sizeof start));
    return (int64_t)(((uint32_t)start[0] << 24 | (uint32_t)start[1] << 16 |
                      (uint32_t)start[2] << 8 | start[3]) %
                     (uint32_t)log->chains);
}

static bool take_turn(pthread_mutex_t *turn, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000L};

    return pthread_mutex_clocklock(turn, CLOCK_MONOTONIC, &until) == 0;
}

bool audit_log_append(struct audit_log *log, const char *id, const cJSON *fields,
                      int64_t deadline_ms, bool *ret_added, struct error *e)
{
    struct append append = {.log = log,
                            .id = id,
                            .fields = fields,
                            .chain = chain_of(log, id),
                            .deadline_ms = deadline_ms};
    pthread_mutex_t *turn = &log->turns[append.chain];
    bool ok;

    if (!take_turn(turn, deadline_ms))
        return error_set(e, ERR_UNAVAILABLE, "audit: no turn in time");
    ok = firestore_transaction(log->fs, append_body, &append, deadline_ms, e);
    pthread_mutex_unlock(turn);
    *ret_added = append.added;
    return ok;
}
