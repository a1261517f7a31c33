-- Verify ekklesia:reading
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    draft CONSTANT uuid := '00000000-0000-4000-8000-0000000000ff';
    seen jsonb;
    answer text;
BEGIN
    SET LOCAL ROLE ekklesia_owner;
    PERFORM pg_catalog.set_config('app.org_id', org::text, true);
    INSERT INTO elections.elections (id, org_id, title, question, answers, created_by, updated_by)
        VALUES (draft, org, 'verify', 'verify', '["a", "b"]', 'sqitch', 'sqitch');
    SELECT election INTO seen FROM elections.get_election(org, draft);
    IF seen ->> 'status' <> 'draft' OR NOT seen ? 'voting_starts_at' OR seen ->> 'vote_count' <> '0' THEN
        RAISE EXCEPTION 'get_election is wrong: %', seen;
    END IF;
    SELECT code INTO answer FROM elections.get_member_election(org, draft, '\x00', true, true);
    IF answer <> 'not_found' THEN
        RAISE EXCEPTION 'a member sees a draft: %', answer;
    END IF;
    SELECT code INTO answer FROM elections.list_member_elections(org, true, true, 'draft', 50, 0);
    IF answer <> 'bad_status' THEN
        RAISE EXCEPTION 'a member may list drafts: %', answer;
    END IF;
END
$$;
ROLLBACK;
