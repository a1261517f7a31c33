-- Revert ekklesia:organisations
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.lock_key(uuid);
DROP FUNCTION elections.wire_time(timestamptz);
DROP TABLE elections.organisations;
DROP PROCEDURE elections.guard_table(regclass, text);
DROP SCHEMA events;
DROP SCHEMA elections;

COMMIT;
