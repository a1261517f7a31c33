-- Deploy ekklesia:events_functions
-- requires: administration
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- The election of GET /api/election: the current one, or one that the caller names.
CREATE FUNCTION events.current_election(p_org uuid, p_election uuid DEFAULT NULL, OUT code text, OUT id uuid, OUT title text,
                                        OUT description text, OUT question_text text, OUT status text, OUT phase text,
                                        OUT voting_starts_at text, OUT voting_ends_at text, OUT token_election boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT 'ok', e.id, e.title, e.description, e.question, e.status,
           CASE WHEN e.status = 'published' AND e.scheduled_start > statement_timestamp() THEN 'scheduled'
                WHEN e.status = 'published' THEN 'active'
                WHEN e.status = 'paused' THEN 'paused'
                WHEN e.closed_at >= e.scheduled_end THEN 'ended'
                ELSE 'closed' END,
           elections.wire_time(e.scheduled_start), elections.wire_time(e.scheduled_end), e.token_election
      INTO code, id, title, description, question_text, status, phase, voting_starts_at, voting_ends_at, token_election
      FROM events.elections e
     WHERE e.id = coalesce(p_election, elections.current_election_id(p_org)) AND e.status NOT IN ('draft', 'deleted') AND NOT e.hidden;
    code := coalesce(code, 'not_found');
END
$$;

-- Claim the right to give the slot a token. One live token per slot: a confirmed one that has not expired is in the way unless
-- p_replace, and a claim in progress is, until its lease ends. p_claim as in idempotency_claim.
CREATE FUNCTION events.claim_issue(p_org uuid, p_election uuid, p_slot bytea, p_replace boolean, p_lease_ms integer, p_claim uuid,
                                   OUT code text, OUT issue_no bigint, OUT issued_at text, OUT expires_at text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    held events.issues;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    INSERT INTO events.issues AS i (election_id, slot, org_id, issue_no, state, claim, claimed_at)
        VALUES (p_election, p_slot, p_org, 1, 'pending', p_claim, clock_timestamp())
        ON CONFLICT ON CONSTRAINT issues_pkey DO UPDATE
            SET issue_no = i.issue_no + 1, state = 'pending', claim = p_claim, claimed_at = clock_timestamp(), issued_at = NULL, expires_at = NULL
            WHERE CASE i.state WHEN 'confirmed' THEN i.expires_at <= clock_timestamp() OR coalesce(p_replace, false)
                               WHEN 'pending' THEN i.claim = p_claim OR i.claimed_at + greatest(p_lease_ms, 0) * interval '1 millisecond' <= clock_timestamp()
                               ELSE true END
        RETURNING i.issue_no INTO issue_no;
    IF FOUND THEN
        code := 'claimed';
        RETURN;
    END IF;
    SELECT * INTO held FROM events.issues i WHERE i.election_id = p_election AND i.slot = p_slot;
    code := CASE held.state WHEN 'confirmed' THEN 'live' ELSE 'running' END;
    issued_at := elections.wire_time(held.issued_at);
    expires_at := elections.wire_time(held.expires_at);
END
$$;

-- Elections has the token: from here on it counts as issued. False when the claim was lost meanwhile. Who did not hear the answer asks
-- again.
CREATE FUNCTION events.confirm_issue(p_org uuid, p_election uuid, p_slot bytea, p_issue bigint, p_expires_at timestamptz,
                                     OUT confirmed boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    UPDATE events.issues i SET state = 'confirmed', issued_at = clock_timestamp(), expires_at = p_expires_at
     WHERE i.election_id = p_election AND i.slot = p_slot AND i.issue_no = p_issue AND i.state IN ('pending', 'confirmed');
    confirmed := FOUND;
END
$$;

-- It has not, or nobody was given the token: the member may ask again at once.
CREATE FUNCTION events.release_issue(p_org uuid, p_election uuid, p_slot bytea, p_issue bigint, OUT released boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    UPDATE events.issues i SET state = 'failed', issued_at = NULL, expires_at = NULL
     WHERE i.election_id = p_election AND i.slot = p_slot AND i.issue_no = p_issue AND i.state IN ('pending', 'confirmed');
    released := FOUND;
END
$$;

CREATE FUNCTION events.issue_status(p_org uuid, p_election uuid, p_slot bytea, OUT issued boolean, OUT state text, OUT issue_no bigint,
                                    OUT issued_at text, OUT expires_at text, OUT expired boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT i.state = 'confirmed', i.state, i.issue_no, elections.wire_time(i.issued_at), elections.wire_time(i.expires_at),
           coalesce(i.expires_at <= statement_timestamp(), false)
      INTO issued, state, issue_no, issued_at, expires_at, expired
      FROM events.issues i WHERE i.election_id = p_election AND i.slot = p_slot;
    issued := coalesce(issued, false);
    expired := coalesce(expired, false);
END
$$;

-- The operators' functions of schema elections, for the routes that events serves over the same elections.
DO $do$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['pause_election', 'resume_election', 'close_election', 'archive_election'] LOOP
        EXECUTE pg_catalog.format($sql$
            CREATE FUNCTION events.%1$I(p_org uuid, p_actor text, p_correlation text, p_election uuid, OUT code text, OUT election jsonb)
                LANGUAGE sql SECURITY DEFINER
                SET search_path = pg_catalog, pg_temp
            AS $$ SELECT f.code, f.election FROM elections.%1$I(p_org, p_actor, p_correlation, p_election) f $$
        $sql$, name);
    END LOOP;
END
$do$;

CREATE FUNCTION events.create_election(p_org uuid, p_actor text, p_correlation text, p_fields jsonb,
                                       OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM elections.create_election(p_org, p_actor, p_correlation, p_fields) f $$;

CREATE FUNCTION events.open_election(p_org uuid, p_actor text, p_correlation text, p_election uuid, p_start timestamptz, p_end timestamptz,
                                     OUT code text, OUT election jsonb)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM elections.open_election(p_org, p_actor, p_correlation, p_election, p_start, p_end) f $$;

CREATE FUNCTION events.list_elections(p_org uuid, p_status text, p_limit integer, p_offset integer,
                                      OUT code text, OUT total bigint, OUT elections jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM elections.list_elections(p_org, p_status, true, NULL, p_limit, p_offset) f $$;

CREATE FUNCTION events.get_election(p_org uuid, p_election uuid, OUT code text, OUT election jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM elections.get_election(p_org, p_election) f $$;

CREATE FUNCTION events.results(p_org uuid, p_election uuid, OUT code text, OUT election jsonb, OUT totals jsonb, OUT total_voters integer,
                               OUT total_selections integer, OUT winner jsonb, OUT tie jsonb, OUT counts jsonb, OUT sealed text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM elections.results(p_org, p_election) f $$;

CREATE FUNCTION events.audit_append(p_org uuid, p_action text, p_success boolean, p_actor text, p_correlation text, p_election uuid,
                                    p_details jsonb, OUT seq bigint)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT elections.audit_append(p_org, p_action, p_success, p_actor, p_correlation, p_election, p_details) $$;

-- PATCH draft: only while it is one.
CREATE FUNCTION events.update_draft(p_org uuid, p_actor text, p_correlation text, p_election uuid, p_fields jsonb,
                                    OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT c.* INTO code, election, field, reason
      FROM elections.change_election(p_org, 'update_draft', p_actor, p_correlation, p_election, p_fields, true) c;
END
$$;

-- PATCH metadata: title and description, in any status.
CREATE FUNCTION events.update_metadata(p_org uuid, p_actor text, p_correlation text, p_election uuid, p_fields jsonb,
                                       OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given jsonb;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT jsonb_object_agg(m.key, m.value) INTO given FROM jsonb_each(elections.known_fields(p_fields)) m WHERE m.key IN ('title', 'description');
    IF given IS NULL THEN
        code := 'invalid';
        reason := 'missing';
        PERFORM elections.audit_action(p_org, 'update_metadata', code, false, p_actor, p_correlation, p_election, NULL, NULL);
        RETURN;
    END IF;
    SELECT c.* INTO code, election, field, reason
      FROM elections.change_election(p_org, 'update_metadata', p_actor, p_correlation, p_election, given, false) c;
END
$$;

-- DELETE of a draft leaves the row, out of everybody's sight.
CREATE FUNCTION events.delete_draft(p_org uuid, p_actor text, p_correlation text, p_election uuid, OUT code text, OUT election jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    made elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
    UPDATE elections.elections e SET deleted_at = clock_timestamp(), updated_by = p_actor, updated_at = clock_timestamp()
     WHERE e.id = p_election AND e.status = 'draft' AND e.deleted_at IS NULL
    RETURNING e.* INTO made;
    code := CASE WHEN made.id IS NOT NULL THEN 'deleted' WHEN before.id IS NULL THEN 'not_found' ELSE 'wrong_status' END;
    election := elections.wire_election(CASE code WHEN 'deleted' THEN made ELSE before END);
    PERFORM elections.audit_action(p_org, 'delete_draft', code, code = 'deleted', p_actor, p_correlation, p_election, before, made);
END
$$;

-- Numbers for the operators' status and tokens pages.
CREATE FUNCTION events.token_counts(p_org uuid, p_election uuid, OUT code text, OUT election jsonb, OUT issued integer,
                                    OUT registered integer, OUT used integer, OUT unused integer, OUT expired integer,
                                    OUT first_issued text, OUT last_issued text, OUT avg_expiration_hours numeric)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO asked FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL;
    code := CASE WHEN asked.id IS NULL THEN 'not_found' ELSE 'ok' END;
    election := elections.wire_election(asked);
    SELECT count(*), count(*) FILTER (WHERE t.used), count(*) FILTER (WHERE NOT t.used),
           count(*) FILTER (WHERE NOT t.used AND t.expires_at <= statement_timestamp())
      INTO registered, used, unused, expired
      FROM elections.voting_tokens t WHERE t.election_id = p_election AND NOT t.revoked;
    SELECT count(*), elections.wire_time(min(i.issued_at)), elections.wire_time(max(i.issued_at)),
           round(avg(extract(epoch FROM i.expires_at - i.issued_at)) / 3600, 2)
      INTO issued, first_issued, last_issued, avg_expiration_hours
      FROM events.issues i WHERE i.election_id = p_election AND i.state = 'confirmed';
END
$$;

CREATE FUNCTION events.reset_counts(p_election uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'events_tokens', (SELECT count(*) FROM events.issues i WHERE i.election_id = p_election AND i.state <> 'failed'),
        'elections_tokens', (SELECT count(*) FROM elections.voting_tokens t WHERE t.election_id = p_election AND NOT t.revoked),
        'elections_ballots', (SELECT count(*) FROM elections.ballots b WHERE b.election_id = p_election))
$$;

-- Start a rehearsal again. Needs organisations.reset_allowed, which only an administrator can set. mine: frees the caller's slot, never
-- one that has voted. all: forgets every token and vote of one election that is not closed, at most once in p_min_interval_s.
CREATE FUNCTION events.reset_election(p_org uuid, p_actor text, p_correlation text, p_scope text, p_election uuid, p_slot bytea,
                                      p_min_interval_s integer, OUT code text, OUT election_id uuid, OUT retry_after_s integer,
                                      OUT before jsonb, OUT after jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked elections.elections;
    last_at timestamptz;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    IF p_scope NOT IN ('mine', 'all') THEN
        RAISE EXCEPTION 'unknown scope' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    election_id := coalesce(p_election, elections.current_election_id(p_org));
    asked := elections.touch(p_org, election_id, true);
    SELECT a.at INTO last_at FROM elections.audit a
     WHERE a.org_id = p_org AND a.action = 'reset_all' AND a.success ORDER BY a.seq DESC LIMIT 1;
    retry_after_s := ceil(extract(epoch FROM last_at - clock_timestamp()))::integer + p_min_interval_s;
    code := CASE WHEN NOT (SELECT o.reset_allowed FROM elections.organisations o WHERE o.id = p_org) THEN 'disabled'
                 WHEN asked.id IS NULL OR asked.status = 'draft' THEN 'not_found'
                 WHEN asked.status NOT IN ('published', 'paused') THEN 'wrong_status'
                 WHEN p_scope = 'all' AND retry_after_s > 0 THEN 'too_soon'
                 WHEN p_scope = 'mine' AND EXISTS (SELECT FROM elections.participation p WHERE p.election_id = asked.id AND p.voter = p_slot)
                 THEN 'voted' ELSE 'reset' END;
    IF code <> 'too_soon' THEN
        retry_after_s := NULL;
    END IF;
    before := events.reset_counts(election_id);
    IF code = 'reset' AND p_scope = 'mine' THEN
        UPDATE elections.voting_tokens t SET revoked = true
         WHERE t.election_id = asked.id AND t.slot = p_slot AND NOT t.revoked AND NOT t.used;
        UPDATE events.issues i SET state = 'failed', issued_at = NULL, expires_at = NULL WHERE i.election_id = asked.id AND i.slot = p_slot;
    ELSIF code = 'reset' THEN
        DELETE FROM elections.ballots b WHERE b.election_id = asked.id;
        DELETE FROM elections.participation p WHERE p.election_id = asked.id;
        DELETE FROM elections.voting_tokens t WHERE t.election_id = asked.id;
        -- The numbers go on, so that a registration still under way is recognised as old.
        UPDATE events.issues i SET state = 'failed', issued_at = NULL, expires_at = NULL WHERE i.election_id = asked.id;
    END IF;
    after := events.reset_counts(election_id);
    PERFORM elections.audit_write(p_org, 'reset_' || p_scope, code = 'reset', p_actor, p_correlation, asked.id,
                                  jsonb_build_object('code', code, 'title', asked.title, 'before', before, 'after', after), NULL, NULL);
END
$$;

COMMIT;
