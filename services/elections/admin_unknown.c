/* admin_unknown.c - any other path below /api/admin: 401 to strangers, 404 to whoever is signed in
 * (contract §1.4) */
#include "elections.h"

void admin_unknown(const struct request *req, struct response *res)
{
    (void)req;
    respond_error(res, ERR_NOT_FOUND, "There is nothing at this address.");
}
