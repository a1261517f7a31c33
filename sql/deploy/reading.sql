-- Deploy ekklesia:reading
-- requires: closing
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- What members see of it.
CREATE FUNCTION elections.wire_for_members(e elections.elections) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT elections.wire_election(e) - '{hidden,created_by,updated_by,updated_at,archived_at,deleted_at}'::text[]
$$;

-- Number of voters so far: how many, never what.
CREATE FUNCTION elections.turnout(p_election uuid) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM elections.participation p WHERE p.election_id = p_election
$$;

CREATE FUNCTION elections.list_member_elections(p_org uuid, p_is_member boolean, p_is_admin boolean, p_status text, p_limit integer,
                                                p_offset integer, OUT code text, OUT total bigint, OUT elections jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    IF p_status NOT IN ('published', 'paused', 'closed', 'archived') THEN
        code := 'bad_status';
        RETURN;
    END IF;
    code := 'ok';
    WITH visible AS (
        SELECT e FROM elections.elections e
         WHERE e.org_id = p_org AND e.status <> 'draft' AND e.deleted_at IS NULL AND NOT e.hidden
           AND elections.eligible(e.eligibility, p_is_member, p_is_admin)
           AND (p_status IS NULL OR elections.status_now(e) = p_status)
    ), page AS (
        SELECT v.e FROM visible v ORDER BY (v.e).created_at DESC, (v.e).id
         LIMIT least(greatest(coalesce(nullif(p_limit, 0), 50), 1), 100) OFFSET greatest(coalesce(p_offset, 0), 0)
    )
    SELECT (SELECT count(*) FROM visible),
           coalesce((SELECT jsonb_agg(elections.wire_for_members(p.e) ORDER BY (p.e).created_at DESC, (p.e).id) FROM page p), '[]')
      INTO total, elections;
END
$$;

CREATE FUNCTION elections.get_member_election(p_org uuid, p_election uuid, p_voter bytea, p_is_member boolean, p_is_admin boolean,
                                              OUT code text, OUT election jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
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
        code := 'ok';
        election := elections.wire_for_members(asked) || jsonb_build_object(
            'hidden', asked.hidden,
            'has_voted', EXISTS (SELECT FROM elections.participation p WHERE p.election_id = asked.id AND p.voter = p_voter));
    END IF;
END
$$;

CREATE FUNCTION elections.list_elections(p_org uuid, p_status text, p_include_hidden boolean, p_search text, p_limit integer,
                                         p_offset integer, OUT code text, OUT total bigint, OUT elections jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    IF p_status NOT IN ('draft', 'published', 'paused', 'closed', 'archived') THEN
        code := 'bad_status';
        RETURN;
    END IF;
    code := 'ok';
    WITH visible AS (
        SELECT e FROM elections.elections e
         WHERE e.org_id = p_org AND e.deleted_at IS NULL AND (coalesce(p_include_hidden, false) OR NOT e.hidden)
           AND (p_status IS NULL OR elections.status_now(e) = p_status)
           AND (coalesce(p_search, '') = '' OR strpos(lower(e.title), lower(p_search)) > 0 OR strpos(lower(e.question), lower(p_search)) > 0)
    ), page AS (
        SELECT v.e FROM visible v ORDER BY (v.e).created_at DESC, (v.e).id
         LIMIT least(greatest(coalesce(nullif(p_limit, 0), 50), 1), 200) OFFSET greatest(coalesce(p_offset, 0), 0)
    )
    SELECT (SELECT count(*) FROM visible),
           coalesce((SELECT jsonb_agg(elections.wire_election(p.e) || jsonb_build_object('vote_count', elections.turnout((p.e).id))
                                      ORDER BY (p.e).created_at DESC, (p.e).id) FROM page p), '[]')
      INTO total, elections;
END
$$;

CREATE FUNCTION elections.get_election(p_org uuid, p_election uuid, OUT code text, OUT election jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked elections.elections;
    counts jsonb;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO asked FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL;
    IF NOT FOUND THEN
        code := 'not_found';
        RETURN;
    END IF;
    code := 'ok';
    SELECT r.counts INTO counts FROM elections.results r WHERE r.election_id = p_election;
    -- While voting is open the comparison with the ballots is nobody's business; the numbers of tokens are.
    election := elections.wire_election(asked) || jsonb_build_object(
        'vote_count', elections.turnout(asked.id), 'total_votes', elections.turnout(asked.id),
        'counts', coalesce(counts, elections.count_tokens(asked) - 'mismatch'));
END
$$;

COMMIT;
