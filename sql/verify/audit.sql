-- Verify ekklesia:audit
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    verdict record;
BEGIN
    PERFORM elections.audit_append(org, 'verify', true, 'sqitch', NULL, NULL, '{}');
    SELECT * INTO verdict FROM elections.audit_verify(org);
    IF NOT verdict.ok THEN
        RAISE EXCEPTION 'the audit chain of the default organisation is broken at %', verdict.first_bad_seq;
    END IF;
    BEGIN
        SET LOCAL ROLE ekklesia_owner;
        DELETE FROM elections.audit WHERE org_id = org;
        RAISE EXCEPTION 'audit rows can be deleted';
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
END
$$;
ROLLBACK;
