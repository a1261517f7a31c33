-- Verify ekklesia:organisations
DO $$
BEGIN
    IF elections.wire_time('2026-11-21 22:32:34.657+00') <> '2026-11-21T22:32:34.657Z' THEN
        RAISE EXCEPTION 'wire_time is wrong';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = 'elections.organisations'::regclass AND relrowsecurity AND relforcerowsecurity) THEN
        RAISE EXCEPTION 'organisations is not guarded';
    END IF;
    IF pg_catalog.has_schema_privilege('elections', 'events', 'USAGE') OR pg_catalog.has_schema_privilege('events', 'elections', 'USAGE') THEN
        RAISE EXCEPTION 'a service login can use the other schema';
    END IF;
END
$$;
BEGIN;
SET LOCAL ROLE ekklesia_owner;
SELECT 1 / count(*) FROM elections.organisations WHERE slug = 'default';
ROLLBACK;
