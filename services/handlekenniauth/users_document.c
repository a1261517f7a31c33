/* users_document.c - see users_document.h */
#include "users_document.h"

#define FIELDS_MAX 8

/* A text with a note beside it whether Kenni called it verified. */
struct contact {
    const char *field, *flag;
    struct str claimed;
    bool claimed_verified;
};

static struct contact email_of(const struct person *p)
{
    return (struct contact){"email", "emailVerified", p->email, p->email_verified};
}

static struct contact phone_of(const struct person *p)
{
    return (struct contact){"phoneNumber", "phoneVerified", p->phone, p->phone_verified};
}

static struct str stored_text(const struct fs_document *known, const char *field)
{
    struct str text = STR("");

    if (known->exists)
        (void)fs_get_str(known->fields, field, &text);
    return text;
}

/* No note beside a stored value: an older deployment wrote it, and it may have been verified. */
static bool may_replace(const struct fs_document *known, const struct contact *c)
{
    bool verified = true;

    if (c->claimed.len == 0)
        return false;
    if (c->claimed_verified || stored_text(known, c->field).len == 0)
        return true;
    return known->exists && fs_get_bool(known->fields, c->flag, &verified) && !verified;
}

static bool says_already(const struct fs_document *known, const struct contact *c)
{
    bool verified = !c->claimed_verified;

    return str_eq(stored_text(known, c->field), c->claimed) &&
           fs_get_bool(known->fields, c->flag, &verified) && verified == c->claimed_verified;
}

static void add_contact(cJSON *fields, const struct contact *c)
{
    if (c->claimed.len > 0)
        fs_add_str(fields, c->field, c->claimed);
    else
        fs_add_null(fields, c->field);
    fs_add_bool(fields, c->flag, c->claimed.len > 0 && c->claimed_verified);
}

static void write_new(struct arena *a, const struct person *person, struct str path,
                      struct fs_write *ret)
{
    struct contact email = email_of(person), phone = phone_of(person);
    cJSON *fields = fs_fields(a);

    fs_add_str(fields, "kennitala", str_from(person->kennitala));
    fs_add_str(fields, "fullName", person->name);
    add_contact(fields, &email);
    add_contact(fields, &phone);
    fs_add_null(fields, "photoURL");
    fs_add_bool(fields, "isMember", false);
    *ret = (struct fs_write){
        .kind = FS_SET,
        .path = path,
        .fields = fields,
        .precondition = FS_MUST_NOT_EXIST,
        .server_times = {"createdAt", "lastLogin"},
    };
}

static void write_changes(struct arena *a, const struct person *person,
                          const struct fs_document *known, struct str path, struct fs_write *ret)
{
    const struct contact contacts[] = {email_of(person), phone_of(person)};
    struct str *mask = arena_alloc_array(a, FIELDS_MAX, sizeof *mask);
    cJSON *fields = fs_fields(a);
    size_t count = 0;
    bool changed = !str_eq_text(stored_text(known, "kennitala"), person->kennitala);

    /* Always written: it says nothing new, or replaces the form with a hyphen. */
    fs_add_str(fields, "kennitala", str_from(person->kennitala));
    mask[count++] = STR("kennitala");
    if (person->name.len > 0 && !str_eq(stored_text(known, "fullName"), person->name)) {
        fs_add_str(fields, "fullName", person->name);
        mask[count++] = STR("fullName");
        changed = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(contacts); i++) {
        if (!may_replace(known, &contacts[i]) || says_already(known, &contacts[i]))
            continue;
        add_contact(fields, &contacts[i]);
        mask[count++] = str_from(contacts[i].field);
        mask[count++] = str_from(contacts[i].flag);
        changed = true;
    }
    *ret = (struct fs_write){
        .kind = FS_MERGE,
        .path = path,
        .fields = fields,
        .mask = mask,
        .mask_count = count,
        .precondition = changed ? FS_UPDATE_TIME : FS_MUST_EXIST,
        .update_time = known->update_time,
        .server_times = {"lastLogin"},
    };
}

void users_document_write(struct arena *a, const struct person *person,
                          const struct fs_document *known, struct str path, struct fs_write *ret)
{
    if (known->exists)
        write_changes(a, person, known, path, ret);
    else
        write_new(a, person, path, ret);
}

static void add_claim(cJSON *claims, const char *name, const struct fs_document *known,
                      const struct contact *c)
{
    struct str value = may_replace(known, c) ? c->claimed : stored_text(known, c->field);

    if (value.len > 0)
        json_add_str(claims, name, value);
}

static void add_roles(cJSON *claims, const struct fs_document *known)
{
    cJSON *roles = json_add_array(claims, "roles");
    const cJSON *stored = known->exists ? fs_get_array(known->fields, "roles") : NULL, *item;
    int count = 0;

    cJSON_ArrayForEach(item, stored)
    {
        struct str role = fs_value_str(item);

        if (role.len > 0 && role.len <= ROLE_MAX_BYTES && count < ROLES_MAX) {
            json_add_str(roles, NULL, role);
            count++;
        }
    }
    if (count == 0)
        json_add_text(roles, NULL, "member");
}

const cJSON *users_document_claims(struct arena *a, const struct person *person,
                                   const struct fs_document *known)
{
    struct contact email = email_of(person), phone = phone_of(person);
    cJSON *claims = json_object(a);

    json_add_text(claims, "kennitala", person->kennitala);
    add_roles(claims, known);
    add_claim(claims, "email", known, &email);
    add_claim(claims, "phoneNumber", known, &phone);
    return claims;
}
