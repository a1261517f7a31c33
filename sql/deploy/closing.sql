-- Deploy ekklesia:closing
-- requires: voting
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- An election in wire form: all columns, their aliases, and the status in effect.
CREATE FUNCTION elections.wire_election(e elections.elections) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'id', (e).id, 'title', (e).title, 'description', (e).description, 'question', (e).question, 'answers', (e).answers,
        'status', elections.status_now(e), 'hidden', (e).hidden, 'voting_type', (e).voting_type, 'max_selections', (e).max_selections,
        'eligibility', (e).eligibility,
        'scheduled_start', elections.wire_time((e).scheduled_start), 'scheduled_end', elections.wire_time((e).scheduled_end),
        'voting_starts_at', elections.wire_time((e).scheduled_start), 'voting_ends_at', elections.wire_time((e).scheduled_end),
        'duration_minutes', trim_scale(round(extract(epoch FROM (e).scheduled_end - (e).scheduled_start) / 60, 2)),
        'created_by', (e).created_by, 'updated_by', (e).updated_by,
        'created_at', elections.wire_time((e).created_at), 'updated_at', elections.wire_time((e).updated_at),
        'published_at', elections.wire_time((e).published_at), 'opened_at', elections.wire_time((e).published_at),
        'closed_at', elections.wire_time(CASE WHEN elections.status_now(e) = 'closed' THEN coalesce((e).closed_at, (e).scheduled_end)
                                              ELSE (e).closed_at END),
        'archived_at', elections.wire_time((e).archived_at), 'deleted_at', elections.wire_time((e).deleted_at))
     WHERE (e).id IS NOT NULL
$$;

-- Has its end passed, with the work of closing still to be done?
CREATE FUNCTION elections.due(e elections.elections) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce((e).status IN ('published', 'paused') AND (e).deleted_at IS NULL
                    AND (e).scheduled_end <= pg_catalog.statement_timestamp(), false);

-- Issued, registered, used and cast, and what does not add up.
CREATE FUNCTION elections.count_tokens(e elections.elections) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH issue AS (
        SELECT count(*) FILTER (WHERE i.state = 'confirmed') AS issued, coalesce(sum(i.issue_no), 0) AS claimed
          FROM events.issues i WHERE i.election_id = (e).id
    ), token AS (
        SELECT count(*) AS registered, count(*) FILTER (WHERE t.revoked) AS replaced, count(*) FILTER (WHERE t.used) AS used,
               count(*) FILTER (WHERE t.used AND t.slot IS NOT NULL AND p.voter IS NULL) AS used_without_vote
          FROM elections.voting_tokens t
          LEFT JOIN elections.participation p ON p.election_id = t.election_id AND p.voter = t.slot
         WHERE t.election_id = (e).id
    ), vote AS (
        SELECT count(*) AS voters FROM elections.participation p WHERE p.election_id = (e).id
    ), ballot AS (
        SELECT count(*) AS selections, count(*) FILTER (WHERE b.answer_id <> ALL ((e).option_ids)) AS foreign_answers
          FROM elections.ballots b WHERE b.election_id = (e).id
    )
    SELECT jsonb_build_object(
        'issued', issue.issued, 'registered', token.registered, 'replaced', token.replaced, 'used', token.used, 'cast', vote.voters,
        'mismatch', to_jsonb(array_remove(ARRAY[
            CASE WHEN token.registered > issue.claimed THEN 'registered_without_issue' END,
            CASE WHEN token.used > vote.voters OR token.used_without_vote > 0 THEN 'used_without_participation' END,
            CASE WHEN (e).voting_type = 'single-choice' AND ballot.selections <> vote.voters
                   OR ballot.selections NOT BETWEEN vote.voters AND vote.voters * (e).max_selections
                 THEN 'selections_without_participation' END,
            CASE WHEN ballot.foreign_answers > 0 THEN 'unknown_answers' END], NULL)))
      FROM issue, token, vote, ballot
$$;

-- Digest over the ballots of a closed election and their count: it changes with any ballot changed, added or removed.
CREATE FUNCTION elections.seal(p_election uuid, p_totals jsonb, p_voters integer, p_selections integer) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(sha256(convert_to(coalesce(string_agg(jsonb_build_array(b.id, b.answer_id)::text, E'\n' ORDER BY b.id), ''), 'UTF8'))
                  || convert_to(jsonb_build_array(p_election, p_totals, p_voters, p_selections)::text, 'UTF8'))
      FROM elections.ballots b WHERE b.election_id = p_election
$$;

CREATE FUNCTION elections.count_ballots(e elections.elections, p_voters integer) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('answer_id', o.id, 'text', o.text, 'votes', coalesce(b.votes, 0),
                                        'percentage', CASE WHEN p_voters > 0 THEN round(100.0 * coalesce(b.votes, 0) / p_voters, 2) ELSE 0 END)
                     ORDER BY coalesce(b.votes, 0) DESC, o.place)
      FROM unnest((e).option_ids, (e).option_texts) WITH ORDINALITY o (id, text, place)
      LEFT JOIN (SELECT x.answer_id, count(*) AS votes FROM elections.ballots x WHERE x.election_id = (e).id GROUP BY x.answer_id) b
             ON b.answer_id = o.id
