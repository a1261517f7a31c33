-- Deploy ekklesia:roles
-- Roles belong to the cluster, not to the database: they may already exist, with passwords set by whoever keeps them.
BEGIN;

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN VALUES ('ekklesia_owner', 'NOLOGIN'), ('elections', 'LOGIN'), ('events', 'LOGIN'), ('ekklesia_admin', 'LOGIN')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.column1) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION',
                                      wanted.column1, wanted.column2);
        END IF;
    END LOOP;
END
$$;

-- The deployer creates objects in the owner's name.
GRANT ekklesia_owner TO CURRENT_USER;

DO $$
BEGIN
    EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC', pg_catalog.current_database());
    EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO elections, events, ekklesia_admin', pg_catalog.current_database());
    EXECUTE pg_catalog.format('GRANT CREATE, CONNECT ON DATABASE %I TO ekklesia_owner', pg_catalog.current_database());
END
$$;

SET LOCAL ROLE ekklesia_owner;
-- PostgreSQL lets everybody execute a new function unless told otherwise.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

COMMIT;
