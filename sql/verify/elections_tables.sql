-- Verify ekklesia:elections_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

SELECT id, org_id, title, description, question, answers, status, hidden, voting_type, max_selections, eligibility, scheduled_start,
       scheduled_end, created_by, updated_by, created_at, updated_at, published_at, closed_at, archived_at, deleted_at, option_ids,
       option_texts, option_keys
  FROM elections.elections WHERE false;
SELECT token_hash, org_id, election_id, slot, issue, key_id, registered_at, expires_at, used, revoked
  FROM elections.voting_tokens WHERE false;
SELECT election_id, voter, org_id, voted_at FROM elections.participation WHERE false;
SELECT election_id, id, org_id, answer_id, answer_text, voted_at FROM elections.ballots WHERE false;
SELECT election_id, org_id, totals, winner, tie, total_voters, total_selections, counts, sealed, counted_at
  FROM elections.results WHERE false;

DO $$
BEGIN
    IF elections.option_list('["a", {"answer_text": "B", "display_order": 1}, {"id": "c", "text": "See"}]', 'id') <> '{a,B,c}'
       OR elections.option_list('["a", {"answer_text": "B"}, {"id": "c", "text": "See"}]', 'text') <> '{a,B,See}'
       OR elections.option_list('["JÁ", {"answer_text": "B"}]', 'key') <> ARRAY[pg_catalog.lower('JÁ'), 'b'] THEN
        RAISE EXCEPTION 'option_list is wrong';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint
                WHERE contype = 'f'
                  AND conrelid IN ('elections.voting_tokens'::regclass, 'elections.participation'::regclass, 'elections.ballots'::regclass)) THEN
        RAISE EXCEPTION 'a table of the vote path has a foreign key, which would lock a row that voters share';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_attribute
                WHERE attrelid = 'elections.ballots'::regclass AND attnum > 0 AND NOT attisdropped
                  AND attname NOT IN ('election_id', 'id', 'org_id', 'answer_id', 'answer_text', 'voted_at')) THEN
        RAISE EXCEPTION 'ballots has a column that this schema does not know';
    END IF;
END
$$;
ROLLBACK;
