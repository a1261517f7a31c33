-- Revert ekklesia:elections_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP TABLE elections.results;
DROP TABLE elections.ballots;
DROP TABLE elections.participation;
DROP TABLE elections.voting_tokens;
DROP TABLE elections.elections;
DROP FUNCTION elections.option_list(jsonb, text);
DROP FUNCTION elections.option_text(jsonb);
DROP FUNCTION elections.option_id(jsonb);

COMMIT;
