-- Revert ekklesia:administration
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.anonymize_election(uuid, text, text, uuid);
DROP FUNCTION elections.delete_election(uuid, text, text, uuid);
DROP FUNCTION elections.close_election(uuid, text, text, uuid);
DROP FUNCTION elections.unhide_election(uuid, text, text, uuid);
DROP FUNCTION elections.hide_election(uuid, text, text, uuid);
DROP FUNCTION elections.archive_election(uuid, text, text, uuid);
DROP FUNCTION elections.resume_election(uuid, text, text, uuid);
DROP FUNCTION elections.pause_election(uuid, text, text, uuid);
DROP FUNCTION elections.move_election(uuid, text, text, text, uuid);
DROP FUNCTION elections.open_election(uuid, text, text, uuid, timestamptz, timestamptz);
DROP FUNCTION elections.update_election(uuid, text, text, uuid, jsonb);
DROP FUNCTION elections.change_election(uuid, text, text, text, uuid, jsonb, boolean);
DROP FUNCTION elections.create_election(uuid, text, text, jsonb);
DROP FUNCTION elections.audit_action(uuid, text, text, boolean, text, text, uuid, elections.elections, elections.elections);
DROP FUNCTION elections.trimmed(jsonb, text);
DROP FUNCTION elections.stored_fields(elections.elections);
DROP FUNCTION elections.known_fields(jsonb);
DROP FUNCTION elections.check_fields(jsonb);
DROP FUNCTION elections.check_options(jsonb);
DROP FUNCTION elections.parse_time(text);

COMMIT;
