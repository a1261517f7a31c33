-- Deploy ekklesia:elections_tables
-- requires: organisations
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- What an option is called on the wire: a string is its own identity, an object's is the first non-empty of these members.
CREATE FUNCTION elections.option_id(p_option jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE pg_catalog.jsonb_typeof(p_option)
        WHEN 'string' THEN nullif(p_option #>> '{}', '')
        WHEN 'object' THEN coalesce(nullif(p_option ->> 'id', ''), nullif(p_option ->> 'answer_text', ''),
                                    nullif(p_option ->> 'text', ''), nullif(p_option ->> 'answer_id', ''))
    END;

-- What is shown for it and stored beside the ballot.
CREATE FUNCTION elections.option_text(p_option jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE pg_catalog.jsonb_typeof(p_option)
        WHEN 'object' THEN coalesce(nullif(p_option ->> 'text', ''), nullif(p_option ->> 'answer_text', ''))
    END;

-- p_what: id, text or key (the identity in lower case, for the yes/no/abstain path).
CREATE FUNCTION elections.option_list(p_answers jsonb, p_what text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(CASE p_what
                         WHEN 'id' THEN elections.option_id(o.value)
                         WHEN 'text' THEN coalesce(elections.option_text(o.value), elections.option_id(o.value))
                         ELSE lower(elections.option_id(o.value))
                     END ORDER BY o.ordinality)
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_answers) = 'array' THEN p_answers ELSE '[]' END) WITH ORDINALITY o
$$;

CREATE TABLE elections.elections (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id          uuid NOT NULL REFERENCES elections.organisations,
    title           text NOT NULL CHECK (btrim(title) <> '' AND char_length(title) <= 255),
    description     text NOT NULL DEFAULT '',
    question        text NOT NULL CHECK (btrim(question) <> ''),
    answers         jsonb NOT NULL,
    status          text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'paused', 'closed', 'archived')),
    hidden          boolean NOT NULL DEFAULT false,
    voting_type     text NOT NULL DEFAULT 'single-choice' CHECK (voting_type IN ('single-choice', 'multi-choice')),
    max_selections  integer NOT NULL DEFAULT 1,
    eligibility     text NOT NULL DEFAULT 'members' CHECK (eligibility IN ('members', 'admins', 'all')),
    -- The one stored start and the one stored end; every other wire name is an alias.
    scheduled_start timestamptz,
    scheduled_end   timestamptz,
    created_by      text NOT NULL,
    updated_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    published_at    timestamptz,
    closed_at       timestamptz,
    archived_at     timestamptz,
    deleted_at      timestamptz,
    option_ids      text[] GENERATED ALWAYS AS (elections.option_list(answers, 'id')) STORED,
    option_texts    text[] GENERATED ALWAYS AS (elections.option_list(answers, 'text')) STORED,
    option_keys     text[] GENERATED ALWAYS AS (elections.option_list(answers, 'key')) STORED,
    CHECK (scheduled_end > scheduled_start),
    CHECK (CASE WHEN jsonb_typeof(answers) = 'array' THEN jsonb_array_length(answers) BETWEEN 2 AND 200 ELSE false END),
    CHECK (array_position(option_ids, NULL) IS NULL),
    CHECK (CASE voting_type WHEN 'single-choice' THEN max_selections = 1
                            ELSE max_selections BETWEEN 1 AND jsonb_array_length(answers) END),
    CHECK ((status = 'draft') = (published_at IS NULL)),
    CHECK ((status IN ('closed', 'archived')) = (closed_at IS NOT NULL)),
    CHECK ((status = 'archived') = (archived_at IS NOT NULL)),
    CHECK (deleted_at IS NULL OR status = 'draft')
);
CREATE INDEX ON elections.elections (org_id, created_at DESC);
CREATE INDEX ON elections.elections (org_id, published_at DESC) WHERE published_at IS NOT NULL;
CREATE INDEX ON elections.elections (scheduled_end) WHERE status IN ('published', 'paused');
CALL elections.guard_table('elections.elections', 'SELECT');

-- The tables a vote writes have no foreign key: checking one would lock the election's row for every vote.

CREATE TABLE elections.voting_tokens (
    token_hash    elections.token_digest PRIMARY KEY,
    org_id        uuid NOT NULL,
    election_id   uuid NOT NULL,
    -- NULL once the election has been closed.
    slot          elections.keyed_hash,
    issue         bigint NOT NULL DEFAULT 0,
    key_id        text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    used          boolean NOT NULL DEFAULT false,
    -- A newer token of the slot has taken its place.
    revoked       boolean NOT NULL DEFAULT false,
    CHECK (NOT (used AND revoked))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX voting_tokens_one_live_per_slot ON elections.voting_tokens (election_id, slot) WHERE NOT revoked;
CALL elections.guard_table('elections.voting_tokens', 'SELECT');

CREATE TABLE elections.participation (
    election_id uuid NOT NULL,
    voter       elections.keyed_hash NOT NULL,
    org_id      uuid NOT NULL,
    voted_at    elections.minute NOT NULL,
    PRIMARY KEY (election_id, voter)
);
CALL elections.guard_table('elections.participation', 'SELECT');

CREATE TABLE elections.ballots (
    election_id uuid NOT NULL,
    id          uuid NOT NULL,
    org_id      uuid NOT NULL,
    answer_id   text NOT NULL,
    answer_text text NOT NULL,
    -- Erased at closing: a minute in which one person voted would name the ballot.
    voted_at    elections.minute,
    PRIMARY KEY (election_id, id)
);
CALL elections.guard_table('elections.ballots', 'SELECT');

CREATE TABLE elections.results (
    election_id      uuid PRIMARY KEY REFERENCES elections.elections,
    org_id           uuid NOT NULL,
    totals           jsonb NOT NULL,
    winner           jsonb,
    tie              jsonb,
    total_voters     integer NOT NULL CHECK (total_voters >= 0),
    total_selections integer NOT NULL CHECK (total_selections >= 0),
    counts           jsonb NOT NULL,
    sealed           bytea NOT NULL,
    counted_at       timestamptz NOT NULL DEFAULT now()
);
CALL elections.guard_table('elections.results', 'SELECT');

COMMIT;
