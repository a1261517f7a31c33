-- Verify ekklesia:roles
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT wanted.name, wanted.login, r.oid IS NOT NULL AS present, r.*
          FROM (VALUES ('ekklesia_owner', false), ('elections', true), ('events', true), ('ekklesia_admin', true)) AS wanted (name, login)
          LEFT JOIN pg_catalog.pg_roles r ON r.rolname = wanted.name
    LOOP
        IF NOT found.present THEN
            RAISE EXCEPTION 'role % is missing', found.name;
        END IF;
        IF found.rolcanlogin <> found.login THEN
            RAISE EXCEPTION 'role % has the wrong login attribute', found.name;
        END IF;
        IF found.rolsuper OR found.rolbypassrls OR found.rolcreaterole OR found.rolcreatedb OR found.rolreplication THEN
            RAISE EXCEPTION 'role % is too powerful', found.name;
        END IF;
    END LOOP;
    FOR found IN
        SELECT member.rolname AS member, granted.rolname AS granted
          FROM pg_catalog.pg_auth_members m
          JOIN pg_catalog.pg_roles member ON member.oid = m.member
          JOIN pg_catalog.pg_roles granted ON granted.oid = m.roleid
         WHERE member.rolname IN ('ekklesia_owner', 'elections', 'events', 'ekklesia_admin')
    LOOP
        RAISE EXCEPTION 'role % is a member of %', found.member, found.granted;
    END LOOP;
    IF EXISTS (SELECT FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
                WHERE d.datname = pg_catalog.current_database() AND a.grantee = 0) THEN
        RAISE EXCEPTION 'PUBLIC has rights on the database';
    END IF;
END
$$;
