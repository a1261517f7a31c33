-- Deploy ekklesia:housekeeping
-- requires: elections_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

CREATE TABLE elections.idempotency (
    org_id      uuid NOT NULL,
    key         elections.keyed_hash NOT NULL,
    fingerprint elections.keyed_hash NOT NULL,
    state       text NOT NULL,
    reply       bytea,
    -- Whose claim it is while it runs; random, and found in no log line.
    claim       uuid,
    -- The exact end of a claim; NULL for votes, which are stored in one go.
    lease_until timestamptz,
    -- To the minute, because a vote's row must not tell when it was cast.
    expires_at  elections.minute NOT NULL,
    PRIMARY KEY (org_id, key),
    CHECK (state = CASE WHEN reply IS NULL THEN 'running' ELSE 'done' END),
    CHECK ((state = 'running') = (claim IS NOT NULL))
);
CREATE INDEX ON elections.idempotency (expires_at);
CALL elections.guard_table('elections.idempotency', 'SELECT');

CREATE TABLE events.idempotency (LIKE elections.idempotency INCLUDING ALL);
CALL elections.guard_table('events.idempotency', 'SELECT');

CREATE TABLE elections.nonces (
    org_id     uuid NOT NULL,
    key_id     text NOT NULL,
    nonce      text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, key_id, nonce)
);
CREATE INDEX ON elections.nonces (expires_at);
CALL elections.guard_table('elections.nonces', 'SELECT');

-- True once for each nonce of a key, on any instance, until it is no longer valid anyway.
CREATE FUNCTION elections.use_nonce(p_org uuid, p_key_id text, p_nonce text, p_valid_until timestamptz, OUT fresh boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    INSERT INTO elections.nonces (org_id, key_id, nonce, expires_at) VALUES (p_org, p_key_id, p_nonce, p_valid_until)
        ON CONFLICT DO NOTHING;
    fresh := FOUND;
    -- More than are added, so that the table stays small even where no sweep runs. One that has expired is refused by its time stamp.
    DELETE FROM elections.nonces n
     WHERE n.ctid = ANY (ARRAY(SELECT x.ctid FROM elections.nonces x WHERE x.expires_at < statement_timestamp()
                                ORDER BY x.expires_at LIMIT 4 FOR UPDATE SKIP LOCKED));
END
$$;

-- The three functions for idempotency exist in both schemas, each over its own table.
CREATE PROCEDURE elections.create_idempotency(p_schema text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    EXECUTE format($sql$
        -- Claim a key before doing something once. fresh: it is ours for p_lease_ms, do it, then store or release. p_claim is new with
        -- each claim: who did not hear the answer asks again with the same one.
        CREATE FUNCTION %1$I.idempotency_claim(p_org uuid, p_key bytea, p_fingerprint bytea, p_lease_ms integer, p_claim uuid,
                                               OUT code text, OUT reply bytea)
            LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp
            SET enable_seqscan = off
        AS $$
        DECLARE
            known %1$I.idempotency;
            lease timestamptz := statement_timestamp() + greatest(p_lease_ms, 0) * interval '1 millisecond';
            forget timestamptz := date_trunc('minute', lease + interval '24 hours', 'UTC');
        BEGIN
            PERFORM set_config('app.org_id', p_org::text, true);
            INSERT INTO %1$I.idempotency (org_id, key, fingerprint, state, claim, lease_until, expires_at)
                VALUES (p_org, p_key, p_fingerprint, 'running', p_claim, lease, forget) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                code := 'fresh';
                RETURN;
            END IF;
            SELECT * INTO known FROM %1$I.idempotency i WHERE i.org_id = p_org AND i.key = p_key FOR UPDATE;
            IF NOT FOUND THEN
                -- Released between the two statements.
                code := 'running';
            ELSIF known.expires_at > statement_timestamp() AND known.fingerprint <> p_fingerprint THEN
                code := 'mismatch';
            ELSIF known.expires_at > statement_timestamp() AND known.state = 'done' THEN
                code := 'replay';
                reply := known.reply;
            ELSIF known.expires_at > statement_timestamp() AND known.lease_until > statement_timestamp() AND known.claim <> p_claim THEN
                code := 'running';
            ELSE
                UPDATE %1$I.idempotency i
                   SET fingerprint = p_fingerprint, state = 'running', reply = NULL, claim = p_claim, lease_until = lease, expires_at = forget
                 WHERE i.org_id = p_org AND i.key = p_key;
                code := 'fresh';
            END IF;
        END
        $$;

        -- Keep the reply of a claim for p_ttl_s seconds. False when the claim was lost to somebody who asked something else.
        CREATE FUNCTION %1$I.idempotency_store(p_org uuid, p_key bytea, p_fingerprint bytea, p_reply bytea, p_ttl_s integer,
                                               OUT stored boolean)
            LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp
            SET enable_seqscan = off
        AS $$
        BEGIN
            PERFORM set_config('app.org_id', p_org::text, true);
            INSERT INTO %1$I.idempotency AS i (org_id, key, fingerprint, state, reply, expires_at)
                VALUES (p_org, p_key, p_fingerprint, 'done', p_reply,
                        date_trunc('minute', statement_timestamp() + p_ttl_s * interval '1 second' + interval '1 minute', 'UTC'))
                ON CONFLICT (org_id, key) DO UPDATE
                    SET state = 'done', reply = excluded.reply, claim = NULL, lease_until = NULL, expires_at = excluded.expires_at
                    WHERE i.state = 'running' AND i.fingerprint = excluded.fingerprint;
            stored := FOUND;
        END
        $$;

        -- Give a claim back, after a failure that had no effect.
        CREATE FUNCTION %1$I.idempotency_release(p_org uuid, p_key bytea, OUT released boolean)
            LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp
            SET enable_seqscan = off
        AS $$
        BEGIN
            PERFORM set_config('app.org_id', p_org::text, true);
            DELETE FROM %1$I.idempotency i WHERE i.org_id = p_org AND i.key = p_key AND i.state = 'running';
            released := FOUND;
        END
        $$
    $sql$, p_schema);
END
$procedure$;
CALL elections.create_idempotency('elections');
CALL elections.create_idempotency('events');

-- Remove what has expired, at most p_limit of each kind and tenant, without waiting for anybody.
CREATE FUNCTION elections.sweep(p_limit integer, OUT nonces integer, OUT idempotency integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    org uuid;
    removed integer;
BEGIN
    nonces := 0;
    idempotency := 0;
    FOR org IN SELECT o.id FROM elections.organisations o ORDER BY o.id
    LOOP
        PERFORM set_config('app.org_id', org::text, true);
        DELETE FROM elections.nonces n
         WHERE n.ctid = ANY (ARRAY(SELECT x.ctid FROM elections.nonces x WHERE x.expires_at < statement_timestamp()
                                    ORDER BY x.expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS removed = ROW_COUNT;
        nonces := nonces + removed;
        DELETE FROM elections.idempotency i
         WHERE i.ctid = ANY (ARRAY(SELECT x.ctid FROM elections.idempotency x WHERE x.expires_at < statement_timestamp()
                                    ORDER BY x.expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS removed = ROW_COUNT;
        idempotency := idempotency + removed;
        DELETE FROM events.idempotency i
         WHERE i.ctid = ANY (ARRAY(SELECT x.ctid FROM events.idempotency x WHERE x.expires_at < statement_timestamp()
                                    ORDER BY x.expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS removed = ROW_COUNT;
        idempotency := idempotency + removed;
    END LOOP;
    PERFORM set_config('app.org_id', '', true);
END
$$;

COMMIT;
