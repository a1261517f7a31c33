-- Deploy ekklesia:events_tables
-- requires: elections_tables
BEGIN;
SET LOCAL ROLE ekklesia_owner;

-- That a slot has (or is about to have) a token, never the token nor its hash.
CREATE TABLE events.issues (
    election_id uuid NOT NULL,
    slot        elections.keyed_hash NOT NULL,
    org_id      uuid NOT NULL,
    issue_no    bigint NOT NULL CHECK (issue_no > 0),
    state       text NOT NULL CHECK (state IN ('pending', 'confirmed', 'failed')),
    claim       uuid NOT NULL, -- whose it is while pending; random, and found in no log line
    claimed_at  timestamptz NOT NULL,
    issued_at   timestamptz,
    expires_at  timestamptz,
    PRIMARY KEY (election_id, slot),
    CHECK ((state = 'confirmed') = (issued_at IS NOT NULL AND expires_at IS NOT NULL))
);
CALL elections.guard_table('events.issues', 'SELECT');

-- What events may see of an election. It is closed from the instant its end passes, whoever asks.
CREATE VIEW events.elections WITH (security_barrier) AS
    SELECT e.id, e.org_id, e.title, e.description, e.question, e.answers,
           CASE WHEN e.deleted_at IS NOT NULL THEN 'deleted'
                WHEN e.status IN ('published', 'paused') AND e.scheduled_end <= statement_timestamp() THEN 'closed'
                ELSE e.status END AS status,
           e.hidden, e.voting_type, e.max_selections, e.eligibility, e.scheduled_start, e.scheduled_end, e.created_by, e.updated_by,
           e.created_at, e.updated_at, e.published_at,
           CASE WHEN e.status IN ('published', 'paused') AND e.scheduled_end <= statement_timestamp() THEN e.scheduled_end
                ELSE e.closed_at END AS closed_at,
           e.archived_at, e.deleted_at,
           e.option_keys @> '{yes,no}' AS token_election
      FROM elections.elections e;
GRANT SELECT ON events.elections TO events, ekklesia_admin;

COMMIT;
