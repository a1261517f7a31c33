-- Verify ekklesia:events_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

SELECT election_id, slot, org_id, issue_no, state, claim, claimed_at, issued_at, expires_at FROM events.issues WHERE false;
SELECT id, title, question, status, token_election FROM events.elections WHERE false;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_attribute
                WHERE attrelid = 'events.issues'::regclass AND attnum > 0 AND NOT attisdropped
                  AND attname NOT IN ('election_id', 'slot', 'org_id', 'issue_no', 'state', 'claim', 'claimed_at', 'issued_at', 'expires_at')) THEN
        RAISE EXCEPTION 'events.issues has a column that this schema does not know';
    END IF;
END
$$;
ROLLBACK;
