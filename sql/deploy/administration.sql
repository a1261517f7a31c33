-- Deploy ekklesia:administration
-- requires: reading
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- A time as PostgreSQL reads it, without a zone in UTC; NULL when it is none or not finite.
CREATE FUNCTION elections.parse_time(p_text text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    parsed timestamptz;
BEGIN
    parsed := p_text::timestamptz;
    RETURN CASE WHEN isfinite(parsed) THEN parsed END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

-- What is wrong with a set of options, or NULL. Names a portal may derive from an option must fit that option only.
CREATE FUNCTION elections.check_options(p_answers jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    option jsonb;
    name text;
    own text[];
    taken text[] := '{}';
BEGIN
    FOR option IN SELECT value FROM jsonb_array_elements(p_answers) LOOP
        IF jsonb_typeof(option) = 'string' THEN
            own := ARRAY[option #>> '{}'];
        ELSIF jsonb_typeof(option) <> 'object'
              OR EXISTS (SELECT FROM jsonb_each(option) m
                          WHERE CASE WHEN m.key IN ('id', 'answer_id', 'text', 'answer_text') THEN jsonb_typeof(m.value) NOT IN ('string', 'null')
                                     -- A long number, or a deep value, could be stored but not be read back by strict readers.
                                     WHEN jsonb_typeof(m.value) = 'number' THEN octet_length(m.value::text) > 32
                                     ELSE jsonb_typeof(m.value) IN ('object', 'array') END) THEN
            RETURN 'type';
        ELSE
            own := array_remove(ARRAY[option ->> 'id', option ->> 'answer_id', option ->> 'text', option ->> 'answer_text'], NULL);
            IF octet_length(option::text) > 4096 THEN
                RETURN 'too_long';
            END IF;
        END IF;
        IF elections.option_id(option) IS NULL THEN
            RETURN 'blank';
        END IF;
        -- Compared without regard to case, with one set of rules whatever the locale of the database.
        own := ARRAY(SELECT DISTINCT lower(btrim(n) COLLATE pg_catalog."und-x-icu") FROM unnest(own) n WHERE n <> '');
        FOREACH name IN ARRAY own LOOP
            IF name = '' OR name ~ '^\s*$' THEN
                RETURN 'blank';
            ELSIF char_length(name) > 200 THEN
                RETURN 'too_long';
            ELSIF name = ANY (taken) THEN
                RETURN 'ambiguous';
            END IF;
        END LOOP;
        taken := taken || own;
    END LOOP;
    RETURN NULL;
END
$$;

-- The first rule of the contract that the fields of an election break, or NULLs.
CREATE FUNCTION elections.check_fields(f jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options integer;
BEGIN
    FOREACH field IN ARRAY ARRAY['title', 'question'] LOOP
        reason := CASE WHEN coalesce(jsonb_typeof(f -> field), 'null') = 'null' THEN 'missing'
                       WHEN jsonb_typeof(f -> field) <> 'string' THEN 'type'
                       WHEN f ->> field ~ '^\s*$' THEN 'blank'
                       WHEN char_length(f ->> field) > CASE field WHEN 'title' THEN 255 ELSE 10000 END THEN 'too_long' END;
        IF reason IS NOT NULL THEN
            RETURN;
        END IF;
    END LOOP;

    field := 'answers';
    reason := CASE WHEN coalesce(jsonb_typeof(f -> field), 'null') = 'null' THEN 'missing'
                   WHEN jsonb_typeof(f -> field) <> 'array' THEN 'type' END;
    IF reason IS NULL THEN
        options := jsonb_array_length(f -> field);
        reason := CASE WHEN options < 2 THEN 'too_few' WHEN options > 200 THEN 'too_many' ELSE elections.check_options(f -> field) END;
    END IF;
    IF reason IS NOT NULL THEN
        RETURN;
    END IF;

    FOREACH field IN ARRAY ARRAY['voting_type', 'eligibility'] LOOP
        reason := CASE WHEN jsonb_typeof(f -> field) <> 'string' THEN 'type'
                       WHEN f ->> field <> ALL (CASE field WHEN 'voting_type' THEN '{single-choice,multi-choice}'::text[]
                                                           ELSE '{members,admins,all}' END) THEN 'value' END;
        IF reason IS NOT NULL THEN
            RETURN;
        END IF;
        IF field = 'voting_type' THEN
            field := 'max_selections';
            reason := CASE WHEN jsonb_typeof(f -> field) <> 'number' THEN 'type'
                           WHEN (f -> field)::numeric <> trunc((f -> field)::numeric) THEN 'type'
                           WHEN (f -> field)::numeric NOT BETWEEN 1 AND CASE f ->> 'voting_type' WHEN 'single-choice' THEN 1 ELSE options END
                           THEN 'range' END;
            IF reason IS NOT NULL THEN
                RETURN;
            END IF;
        END IF;
    END LOOP;

    field := 'description';
    reason := CASE WHEN jsonb_typeof(f -> field) <> 'string' THEN 'type' WHEN char_length(f ->> field) > 20000 THEN 'too_long' END;
    IF reason IS NOT NULL THEN
        RETURN;
    END IF;

    FOREACH field IN ARRAY ARRAY['scheduled_start', 'scheduled_end'] LOOP
        reason := CASE WHEN coalesce(jsonb_typeof(f -> field), 'null') = 'null' THEN NULL
                       WHEN jsonb_typeof(f -> field) <> 'string' THEN 'type'
                       WHEN elections.parse_time(f ->> field) IS NULL THEN 'value' END;
        IF reason IS NOT NULL THEN
            RETURN;
        END IF;
    END LOOP;
    IF elections.parse_time(f ->> 'scheduled_end') <= elections.parse_time(f ->> 'scheduled_start') THEN
        reason := 'order';
        RETURN;
    END IF;
    field := NULL;
END
$$;

-- The fields that count, under their stored names; null where a default stands for it.
CREATE FUNCTION elections.known_fields(p_fields jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(k.name, CASE WHEN k.name = 'description' AND k.value = 'null' THEN '""' ELSE k.value END), '{}')
      FROM (SELECT DISTINCT ON (1) CASE m.key WHEN 'voting_starts_at' THEN 'scheduled_start' WHEN 'voting_ends_at' THEN 'scheduled_end'
                                              ELSE m.key END AS name, m.value
              FROM jsonb_each(CASE WHEN jsonb_typeof(p_fields) = 'object' THEN p_fields ELSE '{}' END) m
             WHERE m.key IN ('title', 'question', 'answers', 'voting_type', 'max_selections', 'eligibility', 'description', 'scheduled_start',
                             'scheduled_end', 'voting_starts_at', 'voting_ends_at')
             ORDER BY 1, m.key LIKE 'voting\_%s\_at' DESC) k
$$;

CREATE FUNCTION elections.trimmed(f jsonb, p_field text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.btrim(f ->> p_field, E' \t\r\n');

-- The fields of a stored election, as known_fields gives them.
CREATE FUNCTION elections.stored_fields(e elections.elections) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
    SELECT jsonb_build_object('title', (e).title, 'question', (e).question, 'answers', (e).answers, 'voting_type', (e).voting_type,
                              'max_selections', (e).max_selections, 'eligibility', (e).eligibility, 'description', (e).description,
                              'scheduled_start', (e).scheduled_start, 'scheduled_end', (e).scheduled_end)
$$;

-- The audit row of an operator's action. A refused one has success false and says why.
CREATE FUNCTION elections.audit_action(p_org uuid, p_action text, p_code text, p_success boolean, p_actor text, p_correlation text,
                                       p_election uuid, p_before elections.elections, p_after elections.elections) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM elections.audit_write(p_org, p_action, p_success, p_actor, p_correlation, p_election,
                                  jsonb_strip_nulls(jsonb_build_object('code', p_code, 'title', coalesce(p_after.title, p_before.title),
                                                                       'from', elections.status_now(p_before),
                                                                       'to', CASE WHEN p_success THEN elections.status_now(p_after) END)),
                                  elections.row_digest(p_before), CASE WHEN p_success THEN elections.row_digest(p_after) END);
END
$$;

CREATE FUNCTION elections.create_election(p_org uuid, p_actor text, p_correlation text, p_fields jsonb,
                                          OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f jsonb := '{"voting_type": "single-choice", "max_selections": 1, "eligibility": "members", "description": ""}';
    made elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    f := f || elections.known_fields(p_fields);
    SELECT c.field, c.reason INTO field, reason FROM elections.check_fields(f) c;
    IF reason IS NOT NULL THEN
        code := 'invalid';
        PERFORM elections.audit_action(p_org, 'create_election', code, false, p_actor, p_correlation, NULL, NULL, NULL);
        RETURN;
    END IF;
    -- Holding the end of the audit chain, so that of two equal requests at once the second sees what the first made.
    INSERT INTO elections.audit_heads (org_id) VALUES (p_org) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM elections.audit_heads h WHERE h.org_id = p_org FOR UPDATE;
    made := ROW (gen_random_uuid(), p_org, elections.trimmed(f, 'title'), elections.trimmed(f, 'description'), elections.trimmed(f, 'question'),
                 f -> 'answers', 'draft', false, f ->> 'voting_type', (f -> 'max_selections')::integer, f ->> 'eligibility',
                 elections.parse_time(f ->> 'scheduled_start'), elections.parse_time(f ->> 'scheduled_end'), p_actor, p_actor,
                 clock_timestamp(), clock_timestamp(), NULL, NULL, NULL, NULL, NULL, NULL, NULL)::elections.elections;
    SELECT 'repeated', elections.wire_election(e) INTO code, election
      FROM elections.elections e
     WHERE e.org_id = p_org AND e.created_by = p_actor AND e.created_at > clock_timestamp() - interval '10 seconds'
       AND e.deleted_at IS NULL AND elections.stored_fields(e) = elections.stored_fields(made)
     LIMIT 1;
    IF FOUND THEN
        RETURN;
    END IF;
    INSERT INTO elections.elections (id, org_id, title, description, question, answers, voting_type, max_selections, eligibility,
                                     scheduled_start, scheduled_end, created_by, updated_by, created_at, updated_at)
        VALUES (made.id, p_org, made.title, made.description, made.question, made.answers, made.voting_type, made.max_selections,
                made.eligibility, made.scheduled_start, made.scheduled_end, p_actor, p_actor, made.created_at, made.updated_at)
        RETURNING * INTO made;
    code := 'created';
    election := elections.wire_election(made);
    PERFORM elections.audit_action(p_org, 'create_election', code, true, p_actor, p_correlation, made.id, NULL, made);
END
$$;

-- Change the fields given, under all the rules of creating. Question, options and rules of voting are frozen at opening; the schedule
-- of a non-draft moves only while its end lies ahead, and only to an end ahead.
CREATE FUNCTION elections.change_election(p_org uuid, p_action text, p_actor text, p_correlation text, p_election uuid, p_fields jsonb,
                                          p_draft_only boolean, OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    made elections.elections;
    given jsonb := elections.known_fields(p_fields);
    f jsonb;
    start_at timestamptz;
    end_at timestamptz;
BEGIN
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
    f := elections.stored_fields(before) || given;
    start_at := elections.parse_time(f ->> 'scheduled_start');
    end_at := elections.parse_time(f ->> 'scheduled_end');
    IF before.id IS NULL THEN
        code := 'not_found';
    ELSIF before.status <> 'draft' AND (p_draft_only OR given ?| '{question,answers,voting_type,max_selections,eligibility}') THEN
        code := 'not_draft';
        field := (SELECT k FROM unnest('{question,answers,voting_type,max_selections,eligibility}'::text[]) k WHERE given ? k LIMIT 1);
    ELSIF p_draft_only AND given = '{}' THEN
        code := 'invalid';
        reason := 'missing';
    ELSE
        SELECT c.field, c.reason INTO field, reason FROM elections.check_fields(f) c;
        code := CASE WHEN reason IS NOT NULL THEN 'invalid'
                     WHEN before.status <> 'draft'
                          AND (start_at IS DISTINCT FROM before.scheduled_start OR end_at IS DISTINCT FROM before.scheduled_end)
                          AND (before.status NOT IN ('published', 'paused') OR before.scheduled_end <= clock_timestamp()
                               OR end_at <= clock_timestamp()) THEN 'bad_schedule' END;
    END IF;
    IF code IS NULL THEN
        UPDATE elections.elections e
           SET title = elections.trimmed(f, 'title'), description = elections.trimmed(f, 'description'),
               question = elections.trimmed(f, 'question'),
               answers = f -> 'answers', voting_type = f ->> 'voting_type', max_selections = (f -> 'max_selections')::integer,
               eligibility = f ->> 'eligibility', scheduled_start = start_at, scheduled_end = end_at,
               updated_by = p_actor, updated_at = clock_timestamp()
         WHERE e.id = p_election
        RETURNING e.* INTO made;
        code := 'updated';
    END IF;
    election := elections.wire_election(CASE code WHEN 'updated' THEN made ELSE before END);
    PERFORM elections.audit_action(p_org, p_action, code, code = 'updated', p_actor, p_correlation, p_election, before, made);
END
$$;

CREATE FUNCTION elections.update_election(p_org uuid, p_actor text, p_correlation text, p_election uuid, p_fields jsonb,
                                          OUT code text, OUT election jsonb, OUT field text, OUT reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT c.* INTO code, election, field, reason
      FROM elections.change_election(p_org, 'update_election', p_actor, p_correlation, p_election, p_fields, false) c;
END
$$;

CREATE FUNCTION elections.open_election(p_org uuid, p_actor text, p_correlation text, p_election uuid, p_start timestamptz,
                                        p_end timestamptz, OUT code text, OUT election jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    made elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
    UPDATE elections.elections e
       SET status = 'published', published_at = clock_timestamp(), scheduled_start = coalesce(p_start, e.scheduled_start),
           scheduled_end = coalesce(p_end, e.scheduled_end), updated_by = p_actor, updated_at = clock_timestamp()
     WHERE e.id = p_election AND e.status = 'draft' AND e.deleted_at IS NULL AND NOT e.hidden
       AND coalesce(coalesce(p_end, e.scheduled_end) > clock_timestamp(), true)
       AND coalesce(coalesce(p_end, e.scheduled_end) > coalesce(p_start, e.scheduled_start), true)
       AND isfinite(coalesce(p_start, now())) AND isfinite(coalesce(p_end, now()))
    RETURNING e.* INTO made;
    code := CASE WHEN made.id IS NOT NULL THEN 'opened' WHEN before.id IS NULL THEN 'not_found'
                 WHEN before.status <> 'draft' THEN 'wrong_status' WHEN before.hidden THEN 'hidden' ELSE 'bad_schedule' END;
    election := elections.wire_election(CASE code WHEN 'opened' THEN made ELSE before END);
    PERFORM elections.audit_action(p_org, 'open_election', code, code = 'opened', p_actor, p_correlation, p_election, before, made);
END
$$;

-- Pause, resume, archive, hide and unhide: one conditional change each, of an election that is closed first when its end has passed.
CREATE FUNCTION elections.move_election(p_org uuid, p_move text, p_actor text, p_correlation text, p_election uuid,
                                        OUT code text, OUT election jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    made elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    PERFORM elections.touch(p_org, p_election, false);
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
    UPDATE elections.elections e
       SET status = CASE p_move WHEN 'pause' THEN 'paused' WHEN 'resume' THEN 'published' WHEN 'archive' THEN 'archived' ELSE e.status END,
           archived_at = CASE p_move WHEN 'archive' THEN clock_timestamp() ELSE e.archived_at END,
           hidden = CASE p_move WHEN 'hide' THEN true WHEN 'unhide' THEN false ELSE e.hidden END,
           updated_by = p_actor, updated_at = clock_timestamp()
     WHERE e.id = p_election AND e.deleted_at IS NULL
       AND CASE p_move WHEN 'pause' THEN e.status = 'published' WHEN 'resume' THEN e.status = 'paused' WHEN 'archive' THEN e.status = 'closed'
                       WHEN 'hide' THEN NOT e.hidden WHEN 'unhide' THEN e.hidden END
       AND (p_move NOT IN ('pause', 'resume') OR coalesce(e.scheduled_end > clock_timestamp(), true))
    RETURNING e.* INTO made;
    code := CASE WHEN made.id IS NULL AND before.id IS NULL THEN 'not_found' WHEN made.id IS NULL THEN 'wrong_status'
                 ELSE CASE p_move WHEN 'hide' THEN 'hidden' WHEN 'unhide' THEN 'unhidden' ELSE p_move || 'd' END END;
    election := elections.wire_election(CASE WHEN made.id IS NULL THEN before ELSE made END);
    PERFORM elections.audit_action(p_org, p_move || '_election', code, made.id IS NOT NULL, p_actor, p_correlation, p_election, before, made);
END
$$;

DO $do$
DECLARE
    move text;
BEGIN
    FOREACH move IN ARRAY ARRAY['pause', 'resume', 'archive', 'hide', 'unhide'] LOOP
        EXECUTE pg_catalog.format($sql$
            CREATE FUNCTION elections.%1$I(p_org uuid, p_actor text, p_correlation text, p_election uuid, OUT code text, OUT election jsonb)
                LANGUAGE sql SECURITY DEFINER
                SET search_path = pg_catalog, pg_temp
            AS $$ SELECT m.code, m.election FROM elections.move_election(p_org, %2$L, p_actor, p_correlation, p_election) m $$
        $sql$, move || '_election', move);
    END LOOP;
END
$do$;

CREATE FUNCTION elections.close_election(p_org uuid, p_actor text, p_correlation text, p_election uuid, OUT code text, OUT election jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    -- After its end this closes it in the name of the system, and the operator finds it closed.
    before := elections.touch(p_org, p_election, true);
    IF before.status IN ('published', 'paused') THEN
        code := 'closed';
        election := elections.wire_election(elections.close_now(p_org, p_election, p_actor, p_correlation));
        RETURN;
    END IF;
    code := CASE WHEN before.id IS NULL THEN 'not_found' ELSE 'wrong_status' END;
    election := elections.wire_election(before);
    PERFORM elections.audit_action(p_org, 'close_election', code, false, p_actor, p_correlation, p_election, before, NULL);
END
$$;

-- Remove an election for good. One that somebody has voted in is evidence: only when it is closed, and only when a second operator
-- asks for the same within a day of the first, whose refused request stands in the audit trail. The trail outlives it, with the
-- count and the seal. Published ones stay in any case.
CREATE FUNCTION elections.delete_election(p_org uuid, p_actor text, p_correlation text, p_election uuid, OUT code text, OUT election jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
    first_actor text;
    counted jsonb;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    PERFORM elections.touch(p_org, p_election, true);
    SELECT * INTO before FROM elections.elections e WHERE e.id = p_election AND e.deleted_at IS NULL FOR UPDATE;
    code := CASE WHEN before.id IS NULL THEN 'not_found'
                 WHEN before.status = 'published' THEN 'wrong_status'
                 WHEN EXISTS (SELECT FROM elections.participation p WHERE p.election_id = p_election)
                      OR EXISTS (SELECT FROM elections.ballots b WHERE b.election_id = p_election) THEN 'has_ballots'
                 ELSE 'deleted' END;
    IF code = 'has_ballots' AND before.status IN ('closed', 'archived') THEN
        SELECT a.actor INTO first_actor FROM elections.audit a
         WHERE a.org_id = p_org AND a.election_id = p_election AND a.action = 'delete_election' AND NOT a.success
           AND a.details ->> 'code' = 'has_ballots' AND a.details ->> 'from' IN ('closed', 'archived')
           AND a.actor <> p_actor AND a.at > clock_timestamp() - interval '24 hours'
         ORDER BY a.seq DESC LIMIT 1;
        code := CASE WHEN FOUND THEN 'deleted' ELSE code END;
    END IF;
    election := elections.wire_election(before);
    IF first_actor IS NULL THEN
        PERFORM elections.audit_action(p_org, 'delete_election', code, code = 'deleted', p_actor, p_correlation, p_election, before, before);
    ELSE
        SELECT jsonb_build_object('counts', r.counts, 'total_voters', r.total_voters, 'total_selections', r.total_selections,
                                  'sealed', encode(r.sealed, 'hex'))
          INTO counted FROM elections.results r WHERE r.election_id = p_election;
        PERFORM elections.audit_write(p_org, 'delete_election', true, p_actor, p_correlation, p_election,
                                      jsonb_build_object('code', code, 'title', before.title, 'from', before.status,
                                                         'first_actor', first_actor) || coalesce(counted, '{}'),
                                      elections.row_digest(before), NULL);
    END IF;
    IF code = 'deleted' THEN
        DELETE FROM elections.ballots b WHERE b.election_id = p_election;
        DELETE FROM elections.participation p WHERE p.election_id = p_election;
        DELETE FROM elections.voting_tokens t WHERE t.election_id = p_election;
        DELETE FROM events.issues i WHERE i.election_id = p_election;
        DELETE FROM elections.results r WHERE r.election_id = p_election;
        DELETE FROM elections.elections e WHERE e.id = p_election;
    END IF;
END
$$;

-- Closing has already separated voters from votes, so there is nothing left to do; the route stays and may be repeated.
CREATE FUNCTION elections.anonymize_election(p_org uuid, p_actor text, p_correlation text, p_election uuid,
                                             OUT code text, OUT election jsonb, OUT anonymized_count integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before elections.elections;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    before := elections.touch(p_org, p_election, false);
    code := CASE WHEN before.id IS NULL THEN 'not_found' WHEN before.status IN ('closed', 'archived') THEN 'anonymized' ELSE 'wrong_status' END;
    election := elections.wire_election(before);
    anonymized_count := 0;
    PERFORM elections.audit_action(p_org, 'anonymize_election', code, code = 'anonymized', p_actor, p_correlation, p_election, before, before);
END
$$;

COMMIT;
