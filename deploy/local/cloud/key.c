/* key.c - the signing keys and where they are kept */
#include "base/encode.h"
#include "cloud.h"

#include <errno.h>
#include <fcntl.h>

#define KEY_FILE_MAX_BYTES 8192
#define KID_HEX_DIGITS     16

static struct jwt_signer *with_hashed_kid(struct str pem, struct error *e)
{
    char hex[SHA256_HEX_SIZE];

    sha256_hex(pem, hex);
    return jwt_signer_from_pem(pem, str_n(hex, KID_HEX_DIGITS), e);
}

/* False when there is no such file; an unreadable one sets e. */
static bool read_key(struct arena *a, const char *path, struct str *ret_pem, struct error *e)
{
    char *text = arena_alloc(a, KEY_FILE_MAX_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0 && errno == ENOENT)
        return false;
    len = fd < 0 ? -1 : read(fd, text, KEY_FILE_MAX_BYTES);
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return error_set(e, ERR_INTERNAL, "cannot read a key in KEY_DIR");
    *ret_pem = str_n(text, (size_t)len);
    return true;
}

static bool write_key(const char *path, struct str pem, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool whole = fd >= 0 && write(fd, pem.ptr, pem.len) == (ssize_t)pem.len;

    if (fd >= 0 && close(fd) != 0)
        whole = false;
    return whole || error_set(e, ERR_INTERNAL, "cannot write a key to KEY_DIR");
}

static struct str make_key(struct arena *a)
{
    struct jwt_signer *made = jwt_signer_generate(STR(""));
    struct str pem = jwt_signer_pem(made, a);

    jwt_signer_free(made);
    return pem;
}

struct jwt_signer *key_load(struct arena *a, const char *key_dir, const char *name, struct error *e)
{
    const char *path = arena_printf(a, "%s/%s", key_dir, name).ptr;
    struct str pem = {NULL, 0};

    e->code = ERR_NONE;
    if (!*key_dir)
        return with_hashed_kid(make_key(a), e);
    if (!read_key(a, path, &pem, e)) {
        if (e->code != ERR_NONE)
            return NULL;
        pem = make_key(a);
        if (!write_key(path, pem, e))
            return NULL;
    }
    return with_hashed_kid(pem, e);
}
