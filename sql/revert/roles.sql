-- Revert ekklesia:roles
BEGIN;

SET LOCAL ROLE ekklesia_owner;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
RESET ROLE;

DO $$
DECLARE
    role_name text;
BEGIN
    EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM elections, events, ekklesia_admin, ekklesia_owner',
                              pg_catalog.current_database());
    EXECUTE pg_catalog.format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', pg_catalog.current_database());
    FOREACH role_name IN ARRAY ARRAY['elections', 'events', 'ekklesia_admin', 'ekklesia_owner']
    LOOP
        BEGIN
            EXECUTE pg_catalog.format('DROP ROLE IF EXISTS %I', role_name);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            RAISE NOTICE 'role % is still used by another database of this cluster', role_name;
        END;
    END LOOP;
END
$$;

COMMIT;