$$;

-- The work of closing, once. The caller holds the election's lock exclusively: votes in flight have ended, later ones are refused.
-- Everything votes wrote is written anew in one go and in an order of its own, so that neither place, nor transaction id, nor
-- minute pairs a participation, a token or an idempotency row with a ballot.
CREATE FUNCTION elections.close_now(p_org uuid, p_election uuid, p_actor text, p_correlation text) RETURNS elections.elections
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    election elections.elections;
    voters integer;
    selections integer;
    counts jsonb;
    totals jsonb;
    leaders jsonb;
    digest bytea;
BEGIN
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election FOR UPDATE;
    UPDATE elections.elections e
       SET status = 'closed', closed_at = least(e.scheduled_end, clock_timestamp()), updated_by = p_actor, updated_at = clock_timestamp()
     WHERE e.id = p_election AND e.status IN ('published', 'paused') AND e.deleted_at IS NULL
    RETURNING e.* INTO election;
    IF NOT FOUND THEN
        RETURN before;
    END IF;
    counts := elections.count_tokens(election);

    WITH gone AS (
        DELETE FROM elections.ballots b WHERE b.election_id = p_election RETURNING b.answer_id, b.answer_text
    ), renamed AS MATERIALIZED (
        SELECT gone.*, gen_random_uuid() AS id FROM gone
    )
    -- The new id is the new place as well: both are chance, and an index is filled faster from one end to the other.
    INSERT INTO elections.ballots (election_id, id, org_id, answer_id, answer_text)
        SELECT p_election, r.id, p_org, r.answer_id, r.answer_text FROM renamed r ORDER BY r.id;
    GET DIAGNOSTICS selections = ROW_COUNT;

    WITH gone AS (
        DELETE FROM elections.participation p WHERE p.election_id = p_election RETURNING p.voter, p.voted_at
    )
    INSERT INTO elections.participation (election_id, voter, org_id, voted_at)
        SELECT p_election, g.voter, p_org, g.voted_at FROM gone g ORDER BY g.voter;
    GET DIAGNOSTICS voters = ROW_COUNT;

    -- Tokens keep what their holders may still ask, and no longer say which slot they belonged to.
    WITH gone AS (
        DELETE FROM elections.voting_tokens t WHERE t.election_id = p_election RETURNING t.*
    )
    INSERT INTO elections.voting_tokens (token_hash, org_id, election_id, slot, issue, key_id, registered_at, expires_at, used, revoked)
        SELECT g.token_hash, p_org, p_election, NULL, g.issue, g.key_id, date_trunc('minute', g.registered_at, 'UTC'), g.expires_at, g.used,
               g.revoked
          FROM gone g ORDER BY g.token_hash;

    totals := elections.count_ballots(election, voters);
    SELECT jsonb_agg(t.value ORDER BY t.ordinality) INTO leaders
      FROM jsonb_array_elements(totals) WITH ORDINALITY t
     WHERE selections > 0 AND t.value -> 'votes' = totals -> 0 -> 'votes';
    digest := elections.seal(p_election, totals, voters, selections);
    INSERT INTO elections.results (election_id, org_id, totals, winner, tie, total_voters, total_selections, counts, sealed)
        VALUES (p_election, p_org, totals, CASE WHEN jsonb_array_length(leaders) = 1 THEN leaders -> 0 END,
                CASE WHEN jsonb_array_length(leaders) > 1 THEN leaders END, voters, selections, counts, digest);
    PERFORM elections.audit_write(p_org, 'close_election', true, p_actor, p_correlation, p_election,
                                  jsonb_build_object('title', election.title, 'from', before.status, 'to', 'closed', 'counts', counts,
                                                     'total_voters', voters, 'total_selections', selections,
                                                     'sealed', encode(digest, 'hex')),
                                  elections.row_digest(before), elections.row_digest(election));
    RETURN election;
END
$$;

