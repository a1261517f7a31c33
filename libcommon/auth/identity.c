#include "auth/identity.h"

struct str identity_key(const struct identity *id)
{
    switch (id->kind) {
    case IDENTITY_USER:
        return id->uid;
    case IDENTITY_SERVICE:
        return id->key_id;
    case IDENTITY_VOTING_TOKEN:
        return id->voting_token;
    case IDENTITY_NONE:
        break;
    }
    return STR("");
}

bool identity_has_role(const struct identity *id, const char *role)
{
    for (size_t i = 0; i < id->role_count; i++)
        if (str_eq_text(id->roles[i], role))
            return true;
    return false;
}
