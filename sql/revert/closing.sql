-- Revert ekklesia:closing
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.seal_verify(uuid, uuid);
DROP FUNCTION elections.member_results(uuid, uuid, boolean, boolean);
DROP FUNCTION elections.results(uuid, uuid);
DROP FUNCTION elections.close_due(integer, integer);
DROP FUNCTION elections.touch(uuid, uuid, boolean);
DROP FUNCTION elections.lock_exclusively(uuid);
DROP FUNCTION elections.close_now(uuid, uuid, text, text);
DROP FUNCTION elections.count_ballots(elections.elections, integer);
DROP FUNCTION elections.seal(uuid, jsonb, integer, integer);
DROP FUNCTION elections.count_tokens(elections.elections);
DROP FUNCTION elections.due(elections.elections);
DROP FUNCTION elections.wire_election(elections.elections);

COMMIT;
