-- Verify ekklesia:events_functions
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    slot CONSTANT bytea := '\x00112233445566778899aabbccddeeff';
    election CONSTANT uuid := pg_catalog.gen_random_uuid();
    answer record;
BEGIN
    SELECT * INTO answer FROM events.claim_issue(org, election, slot, false, 1000, pg_catalog.gen_random_uuid());
    IF answer.code <> 'claimed' OR answer.issue_no <> 1 THEN
        RAISE EXCEPTION 'a first claim gives %', answer;
    END IF;
    SELECT * INTO answer FROM events.claim_issue(org, election, slot, false, 10000, pg_catalog.gen_random_uuid());
    IF answer.code <> 'running' THEN
        RAISE EXCEPTION 'a second claim gives %', answer;
    END IF;
    IF NOT events.confirm_issue(org, election, slot, 1, '2999-01-01') OR events.confirm_issue(org, election, slot, 2, '2999-01-01') THEN
        RAISE EXCEPTION 'confirm_issue is wrong';
    END IF;
    SELECT * INTO answer FROM events.current_election(org, election);
    IF answer.code <> 'not_found' THEN
        RAISE EXCEPTION 'an election that does not exist gives %', answer;
    END IF;
    SELECT * INTO answer FROM events.reset_election(org, 'sqitch', NULL, 'all', election, NULL, 0);
    IF answer.code = 'reset' THEN
        RAISE EXCEPTION 'a reset was possible';
    END IF;
END
$$;
ROLLBACK;
