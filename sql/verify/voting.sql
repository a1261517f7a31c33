-- Verify ekklesia:voting
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    hash CONSTANT text := pg_catalog.repeat('0f', 32);
    answer text;
BEGIN
    SELECT code INTO answer FROM elections.cast_token_vote(org, hash, 'yes', pg_catalog.gen_random_uuid(), 0, NULL, NULL, NULL);
    IF answer <> 'unknown' THEN
        RAISE EXCEPTION 'cast_token_vote says % for a token nobody registered', answer;
    END IF;
    SELECT code INTO answer FROM elections.cast_member_vote(org, pg_catalog.gen_random_uuid(), '\x00112233445566778899aabbccddeeff', true,
                                                            true, '{a}', '{00000000-0000-4000-8000-000000000002}', 0, NULL, NULL, NULL);
    IF answer <> 'not_found' THEN
        RAISE EXCEPTION 'cast_member_vote says % for an election that does not exist', answer;
    END IF;
    SELECT code INTO answer FROM elections.register_token(org, 'verify', hash, pg_catalog.gen_random_uuid(), NULL, NULL, NULL, NULL);
    IF answer <> 'no_election' THEN
        RAISE EXCEPTION 'register_token says % for an election that does not exist', answer;
    END IF;
END
$$;
ROLLBACK;
