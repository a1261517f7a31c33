-- Revert ekklesia:grants
BEGIN;
SET LOCAL ROLE ekklesia_owner;

REVOKE ALL ON ALL ROUTINES IN SCHEMA elections, events FROM elections, events, ekklesia_admin;

COMMIT;
