#include "auth/identity.h"

bool identity_has_role(const struct identity *id, const char *role)
{
    for (size_t i = 0; i < id->role_count; i++)
        if (str_eq_text(id->roles[i], role))
            return true;
    return false;
}
