-- Deploy ekklesia:grants
-- requires: events_functions
-- Execute rights, function by function: what is not named here is the owner's alone.
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- Functions made before the default privileges were set, if any.
REVOKE ALL ON ALL ROUTINES IN SCHEMA elections, events FROM PUBLIC;

DO $$
DECLARE
    granted record;
    routine record;
BEGIN
    FOR granted IN VALUES
        ('elections', 'elections', ARRAY[
            'register_token', 'cast_token_vote', 'cast_member_vote', 'token_status', 'slot_status', 'voted_in', 'current_election',
            'results', 'member_results', 'list_member_elections', 'get_member_election',
            'create_election', 'update_election', 'open_election', 'pause_election', 'resume_election', 'close_election',
            'archive_election', 'hide_election', 'unhide_election', 'delete_election', 'anonymize_election', 'list_elections',
            'get_election', 'use_nonce', 'idempotency_claim', 'idempotency_store', 'idempotency_release', 'close_due', 'sweep',
            'audit_append', 'audit_verify', 'seal_verify']),
        ('events', 'events', ARRAY[
            'current_election', 'claim_issue', 'confirm_issue', 'release_issue', 'issue_status', 'idempotency_claim',
            'idempotency_store', 'idempotency_release', 'audit_append', 'create_election', 'open_election', 'pause_election',
            'resume_election', 'close_election', 'archive_election', 'update_draft', 'update_metadata', 'delete_draft',
            'list_elections', 'get_election', 'results', 'token_counts', 'reset_election']),
        ('ekklesia_admin', 'elections', ARRAY['audit_verify', 'seal_verify', 'close_due', 'sweep'])
    LOOP
        IF (SELECT pg_catalog.count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = granted.column2 AND p.proname = ANY (granted.column3)) <> pg_catalog.cardinality(granted.column3) THEN
            RAISE EXCEPTION 'a function granted to % is missing or has two forms', granted.column1;
        END IF;
        FOR routine IN SELECT p.oid::regprocedure AS name
                         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                        WHERE n.nspname = granted.column2 AND p.proname = ANY (granted.column3)
        LOOP
            EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', routine.name, granted.column1);
        END LOOP;
    END LOOP;
END
$$;

COMMIT;
