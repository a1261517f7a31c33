-- Revert ekklesia:events_functions
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION events.reset_election(uuid, text, text, text, uuid, bytea, integer);
DROP FUNCTION events.reset_counts(uuid);
DROP FUNCTION events.token_counts(uuid, uuid);
DROP FUNCTION events.delete_draft(uuid, text, text, uuid);
DROP FUNCTION events.update_metadata(uuid, text, text, uuid, jsonb);
DROP FUNCTION events.update_draft(uuid, text, text, uuid, jsonb);
DROP FUNCTION events.audit_append(uuid, text, boolean, text, text, uuid, jsonb);
DROP FUNCTION events.results(uuid, uuid);
DROP FUNCTION events.get_election(uuid, uuid);
DROP FUNCTION events.list_elections(uuid, text, integer, integer);
DROP FUNCTION events.open_election(uuid, text, text, uuid, timestamptz, timestamptz);
DROP FUNCTION events.create_election(uuid, text, text, jsonb);
DROP FUNCTION events.archive_election(uuid, text, text, uuid);
DROP FUNCTION events.close_election(uuid, text, text, uuid);
DROP FUNCTION events.resume_election(uuid, text, text, uuid);
DROP FUNCTION events.pause_election(uuid, text, text, uuid);
DROP FUNCTION events.issue_status(uuid, uuid, bytea);
DROP FUNCTION events.release_issue(uuid, uuid, bytea, bigint);
DROP FUNCTION events.confirm_issue(uuid, uuid, bytea, bigint, timestamptz);
DROP FUNCTION events.claim_issue(uuid, uuid, bytea, boolean, integer, uuid);
DROP FUNCTION events.current_election(uuid, uuid);

COMMIT;
