-- Verify ekklesia:administration
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    made record;
    answer text;
BEGIN
    SELECT * INTO made FROM elections.create_election(org, 'sqitch', NULL, '{"title": "verify", "question": "q", "answers": ["a", "A"]}');
    IF made.code <> 'invalid' OR made.field <> 'answers' OR made.reason <> 'ambiguous' THEN
        RAISE EXCEPTION 'ambiguous options give %', made;
    END IF;
    SELECT * INTO made FROM elections.create_election(org, 'sqitch', NULL, '{"title": "verify", "question": "q", "answers": ["a", "b"]}');
    IF made.code <> 'created' THEN
        RAISE EXCEPTION 'a good election gives %', made;
    END IF;
    SELECT code INTO answer FROM elections.open_election(org, 'sqitch', NULL, (made.election ->> 'id')::uuid, NULL, NULL);
    IF answer <> 'opened' THEN
        RAISE EXCEPTION 'opening a draft gives %', answer;
    END IF;
    SELECT code INTO answer FROM elections.delete_election(org, 'sqitch', NULL, (made.election ->> 'id')::uuid);
    IF answer <> 'wrong_status' THEN
        RAISE EXCEPTION 'deleting a published election gives %', answer;
    END IF;
    SELECT code INTO answer FROM elections.close_election(org, 'sqitch', NULL, (made.election ->> 'id')::uuid);
    IF answer <> 'closed' THEN
        RAISE EXCEPTION 'closing gives %', answer;
    END IF;
END
$$;
ROLLBACK;
