-- Revert ekklesia:voting
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.voted_in(uuid, uuid[], text[]);
DROP FUNCTION elections.slot_status(uuid, uuid, bytea);
DROP FUNCTION elections.token_status(uuid, text);
DROP FUNCTION elections.cast_member_vote(uuid, uuid, bytea, boolean, boolean, text[], uuid[], integer, bytea, bytea, bytea);
DROP FUNCTION elections.eligible(text, boolean, boolean);
DROP FUNCTION elections.match_options(text[], jsonb, text[]);
DROP FUNCTION elections.cast_token_vote(uuid, text, text, uuid, integer, bytea, bytea, bytea);
DROP FUNCTION elections.store_vote(uuid, uuid, bytea, uuid[], text[], text[], bytea, bytea, bytea);
DROP FUNCTION elections.register_token(uuid, text, text, uuid, bytea, bigint, timestamptz, text);
DROP FUNCTION elections.arrival(integer);
DROP FUNCTION elections.refusal(text, timestamptz, timestamptz, timestamptz);
DROP FUNCTION elections.current_election(uuid);
DROP FUNCTION elections.current_election_id(uuid);
DROP FUNCTION elections.status_now(elections.elections);

COMMIT;
