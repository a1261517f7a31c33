/* caller.c - who asks, and about which election; see elections.h */
#include "elections.h"

#include "base/clock.h"

/* `admins` elections: the contract asks for the roles of the token; the live record must agree. */
static enum membership admin_standing(const struct request *req)
{
    if (!identity_has_role(&req->identity, "admin") &&
        !identity_has_role(&req->identity, "superuser"))
        return MEMBERSHIP_NOT_PROVEN;
    return account_confirms_role(req, "admin");
}

struct caller caller_of(const struct request *req)
{
    return (struct caller){.membership = account_membership(req), .admin = admin_standing(req)};
}

struct pg_param caller_is_member(const struct caller *c)
{
    return pg_param_bool(c->membership == MEMBERSHIP_PROVEN);
}

struct pg_param caller_is_admin(const struct caller *c)
{
    return pg_param_bool(c->admin == MEMBERSHIP_PROVEN);
}

void caller_refuse(struct response *res, const struct caller *c)
{
    static const struct refusal refusals[] = {
        {"not_eligible", ERR_FORBIDDEN, "You are not eligible for this election.", "NOT_ELIGIBLE"},
        {NULL, ERR_NONE, NULL, NULL},
    };

    if (c->membership == MEMBERSHIP_UNKNOWN || c->admin == MEMBERSHIP_UNKNOWN) {
        respond_error(res, ERR_UNAVAILABLE,
                      "Your membership cannot be checked right now. Please try again in a moment.");
        res->log_reason = "membership unknown";
        return;
    }
    refuse_with(res, refusals, STR("not_eligible"));
}

bool election_id_of(const struct request *req, struct response *res, struct str *ret)
{
    struct str id = req->params[0];
    char *lower;

    if (!uuid_is_valid(id)) {
        respond_error(res, ERR_NOT_FOUND, "There is no such election.");
        return false;
    }
    lower = arena_alloc(req->arena, UUID_TEXT_SIZE);
    for (size_t i = 0; i < id.len; i++)
        lower[i] = (char)(id.ptr[i] >= 'A' && id.ptr[i] <= 'F' ? id.ptr[i] - 'A' + 'a' : id.ptr[i]);
    *ret = str_n(lower, id.len);
    return true;
}

struct str waited_ms(const struct request *req)
{
    return arena_printf(req->arena, "%lld",
                        (long long)((clock_mono_us() - req->http->arrived_us) / 1000));
}

void caller_slot(const struct request *req, struct str election_id,
                 unsigned char ret_slot[SLOT_BYTES])
{
    const struct elections *elections = req->own;

    member_slot(req, elections->settings->voter_key, election_id, ret_slot);
}
