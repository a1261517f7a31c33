-- Verify ekklesia:closing
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    draft CONSTANT uuid := '00000000-0000-4000-8000-0000000000ff';
    answer text;
BEGIN
    SET LOCAL ROLE ekklesia_owner;
    PERFORM pg_catalog.set_config('app.org_id', org::text, true);
    INSERT INTO elections.elections (id, org_id, title, question, answers, created_by, updated_by)
        VALUES (draft, org, 'verify', 'verify', '["a", "b"]', 'sqitch', 'sqitch');
    SELECT code INTO answer FROM elections.results(org, draft);
    IF answer <> 'not_closed' THEN
        RAISE EXCEPTION 'results of a draft say %', answer;
    END IF;
    UPDATE elections.elections SET status = 'published', published_at = '2020-01-01', scheduled_end = '2020-01-02' WHERE id = draft;
    SELECT code INTO answer FROM elections.results(org, draft);
    IF answer <> 'ok' THEN
        RAISE EXCEPTION 'results of an election whose end has passed say %', answer;
    END IF;
    SELECT code INTO answer FROM elections.seal_verify(org, draft);
    IF answer <> 'ok' THEN
        RAISE EXCEPTION 'a fresh seal is %', answer;
    END IF;
END
$$;
ROLLBACK;
