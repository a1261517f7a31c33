-- Revert ekklesia:organisations
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.lock_key(uuid);
DROP FUNCTION elections.wire_time(timestamptz);
DROP DOMAIN elections.minute;
DROP DOMAIN elections.token_digest;
DROP DOMAIN elections.keyed_hash;
DROP TABLE elections.organisations;
DROP PROCEDURE elections.guard_table(regclass, text);
DROP SCHEMA events;
DROP SCHEMA elections;

COMMIT;
