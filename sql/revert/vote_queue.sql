-- Revert ekklesia:vote_queue
BEGIN;
SET LOCAL ROLE ekklesia_owner;
SET LOCAL lock_timeout = '200ms';

DROP FUNCTION elections.queued_vote_status(uuid, bytea);
DROP FUNCTION elections.record_queued_vote(uuid, bytea, text, text, uuid, timestamptz, bytea, bytea, bytea);
DROP TABLE elections.queued_votes;

COMMIT;
