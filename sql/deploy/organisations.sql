-- Deploy ekklesia:organisations
-- requires: roles
BEGIN;
SET LOCAL ROLE ekklesia_owner;

CREATE SCHEMA elections;
CREATE SCHEMA events;
GRANT USAGE ON SCHEMA elections TO elections, ekklesia_admin;
GRANT USAGE ON SCHEMA events TO events, ekklesia_admin;

-- Row-level security, forced, with the tenant's policy and the administrator's; for every table, without exception.
CREATE PROCEDURE elections.guard_table(p_table regclass, p_admin_rights text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant_column text := CASE WHEN p_table = 'elections.organisations'::regclass THEN 'id' ELSE 'org_id' END;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', p_table);
    EXECUTE format('CREATE POLICY tenant ON %s USING (%I = nullif(current_setting(''app.org_id'', true), '''')::uuid)',
                   p_table, tenant_column);
    EXECUTE format('CREATE POLICY administrator ON %s TO ekklesia_admin USING (true)', p_table);
    EXECUTE format('GRANT %s ON %s TO ekklesia_admin', p_admin_rights, p_table);
END
$$;

CREATE TABLE elections.organisations (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug          text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name          text NOT NULL CHECK (name <> ''),
    -- events.reset_election removes votes: an administrator has to want it, for this organisation.
    reset_allowed boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CALL elections.guard_table('elections.organisations', 'SELECT, INSERT, UPDATE');
-- Closing what is due and sweeping what has expired go through all tenants, one after another.
CREATE POLICY enumeration ON elections.organisations FOR SELECT TO ekklesia_owner USING (true);

SELECT pg_catalog.set_config('app.org_id', '00000000-0000-4000-8000-000000000001', true);
INSERT INTO elections.organisations (id, slug, name) VALUES ('00000000-0000-4000-8000-000000000001', 'default', 'Default organisation');

-- What may stand in certain columns. Domains, because PostgreSQL parses the checks of a table anew for every statement, and a vote is
-- several of them.
CREATE DOMAIN elections.keyed_hash AS bytea CHECK (octet_length(VALUE) BETWEEN 16 AND 64);
CREATE DOMAIN elections.token_digest AS text CHECK (VALUE ~ '^[0-9a-f]{64}$');
CREATE DOMAIN elections.minute AS timestamptz CHECK (VALUE = date_trunc('minute', VALUE, 'UTC'));

-- Times as the portals read them. This body, like lock_key's, is bound when it is created: no search path can change it.
CREATE FUNCTION elections.wire_time(p_time timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_catalog.to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Key of the advisory lock of an election: shared by votes and registrations, exclusive for closing and removing.
CREATE FUNCTION elections.lock_key(p_election uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.uuid_hash_extended(p_election, 7046029254386353131);

COMMIT;
