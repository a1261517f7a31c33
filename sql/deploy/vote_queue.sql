-- Deploy ekklesia:vote_queue
-- requires: grants
-- Votes that waited in a queue because the database could not take them at once (services/elections/README.md, The queue).
BEGIN;
SET LOCAL ROLE ekklesia_owner;
SET LOCAL lock_timeout = '200ms';

-- What became of a queued vote, for whoever holds its receipt. The row names neither voter nor ballot; before closing it shares a
-- transaction id with them, as they do with each other, and closing writes those anew.
CREATE TABLE elections.queued_votes (
    org_id     uuid NOT NULL,
    receipt    elections.keyed_hash NOT NULL,
    outcome    text NOT NULL CHECK (outcome <> ''),
    expires_at elections.minute NOT NULL,
    PRIMARY KEY (org_id, receipt)
);
CREATE INDEX ON elections.queued_votes (expires_at);
CALL elections.guard_table('elections.queued_votes', 'SELECT');

-- Record a queued vote, exactly once however often it is delivered: the outcome is stored in the transaction of the vote. The window
-- is judged at the instant of arrival, everything else as it is now; so nothing is recorded in an election that has been counted.
-- Nothing held is waited for: SQLSTATE 55P03 means that it is to be delivered again.
CREATE FUNCTION elections.record_queued_vote(p_org uuid, p_receipt bytea, p_token_hash text, p_answer text, p_ballot uuid,
                                             p_arrived timestamptz, p_idem_key bytea, p_idem_fingerprint bytea, p_idem_reply bytea,
                                             OUT code text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    -- No clock of an instance can put an arrival into the future.
    arrived CONSTANT timestamptz := least(p_arrived, statement_timestamp());
    token record;
    election record;
    known boolean;
    choice integer;
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    IF NOT pg_try_advisory_xact_lock(hashtextextended(encode(p_receipt, 'hex'), 2)) THEN
        RAISE EXCEPTION 'this delivery runs beside another of the same vote' USING ERRCODE = 'lock_not_available';
    END IF;
    SELECT q.outcome INTO code FROM elections.queued_votes q WHERE q.org_id = p_org AND q.receipt = p_receipt;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT t.election_id, t.slot, t.used, t.revoked, t.expires_at INTO token
      FROM elections.voting_tokens t WHERE t.token_hash = p_token_hash FOR UPDATE NOWAIT;
    known := FOUND AND NOT token.revoked;
    -- The same request may have come again meanwhile, and been recorded without the queue.
    SELECT CASE WHEN i.fingerprint = p_idem_fingerprint THEN 'accepted' ELSE 'mismatch' END INTO code
      FROM elections.idempotency i WHERE i.org_id = p_org AND i.key = p_idem_key AND i.expires_at > statement_timestamp();
    IF code IS NULL AND NOT known THEN
        code := 'unknown';
    ELSIF code IS NULL AND token.used THEN
        code := 'used';
    ELSIF code IS NULL THEN
        IF NOT pg_try_advisory_xact_lock_shared(elections.lock_key(token.election_id)) THEN
            RAISE EXCEPTION 'the election is being closed' USING ERRCODE = 'lock_not_available';
        END IF;
        SELECT e.status, e.hidden, e.scheduled_start, e.scheduled_end, e.option_ids, e.option_texts, e.option_keys INTO election
          FROM elections.elections e WHERE e.id = token.election_id;
        choice := array_position(election.option_keys, lower(p_answer));
        code := coalesce(elections.refusal(election.status, election.scheduled_start, election.scheduled_end, arrived),
                         CASE WHEN election.hidden THEN 'paused' WHEN arrived >= token.expires_at THEN 'expired'
                              WHEN choice IS NULL THEN 'bad_answer' END);
        IF code IS NULL AND elections.store_vote(p_org, token.election_id, token.slot, ARRAY[p_ballot], ARRAY[election.option_ids[choice]],
                                                 ARRAY[election.option_texts[choice]], p_idem_key, p_idem_fingerprint, p_idem_reply) THEN
            UPDATE elections.voting_tokens t SET used = true WHERE t.token_hash = p_token_hash;
            code := 'accepted';
        END IF;
        code := coalesce(code, 'used');
    END IF;
    INSERT INTO elections.queued_votes (org_id, receipt, outcome, expires_at)
        VALUES (p_org, p_receipt, code, date_trunc('minute', statement_timestamp(), 'UTC') + interval '24 hours');
    DELETE FROM elections.queued_votes q
     WHERE q.org_id = p_org AND q.receipt = ANY (ARRAY(SELECT x.receipt FROM elections.queued_votes x
                                                        WHERE x.expires_at < statement_timestamp() LIMIT 4 FOR UPDATE SKIP LOCKED));
END
$$;

-- NULL: nothing has become of it yet.
CREATE FUNCTION elections.queued_vote_status(p_org uuid, p_receipt bytea, OUT code text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    PERFORM set_config('app.org_id', p_org::text, true);
    SELECT q.outcome INTO code FROM elections.queued_votes q
     WHERE q.org_id = p_org AND q.receipt = p_receipt AND q.expires_at > statement_timestamp();
END
$$;

GRANT EXECUTE ON FUNCTION elections.record_queued_vote, elections.queued_vote_status TO elections;

COMMIT;
