-- Deploy ekklesia:audit
-- requires: elections_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- No foreign key on election_id: a row outlives what it describes.
CREATE TABLE elections.audit (
    org_id        uuid NOT NULL REFERENCES elections.organisations,
    seq           bigint NOT NULL CHECK (seq > 0),
    at            timestamptz NOT NULL,
    action        text NOT NULL CHECK (action ~ '^[a-z0-9_.]{1,64}$'),
    success       boolean NOT NULL,
    actor         text NOT NULL CHECK (actor <> ''),
    correlation   text,
    election_id   uuid,
    details       jsonb NOT NULL,
    before_digest bytea,
    after_digest  bytea,
    prev_hash     bytea NOT NULL,
    hash          bytea NOT NULL,
    PRIMARY KEY (org_id, seq)
);
CREATE INDEX ON elections.audit (org_id, election_id, seq);
CREATE INDEX ON elections.audit (org_id, action, seq);
CALL elections.guard_table('elections.audit', 'SELECT');

-- The end of each chain: whoever appends holds this row, and rows cut off the end do not go unnoticed.
CREATE TABLE elections.audit_heads (
    org_id uuid PRIMARY KEY REFERENCES elections.organisations,
    seq    bigint NOT NULL DEFAULT 0,
    hash   bytea NOT NULL DEFAULT ''
);
CALL elections.guard_table('elections.audit_heads', 'SELECT');

CREATE FUNCTION elections.audit_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are never changed or removed' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON elections.audit
    FOR EACH ROW EXECUTE FUNCTION elections.audit_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON elections.audit
    FOR EACH STATEMENT EXECUTE FUNCTION elections.audit_refuse_change();

-- The hash covers every column; the time as microseconds, so that no zone or date style can alter it.
CREATE FUNCTION elections.audit_hash(p_row elections.audit) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256((p_row).prev_hash || convert_to(jsonb_build_array(
        (p_row).org_id, (p_row).seq, (extract(epoch FROM (p_row).at) * 1000000)::bigint, (p_row).action, (p_row).success, (p_row).actor,
        (p_row).correlation, (p_row).election_id, (p_row).details, encode((p_row).before_digest, 'hex'),
        encode((p_row).after_digest, 'hex'))::text, 'UTF8'))
$$;

-- Append one row to the tenant's chain. Appending is serial per tenant from here to the end of the transaction, so callers append
-- last. app.org_id must be set.
CREATE FUNCTION elections.audit_write(p_org uuid, p_action text, p_success boolean, p_actor text, p_correlation text, p_election uuid,
                                      p_details jsonb, p_before bytea, p_after bytea) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head elections.audit_heads;
    entry elections.audit;
BEGIN
    SELECT * INTO head FROM elections.audit_heads h WHERE h.org_id = p_org FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO elections.audit_heads (org_id) VALUES (p_org) ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT head FROM elections.audit_heads h WHERE h.org_id = p_org FOR UPDATE;
    END IF;
    entry := ROW (p_org, head.seq + 1, clock_timestamp(), p_action, p_success, p_actor, p_correlation, p_election,
                  coalesce(p_details, '{}'), p_before, p_after, head.hash, ''::bytea);
    entry.hash := elections.audit_hash(entry);
    INSERT INTO elections.audit SELECT entry.*;
    UPDATE elections.audit_heads h SET seq = entry.seq, hash = entry.hash WHERE h.org_id = p_org;
    RETURN entry.seq;
END
$$;

-- The same for the services, for what happens outside this database. Rows that functions here rely on later, those of a closing, of a
-- reset and of a first request to remove votes, are written by these functions alone.
CREATE FUNCTION elections.audit_append(p_org uuid, p_action text, p_success boolean, p_actor text, p_correlation text, p_election uuid,
                                       p_details jsonb, OUT seq bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    IF p_action IN ('close_election', 'delete_election', 'reset_all') AND (p_success OR p_details ->> 'code' = 'has_ballots') THEN
        RAISE EXCEPTION 'this action writes its own audit row' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    seq := elections.audit_write(p_org, p_action, p_success, p_actor, p_correlation, p_election, p_details, NULL, NULL);
END
$$;

-- Walk the chain: any changed, added or removed row is found, and so is a chain cut short. `head` can be kept elsewhere, so that
-- even somebody who rewrites the whole chain is found out.
CREATE FUNCTION elections.audit_verify(p_org uuid, OUT ok boolean, OUT first_bad_seq bigint, OUT rows bigint, OUT head text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry elections.audit;
    last elections.audit_heads;
    previous bytea := '';
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    rows := 0;
    FOR entry IN SELECT a.* FROM elections.audit a WHERE a.org_id = p_org ORDER BY a.seq
    LOOP
        rows := rows + 1;
        IF first_bad_seq IS NULL
           AND (entry.seq <> rows OR entry.prev_hash <> previous OR entry.hash <> elections.audit_hash(entry)) THEN
            first_bad_seq := least(rows, entry.seq);
        END IF;
        previous := entry.hash;
    END LOOP;
    SELECT * INTO last FROM elections.audit_heads h WHERE h.org_id = p_org;
    IF first_bad_seq IS NULL AND (coalesce(last.seq, 0) <> rows OR coalesce(last.hash, '') <> previous) THEN
        first_bad_seq := least(rows, coalesce(last.seq, 0)) + 1;
    END IF;
    ok := first_bad_seq IS NULL;
    head := encode(previous, 'hex');
END
$$;

-- Fingerprint of an election for the audit rows about it.
CREATE FUNCTION elections.row_digest(p_row elections.elections) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
    SELECT CASE WHEN (p_row).id IS NOT NULL THEN sha256(convert_to(to_jsonb(p_row)::text, 'UTF8')) END
$$;

COMMIT;
