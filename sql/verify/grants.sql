-- Verify ekklesia:grants
-- Raises when any right is wider than the README says, and when a table is not guarded.
DO $$
DECLARE
    bad record;
BEGIN
    FOR bad IN
        SELECT c.oid::regclass AS relation FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('elections', 'events') AND c.relkind IN ('r', 'p')
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                    AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant'))
    LOOP
        RAISE EXCEPTION 'table % has no forced row-level security', bad.relation;
    END LOOP;
    FOR bad IN
        SELECT p.polrelid::regclass AS relation, p.polname FROM pg_catalog.pg_policy p
         WHERE NOT (p.polname = 'tenant'
                    OR (p.polname = 'administrator' AND p.polroles = ARRAY['ekklesia_admin'::regrole::oid])
                    OR (p.polname = 'enumeration' AND p.polrelid = 'elections.organisations'::regclass AND p.polcmd = 'r'
                        AND p.polroles = ARRAY['ekklesia_owner'::regrole::oid]))
    LOOP
        RAISE EXCEPTION 'policy % of % is not one of ours', bad.polname, bad.relation;
    END LOOP;
    FOR bad IN
        SELECT c.oid::regclass AS relation, a.grantee, a.privilege_type
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
               LATERAL pg_catalog.aclexplode(c.relacl) a
         WHERE n.nspname IN ('elections', 'events') AND a.grantee <> c.relowner
           AND NOT (a.grantee = 'ekklesia_admin'::regrole
                    AND (a.privilege_type = 'SELECT'
                         OR c.oid = 'elections.organisations'::regclass AND a.privilege_type IN ('INSERT', 'UPDATE')))
           AND NOT (a.grantee = 'events'::regrole AND c.oid = 'events.elections'::regclass AND a.privilege_type = 'SELECT')
    LOOP
        RAISE EXCEPTION '% on % is granted to %', bad.privilege_type, bad.relation, bad.grantee::regrole;
    END LOOP;
    FOR bad IN
        SELECT a.attrelid::regclass AS relation, a.attname FROM pg_catalog.pg_attribute a
          JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('elections', 'events') AND a.attacl IS NOT NULL
    LOOP
        RAISE EXCEPTION 'column %.% has rights of its own', bad.relation, bad.attname;
    END LOOP;
    FOR bad IN
        SELECT p.oid::regprocedure AS routine, a.grantee
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace,
               LATERAL pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
         WHERE n.nspname IN ('elections', 'events') AND a.grantee <> p.proowner
           AND NOT (a.grantee <> 0 AND p.prosecdef
                    AND (a.grantee::regrole::text = n.nspname
                         OR a.grantee = 'ekklesia_admin'::regrole AND p.proname IN ('audit_verify', 'seal_verify', 'close_due', 'sweep')))
    LOOP
        RAISE EXCEPTION 'function % can be executed by %', bad.routine, bad.grantee::regrole;
    END LOOP;
    FOR bad IN
        SELECT p.oid::regprocedure AS routine
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname IN ('elections', 'events')
           AND (p.proowner <> 'ekklesia_owner'::regrole
                OR p.prosecdef AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(p.proconfig, '{}')))
    LOOP
        RAISE EXCEPTION 'function % has another owner or an open search path', bad.routine;
    END LOOP;
    FOR bad IN
        SELECT n.nspname, a.grantee, a.privilege_type FROM pg_catalog.pg_namespace n, LATERAL pg_catalog.aclexplode(n.nspacl) a
         WHERE n.nspname IN ('elections', 'events') AND a.grantee <> n.nspowner
           AND NOT (a.privilege_type = 'USAGE' AND (a.grantee = 'ekklesia_admin'::regrole OR a.grantee::regrole::text = n.nspname))
    LOOP
        RAISE EXCEPTION '% on schema % is granted to %', bad.privilege_type, bad.nspname, bad.grantee::regrole;
    END LOOP;
    IF NOT pg_catalog.has_function_privilege('elections', 'elections.use_nonce(uuid, text, text, timestamptz)', 'EXECUTE')
       OR NOT pg_catalog.has_function_privilege('events', 'events.issue_status(uuid, uuid, bytea)', 'EXECUTE') THEN
        RAISE EXCEPTION 'a service login lacks its functions';
    END IF;
END
$$;
