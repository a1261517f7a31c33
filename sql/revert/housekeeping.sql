-- Revert ekklesia:housekeeping
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.sweep(integer);
DROP FUNCTION elections.idempotency_claim(uuid, bytea, bytea, integer, uuid);
DROP FUNCTION elections.idempotency_store(uuid, bytea, bytea, bytea, integer);
DROP FUNCTION elections.idempotency_release(uuid, bytea);
DROP FUNCTION events.idempotency_claim(uuid, bytea, bytea, integer, uuid);
DROP FUNCTION events.idempotency_store(uuid, bytea, bytea, bytea, integer);
DROP FUNCTION events.idempotency_release(uuid, bytea);
DROP PROCEDURE elections.create_idempotency(text);
DROP FUNCTION elections.use_nonce(uuid, text, text, timestamptz);
DROP TABLE elections.nonces;
DROP TABLE events.idempotency;
DROP TABLE elections.idempotency;

COMMIT;
