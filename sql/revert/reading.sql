-- Revert ekklesia:reading
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.get_election(uuid, uuid);
DROP FUNCTION elections.list_elections(uuid, text, boolean, text, integer, integer);
DROP FUNCTION elections.get_member_election(uuid, uuid, bytea, boolean, boolean);
DROP FUNCTION elections.list_member_elections(uuid, boolean, boolean, text, integer, integer);
DROP FUNCTION elections.turnout(uuid);
DROP FUNCTION elections.wire_for_members(elections.elections);

COMMIT;