-- Wait for the election's lock, but not for a long closing that somebody else does: it would cost a connection, which others need to
-- vote in other elections.
CREATE FUNCTION elections.lock_exclusively(p_election uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(elections.lock_key(p_election));
END
$$;

-- An election by its id, closed first when its end has passed and nobody did it yet. No row when there is none. With p_exclusive
-- the election's lock is held until the transaction ends in any case.
CREATE FUNCTION elections.touch(p_org uuid, p_election uuid, p_exclusive boolean) RETURNS elections.elections
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    election elections.elections;
BEGIN
    IF p_exclusive THEN
        PERFORM pg_advisory_xact_lock(elections.lock_key(p_election));
    END IF;
    SELECT * INTO election FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL;
    IF elections.due(election) THEN
        PERFORM elections.lock_exclusively(p_election);
        -- Once more: an operator may have been moving the end while it passed.
        SELECT * INTO election FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
        IF elections.due(election) THEN
            election := elections.close_now(p_org, p_election, 'system', NULL);
        END IF;
    END IF;
    RETURN election;
END
$$;

-- Close what is due, in all tenants, at most p_limit elections. Votes that arrived before the end and are still waiting for a
-- connection have p_grace_ms to come in. An election that somebody is busy with is left for the next time.
CREATE FUNCTION elections.close_due(p_limit integer, p_grace_ms integer DEFAULT 3000, OUT closed integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    org uuid;
    due record;
    orgs uuid[] := '{}';
    found uuid[] := '{}';
BEGIN
    -- All locks first: while the end of an audit chain is held, no election may be waited for.
    FOR org IN SELECT o.id FROM elections.organisations o ORDER BY o.id LOOP
        PERFORM set_config('app.org_id', org::text, true);
        FOR due IN SELECT e.id FROM elections.elections e
                    WHERE e.status IN ('published', 'paused') AND e.deleted_at IS NULL
                      AND e.scheduled_end <= statement_timestamp() - greatest(p_grace_ms, 0) * interval '1 millisecond'
                    ORDER BY e.scheduled_end, e.id LIMIT p_limit FOR UPDATE SKIP LOCKED
        LOOP
            IF cardinality(found) < p_limit AND pg_try_advisory_xact_lock(elections.lock_key(due.id)) THEN
                orgs := orgs || org;
                found := found || due.id;
            END IF;
        END LOOP;
    END LOOP;
    FOR i IN 1 .. cardinality(found) LOOP
        PERFORM set_config('app.org_id', orgs[i]::text, true);
        PERFORM elections.close_now(orgs[i], found[i], 'system', NULL);
    END LOOP;
    PERFORM set_config('app.org_id', '', true);
    closed := cardinality(found);
END
$$;

-- The count of a closed election. The first to ask after its end does the work of closing; nobody learns anything before.
CREATE FUNCTION elections.results(p_org uuid, p_election uuid, OUT code text, OUT election jsonb, OUT totals jsonb, OUT total_voters integer,
                                  OUT total_selections integer, OUT winner jsonb, OUT tie jsonb, OUT counts jsonb, OUT sealed text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    asked := elections.touch(p_org, coalesce(p_election, elections.current_election_id(p_org)), false);
    election := elections.wire_election(asked);
    IF asked.id IS NULL THEN
        code := 'not_found';
    ELSIF asked.status NOT IN ('closed', 'archived') THEN
        code := 'not_closed';
    ELSE
        SELECT 'ok', r.totals, r.total_voters, r.total_selections, r.winner, r.tie, r.counts, encode(r.sealed, 'hex')
          INTO STRICT code, totals, total_voters, total_selections, winner, tie, counts, sealed
          FROM elections.results r WHERE r.election_id = asked.id;
    END IF;
END
$$;

-- The same for somebody who must be allowed to vote in it.
CREATE FUNCTION elections.member_results(p_org uuid, p_election uuid, p_is_member boolean, p_is_admin boolean,
                                         OUT code text, OUT election jsonb, OUT totals jsonb, OUT total_voters integer,
                                         OUT total_selections integer, OUT winner jsonb, OUT tie jsonb, OUT counts jsonb, OUT sealed text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO asked FROM elections.elections e
     WHERE e.id = p_election AND e.deleted_at IS NULL AND e.status <> 'draft' AND NOT e.hidden;
    IF NOT FOUND THEN
        code := 'not_found';
    ELSIF NOT elections.eligible(asked.eligibility, p_is_member, p_is_admin) THEN
        code := 'not_eligible';
    ELSE
        SELECT r.* INTO code, election, totals, total_voters, total_selections, winner, tie, counts, sealed
          FROM elections.results(p_org, p_election) r;
    END IF;
END
$$;

-- Are the ballots of a closed election, and its count, still the ones that were sealed?
CREATE FUNCTION elections.seal_verify(p_org uuid, p_election uuid, OUT code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored elections.results;
    election elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO election FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL;
    SELECT * INTO stored FROM elections.results r WHERE r.election_id = p_election;
    code := CASE WHEN election.id IS NULL THEN 'not_found'
                 WHEN election.status NOT IN ('closed', 'archived') THEN 'not_closed'
                 WHEN stored.sealed = elections.seal(p_election, stored.totals, stored.total_voters, stored.total_selections)
                      AND stored.totals = elections.count_ballots(election, stored.total_voters)
                      AND EXISTS (SELECT FROM elections.audit a
                                   WHERE a.org_id = p_org AND a.election_id = p_election AND a.action = 'close_election' AND a.success
                                     AND a.details ->> 'sealed' = encode(stored.sealed, 'hex')) THEN 'ok'
                 ELSE 'broken' END;
END
$$;

COMMIT;
