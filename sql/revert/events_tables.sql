-- Revert ekklesia:events_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP VIEW events.elections;
DROP TABLE events.issues;

COMMIT;
