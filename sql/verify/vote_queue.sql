-- Verify ekklesia:vote_queue
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    receipt CONSTANT bytea := '\x00112233445566778899aabbccddeeff';
    answer text;
BEGIN
    SELECT code INTO answer FROM elections.queued_vote_status(org, receipt);
    IF answer IS NOT NULL THEN
        RAISE EXCEPTION 'queued_vote_status says % of a receipt nobody has', answer;
    END IF;
    SELECT code INTO answer FROM elections.record_queued_vote(org, receipt, pg_catalog.repeat('0f', 32), 'yes', pg_catalog.gen_random_uuid(),
                                                              pg_catalog.now(), NULL, NULL, NULL);
    IF answer <> 'unknown' THEN
        RAISE EXCEPTION 'record_queued_vote says % for a token nobody registered', answer;
    END IF;
    IF NOT pg_catalog.has_function_privilege('elections', 'elections.queued_vote_status(uuid, bytea)', 'EXECUTE')
       OR pg_catalog.has_function_privilege('events', 'elections.queued_vote_status(uuid, bytea)', 'EXECUTE') THEN
        RAISE EXCEPTION 'queued_vote_status is granted to the wrong login';
    END IF;
END
$$;
ROLLBACK;
