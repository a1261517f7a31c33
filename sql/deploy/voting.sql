-- Deploy ekklesia:voting
-- requires: audit housekeeping events_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- The functions that run at vote time set enable_seqscan off, and their WHERE names key columns only: tables that were empty this
-- morning would otherwise be read from end to end, or by the wrong index, by plans made then, until autovacuum comes by.

-- The status in effect: an election is closed from the instant its end passes, whether or not anything ran at that instant.
CREATE FUNCTION elections.status_now(e elections.elections) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN (e).deleted_at IS NOT NULL THEN 'deleted'
                WHEN (e).status IN ('published', 'paused') AND (e).scheduled_end <= pg_catalog.statement_timestamp() THEN 'closed'
                ELSE (e).status END;

-- The current election of the tenant: the same one for every route. Candidates are published ones and those that their own end
-- closed; those still open come first, then the latest published, then the smallest id.
CREATE FUNCTION elections.current_election_id(p_org uuid) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.id
      FROM elections.elections e
     WHERE e.org_id = p_org AND NOT e.hidden AND e.deleted_at IS NULL
       AND (e.status = 'published' OR (e.status = 'paused' AND e.scheduled_end <= statement_timestamp())
            OR (e.status = 'closed' AND e.closed_at >= e.scheduled_end))
     ORDER BY (elections.status_now(e) = 'published') DESC, e.published_at DESC, e.id
     LIMIT 1
$$;

