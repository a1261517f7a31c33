/* member.c - who is a member, and the member's slot; see events.h */
#include "events.h"

bool member_is_proven(const struct request *req, struct response *res)
{
    if (!req->identity.has_kennitala) {
        respond_error(res, ERR_UNAUTHENTICATED,
                      "Your sign-in does not carry an identity number. Please sign in again.");
        return false;
    }
    if (req->identity.is_member != CLAIM_TRUE) {
        respond_error(res, ERR_FORBIDDEN, "Only confirmed members can do this.");
        return false;
    }
    return true;
}

void member_slot(const struct request *req, struct str election_id,
                 unsigned char ret_slot[SHA256_BYTES])
{
    const struct events *events = req->own;
    const struct str fields[] = {STR("slot"), req->org_id, election_id,
                                 str_from(req->identity.kennitala)};

    hmac_sha256_fields(str_from(events->settings->voter_key), fields, ARRAY_LEN(fields), ret_slot);
}
