-- Revert ekklesia:audit
BEGIN;
SET LOCAL ROLE ekklesia_owner;

DROP FUNCTION elections.row_digest(elections.elections);
DROP FUNCTION elections.audit_verify(uuid);
DROP FUNCTION elections.audit_append(uuid, text, boolean, text, text, uuid, jsonb);
DROP FUNCTION elections.audit_write(uuid, text, boolean, text, text, uuid, jsonb, bytea, bytea);
DROP FUNCTION elections.audit_hash(elections.audit);
DROP TABLE elections.audit_heads;
DROP TABLE elections.audit;
DROP FUNCTION elections.audit_refuse_change();

COMMIT;
