-- Verify ekklesia:housekeeping
BEGIN;
DO $$
DECLARE
    org CONSTANT uuid := '00000000-0000-4000-8000-000000000001';
    key CONSTANT bytea := '\x00112233445566778899aabbccddeeff00';
    schema_name text;
    code text;
BEGIN
    IF NOT elections.use_nonce(org, 'verify', 'n', 'infinity') OR elections.use_nonce(org, 'verify', 'n', 'infinity') THEN
        RAISE EXCEPTION 'a nonce is not good exactly once';
    END IF;
    FOREACH schema_name IN ARRAY ARRAY['elections', 'events']
    LOOP
        EXECUTE pg_catalog.format('SELECT code FROM %I.idempotency_claim($1, $2, $2, 1000, pg_catalog.gen_random_uuid())', schema_name) INTO code USING org, key;
        IF code <> 'fresh' THEN
            RAISE EXCEPTION 'idempotency_claim of % says % for a new key', schema_name, code;
        END IF;
        EXECUTE pg_catalog.format('SELECT code FROM %I.idempotency_claim($1, $2, $2, 1000, pg_catalog.gen_random_uuid())', schema_name) INTO code USING org, key;
        IF code <> 'running' THEN
            RAISE EXCEPTION 'idempotency_claim of % says % for a running key', schema_name, code;
        END IF;
    END LOOP;
END
$$;
ROLLBACK;