CREATE FUNCTION elections.current_election(p_org uuid, OUT code text, OUT election_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    election_id := elections.current_election_id(p_org);
    code := CASE WHEN election_id IS NULL THEN 'not_found' ELSE 'ok' END;
END
$$;

-- Why a vote or a registration cannot be taken, or NULL. The window is judged at the instant of arrival.
CREATE FUNCTION elections.refusal(p_status text, p_start timestamptz, p_end timestamptz, p_arrived timestamptz) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN p_arrived < p_start THEN 'not_started'
                WHEN p_arrived >= p_end THEN 'ended'
                WHEN p_status = 'published' THEN NULL
                WHEN p_status = 'paused' THEN 'paused'
                ELSE 'closed' END;

CREATE FUNCTION elections.arrival(p_waited_ms integer) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pg_catalog.statement_timestamp()
         - pg_catalog.make_interval(secs => greatest(0, least(coalesce(p_waited_ms, 0), 10000)) / 1000.0::double precision);

-- Hand a token to a slot. Only the newest token of a slot is live, and none once the slot has voted.
CREATE FUNCTION elections.register_token(p_org uuid, p_key_id text, p_token_hash text, p_election uuid, p_slot bytea, p_issue bigint,
                                         p_expires_at timestamptz, p_correlation text,
                                         OUT code text, OUT election_id uuid, OUT expires_at text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    election elections.elections;
    holder elections.voting_tokens;
    the_slot bytea := coalesce(p_slot, sha256(convert_to('slot of ' || p_token_hash, 'UTF8')));
    expiry timestamptz;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    election_id := coalesce(p_election, elections.current_election_id(p_org));
    IF election_id IS NOT NULL AND NOT pg_try_advisory_xact_lock_shared(elections.lock_key(election_id)) THEN
        RAISE EXCEPTION 'the election is being closed' USING ERRCODE = 'lock_not_available';
    END IF;
    SELECT * INTO election FROM elections.elections e WHERE e.id = election_id AND NOT e.hidden AND e.deleted_at IS NULL;
    expiry := least(p_expires_at, statement_timestamp() + interval '24 hours', election.scheduled_end);
    code := CASE WHEN election.id IS NULL THEN 'no_election'
                 WHEN EXISTS (SELECT FROM elections.voting_tokens t WHERE t.token_hash = p_token_hash) THEN 'duplicate'
                 WHEN election.status = 'draft' THEN 'not_published'
                 ELSE elections.refusal(election.status, election.scheduled_start, election.scheduled_end, statement_timestamp()) END;
    code := CASE code WHEN 'paused' THEN 'not_published' WHEN 'closed' THEN 'ended' ELSE code END;
    IF code IS NULL AND NOT election.option_keys @> '{yes,no}' THEN
        code := 'wrong_kind';
    END IF;
    -- The loser of several first registrations of one slot meets the winner's row in a later round, unless the next winner has
    -- replaced that row meanwhile; so there is a round for each of a few.
    FOR attempt IN 1 .. 8 LOOP
        EXIT WHEN code IS NOT NULL;
        SELECT * INTO holder FROM elections.voting_tokens t
         WHERE t.election_id = election.id AND t.slot = the_slot AND NOT t.revoked FOR UPDATE;
        IF holder.used OR EXISTS (SELECT FROM elections.participation p WHERE p.election_id = election.id AND p.voter = the_slot) THEN
            code := 'voted';
        ELSIF holder.issue >= coalesce(p_issue, 0) THEN
            code := 'stale';
        ELSE
            UPDATE elections.voting_tokens t SET revoked = true WHERE t.token_hash = holder.token_hash;
            INSERT INTO elections.voting_tokens (token_hash, org_id, election_id, slot, issue, key_id, expires_at)
                VALUES (p_token_hash, p_org, election.id, the_slot, coalesce(p_issue, 0), p_key_id, expiry)
                ON CONFLICT DO NOTHING;
            IF FOUND THEN
                code := 'registered';
            ELSIF holder.token_hash IS NOT NULL THEN
                -- A parallel registration of the same hash; the older token must not be lost to it.
                RAISE EXCEPTION 'the token is being registered' USING ERRCODE = 'lock_not_available';
            ELSIF attempt = 8 THEN
                -- The hash is known, here or (out of sight) in another tenant.
                code := 'duplicate';
            END IF;
        END IF;
    END LOOP;
    IF code = 'registered' THEN
        expires_at := elections.wire_time(expiry);
    END IF;
    PERFORM elections.audit_write(p_org, 'register_token', code = 'registered', 's2s:' || p_key_id, p_correlation, election.id,
                                  jsonb_build_object('code', code), NULL, NULL);
END
$$;

-- What a vote stores, in one place for both paths: true, or false when this voter has a ballot already. Without a search path of
-- its own because it runs only inside the two functions below, once per vote.
CREATE FUNCTION elections.store_vote(p_org uuid, p_election uuid, p_voter bytea, p_ballots uuid[], p_ids text[], p_texts text[],
                                     p_idem_key bytea, p_idem_fingerprint bytea, p_idem_reply bytea) RETURNS boolean
    LANGUAGE plpgsql
AS $$
DECLARE
    minute CONSTANT timestamptz := pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp(), 'UTC');
BEGIN
    INSERT INTO elections.participation (election_id, voter, org_id, voted_at) VALUES (p_election, p_voter, p_org, minute)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR i IN 1 .. pg_catalog.cardinality(p_ballots) LOOP
        INSERT INTO elections.ballots (election_id, id, org_id, answer_id, answer_text, voted_at)
            VALUES (p_election, p_ballots[i], p_org, p_ids[i], p_texts[i], minute);
    END LOOP;
    IF p_idem_key IS NOT NULL THEN
        INSERT INTO elections.idempotency AS known (org_id, key, fingerprint, state, reply, expires_at)
            VALUES (p_org, p_idem_key, p_idem_fingerprint, 'done', p_idem_reply, minute + interval '24 hours')
            ON CONFLICT (org_id, key) DO UPDATE
                SET fingerprint = excluded.fingerprint, state = 'done', reply = excluded.reply, lease_until = NULL,
                    expires_at = excluded.expires_at
                WHERE known.expires_at <= pg_catalog.statement_timestamp();
        IF NOT FOUND THEN
            -- A parallel request with the same key was faster; the retry is told its outcome.
            RAISE EXCEPTION 'the idempotency key is in use' USING ERRCODE = 'lock_not_available';
        END IF;
    END IF;
    RETURN true;
END
$$;

-- One vote with a voting token. A row or lock that somebody holds is never waited for: SQLSTATE 55P03.
CREATE FUNCTION elections.cast_token_vote(p_org uuid, p_token_hash text, p_answer text, p_ballot uuid, p_waited_ms integer,
                                          p_idem_key bytea, p_idem_fingerprint bytea, p_idem_reply bytea,
                                          OUT code text, OUT reply bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    arrived CONSTANT timestamptz := elections.arrival(p_waited_ms);
    token record;
    election record;
    known boolean;
    choice integer;
BEGIN
    code := set_config('app.org_id', p_org::text, true);
    SELECT t.election_id, t.slot, t.used, t.revoked, t.expires_at INTO token
      FROM elections.voting_tokens t WHERE t.token_hash = p_token_hash FOR UPDATE NOWAIT;
    known := FOUND AND NOT token.revoked;
    -- After the row is ours: the call that stored this key may have committed just before.
    IF p_idem_key IS NOT NULL THEN
        SELECT CASE WHEN i.expires_at <= statement_timestamp() THEN NULL WHEN i.fingerprint <> p_idem_fingerprint THEN 'mismatch'
                    ELSE 'replayed' END,
               CASE WHEN i.fingerprint = p_idem_fingerprint THEN i.reply END
          INTO code, reply
          FROM elections.idempotency i WHERE i.org_id = p_org AND i.key = p_idem_key;
        IF code IS NOT NULL THEN
            RETURN;
        END IF;
        reply := NULL;
    END IF;
    IF NOT known THEN
        code := 'unknown';
        RETURN;
    ELSIF token.used THEN
        code := 'used';
        RETURN;
    END IF;
    -- Closing takes this lock exclusively. What is read after it is in force until this transaction ends.
    IF NOT pg_try_advisory_xact_lock_shared(elections.lock_key(token.election_id)) THEN
        RAISE EXCEPTION 'the election is being closed' USING ERRCODE = 'lock_not_available';
    END IF;
    SELECT e.status, e.hidden, e.scheduled_start, e.scheduled_end, e.option_ids, e.option_texts, e.option_keys INTO election
      FROM elections.elections e WHERE e.id = token.election_id;
    code := elections.refusal(election.status, election.scheduled_start, election.scheduled_end, arrived);
    choice := array_position(election.option_keys, lower(p_answer));
    IF code IS NOT NULL THEN
        RETURN;
    ELSIF election.hidden THEN
        code := 'paused';
    ELSIF arrived >= token.expires_at THEN
        code := 'expired';
    ELSIF choice IS NULL THEN
        code := 'bad_answer';
    ELSIF NOT elections.store_vote(p_org, token.election_id, token.slot, ARRAY[p_ballot], ARRAY[election.option_ids[choice]],
                                   ARRAY[election.option_texts[choice]], p_idem_key, p_idem_fingerprint, p_idem_reply) THEN
        code := 'used';
    ELSE
        UPDATE elections.voting_tokens t SET used = true WHERE t.token_hash = p_token_hash;
        code := 'accepted';
        reply := p_idem_reply;
    END IF;
END
$$;

-- Which option each selection names: its identity, or any other name the portal may derive from it. NULL for none.
CREATE FUNCTION elections.match_options(p_ids text[], p_answers jsonb, p_selections text[]) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    places integer[] := '{}';
    selection text;
    place integer;
BEGIN
    FOREACH selection IN ARRAY p_selections LOOP
        place := array_position(p_ids, selection);
        IF place IS NULL THEN
            SELECT o.ordinality INTO place FROM jsonb_array_elements(p_answers) WITH ORDINALITY o
             WHERE jsonb_typeof(o.value) = 'object'
               AND selection IN (o.value ->> 'id', o.value ->> 'answer_id', o.value ->> 'text', o.value ->> 'answer_text');
        END IF;
        places := places || place;
    END LOOP;
    RETURN places;
END
$$;

-- One vote of a signed-in member.
CREATE FUNCTION elections.cast_member_vote(p_org uuid, p_election uuid, p_voter bytea, p_is_member boolean, p_is_admin boolean,
                                           p_selections text[], p_ballots uuid[], p_waited_ms integer,
                                           p_idem_key bytea, p_idem_fingerprint bytea, p_idem_reply bytea,
                                           OUT code text, OUT reply bytea, OUT offending jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    arrived CONSTANT timestamptz := elections.arrival(p_waited_ms);
    wanted CONSTANT integer := coalesce(cardinality(p_selections), 0);
    election record;
    chosen integer[];
BEGIN
    code := set_config('app.org_id', p_org::text, true);
    -- The second lock keeps two requests of one voter from waiting for each other's row.
    IF NOT pg_try_advisory_xact_lock_shared(elections.lock_key(p_election))
       OR NOT pg_try_advisory_xact_lock(uuid_hash(p_election), hashtext(encode(p_voter, 'hex'))) THEN
        RAISE EXCEPTION 'the election is being closed, or this voter is voting' USING ERRCODE = 'lock_not_available';
    END IF;
    -- After the locks are ours: the call that stored this key may have committed just before.
    IF p_idem_key IS NOT NULL THEN
        SELECT CASE WHEN i.expires_at <= statement_timestamp() THEN NULL WHEN i.fingerprint <> p_idem_fingerprint THEN 'mismatch'
                    ELSE 'replayed' END,
               CASE WHEN i.fingerprint = p_idem_fingerprint THEN i.reply END
          INTO code, reply
          FROM elections.idempotency i WHERE i.org_id = p_org AND i.key = p_idem_key;
        IF code IS NOT NULL THEN
            RETURN;
        END IF;
        reply := NULL;
    END IF;
    SELECT e.status, e.eligibility, e.voting_type, e.max_selections, e.scheduled_start, e.scheduled_end, e.answers, e.option_ids,
           e.option_texts
      INTO election
      FROM elections.elections e WHERE e.id = p_election AND e.status <> 'draft' AND NOT e.hidden;
    IF NOT FOUND THEN
        code := 'not_found';
        RETURN;
    ELSIF NOT elections.eligible(election.eligibility, p_is_member, p_is_admin) THEN
        code := 'not_eligible';
        RETURN;
    END IF;
    code := elections.refusal(election.status, election.scheduled_start, election.scheduled_end, arrived);
    IF code IS NOT NULL THEN
        RETURN;
    ELSIF wanted = 0 THEN
        code := 'empty';
        RETURN;
    ELSIF wanted > 1000 THEN
        code := CASE election.voting_type WHEN 'single-choice' THEN 'wrong_count' ELSE 'too_many' END;
        RETURN;
    ELSIF cardinality(p_ballots) IS DISTINCT FROM wanted THEN
        RAISE EXCEPTION 'a ballot id is needed for each selection' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    chosen := elections.match_options(election.option_ids, election.answers, p_selections);
    IF array_position(chosen, NULL) IS NOT NULL THEN
        code := 'bad_answer';
        SELECT jsonb_agg(p_selections[i]) INTO offending FROM generate_subscripts(chosen, 1) i WHERE chosen[i] IS NULL;
    ELSIF election.voting_type = 'single-choice' AND wanted <> 1 THEN
        code := 'wrong_count';
    ELSIF wanted > election.max_selections THEN
        code := 'too_many';
    ELSIF wanted > 1 AND wanted > (SELECT count(DISTINCT c) FROM unnest(chosen) c) THEN
        code := 'duplicate_answer';
        SELECT jsonb_agg(p_selections[i]) INTO offending
          FROM generate_subscripts(chosen, 1) i WHERE array_position(chosen, chosen[i]) < i;
    ELSIF NOT elections.store_vote(p_org, p_election, p_voter, p_ballots,
                                   ARRAY(SELECT election.option_ids[c.place] FROM unnest(chosen) WITH ORDINALITY c (place, nr) ORDER BY c.nr),
                                   ARRAY(SELECT election.option_texts[c.place] FROM unnest(chosen) WITH ORDINALITY c (place, nr) ORDER BY c.nr),
                                   p_idem_key, p_idem_fingerprint, p_idem_reply) THEN
        code := 'used';
    ELSE
        code := 'accepted';
        reply := p_idem_reply;
    END IF;
END
$$;

-- Who may vote in, read and see the results of an election. An operator's role is no membership.
CREATE FUNCTION elections.eligible(p_eligibility text, p_is_member boolean, p_is_admin boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(CASE p_eligibility WHEN 'all' THEN true WHEN 'members' THEN p_is_member WHEN 'admins' THEN p_is_admin END, false);

CREATE FUNCTION elections.token_status(p_org uuid, p_token_hash text, OUT known boolean, OUT used boolean, OUT registered_at text,
                                       OUT expires_at text, OUT election_id uuid, OUT title text, OUT question text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT NOT t.revoked, t.used, elections.wire_time(t.registered_at), elections.wire_time(t.expires_at), e.id, e.title, e.question
      INTO known, used, registered_at, expires_at, election_id, title, question
      FROM elections.voting_tokens t JOIN elections.elections e ON e.id = t.election_id
     WHERE t.token_hash = p_token_hash;
    known := coalesce(known, false);
    used := coalesce(used, false);
END
$$;

CREATE FUNCTION elections.slot_status(p_org uuid, p_election uuid, p_slot bytea,
                                      OUT registered boolean, OUT voted boolean, OUT voted_at text, OUT expires_at text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT true, elections.wire_time(p.voted_at) INTO voted, voted_at
      FROM elections.participation p WHERE p.election_id = p_election AND p.voter = p_slot;
    SELECT true, elections.wire_time(t.expires_at) INTO registered, expires_at
      FROM elections.voting_tokens t WHERE t.election_id = p_election AND t.slot = p_slot AND NOT t.revoked;
    voted := coalesce(voted, false);
    registered := coalesce(registered, false);
END
$$;

-- In which of these elections does the voter, known by another value in each, have a vote?
CREATE FUNCTION elections.voted_in(p_org uuid, p_elections uuid[], p_voters_hex text[], OUT elections jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT coalesce(jsonb_agg(p.election_id), '[]') INTO elections
      FROM unnest(p_elections, p_voters_hex) w (election, voter_hex)
      JOIN elections.participation p ON p.election_id = w.election AND p.voter = decode(w.voter_hex, 'hex');
END
$$;

COMMIT;
